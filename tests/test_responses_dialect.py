from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter

from json_schemas import objects, schemas
from llmroute_sim import faults
from llmroute_sim.dialects import find
from llmroute_sim.prompt import Answer, Finish, Prompt, Refusal, ToolCall, Usage
from llmroute_sim.prose import Author
from llmroute_sim.quotas import Bucket, Room
from llmroute_sim.speech import say
from llmroute_sim.wire import Address, Data, Event, Framing, Head, Request, grammar_error
from pytest_llmroute.answers import hear

openai = pytest.importorskip("openai")
shapes = pytest.importorskip("openai.types.responses")

DIALECT = find("openai-responses")
FINISHES: tuple[Finish, ...] = get_args(Finish)
ASK: dict[str, Any] = {"model": "gpt-4o", "input": "Say hello"}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
SHELL = {"type": "custom", "name": "shell"}
USER = {"role": "user", "content": "What is the weather?"}

SAID = Answer("7f", 1_700_000_000, "gpt-4o", ("Hello", ' "wörld"', "\n☃"), "stop", Usage(9, 3))
CALLED = Answer(
    "8a", 1_700_000_000, "gpt-4o", (), "tools", Usage(9, 5),
    (ToolCall("x1", "weather", ('{"city":', ' "Rome"}')), ToolCall("x2", "shell", ("ls", " -l"), True)),
)  # fmt: skip

texts = st.lists(st.text(min_size=1), max_size=4).map(tuple)
calls = st.lists(
    st.builds(ToolCall, st.text("0123", min_size=1), st.text(min_size=1), texts, st.booleans()),
    max_size=2,
    unique_by=lambda call: call.id,
).map(tuple)
answers = st.builds(
    Answer,
    id=st.just("7f"),
    created=st.just(1),
    model=st.text(min_size=1),
    words=texts,
    finish=st.sampled_from(FINISHES),
    usage=st.just(Usage(9, 4, 1)),
    calls=calls,
    refusal=st.text(),
    thinking=texts,
)
options = st.fixed_dictionaries(
    {
        "thinking": st.sampled_from(["shown", "hidden"]),
        "sealed": st.booleans(),
        "logprobs": st.none() | st.integers(0, 3),
    }
)


def ask(body: Any, operation: Any = "responses") -> Prompt:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECT.parse(operation, Request("POST", "/", (), raw, Address("api.openai.com")))


def events_of(answer: Answer, prompt: Prompt | None = None, **of: Any) -> list[Event]:
    asked = prompt or Prompt("responses", "m", (), 1, "", **of)
    return list(DIALECT.answer(asked, answer, ()))


def told(answer: Answer, **of: Any) -> list[Any]:
    """The JSON of every event, which is called what it says it is."""
    found = []
    for event in events_of(answer, stream=True, **of):
        if isinstance(event, Data):
            name, data = event.body.decode().removesuffix("\n\n").split("\ndata: ")
            found.append(json.loads(data))
            assert name == f"event: {found[-1]['type']}"
    return found


def whole(answer: Answer, **of: Any) -> Any:
    _, data = events_of(answer, **of)
    assert isinstance(data, Data)
    return json.loads(data.body)


@cache
def event_type() -> TypeAdapter[Any]:
    """What the SDK says that an event is."""
    return TypeAdapter(shapes.ResponseStreamEvent)


def client(**options: Any) -> Any:
    return openai.OpenAI(api_key=options.pop("api_key", "sk-test"), max_retries=0, **options)


# -- laws


@given(answers, options, st.booleans())
def test_every_answer_is_an_exchange(answer: Answer, of: Any, stream: bool) -> None:
    happened = events_of(answer, stream=stream, **of)
    assert grammar_error(happened) is None
    head, *rest = happened
    assert isinstance(head, Head)
    assert (head.framing is Framing.CHUNKED) == stream
    if not stream:
        (data,) = rest
        assert isinstance(data, Data)
        assert head.length == len(data.body)


@given(answers, options)
def test_a_stream_builds_the_whole_response_and_ends_with_it(answer: Answer, of: Any) -> None:
    built: list[Any] = []
    for event in told(answer, **of):
        match event:
            case {"type": "response.output_item.added", "output_index": place, "item": item}:
                assert place == len(built)
                built.append(item)
            case {"type": "response.content_part.added", "output_index": at, "part": part}:
                assert event["content_index"] == len(built[at]["content"])
                built[at]["content"].append(part)
            case {"type": "response.reasoning_summary_part.added", "output_index": at}:
                built[at]["summary"].append(event["part"])
            case {"type": "response.output_text.delta", "output_index": at, "delta": piece}:
                part = built[at]["content"][event["content_index"]]
                part["text"] += piece
                part["logprobs"] += event["logprobs"]
            case {"type": "response.refusal.delta", "output_index": at, "delta": piece}:
                built[at]["content"][event["content_index"]]["refusal"] += piece
            case {"type": "response.reasoning_summary_text.delta", "output_index": at}:
                built[at]["summary"][event["summary_index"]]["text"] += event["delta"]
            case {"type": "response.function_call_arguments.delta", "output_index": at}:
                built[at]["arguments"] += event["delta"]
            case {"type": "response.custom_tool_call_input.delta", "output_index": at}:
                built[at]["input"] += event["delta"]
            case {"type": "response.output_item.done", "output_index": at, "item": item}:
                if "status" in built[at]:
                    assert built[at].pop("status") == "in_progress"
                    built[at]["status"] = item["status"]
                assert built[at] == item
    last = told(answer, **of)[-1]
    assert last["response"] == whole(answer, **of)
    assert last["response"]["output"] == built
    assert last["type"] == f"response.{last['response']['status']}"


@given(answers, options)
def test_what_is_said_piece_by_piece_is_told_again(answer: Answer, of: Any) -> None:
    said: dict[Any, str] = {}
    for event in told(answer, **of):
        kind, _, stage = event["type"].rpartition(".")
        where = (kind, event.get("output_index"), event.get("content_index"))
        if stage == "delta":
            said[where] = said.get(where, "") + event["delta"]
        again = [event[name] for name in ("text", "arguments", "input", "refusal") if name in event]
        if stage == "done" and again:
            assert again == [said.get(where, "")]


@given(answers, options)
def test_events_are_numbered_from_nought_without_a_gap(answer: Answer, of: Any) -> None:
    numbers = [event["sequence_number"] for event in told(answer, **of)]
    assert numbers == list(range(len(numbers)))


@given(answers, options)
def test_a_stream_has_one_token_event_for_each_token_and_one_end(answer: Answer, of: Any) -> None:
    parts = [e.part for e in events_of(answer, stream=True, **of) if isinstance(e, Data)]
    pieces = [e for e in told(answer, **of) if e["type"].endswith(".delta")]
    assert parts.count("token") == len(pieces)
    assert parts[:2] == ["open", "open"]
    assert parts[-1] == "terminal"
    assert set(parts[:-1]) <= {"open", "token"}


@pytest.mark.skipif(
    openai.__version__.startswith("2."),
    reason="its types want a name where arguments end, which was never sent and is no longer wanted",
)
@given(answers, options)
def test_the_sdk_s_own_types_find_nothing_wrong(answer: Answer, of: Any) -> None:
    if of["logprobs"] == 0:
        of["logprobs"] = None  # then no alternatives are listed, which the types insist on
    for event in told(answer, **of):
        event_type().validate_python(event)
    got = shapes.Response.model_validate(whole(answer, **of))
    assert got.output_text == "".join(answer.words)


@given(answers, options, st.booleans())
def test_what_is_answered_is_heard(answer: Answer, of: Any, stream: bool) -> None:
    heard = [hear(e) for e in (told(answer, **of) if stream else [whole(answer, **of)])]
    said = "".join(each.text for each in heard)
    shown = answer.thinking if of["thinking"] == "shown" else ()
    called = ("".join(call.arguments) for call in answer.calls)
    assert said == "".join([*shown, *answer.words, answer.refusal, *called])
    assert heard[-1].model == answer.model
    assert (heard[-1].tokens_in, heard[-1].tokens_out) == (9, 4)
    assert heard[-1].finish


@given(objects(schemas), st.integers(0, 99), st.booleans())
def test_what_a_tool_is_given_meets_its_schema(schema: Any, seed: int, stream: bool) -> None:
    tools = [{"type": "function", "name": name, "parameters": schema} for name in ("one", "two")]
    prompt = ask({**ASK, "tools": tools, "stream": stream})
    (*_, last) = events_of(say(prompt, Author(seed), 0, None), prompt)
    assert isinstance(last, Data)
    found = json.loads(last.body.decode().split("data: ")[-1])
    items = found.get("response", found)["output"]
    assert [item["name"] for item in items] == ["one", "two"]
    for item in items:
        Draft202012Validator(schema).validate(json.loads(item["arguments"]))


# -- the SDK reads what is said


def test_the_sdk_reads_a_response(llmroute: Any) -> None:
    got = client().responses.create(**ASK)
    (attempt,) = llmroute.history.attempts
    assert (attempt.operation, attempt.outcome) == ("responses", "200")
    assert all(mark in got.output_text for mark in attempt.marks)
    assert attempt.marks
    assert (got.status, got.incomplete_details, got.error) == ("completed", None, None)
    assert (got.object, got.model, got.service_tier) == ("response", "gpt-4o", "default")
    assert (got.usage.input_tokens, got.usage.output_tokens) == (
        attempt.tokens_in,
        attempt.tokens_out,
    )
    assert got.usage.total_tokens == attempt.tokens_in + attempt.tokens_out
    assert got.usage.input_tokens_details.cached_tokens == 0
    assert got._request_id
    assert attempt.spent > 0


def test_the_sdk_reads_a_stream_in_the_documented_order(llmroute: Any) -> None:
    events = list(client().responses.create(**ASK, stream=True))
    kinds = [event.type.removeprefix("response.") for event in events]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        "created", "in_progress", "output_item.added", "content_part.added",
        *["output_text.delta"] * deltas,
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    first, last = events[0].response, events[-1].response
    assert (first.status, first.usage, first.output) == ("in_progress", None, [])
    assert (first.id, last.status) == (last.id, "completed")
    (attempt,) = llmroute.history.attempts
    assert attempt.complete
    assert last.usage.output_tokens == attempt.tokens_out == deltas


def test_a_client_on_asyncio_reads_both(llmroute: Any) -> None:
    async def asked() -> tuple[str, str]:
        async with openai.AsyncOpenAI(api_key="sk-test", max_retries=0) as sdk:
            got = await sdk.responses.create(**ASK)
            stream = await sdk.responses.create(**ASK, stream=True)
            pieces = [e.delta async for e in stream if e.type == "response.output_text.delta"]
            return got.output_text, "".join(pieces)

    said = asyncio.run(asked())
    for text, attempt in zip(said, llmroute.history.attempts, strict=True):
        assert attempt.marks
        assert all(mark in text for mark in attempt.marks)


def test_the_sdk_builds_the_same_response_from_a_stream(llmroute: Any) -> None:
    asked = {**ASK, "tools": [WEATHER, SHELL], "reasoning": {"effort": "low", "summary": "auto"}}
    with client().responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        built = stream.get_final_response()
    thought, call, free = built.output
    assert (thought.type, call.type, free.type) == (
        "reasoning",
        "function_call",
        "custom_tool_call",
    )
    assert "response.reasoning_summary_text.done" in kinds
    assert "response.function_call_arguments.done" in kinds
    assert "response.custom_tool_call_input.done" in kinds
    assert call.parsed_arguments == json.loads(call.arguments)
    (attempt,) = llmroute.history.attempts
    assert any(mark in call.arguments for mark in attempt.marks)
    assert any(mark in free.input for mark in attempt.marks)
    assert attempt.features == ("thinking", "tools")


def test_the_sdk_parses_an_answer_of_a_schema(llmroute: Any) -> None:
    class Report(BaseModel):
        city: str
        degrees: list[int]

    got = client().responses.parse(**ASK, text_format=Report)
    assert isinstance(got.output_parsed, Report)
    assert got.output_parsed.city in llmroute.history.attempts[-1].marks
    assert (got.text.format.type, got.text.format.name) == ("json_schema", "Report")
    said = client().responses.create(
        model="gpt-4o", input="In JSON", text={"format": {"type": "json_object"}}
    )
    assert list(json.loads(said.output_text)) == ["answer"]


def test_an_answer_repeats_what_it_was_asked(llmroute: Any) -> None:
    asked: dict[str, Any] = {
        "instructions": "Be terse",
        "max_output_tokens": 400,
        "metadata": {"team": "a"},
        "parallel_tool_calls": False,
        "store": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "tool_choice": "none",
        "tools": [WEATHER],
        "truncation": "auto",
        "user": "u1",
    }
    got = client().responses.create(**ASK, **asked)
    shown = got.to_dict()
    tool = shown.pop("tools")
    assert {name: shown[name] for name in asked if name != "tools"} == {
        name: value for name, value in asked.items() if name != "tools"
    }
    assert tool == [{**WEATHER, "description": None}]
    begun, *_ = client().responses.create(**ASK, **asked, stream=True)
    assert begun.response.instructions == "Be terse"


def test_the_limit_on_tokens_shows_as_incomplete(llmroute: Any) -> None:
    asked = {"model": "gpt-4o", "input": "go", "max_output_tokens": 16}
    for _ in range(40):
        got = client().responses.create(**asked)
        if got.status == "incomplete":
            break
    assert got.incomplete_details.reason == "max_output_tokens"
    assert got.usage.output_tokens == 16
    assert got.output[0].status == "incomplete"
    assert got.completed_at is None
    for _ in range(40):
        *_, last = client().responses.create(**asked, stream=True)
        if last.type == "response.incomplete":
            break
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert all(attempt.complete for attempt in llmroute.history.attempts)


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tools", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("filter", "incomplete", "content_filter"),
    ],
)
def test_a_status_says_why_an_answer_ends(finish: Any, status: str, reason: str | None) -> None:
    ended = Answer("7f", 1, "m", ("So",), finish, Usage(9, 1))
    found = whole(ended)
    assert found["status"] == status
    assert found["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert told(ended)[-1]["type"] == f"response.{status}"


def test_a_refusal_has_its_own_place(llmroute: Any) -> None:
    llmroute.inject("refused-by-model", at="openai")
    got = client().responses.create(**ASK)
    (part,) = got.output[0].content
    assert (part.type, got.status, got.output_text) == ("refusal", "completed", "")
    assert part.refusal.startswith("No: ")
    events = list(client().responses.create(**ASK, stream=True))
    said = [event.delta for event in events if event.type == "response.refusal.delta"]
    (done,) = [event for event in events if event.type == "response.refusal.done"]
    assert len(said) > 1
    assert "".join(said) == done.refusal


def test_thoughts_come_before_the_answer_in_a_summary_if_one_is_wanted(llmroute: Any) -> None:
    shown = client().responses.create(**ASK, reasoning={"effort": "low", "summary": "auto"})
    thought, message = shown.output
    assert thought.summary[0].text
    assert shown.usage.output_tokens_details.reasoning_tokens == len(
        thought.summary[0].text.split()
    )
    assert message.content[0].text == shown.output_text
    hidden = client().responses.create(**ASK, reasoning={"effort": "high"})
    assert (hidden.output[0].type, hidden.output[0].summary) == ("reasoning", [])
    assert hidden.usage.output_tokens_details.reasoning_tokens > 0
    for none in ({"effort": "none"}, {}):
        assert len(client().responses.create(**ASK, reasoning=none).output) == 1


def test_sealed_thoughts_are_taken_back_and_others_are_not(llmroute: Any) -> None:
    asked = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}
    first = client().responses.create(**ASK, **asked, store=False)
    kept = [item.to_dict() for item in first.output]
    assert kept[0]["encrypted_content"]
    again = [USER, *kept, USER]
    assert client().responses.create(model="gpt-4o", input=again).status == "completed"
    kept[0]["encrypted_content"] = "gAAAAABother=="
    with pytest.raises(openai.BadRequestError, match=r"gAAA\.\.\.er== could not be verified"):
        client().responses.create(model="gpt-4o", input=again)


def test_likelihoods_are_told_where_they_are_wanted(llmroute: Any) -> None:
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    got = client().responses.create(**ASK, **asked)
    listed = got.output[0].content[0].logprobs
    assert "".join(one.token for one in listed) == got.output_text
    assert {len(one.top_logprobs) for one in listed} == {2}
    assert client().responses.create(**ASK, top_logprobs=2).output[0].content[0].logprobs == []


def test_tools_are_answered_and_the_model_goes_on(llmroute: Any) -> None:
    asked: Any = {"model": "gpt-4o", "tools": [WEATHER]}
    first = client().responses.create(**asked, input=[USER])
    (call,) = first.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = client().responses.create(**asked, input=[USER, call.to_dict(), result])
    assert second.output_text
    third = client().responses.create(**asked, input=[result], previous_response_id=first.id)
    assert third.output_text


def test_tokens_are_counted_without_an_answer(llmroute: Any) -> None:
    got = client().responses.input_tokens.count(**ASK, tools=[WEATHER])
    said = client().responses.create(**ASK, tools=[WEATHER])
    assert got.input_tokens == said.usage.input_tokens
    counting, _ = llmroute.history.attempts
    assert (counting.operation, counting.spent) == ("count_tokens", 0)


# -- what an answer goes on from


def test_a_conversation_goes_on_from_an_answer_that_is_kept(llmroute: Any) -> None:
    first = client().responses.create(**ASK)
    second = client().responses.create(**ASK, previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens == first.usage.total_tokens + first.usage.input_tokens
    stream = list(client().responses.create(**ASK, previous_response_id=second.id, stream=True))
    used = stream[-1].response.usage.input_tokens
    assert used == second.usage.total_tokens + first.usage.input_tokens
    assert client().responses.create(model="gpt-4o", previous_response_id=first.id).output_text


@pytest.mark.parametrize("how", ["unknown", "not stored", "another key", "another host", "nothing kept"])  # fmt: skip
def test_an_answer_that_is_not_kept_is_not_found(llmroute: Any, how: str) -> None:
    llmroute.serve("https://second.example", provider="openai", models=["gpt-4o"])
    sdk = other = client()
    model = "gpt-4o"
    if how == "another key":
        other = client(api_key="sk-other")
    if how == "another host":
        other = client(base_url="https://second.example/v1")
    if how == "nothing kept":
        model, sdk = "deepseek-chat", client(base_url="https://api.deepseek.com")
        other = sdk
    asked = {"model": model, "input": "hi"}
    first = sdk.responses.create(**asked, store=how != "not stored")
    name = "resp_nobody" if how == "unknown" else first.id
    with pytest.raises(openai.BadRequestError) as caught:
        other.responses.create(**asked, previous_response_id=name)
    assert f"Previous response with id '{name}' not found." in str(caught.value)
    if how != "nothing kept":
        assert caught.value.param == "previous_response_id"
        assert caught.value.code == "previous_response_not_found"
    assert llmroute.history.attempts[-1].spent == 0


def test_what_does_not_fit_is_left_out_where_that_is_allowed(llmroute: Any) -> None:
    asked = {"model": "gpt-4", "input": "word " * 9_000, "max_output_tokens": 100}
    with pytest.raises(openai.BadRequestError) as caught:
        client().responses.create(**asked)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    got = client().responses.create(**asked, truncation="auto")
    assert got.usage.input_tokens == 8192 - 100


# -- what is refused


@pytest.mark.parametrize(
    ("fault", "status", "raised"),
    [
        (faults.ContextLengthExceeded(), 400, "BadRequestError"),
        (faults.ModelGone(), 400, "BadRequestError"),
        (faults.Unauthorized(), 401, "AuthenticationError"),
        (faults.Forbidden(), 403, "PermissionDeniedError"),
        (faults.RateLimit(2), 429, "RateLimitError"),
        (faults.QuotaSpent(), 429, "RateLimitError"),
        (faults.Outage(500), 500, "InternalServerError"),
        (faults.Outage(), 503, "InternalServerError"),
        (faults.ErrorPage(), 502, "InternalServerError"),
    ],
    ids=repr,
)
def test_refusals_are_those_of_openai(
    llmroute: Any, fault: faults.Fault, status: int, raised: str
) -> None:
    llmroute.inject(fault, at="openai")
    for streamed in ({}, {"stream": True}):
        with pytest.raises(openai.APIStatusError) as caught:
            client().responses.create(**ASK, **streamed)
        assert type(caught.value).__name__ == raised
        assert caught.value.status_code == status
    assert {attempt.spent for attempt in llmroute.history.attempts} == {0}


def test_a_model_that_is_not_sold_does_not_exist_here() -> None:
    _, data = DIALECT.refuse(Refusal("model_not_found", facts={"model": "gpt-0"}), "req_1", ())
    assert isinstance(data, Data)
    assert "The requested model 'gpt-0' does not exist." in data.body.decode()


def test_headers_tell_the_room_left() -> None:
    room = Room(0.0, Bucket(60, 47.9, 0.0), Bucket(30_000, 12.0, 0.0))
    assert DIALECT.headers("req_1", room) == find("openai").headers("req_1", room)
