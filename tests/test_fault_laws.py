from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from every_fault import ALL, BENDING, CUTTING, REFUSING, SPEAKING, TIMING
from llmroute_sim import faults
from llmroute_sim.incidents import Incident
from llmroute_sim.wire import FOREVER, Data, Event, Framing, Head, Wait, grammar_error
from meeting import HOSTS, RESPONSES, body, request, status, taken, waits, world

pytestmark = pytest.mark.once

ANY = st.sampled_from(ALL)
PROVIDER = st.sampled_from([*HOSTS, RESPONSES])
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def asking(provider: str, what: str) -> dict[str, object]:
    """A request for words, for a call of a tool, or for JSON."""
    if what == "tool" and provider == RESPONSES:
        return {"tools": [{"type": "function", "name": "plan", "parameters": SCHEMA}]}
    if what == "json" and provider == RESPONSES:
        return {"text": {"format": {"type": "json_schema", "name": "plan", "schema": SCHEMA}}}
    if what == "tool" and provider == "anthropic":
        return {"tools": [{"name": "plan", "input_schema": SCHEMA}]}
    if what == "tool":
        return {"tools": [{"type": "function", "function": {"name": "plan", "parameters": SCHEMA}}]}
    if what == "json" and provider != "anthropic":
        wanted = {"name": "plan", "schema": SCHEMA}
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}
    return {}


ASKED = st.tuples(PROVIDER, st.booleans(), st.sampled_from(["words", "tool", "json"]))


def asked(of: tuple[str, bool, str]):
    provider, stream, what = of
    return request(provider, stream=stream, **asking(provider, what))


def endless(events: list[Event]) -> bool:
    return isinstance(events[-1], Wait) and events[-1].seconds == FOREVER


def test_the_laws_are_asked_of_every_fault_that_answers() -> None:
    known = {kind for kind in faults.FAULTS.values() if not issubclass(kind, faults.ConnectFault)}
    assert {type(fault) for fault in ALL} == known


@given(st.lists(ANY, max_size=5), ASKED)
def test_any_stack_of_faults_leaves_an_exchange(stack, of):
    events = taken(world(*map(Incident, stack)).open(asked(of)))
    if not endless(events):
        assert grammar_error(events) is None


@given(ANY, ASKED)
def test_a_fault_is_the_same_every_time(fault, of):
    once = taken(world(Incident(fault)).open(asked(of)))
    assert once == taken(world(Incident(fault)).open(asked(of)))


@given(ANY, ASKED)
def test_what_acted_is_named_in_the_history_and_what_did_not_is_not(fault, of):
    calm = taken(world().open(asked(of)))
    simulator = world(Incident(fault))
    bent = taken(simulator.open(asked(of)))
    assert bool(simulator.history.attempts[0].faults) == (bent != calm)


@given(ANY, ASKED)
def test_only_an_answer_that_nothing_is_wrong_with_is_whole(fault, of):
    simulator = world(Incident(fault))
    bent = taken(simulator.open(asked(of)))
    (attempt,) = simulator.history.attempts
    calm = taken(world().open(asked(of)))
    harmless = (*TIMING, faults.SplitOddly(3), faults.SplitOddly(50, crlf=False))
    if attempt.outcome == "200":
        assert attempt.complete
        assert bent == calm or fault in harmless
    else:
        assert attempt.faults


@given(st.sampled_from([*TIMING, *CUTTING]), ASKED)
def test_a_fault_that_delays_or_cuts_never_invents_content(fault, of):
    def said(events: list[Event]) -> bytes:
        carried = ("token", "body")
        all_of_it = b"".join(e.body for e in events if isinstance(e, Data) and e.part in carried)
        # What else is sent may move the numbers of events.
        return re.sub(rb'"sequence_number":\d+', b"", all_of_it)

    plain = taken(world().open(asked(of)))
    bent = taken(world(Incident(fault)).open(asked(of)))
    if isinstance(fault, faults.MalformedEvent):
        left = iter(e for e in plain if isinstance(e, Data))
        kept = [e for e in bent if isinstance(e, Data) and e.part != "piece"]
        assert all(event in left for event in kept)  # the same order, some left out
    elif any(isinstance(event, Head) for event in bent):
        assert said(plain).startswith(said(bent))


@given(st.sampled_from(BENDING), ASKED)
def test_a_length_that_is_told_is_true_unless_it_is_the_fault(fault, of):
    events = taken(world(Incident(fault)).open(asked(of)))
    head = next(event for event in events if isinstance(event, Head))
    if head.framing is Framing.LENGTH:
        assert head.length == len(body(events))


@given(st.sampled_from(SPEAKING), ASKED)
def test_what_the_model_says_ill_is_charged_and_can_be_told_whose_it_is(fault, of):
    simulator = world(Incident(fault))
    events = taken(simulator.open(asked(of)))
    (attempt,) = simulator.history.attempts
    assert attempt.complete
    assert attempt.spent > 0
    said = body(events).decode()
    if attempt.stream:  # a word may come in two pieces
        said = "".join(_texts(said))
    assert all(mark in said for mark in attempt.marks)


def _texts(stream: str) -> Iterator[str]:
    def strings(value: object) -> Iterator[str]:
        match value:
            case str():
                yield value
            case dict():
                for name in ("choices", "delta", "content", "refusal", "tool_calls", "function",
                             "arguments", "text", "partial_json", "stop_details", "explanation"):  # fmt: skip
                    yield from strings(value.get(name))
            case list():
                for inner in value:
                    yield from strings(inner)

    for line in stream.splitlines():
        if line.startswith("data: {"):
            yield from strings(json.loads(line[6:]))


@given(st.sampled_from(REFUSING), ASKED)
def test_who_is_turned_away_is_not_charged(fault, of):
    simulator = world(Incident(fault))
    events = taken(simulator.open(asked(of)))
    (attempt,) = simulator.history.attempts
    assert status(events) >= 400
    assert (attempt.spent, attempt.tokens_out, attempt.marks) == (0, 0, ())
    assert attempt.error


@given(st.floats(1, 50), st.floats(1, 50))
def test_latencies_add(one, two):
    simulator = world(Incident(faults.LatencySpike(one)), Incident(faults.LatencySpike(two)))
    assert waits(taken(simulator.open(request()))) == one + two


@pytest.mark.parametrize("fault", ALL, ids=repr)
def test_a_fault_takes_nothing_before_its_time(fault):
    """Nothing of an answer is asked for until a carrier asks."""
    if not isinstance(fault, faults.StreamFault):
        return
    pulled = []

    def events() -> Iterator[Event]:
        for number, event in enumerate((Head(200, ()), Data(b"{}"))):
            pulled.append(number)
            yield event

    scene = faults.Scene(None, None, None, None, lambda flaw=None: None)
    iter(fault.bend(events(), scene))
    assert pulled == []
