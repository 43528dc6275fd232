from __future__ import annotations

import json

import pytest

from llmroute_sim import faults
from llmroute_sim.incidents import Incident
from llmroute_sim.prompt import Usage
from llmroute_sim.wire import Address, Request
from meeting import body, met, outcome, parts, request, status, taken, tokens, world

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}
OPENAI_TOOL = {"type": "function", "function": {"name": "plan", "parameters": SCHEMA}}
ANTHROPIC_TOOL = {"name": "plan", "input_schema": SCHEMA}


def tool(provider):
    return {"tools": [OPENAI_TOOL if provider == "openai" else ANTHROPIC_TOOL]}


def events_of(events):
    """The JSON of a stream's events."""
    lines = body(events).decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def pieces(events):
    """The pieces of text of a stream, OpenAI's or Anthropic's."""
    found = []
    for event in events_of(events):
        if "choices" in event:
            found += [choice["delta"].get("content") for choice in event["choices"]]
        else:
            found.append(event.get("delta", {}).get("text"))
    return [piece for piece in found if piece]


def arguments(events):
    """The arguments of the tool that a stream calls."""
    said = ""
    for event in events_of(events):
        for choice in event.get("choices", ()):
            for call in choice["delta"].get("tool_calls", ()):
                said += call["function"]["arguments"]
        said += event.get("delta", {}).get("partial_json", "")
    return said


def text(events):
    """The text of a whole answer."""
    said = json.loads(body(events))
    if "choices" in said:
        return said["choices"][0]["message"]["content"]
    return "".join(block.get("text", "") for block in said["content"])


def finish(events, stream):
    """The finish reason of an answer."""
    found = events_of(events) if stream else [json.loads(body(events))]
    reasons = []
    for event in found:
        reasons += [choice["finish_reason"] for choice in event.get("choices", ())]
        reasons += [event.get("stop_reason"), event.get("delta", {}).get("stop_reason")]
    return [reason for reason in reasons if reason]


def fits(value):
    return (
        isinstance(value, dict)
        and value.keys() == {"city", "days"}
        and isinstance(value["city"], str)
        and isinstance(value["days"], int)
    )


# -- empty


@BOTH
@PROVIDERS
@pytest.mark.parametrize(
    ("why", "reasons"), [("stop", ("stop", "end_turn")), ("length", ("length", "max_tokens"))]
)
def test_an_empty_answer_is_complete_and_says_nothing(provider, stream, why, reasons):
    events, simulator = met(faults.EmptyAnswer(why), provider=provider, stream=stream)
    (attempt,) = simulator.history.attempts
    assert status(events) == 200
    assert finish(events, stream)[0] in reasons
    assert (pieces(events) if stream else text(events) or []) == []
    assert attempt.outcome == "200-degraded"
    assert attempt.complete
    assert attempt.marks == ()
    assert (attempt.tokens_out > 0) == (why == "length")


def test_an_embedding_is_never_empty():
    asked = json.dumps({"model": "text-embedding-3-small", "input": "hello"}).encode()
    headers = (("authorization", "Bearer k"),)
    simulator = world(Incident(faults.EmptyAnswer()))
    address = Address("api.openai.com")
    events = taken(simulator.open(Request("POST", "/v1/embeddings", headers, asked, address)))
    assert json.loads(body(events))["data"]
    assert simulator.history.attempts[0].faults == ()
    assert outcome(simulator) == "200"


# -- a refusal


@BOTH
def test_openais_refusal_has_a_place_of_its_own(stream):
    events, simulator = met(faults.RefusedByModel(), stream=stream)
    if stream:
        said = [c["delta"].get("refusal") for e in events_of(events) for c in e["choices"]]
        told = "".join(filter(None, said))
    else:
        message = json.loads(body(events))["choices"][0]["message"]
        assert message["content"] is None
        told = message["refusal"]
    (attempt,) = simulator.history.attempts
    assert told.startswith("No: ")
    assert attempt.marks
    assert all(mark in told for mark in attempt.marks)
    assert finish(events, stream) == ["stop"]


@BOTH
def test_anthropics_refusal_is_a_stop_reason(stream):
    events, simulator = met(faults.RefusedByModel(), stream=stream, provider="anthropic")
    assert finish(events, stream) == ["refusal"]
    assert outcome(simulator) == "200-degraded"


# -- schemas


@BOTH
def test_json_that_was_asked_for_breaks_its_schema(stream):
    asked = {"stream": stream, "response_format": FORMAT}
    calm = taken(world().open(request(**asked)))
    events, simulator = met(faults.SchemaViolated(), **asked)
    before, after = (
        json.loads("".join(pieces(found)) if stream else text(found)) for found in (calm, events)
    )
    assert fits(before)
    assert not fits(after)
    assert outcome(simulator) == "200-degraded"
    assert simulator.history.attempts[0].marks[0] in json.dumps(after)


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (faults.SchemaViolated("not-json"), FORMAT),
        (faults.SchemaViolated("not-json"), {"type": "json_object"}),
        (faults.SchemaViolated(), {"type": "json_object"}),  # any JSON would be right
    ],
)
def test_json_mode_gives_no_json(fault, wanted):
    asked = [{"role": "user", "content": "hello, in JSON"}]
    events, _ = met(fault, response_format=wanted, messages=asked)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(text(events))


@BOTH
@PROVIDERS
def test_a_tool_is_called_with_what_it_does_not_take(provider, stream):
    events, simulator = met(
        faults.SchemaViolated(), provider=provider, stream=stream, **tool(provider)
    )
    if stream:
        given = json.loads(arguments(events))
    elif provider == "openai":
        (call,) = json.loads(body(events))["choices"][0]["message"]["tool_calls"]
        given = json.loads(call["function"]["arguments"])
    else:
        (block,) = json.loads(body(events))["content"]
        given = block["input"]
    assert isinstance(given, dict)
    assert not fits(given)
    assert simulator.history.attempts[0].marks[0] in json.dumps(given)


@BOTH
def test_prose_has_no_schema_to_break(stream):
    _, simulator = met(faults.SchemaViolated(), stream=stream)
    assert simulator.history.attempts[0].faults == ()
    assert outcome(simulator) == "200"


# -- length


@BOTH
@PROVIDERS
def test_an_answer_cut_short_says_so(provider, stream):
    events, simulator = met(faults.CutShort(4), provider=provider, stream=stream)
    calm = taken(world().open(request(provider, stream=stream)))
    (attempt,) = simulator.history.attempts
    said = pieces(events) if stream else text(events).split()
    meant = pieces(calm) if stream else text(calm).split()
    assert said == meant[:4]
    assert finish(events, stream)[0] in ("length", "max_tokens")
    assert attempt.tokens_out == 4
    assert all(mark in body(events).decode() for mark in attempt.marks)


def test_a_short_answer_is_not_cut_shorter():
    _, simulator = met(faults.CutShort(30))
    assert simulator.history.attempts[0].faults == ()


def test_who_bills_as_stated_bills_a_short_answer_the_same():
    simulator = world(Incident(faults.CutShort(2)))
    simulator.stated_usage = Usage(10, 500)
    taken(simulator.open(request()))
    (attempt,) = simulator.history.attempts
    assert (attempt.tokens_in, attempt.tokens_out) == (10, 500)


# -- another model


@BOTH
@PROVIDERS
def test_the_answer_names_another_model_and_the_history_the_one_asked_for(provider, stream):
    events, simulator = met(faults.OtherModel("gpt-2"), provider=provider, stream=stream)
    assert '"model":"gpt-2"' in body(events).decode()
    assert simulator.history.attempts[0].model == (
        "gpt-4o" if provider == "openai" else "claude-sonnet-4-6"
    )
    unnamed, _ = met(faults.OtherModel(), provider=provider, stream=stream)
    assert "-lite" in body(unnamed).decode()


# -- tools


def test_arguments_end_in_the_middle_while_the_finish_says_that_the_tool_is_called():
    for provider in ("openai", "anthropic"):
        events, simulator = met(
            faults.TruncatedArguments(), provider=provider, stream=True, **tool(provider)
        )
        given = arguments(events)
        assert given
        with pytest.raises(ValueError, match=r".+"):
            json.loads(given)
        assert finish(events, True)[0] in ("tool_calls", "tool_use")
        assert "terminal" in parts(events)
        assert outcome(simulator) == "200-degraded"


def test_whole_arguments_of_openai_can_be_cut_and_those_of_anthropic_have_no_middle():
    events, _ = met(faults.TruncatedArguments(), **tool("openai"))
    (call,) = json.loads(body(events))["choices"][0]["message"]["tool_calls"]
    with pytest.raises(ValueError, match=r".+"):
        json.loads(call["function"]["arguments"])
    events, simulator = met(faults.TruncatedArguments(), provider="anthropic", **tool("anthropic"))
    (block,) = json.loads(body(events))["content"]
    assert fits(block["input"])
    assert simulator.history.attempts[0].faults == ()


# -- repeated text


@PROVIDERS
def test_every_piece_of_a_cumulative_stream_holds_all_before_it(provider):
    events, simulator = met(faults.CumulativeChunks(), provider=provider, stream=True)
    calm = taken(world().open(request(provider, stream=True)))
    said, meant = pieces(events), pieces(calm)
    assert said == ["".join(meant[: number + 1]) for number in range(len(meant))]
    assert tokens(events) == tokens(calm)
    assert outcome(simulator) == "200-degraded"


def test_a_whole_answer_repeats_nothing():
    _, simulator = met(faults.CumulativeChunks())
    assert simulator.history.attempts[0].faults == ()


# -- several


def test_each_of_several_answers_is_spoilt():
    events, _ = met(faults.EmptyAnswer(), n=3)
    said = json.loads(body(events))["choices"]
    assert [choice["message"]["content"] or "" for choice in said] == ["", "", ""]


def test_what_answers_ill_is_turned_away_first():
    simulator = world(Incident(faults.EmptyAnswer()), Incident(faults.Outage(500)))
    assert status(taken(simulator.open(request()))) == 500
    assert simulator.history.attempts[0].faults == ("outage at *",)
