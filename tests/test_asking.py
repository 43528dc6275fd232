# What a call's record says: of the request beside its words, of the answer beside its words, and of an
# exception beside its message.

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import pytest_llmroute
from llmroute_sim.history import fingerprint
from pytest_llmroute import World
from pytest_llmroute.answers import hear, take
from pytest_llmroute.failures import failure_of
from pytest_llmroute.routers import Reply
from pytest_llmroute.vocabulary import sayable
from pytest_llmroute.wanted import features, routing

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

KEY = "sk-proj-4f9d2c7b1a6e8053"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SAID = [{"role": "user", "content": "hello"}]


@pytest.fixture
def world():
    with pytest_llmroute.world() as world:
        yield world


# -- what is asked for


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ({}, ()),
        ({"tools": [TOOL]}, ("tools",)),
        ({"tools": []}, ()),
        ({"tools": [TOOL], "tool_choice": "none"}, ()),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, ()),
        ({"functions": [{"name": "f"}]}, ("tools",)),
        ({"response_format": {"type": "text"}}, ()),
        ({"response_format": {"type": "json_object"}}, ("json",)),
        ({"text": {"format": {"type": "json_object"}}}, ("json",)),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, ("schema",)),
        ({"text": {"format": {"type": "json_schema"}}}, ("schema",)),
        ({"text_format": SimpleNamespace}, ("schema",)),
        ({"output_config": {"format": {"type": "json_schema"}}}, ("schema",)),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, ("thinking",)),
        ({"thinking": {"type": "disabled"}}, ()),
        ({"reasoning_effort": "low"}, ("thinking",)),
        ({"reasoning_effort": "none"}, ()),
        ({"reasoning": {"effort": "high"}}, ("thinking",)),
        ({"extra_body": {"reasoning_effort": "low"}, "tools": [TOOL]}, ("thinking", "tools")),
        ({"text": "what is asked"}, ()),
    ],
)
def test_what_is_wanted_besides_words_is_told_from_the_request(request_, wanted):
    assert features(request_) == wanted


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        ({"temperature": 1, "messages": SAID, "max_tokens": 3, "user": "me"}, {}),
        ({"disable_fallbacks": True, "num_retries": 0}, {"disable_fallbacks": True, "num_retries": 0}),
        ({"timeout": httpx.Timeout(7.0)}, {"timeout": 7.0}),
        ({"fallbacks": ["b", {"model": "c", "messages": SAID, "api_key": KEY}]}, {"fallbacks": ["b", "c"]}),
        ({"context_window_fallbacks": [{"a": ["b"]}]}, {"context_window_fallbacks": [{"a": ["b"]}]}),
        ({"metadata": {"tags": ["free"], "num_retries": 2, "trace": "x"}}, {"tags": ["free"]}),
        ({"extra_body": {"tags": ["paid"], "cache": {"ttl": 5}}}, {"tags": ["paid"], "cache": {"ttl": 5}}),
        ({"metadata": {"session_id": "of ann"}}, {"session": fingerprint("of ann")}),
        ({"cache": {"no-cache": True}, "priority": 2}, {"cache": {"no-cache": True}, "priority": 2}),
    ],
)  # fmt: skip
def test_what_a_router_is_told_is_kept_and_nothing_that_a_model_reads(request_, options):
    assert routing(request_) == options


def test_a_call_of_an_sdk_says_what_it_asked_for(world: World):
    client = openai.OpenAI(api_key=KEY, max_retries=0)
    world.ask(
        client.chat.completions.create, model="gpt-4o", messages=SAID, tools=[TOOL], timeout=9
    )
    (call,) = world.history.calls
    assert (call.features, call.options) == (("tools",), {"timeout": 9})
    assert call.features == world.history.attempts[0].features


def test_a_request_may_be_one_table_or_the_body_of_an_http_client(world: World):
    body = {"model": "gpt-4o", "messages": SAID, "tools": [TOOL], "num_retries": 2}
    world.ask(lambda request: "hello", body)
    headers = {"authorization": f"Bearer {KEY}"}
    world.ask(httpx.post, "https://api.openai.com/v1/chat/completions", json=body, headers=headers)
    for call in world.history.calls:
        assert (call.features, call.options) == (("tools",), {"num_retries": 2})


def test_an_api_is_not_asked_with_options_that_it_lacks():
    options = {"tools": [TOOL], "max_tokens": 3, "stop": ["x"], "num_retries": 1, "tenant": "a"}
    assert sayable("chat", options, stream=False) == options
    assert set(sayable("text", options, stream=False)) == {
        "max_tokens",
        "stop",
        "num_retries",
        "tenant",
    }
    assert set(sayable("embeddings", options, stream=False)) == {"num_retries", "tenant"}
    assert "stop" not in sayable("responses", options, stream=False)
    usage = {"stream_options": {"include_usage": True}}
    assert sayable("chat", usage, stream=True) == usage
    assert sayable("chat", usage, stream=False) == {}


# -- what an answer says of itself


def _sdk_calls(world: World) -> dict[str, Any]:
    gpt = openai.OpenAI(api_key=KEY, max_retries=0)
    claude = anthropic.Anthropic(api_key=KEY, max_retries=0)
    chat = {"model": "gpt-4o", "messages": SAID}
    message = {"model": "claude-sonnet-4-6", "messages": SAID, "max_tokens": 100}
    usage = {"stream_options": {"include_usage": True}}
    return {
        "chat": (gpt.chat.completions.create, chat),
        "chat, streamed": (gpt.chat.completions.create, {**chat, "stream": True, **usage}),
        "responses": (gpt.responses.create, {"model": "gpt-4o", "input": "hello"}),
        "responses, streamed": (
            gpt.responses.create, {"model": "gpt-4o", "input": "hello", "stream": True},
        ),
        "messages": (claude.messages.create, message),
        "messages, streamed": (claude.messages.create, {**message, "stream": True}),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "chat",
        "chat, streamed",
        "responses",
        "responses, streamed",
        "messages",
        "messages, streamed",
    ],
)
def test_usage_model_and_end_of_an_answer_are_heard(world: World, name: str):
    app, said = _sdk_calls(world)[name]
    world.ask(app, **said)
    (call,), (attempt,) = world.history.calls, world.history.attempts
    assert (call.tokens_in, call.tokens_out) == (attempt.tokens_in, attempt.tokens_out)
    assert call.model == attempt.shown
    assert call.finish in ("stop", "completed", "end_turn")
    assert call.marks == attempt.marks


@pytest.mark.parametrize("name", ["chat, streamed", "responses, streamed", "messages, streamed"])
def test_a_stream_without_its_end_shows_that_it_has_none(world: World, name: str):
    world.inject("missing-terminal")
    app, said = _sdk_calls(world)[name]
    world.ask(app, **said)
    assert world.history.calls[0].finish == ""


def test_text_alone_has_no_place_for_a_finish_reason(world: World):
    world.ask(lambda: "hello")
    assert world.history.calls[0].finish is None


def test_the_length_of_vectors_is_noted(world: World):
    client = openai.OpenAI(api_key=KEY)
    world.ask(client.embeddings.create, model="text-embedding-3-small", input="a", dimensions=8)
    (call,) = world.history.calls
    assert call.dimension == world.history.attempts[0].dimension == 8


@pytest.mark.parametrize(
    ("pieces", "usage"),
    [
        ([{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}], (3, 4)),
        ([{"usage": {"prompt_tokens": 0, "completion_tokens": 0}}], (None, None)),
        ([{"usage": {"prompt_tokens": 3}}], (3, None)),
        ([{"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
          {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}}], (3, 4)),
        ([{"content": "", "usage": {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 4}}], (8, 4)),
        ([{"content": "", "usage_metadata": {"input_tokens": 3, "output_tokens": 0}},
          {"content": "", "usage_metadata": {"input_tokens": 0, "output_tokens": 4}}], (3, 4)),
    ],
)  # fmt: skip
def test_usage_is_what_an_answer_states_in_all_its_pieces(pieces, usage):
    reply = Reply()
    for piece in pieces:
        take(reply, hear(piece))
    assert (reply.tokens_in, reply.tokens_out) == usage


def test_the_cost_that_a_router_states_is_heard():
    hidden = SimpleNamespace(choices=[], _hidden_params={"response_cost": 1.2e-05})
    assert hear(hidden).cost == Decimal("0.000012")
    assert hear({"choices": [], "usage": {"cost": 0.5}}).cost == Decimal("0.5")


# -- what an exception tells


class Refused(Exception):
    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args)
        vars(self).update(more)


def answered(headers: dict[str, str] | None = None, text: str = "") -> httpx.Response:
    return httpx.Response(429, headers=headers, text=text)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Refused("no"), None),
        (Refused("no", response=answered({"retry-after": "7"})), 7.0),
        (Refused("no", response=answered({"Retry-After-Ms": "1500", "retry-after": "7"})), 1.5),
        (Refused("no", headers={"Retry-After": "2.5"}), 2.5),
        (Refused("no", litellm_response_headers=httpx.Headers({"retry-after": "9"})), 9.0),
        (Refused("no", cooldown_time=5), 5.0),
        (Refused("no", response=answered({"retry-after": "soon"})), None),
    ],
)  # fmt: skip
def test_the_hint_when_to_come_back_is_read_in_seconds(error, seconds):
    assert failure_of(error).retry_after == seconds


def test_a_date_to_come_back_is_counted_from_the_worlds_own_now(world: World):
    world.inject("rate-limit", retry_after=30, hint="date")
    client = openai.OpenAI(api_key=KEY, max_retries=0)
    with pytest.raises(openai.RateLimitError):
        world.ask(client.chat.completions.create, model="gpt-4o", messages=SAID)
    failure = world.history.calls[0].failure
    assert failure is not None
    assert failure.retry_after == pytest.approx(30, abs=1.5)


def behind() -> Exception:
    try:
        try:
            raise ValueError(f"refused: {KEY}")
        except ValueError as error:
            raise RuntimeError("it did not work") from error
    except RuntimeError as error:
        return error


def hidden() -> Exception:
    try:
        try:
            raise ValueError(f"refused: {KEY}")
        except ValueError:
            raise RuntimeError("it did not work") from None
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"Incorrect API key provided: {KEY}. Look it up."),
        ValueError(f"headers: {{'authorization': 'Bearer {KEY}'}}"),
        ValueError(f"https://api.example/v1?key={KEY}&model=m"),
        ValueError(f"Bearer%20{KEY}"),
        ValueError({"params": {"api_key": KEY}}),
        Refused("no", body={"error": {"message": KEY}}),
        Refused("no", message=f"it was {KEY!r}"),
        Refused("no", response=answered(text=f'{{"key": "{KEY}"}}')),
        behind(),
        ExceptionGroup("several", [ValueError(KEY)]),
    ],
    ids=range(10),
)
def test_a_key_in_the_words_of_an_exception_is_noticed(error):
    failure = failure_of(error, {fingerprint(KEY)})
    assert failure.leaked == (fingerprint(KEY),)
    assert KEY not in repr(failure)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Incorrect API key provided: sk-proj-*****8053."),
        ValueError(f"Incorrect API key provided: {KEY[:10]}...{KEY[-4:]}"),
        ValueError(f"Incorrect API key provided: ...{KEY[-6:]}"),
        Refused("no", request=httpx.Request("GET", "https://x", headers={"x-api-key": KEY})),
        hidden(),
        ValueError("nothing at all"),
    ],
    ids=range(6),
)
def test_part_of_a_key_gives_nobody_away_nor_what_no_caller_prints(error):
    assert failure_of(error, {fingerprint(KEY)}).leaked == ()


def test_a_key_that_no_attempt_carried_and_no_file_names_is_not_known():
    assert failure_of(ValueError(KEY)).leaked == ()
    assert failure_of(ValueError(KEY), {fingerprint("sk-another-one")}).leaked == ()


def test_a_world_knows_the_keys_that_its_attempts_carried(world: World):
    def app() -> None:
        client = openai.OpenAI(api_key=KEY, max_retries=0)
        try:
            client.chat.completions.create(model="gpt-4o", messages=SAID)
        except openai.APIStatusError as error:
            raise RuntimeError(f"{client.api_key} did not do") from error

    world.inject("unauthorized")
    with pytest.raises(RuntimeError):
        world.ask(app)
    failure = world.history.calls[0].failure
    assert failure is not None
    assert failure.leaked == (world.history.attempts[0].key,)
    assert KEY not in str(world.history.to_dict())
