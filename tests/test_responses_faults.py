from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmroute_sim import faults
from llmroute_sim.dialects import find
from llmroute_sim.faults import Fault
from llmroute_sim.incidents import Incident
from llmroute_sim.prompt import Refusal
from llmroute_sim.wire import Data, Event, Wait
from meeting import body, head, met, outcome, parts, request, status, taken, world

openai = pytest.importorskip("openai")

PROVIDER = "openai-responses"
ASK: dict[str, Any] = {"model": "gpt-4o", "input": "Say hello"}
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


def plain(**asked: Any) -> list[Event]:
    """The same answer, undisturbed."""
    return taken(world().open(request(PROVIDER, **asked)))


def bent(fault: Fault, **asked: Any) -> tuple[list[Event], Any]:
    return met(fault, provider=PROVIDER, **asked)


def told(events: list[Event]) -> Iterator[Any]:
    """The JSON of every event that is one."""
    for event in body(events).decode().split("\n\n"):
        name, _, data = event.partition("\ndata: ")
        if data.endswith("}"):
            found = json.loads(data)
            assert name == f"event: {found['type']}"
            yield found


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] for event in told(events)]


def segments(events: list[Event], part: str) -> list[bytes]:
    return [event.body for event in events if isinstance(event, Data) and event.part == part]


def numbers(events: list[Event]) -> list[int]:
    return [event["sequence_number"] for event in told(events)]


# -- what the SDK's caller gets


STREAMS: list[tuple[Fault, str | None, str | None, int | None]] = [
    # the fault; what is raised; else the last event; the words that came (None: all of them)
    (faults.Refused(), "APIConnectionError", None, 0),
    (faults.Reset(-1), "APIConnectionError", None, 0),
    (faults.Silence(), "APITimeoutError", None, 0),
    (faults.LatencySpike(5), None, "response.completed", None),
    (faults.SlowFirstToken(5), None, "response.completed", None),
    (faults.SlowFirstToken(50), "APITimeoutError", None, 0),
    (faults.Filler(50, 5), None, "response.completed", None),
    (faults.Drip(5), None, "response.completed", None),
    (faults.Stall(2), "APITimeoutError", None, 2),
    (faults.Cut(2), "APIConnectionError", None, 2),
    (faults.Reset(2), "APIConnectionError", None, 2),
    (faults.MissingTerminal(2), None, "response.output_text.delta", 2),
    (faults.ErrorInStream(2), "APIError", None, 2),
    (faults.ErrorInStream(0, "context_length"), "APIError", None, 0),
    (faults.MalformedEvent(2), "JSONDecodeError", None, 2),
    (faults.MalformedChunk(2), "APIConnectionError", None, 2),
    (faults.WrongLength(9), "APIConnectionError", None, None),
    (faults.MissingUsage(), None, "response.completed", None),
    (faults.MissingFinish(), None, "response.completed", None),
    (faults.SurprisingFinish("length"), None, "response.incomplete", None),
    (faults.SurprisingFinish("eos"), None, "response.incomplete", None),
    (faults.CutShort(2), None, "response.incomplete", 2),
    (faults.EmptyAnswer(), None, "response.completed", 0),
    (faults.SplitOddly(3), None, "response.completed", None),
    (faults.WrongContentType("label"), None, "response.completed", None),
]


LET_THROUGH = {
    "ReadTimeout": "APITimeoutError",
    "ReadError": "APIConnectionError",
    "RemoteProtocolError": "APIConnectionError",
}


async def listened_async(asked: Any, heard: list[Any]) -> None:
    async for event in await asked:
        heard.append(event)


def outcome_of(how: str, heard: list[Any]) -> BaseException | None:
    options = {"api_key": "sk-test", "max_retries": 0, "timeout": 20}
    try:
        if how == "sync":
            for event in openai.OpenAI(**options).responses.create(**ASK, stream=True):
                heard.append(event)
        else:
            sdk = openai.AsyncOpenAI(**options)
            asyncio.run(listened_async(sdk.responses.create(**ASK, stream=True), heard))
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(("fault", "raised", "last", "words"), STREAMS, ids=repr)
def test_the_sdk_s_caller_gets(
    llmroute: Any, how: str, fault: Fault, raised: str | None, last: str | None, words: int | None
) -> None:
    llmroute.inject(fault, at="openai")
    heard: list[Any] = []
    error = outcome_of(how, heard)
    name = None if error is None else type(error).__name__
    if heard and openai.__version__.startswith("2."):
        # Before its third version the SDK let through what its HTTP library raised.
        name = LET_THROUGH.get(name or "", name)
    assert name == raised
    said = [event.delta for event in heard if event.type == "response.output_text.delta"]
    if words is not None:
        assert len(said) == words
    else:
        assert all(mark in "".join(said) for mark in llmroute.history.attempts[-1].marks)
    if last is not None:
        assert heard[-1].type == last


def test_the_sdk_says_what_the_error_in_a_stream_was(llmroute: Any) -> None:
    llmroute.inject(faults.ErrorInStream(2, "insufficient_quota"), at="openai")
    error = outcome_of("sync", [])
    assert isinstance(error, openai.APIError)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert "exceeded your current quota" in str(error)
    assert llmroute.path == ["openai:200-error"]


def test_the_sdk_s_helper_misses_the_end_of_a_stream_that_has_none(llmroute: Any) -> None:
    llmroute.inject(faults.MissingTerminal(2), at="openai")
    sdk = openai.OpenAI(api_key="sk-test", max_retries=0)
    with sdk.responses.stream(**ASK) as stream:
        assert stream.get_final_response is not None
        with pytest.raises(RuntimeError, match=r"`response\.completed`"):
            stream.get_final_response()


def test_a_response_that_failed_with_status_200_raises_nothing(llmroute: Any) -> None:
    llmroute.inject("error-in-body", at="openai")
    got = openai.OpenAI(api_key="sk-test", max_retries=0).responses.create(**ASK)
    assert (got.status, got.output, got.usage) == ("failed", [], None)
    assert got.error.code == "server_error"
    assert got.error.message
    assert llmroute.path == ["openai:200-error"]


# -- errors


def test_an_error_in_a_stream_is_told_and_then_the_response_has_failed() -> None:
    events, simulator = bent(faults.ErrorInStream(2, "rate_limit_requests"), stream=True)
    calm = list(told(plain(stream=True)))
    *before, error, failed = told(events)
    assert before == calm[:6]
    assert error["type"] == "error"
    assert error["error"]["code"] == "rate_limit_exceeded"
    assert numbers(events) == list(range(8))
    begun, response = calm[0]["response"], failed["response"]
    assert failed["type"] == "response.failed"
    assert (response["status"], response["output"], response["usage"]) == ("failed", [], None)
    assert response["error"] == {
        "code": "rate_limit_exceeded",
        "message": error["error"]["message"],
    }
    same = ("id", "created_at", "model", "metadata", "tools")
    assert {name: response[name] for name in same} == {name: begun[name] for name in same}
    (attempt,) = simulator.history.attempts
    assert (attempt.outcome, attempt.error) == ("200-error", "rate_limit_requests")
    assert not attempt.complete


@pytest.mark.parametrize("errors", ["openai-responses", "groq", "mistral", "deepseek", "together"])
def test_every_table_of_errors_has_one_for_a_stream(errors: str) -> None:
    dialect = find("openai-responses", errors)
    (first, *_) = (event for event in plain(stream=True) if isinstance(event, Data))
    for kind in ("server_error", "overloaded", "context_length", "page_502"):
        said = dialect.refuse_midway(Refusal(kind), "req_1", first, first)
        error, failed = told([said])
        assert error["error"]["message"]
        assert failed["response"]["error"]["message"] == error["error"]["message"]
        assert failed["response"]["error"]["code"]


def test_an_error_where_no_response_had_begun_stands_alone() -> None:
    said = find("openai-responses").refuse_midway(Refusal("overloaded"), "req_1")
    (error,) = told([said])
    assert (error["type"], error["sequence_number"]) == ("error", 0)


def test_a_response_is_an_error_and_its_length_is_told() -> None:
    events, simulator = bent(faults.ErrorInBody("rate_limit_requests"))
    meant = json.loads(body(plain()))
    said = json.loads(body(events))
    assert said["status"] == "failed"
    assert said["error"]["code"] == "rate_limit_exceeded"
    assert (said["id"], said["object"]) == (meant["id"], "response")
    assert head(events).length == len(body(events))
    assert outcome(simulator) == "200-error"


# -- what is said while there is nothing to say


def test_the_filler_is_numbered_like_everything_else() -> None:
    events, simulator = bent(faults.Filler(12, 5), stream=True)
    said = [json.loads(each.split(b"data: ")[1]) for each in segments(events, "filler")]
    assert said == [
        {"type": "keepalive", "sequence_number": 4},
        {"type": "keepalive", "sequence_number": 5},
    ]
    assert numbers(events) == list(range(len(numbers(events))))
    unnumbered = [{**e, "sequence_number": 0} for e in told(events) if e["type"] != "keepalive"]
    assert unnumbered == [{**e, "sequence_number": 0} for e in told(plain(stream=True))]
    assert outcome(simulator) == "200"


def test_an_error_after_filler_has_the_number_that_is_next() -> None:
    simulator = world(Incident(faults.Filler(12, 5)), Incident(faults.ErrorInStream(3)))
    events = taken(simulator.open(request(PROVIDER, stream=True)))
    assert numbers(events) == list(range(len(numbers(events))))
    assert kinds(events)[-2:] == ["error", "response.failed"]


# -- order


def test_a_piece_that_comes_twice_has_its_number_twice() -> None:
    events, simulator = bent(faults.DuplicatedChunk(2), stream=True)
    found = numbers(events)
    assert found == sorted(found)
    assert len(found) == len(set(found)) + 1
    done = next(e for e in told(events) if e["type"] == "response.output_text.done")
    pieces = [e["delta"] for e in told(events) if e["type"] == "response.output_text.delta"]
    assert "".join(pieces) != done["text"]
    assert outcome(simulator) == "200-degraded"


def test_pieces_that_changed_places_show_it_by_their_numbers() -> None:
    events, _ = bent(faults.ReorderedChunks(2), stream=True)
    found = numbers(events)
    assert found[6:8] == [7, 6]
    assert sorted(found) == numbers(plain(stream=True))


# -- what an answer says of itself


@BOTH
def test_an_answer_does_not_say_what_it_used_and_it_is_charged(stream: bool) -> None:
    events, simulator = bent(faults.MissingUsage(), stream=stream)
    last = list(told(events))[-1]["response"] if stream else json.loads(body(events))
    assert "usage" not in last
    assert last["status"] == "completed"
    assert parts(events) == parts(plain(stream=stream))
    (attempt,) = simulator.history.attempts
    assert attempt.spent > 0
    assert attempt.outcome == "200-degraded"


@BOTH
@pytest.mark.parametrize(
    ("fault", "state", "details"),
    [
        (faults.MissingFinish(), None, None),
        (faults.SurprisingFinish("length"), "incomplete", {"reason": "max_output_tokens"}),
        (faults.SurprisingFinish("filter"), "incomplete", {"reason": "content_filter"}),
        (faults.SurprisingFinish("eos"), "incomplete", {"reason": "eos"}),
    ],
    ids=repr,
)
def test_a_status_is_another(fault: Fault, state: str | None, details: Any, stream: bool) -> None:
    events, simulator = bent(fault, stream=stream)
    calm = plain(stream=stream)
    said = list(told(events))[-1] if stream else json.loads(body(events))
    meant = list(told(calm))[-1] if stream else json.loads(body(calm))
    if stream:
        assert list(told(events))[:-1] == list(told(calm))[:-1]
        assert said["type"] == f"response.{state or 'completed'}"
        said, meant = said["response"], meant["response"]
    else:
        assert head(events).length == len(body(events))
    assert said == {**meant, "status": state, "incomplete_details": details}
    assert outcome(simulator) == "200-degraded"


@pytest.mark.parametrize("reason", ["stop", "tools", "refusal"])
def test_a_status_that_is_what_it_was_is_no_surprise(reason: str) -> None:
    events, simulator = bent(faults.SurprisingFinish(reason), stream=True)
    assert events == plain(stream=True)
    assert simulator.history.attempts[0].faults == ()


# -- the end


def test_a_stream_without_its_end_is_unfinished_also_when_all_was_said() -> None:
    calm = plain(stream=True)
    events, simulator = bent(faults.MissingTerminal(len(segments(calm, "token"))), stream=True)
    assert kinds(events) == kinds(calm)[:-1]
    (attempt,) = simulator.history.attempts
    assert (attempt.outcome, attempt.complete) == ("200-unfinished", False)


def test_one_event_is_malformed_and_the_rest_comes() -> None:
    events, simulator = bent(faults.MalformedEvent(2), stream=True)
    meant = segments(plain(stream=True), "token")
    assert segments(events, "token") == [*meant[:2], *meant[3:]]
    (broken,) = segments(events, "piece")
    assert broken.startswith(b"event: response.output_text.delta\ndata: {")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(broken.split(b"data: ")[1])
    assert segments(events, "terminal")
    assert outcome(simulator) == "200-damaged"


@BOTH
def test_json_comes_for_a_stream_and_a_stream_for_json(stream: bool) -> None:
    events, simulator = bent(faults.WrongContentType("swapped"), stream=stream)
    found = json.loads(body(events)) if stream else list(told(events))[-1]["response"]
    assert found["status"] == "completed"
    assert simulator.history.attempts[0].stream is stream


def test_silence_is_for_ever() -> None:
    events, simulator = bent(faults.Stall(2), stream=True)
    assert events[-1] == Wait(float("inf"))
    assert outcome(simulator) == "200-stall"


# -- tools


def test_arguments_end_in_the_middle_and_the_response_is_said_to_be_complete() -> None:
    for stream in (False, True):
        events, _ = bent(faults.TruncatedArguments(), stream=stream, tools=[WEATHER])
        found = list(told(events))[-1]["response"] if stream else json.loads(body(events))
        (call,) = found["output"]
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(call["arguments"])
        assert (found["status"], call["status"]) == ("completed", "completed")


def test_who_is_turned_away_hears_it_as_a_status() -> None:
    events, simulator = bent(faults.RateLimit(2), stream=True)
    assert status(events) == 429
    assert json.loads(body(events))["error"]["code"] == "rate_limit_exceeded"
    assert outcome(simulator) == "429"
