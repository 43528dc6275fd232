from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmroute_sim.dialects import Dialect, Unreadable, find
from llmroute_sim.dialects.errors import ErrorTable, duration, table
from llmroute_sim.prompt import Answer, Prompt, Refusal, ToolCall, Usage
from llmroute_sim.prose import Author
from llmroute_sim.speech import say
from llmroute_sim.wire import Address, Data, Event, Framing, Head, Request, grammar_error

pytestmark = pytest.mark.once

KINDS = (
    "invalid_request", "context_length", "auth", "permission", "moderation", "model_not_found",
    "request_too_large", "rate_limit_requests", "rate_limit_tokens", "insufficient_quota",
    "server_error", "unavailable", "overloaded", "not_found", "timeout", "bad_gateway",
    "gateway_timeout", "conflict", "unprocessable", "account_suspended", "model_forbidden",
    "rate_limit_requests_day", "rate_limit_tokens_day",
)  # fmt: skip
EDGE = (
    "page", "page_502", "page_503", "page_504", "page_520", "page_521", "page_522", "page_523",
    "page_524", "page_525", "page_526", "page_527", "page_530", "page_text", "headers_too_large",
)  # fmt: skip
TABLES = (
    "openai", "openai-responses", "anthropic", "groq", "mistral", "deepseek", "together",
)  # fmt: skip
OPERATIONS = {"openai": "chat", "anthropic": "messages"}

dialects = st.sampled_from([find(name) for name in OPERATIONS])
words = st.lists(st.text(min_size=1), max_size=6).map(tuple)
calls = st.lists(st.builds(ToolCall, st.just("1"), st.text(min_size=1), st.just(('{"a":', '"\\u00e9"}'))), max_size=2).map(tuple)  # fmt: skip
usages = st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**6))
answers = st.builds(
    Answer,
    id=st.just("7f"),
    created=st.integers(0, 2**31),
    model=st.text(min_size=1),
    words=words,
    finish=st.sampled_from(["stop", "length", "tools"]),
    usage=usages,
    calls=calls,
)
facts = st.dictionaries(
    st.sampled_from(
        ["message", "model", "limit", "used", "requested", "tokens", "maximum", "path"]
    ),
    st.one_of(st.text(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False)),
)
refusals = st.builds(
    Refusal,
    kind=st.sampled_from(KINDS + EDGE),
    status=st.none() | st.integers(400, 599),
    retry_after=st.none() | st.floats(0, 1e6),
    hint=st.sampled_from(["seconds", "milliseconds", "date"]),
    facts=facts,
)
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text(max_size=3)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "role", "content", "text", "name", "function", "input"]) | st.text(max_size=2),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
messages = st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": st.text(min_size=1, max_size=9)}),
    min_size=1,
    max_size=3,
)
bodies = st.fixed_dictionaries(
    {
        "model": st.text(min_size=1, max_size=9),
        "messages": messages,
        "max_tokens": st.integers(1, 99),
    },
    optional={
        "temperature": st.floats(0, 1),
        "stop": st.lists(st.text(max_size=3), max_size=2),
        "tools": st.just([]),
    },
)


def read(dialect: Dialect, body: Any, operation: Any = None) -> Prompt:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("POST", "/", (), raw, Address("host"))
    return dialect.parse(operation or OPERATIONS[dialect.name], request)


def refusal_of(dialect: Dialect, body: Any) -> str | None:
    try:
        read(dialect, body)
    except Unreadable as unreadable:
        return unreadable.refusal.kind
    return None


def prompt_for(dialect: Dialect, stream: bool = False, wants_usage: bool = False) -> Prompt:
    operation: Any = OPERATIONS[dialect.name]
    return Prompt(operation, "m", (), 1, "", stream=stream, wants_usage=wants_usage)


def body_of(events: list[Event]) -> bytes:
    return b"".join(event.body for event in events if isinstance(event, Data))


def payload(data: Data) -> Any:
    return json.loads(data.body.decode().split("data: ", 1)[1])


def text_in(dialect: Dialect, events: list[Event]) -> str:
    """The text of an answer, from whatever the events are."""
    head, *rest = events
    assert isinstance(head, Head)
    if head.framing is Framing.LENGTH:
        whole = json.loads(body_of(events))
        if dialect.name == "openai":
            return whole["choices"][0]["message"]["content"] or ""
        return "".join(block["text"] for block in whole["content"] if block["type"] == "text")
    tokens = [payload(e) for e in rest if isinstance(e, Data) and e.part == "token"]
    if dialect.name == "openai":
        return "".join(t["choices"][0]["delta"].get("content") or "" for t in tokens)
    return "".join(t["delta"].get("text", "") for t in tokens)


@given(dialects, answers, st.booleans(), st.booleans())
def test_every_answer_is_an_exchange(
    dialect: Dialect, answer: Answer, stream: bool, usage: bool
) -> None:
    events = list(dialect.answer(prompt_for(dialect, stream, usage), answer, (("x", "y"),)))
    assert grammar_error(events) is None
    head = events[0]
    assert isinstance(head, Head)
    assert head.status == 200
    assert ("x", "y") in head.headers
    assert (head.framing is Framing.CHUNKED) == stream


@given(dialects, answers)
def test_the_declared_length_is_that_of_the_body(dialect: Dialect, answer: Answer) -> None:
    events = list(dialect.answer(prompt_for(dialect), answer, ()))
    head = events[0]
    assert isinstance(head, Head)
    assert head.length == len(body_of(events))
    assert [event.part for event in events if isinstance(event, Data)] == ["body"]


@given(dialects, answers, st.booleans())
def test_what_is_said_survives_both_modes(dialect: Dialect, answer: Answer, stream: bool) -> None:
    events = list(dialect.answer(prompt_for(dialect, stream), answer, ()))
    assert text_in(dialect, events) == "".join(answer.words)


@given(dialects, answers, st.booleans())
def test_a_stream_has_one_token_event_for_each_token_and_one_end(
    dialect: Dialect, answer: Answer, usage: bool
) -> None:
    events = list(dialect.answer(prompt_for(dialect, True, usage), answer, ()))
    parts = [event.part for event in events if isinstance(event, Data)]
    said = len(answer.words) + sum(len(call.arguments) for call in answer.calls)
    assert parts.count("token") == said
    assert parts.count("finish") == parts.count("terminal") == 1
    assert parts[0] == "open"
    assert parts[-1] == "terminal"
    assert "token" not in parts[parts.index("finish") :]


@given(dialects, refusals)
def test_every_refusal_is_an_exchange_with_the_length_it_declares(
    dialect: Dialect, refusal: Refusal
) -> None:
    events = list(dialect.refuse(refusal, "req_1", dialect.headers("req_1", None)))
    assert grammar_error(events) is None
    head = events[0]
    assert isinstance(head, Head)
    assert head.length == len(body_of(events))
    assert refusal.status in (None, head.status)
    names = [name for name, _ in head.headers]
    assert len(names) == len(set(names))
    if dict(head.headers)["content-type"] == "application/json":
        assert json.loads(body_of(events))["error"]["message"] is not None


@given(dialects, refusals)
def test_a_refusal_midway_is_one_readable_event(dialect: Dialect, refusal: Refusal) -> None:
    event = dialect.refuse_midway(refusal, "req_1")
    assert event.part == "error"
    assert event.body.endswith(b"\n\n")
    assert b"\n\n" not in event.body[:-2]
    assert payload(event)["error"]["message"] is not None


@given(dialects, bodies, st.randoms(use_true_random=False), st.sampled_from([None, 2]))
def test_key_order_and_spacing_do_not_make_another_question(
    dialect: Dialect, body: dict[str, Any], random: Any, indent: int | None
) -> None:
    shuffled = list(body.items())
    random.shuffle(shuffled)
    again = json.dumps(dict(shuffled), indent=indent, ensure_ascii=False)
    try:
        raw = again.encode()
    except UnicodeEncodeError:
        assume(False)
    assert read(dialect, raw) == read(dialect, body)


@given(dialects, bodies, bodies)
def test_another_model_message_or_setting_is_another_question(
    dialect: Dialect, one: dict[str, Any], two: dict[str, Any]
) -> None:
    for name in one.keys() | two.keys():
        changed = {key: value for key, value in one.items() if key != name}
        if name in two:
            changed[name] = two[name]
        same = changed == one
        assert (read(dialect, changed).digest == read(dialect, one).digest) == same


@given(dialects, bodies, st.booleans(), st.text())
def test_how_an_answer_travels_is_no_part_of_the_question(
    dialect: Dialect, body: dict[str, Any], stream: bool, tenant: str
) -> None:
    asked = {**body, "stream": stream, "metadata": {"user_id": tenant}}
    assert read(dialect, asked).digest == read(dialect, body).digest
    assert read(dialect, asked).stream == stream


def test_other_tools_are_another_question() -> None:
    for name in OPERATIONS:
        asked = [{"role": "user", "content": "hi"}]
        seen = set()
        for tool in ("a", "b"):
            offered = [
                {"name": tool, "input_schema": {}}
                if name == "anthropic"
                else {"type": "function", "function": {"name": tool}}
            ]
            body = {"model": "m", "max_tokens": 1, "messages": asked, "tools": offered}
            seen.add(read(find(name), body).digest)
        assert len(seen) == 2


@given(bodies)
def test_the_same_body_in_another_dialect_is_another_question(body: dict[str, Any]) -> None:
    assert len({read(find(name), body).digest for name in OPERATIONS}) == 2


FIELDS = (
    "model", "messages", "max_tokens", "stream", "stream_options", "tools", "tool_choice", "system",
    "temperature", "top_k", "input", "dimensions", "encoding_format", "max_completion_tokens",
    "n", "stop", "response_format", "functions", "function_call", "parallel_tool_calls", "logprobs",
    "top_logprobs", "prompt", "echo", "thinking", "output_config", "stop_sequences",
)  # fmt: skip


@given(
    dialects,
    bodies,
    st.dictionaries(st.sampled_from(FIELDS), anything, min_size=1, max_size=3),
    st.sampled_from([None, "embeddings", "completions"]),
)
def test_whatever_is_asked_is_understood_or_refused(
    dialect: Dialect, body: dict[str, Any], nonsense: dict[str, Any], other: str | None
) -> None:
    operation = other if dialect.name == "openai" else other and "count_tokens"
    try:
        prompt = read(dialect, body | nonsense, operation)
    except Unreadable as unreadable:
        events = list(dialect.refuse(unreadable.refusal, "req_1", ()))
        assert isinstance(events[0], Head)
        assert events[0].status == 400
    else:
        assert all(isinstance(text, str) for text in prompt.texts)
        assert say(prompt, Author(0), 0, None).usage.input == prompt.tokens


@given(dialects, st.lists(anything, min_size=1, max_size=2), st.sampled_from(["messages", "tools"]))
def test_whatever_a_list_holds_is_understood_or_refused(
    dialect: Dialect, items: list[Any], name: str
) -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    contents = [{"role": "user", "content": items}, {"role": "assistant", "content": None, "tool_calls": items}]  # fmt: skip
    for held in (items, contents[:1], contents[1:]):
        assert refusal_of(dialect, body | {name: held}) in (None, "invalid_request")


def test_a_body_of_any_depth_is_understood_or_refused() -> None:
    for dialect in map(find, OPERATIONS):
        for depth in (10, 300, 900, 950, 980, 990, 1000, 2000):
            deep = "[" * depth + "]" * depth
            raw = '{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}],"x":%s}'
            assert refusal_of(dialect, (raw % deep).encode()) in (None, "invalid_request")


# -- the tables


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_every_kind(name: str) -> None:
    assert set(table(name).forms) == {*KINDS, *EDGE}
    assert all(form.evidence for form in table(name).forms.values())


@pytest.mark.parametrize("name", TABLES)
def test_no_slot_is_left_open(name: str) -> None:
    for kind in KINDS + EDGE:
        head, data = table(name).refuse(Refusal(kind), "req_1", ())
        assert isinstance(head, Head)
        assert isinstance(data, Data)
        said = data.body.decode() + "".join(value for _, value in head.headers)
        assert "{message}" not in said
        assert not [slot for slot in table(name)[kind].body.needs if f"{{{slot}" in said]
        assert "{ray}" not in said


@pytest.mark.parametrize("kind", ["page_502", "page_524", "page_text", "headers_too_large"])
def test_who_stands_in_front_sends_none_of_the_provider_s_headers(kind: str) -> None:
    head, data = table("groq").refuse(Refusal(kind), "ab" * 16, (("x-request-id", "req_1"),))
    assert isinstance(head, Head)
    assert isinstance(data, Data)
    assert dict(head.headers)["cf-ray"] == "abababababababab-FRA"
    assert "x-request-id" not in dict(head.headers)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(data.body)


def test_a_missing_kind_is_told_with_the_closest() -> None:
    with pytest.raises(KeyError, match=r"did you mean 'overloaded'\?"):
        list(find("openai").refuse(Refusal("overload"), "req_1", ()))


def test_a_table_is_found_under_its_dialect_s_name() -> None:
    assert isinstance(table("openai"), ErrorTable)
    with pytest.raises(FileNotFoundError):
        table("nobody")


@given(st.integers(0, 10**9))
def test_a_duration_is_exact_to_the_millisecond(milliseconds: int) -> None:
    told = duration(milliseconds / 1000)
    if told.endswith("ms"):
        assert int(told[:-2]) == milliseconds
        return
    hours, _, rest = told.rpartition("h")
    minutes, _, seconds = rest.rpartition("m")
    total = int(hours or 0) * 3_600_000 + int(minutes or 0) * 60_000
    assert total + round(float(seconds[:-1]) * 1000) == milliseconds
