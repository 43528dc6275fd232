from __future__ import annotations

import dataclasses
import json

import pytest

from llmroute_sim import faults
from llmroute_sim.faults import FAULTS
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.wire import Abort, Data, Framing, Head, Wait
from meeting import (
    body,
    header,
    met,
    outcome,
    parts,
    request,
    status,
    taken,
    tokens,
    waits,
    world,
)

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


def test_a_refused_connection_is_an_attempt_that_never_saw_the_request():
    events, simulator = met(faults.Refused())
    assert events == [Abort("refused")]
    (attempt,) = simulator.history.attempts
    assert (attempt.outcome, attempt.model, attempt.key) == ("refused", None, None)


def test_an_unreachable_host_never_accepts():
    events, simulator = met(faults.Unreachable())
    assert waits(events) == float("inf")
    assert outcome(simulator) == "silence"


@BOTH
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("code", [500, 503])
def test_an_outage_says_so_and_charges_nothing(provider, code, stream):
    events, simulator = met(faults.Outage(code), provider=provider, stream=stream)
    (attempt,) = simulator.history.attempts
    assert status(events) == code
    assert (attempt.spent, attempt.tokens_out) == (0, 0)


def test_anthropic_says_529_when_it_is_overloaded():
    events, _ = met(faults.Outage(529), provider="anthropic")
    assert status(events) == 529
    assert json.loads(body(events))["error"]["type"] == "overloaded_error"


def test_a_rate_limit_carries_no_hint_unless_it_is_given_one():
    events, simulator = met(faults.RateLimit())
    assert status(events) == 429
    assert header(events, "retry-after") is None
    assert simulator.history.attempts[0].retry_after is None


@pytest.mark.parametrize(
    ("provider", "phrase"),
    [("openai", "maximum context length"), ("anthropic", "prompt is too long")],
)
def test_a_context_overflow_is_told_in_the_providers_own_words(provider, phrase):
    events, _ = met(faults.ContextLengthExceeded(), provider=provider)
    assert status(events) == 400
    assert phrase in json.loads(body(events))["error"]["message"]


def test_a_context_overflow_by_count_spares_short_prompts():
    events, simulator = met(faults.ContextLengthExceeded(limit=50))
    assert status(events) == 200
    assert simulator.history.attempts[0].faults == ()
    long = [{"role": "user", "content": "word " * 60}]
    events, simulator = met(faults.ContextLengthExceeded(limit=50), messages=long)
    assert status(events) == 400
    assert simulator.history.attempts[0].error == "context_length"


def test_a_refused_key_is_a_401():
    events, _ = met(faults.Unauthorized())
    assert status(events) == 401


def test_a_model_is_gone_while_its_sibling_works():
    gone = Incident(faults.ModelGone(), (Place.parse("openai/gpt-4o"),))
    simulator = world(gone)
    assert status(taken(simulator.open(request()))) == 404
    assert status(taken(simulator.open(request(model="gpt-4o-mini")))) == 200


@BOTH
def test_silence_comes_before_the_head(stream):
    events, simulator = met(faults.Silence(), stream=stream)
    assert events == [Wait(float("inf"))]
    assert outcome(simulator) == "silence"


@BOTH
def test_a_latency_spike_comes_before_the_head(stream):
    events, _ = met(faults.LatencySpike(12), stream=stream)
    assert events[0] == Wait(12)
    assert isinstance(events[1], Head)


def test_a_slow_first_token_comes_after_the_head():
    events, _ = met(faults.SlowFirstToken(12), stream=True)
    assert isinstance(events[0], Head)
    wait = events.index(Wait(12))
    assert "token" not in parts(events[:wait])
    assert isinstance(following := events[wait + 1], Data)
    assert following.part == "token"


@BOTH
def test_a_drip_delays_every_piece_and_loses_nothing(stream):
    events, _ = met(faults.Drip(2), stream=stream)
    plain = taken(world().open(request(stream=stream)))
    assert body(events) == body(plain)
    pieces = [event for event in events if isinstance(event, Data)]
    assert len(pieces) >= 9
    assert waits(events) == 2 * len(pieces)


def test_a_stall_falls_silent_after_its_tokens_and_keeps_the_connection():
    events, simulator = met(faults.Stall(after=5), stream=True)
    assert tokens(events) == 5
    assert events[-1] == Wait(float("inf"))
    assert outcome(simulator) == "200-stall"


def test_a_stall_of_so_many_seconds_goes_on_afterwards():
    events, simulator = met(faults.Stall(after=5, seconds=9.0), stream=True)
    assert waits(events) == 9
    assert simulator.history.attempts[0].complete


def test_a_json_answer_stalls_half_way():
    events, simulator = met(faults.Stall())
    assert 0 < len(body(events)) < events[0].length
    assert outcome(simulator) == "200-stall"


@pytest.mark.parametrize(
    ("fault", "how", "told"),
    [
        (faults.Cut(after=4), Abort("end"), "200-cut"),
        (faults.Reset(after=4), Abort("reset"), "200-reset"),
    ],
)
def test_a_stream_ends_after_its_tokens(fault, how, told):
    events, simulator = met(fault, stream=True)
    assert tokens(events) == 4
    assert events[-1] == how
    assert outcome(simulator) == told
    assert not simulator.history.attempts[0].complete


@pytest.mark.parametrize("fault", [faults.Cut(), faults.Reset()])
def test_a_json_answer_ends_half_way(fault):
    events, _ = met(fault)
    assert 0 < len(body(events)) < events[0].length
    assert isinstance(events[-1], Abort)


@BOTH
def test_a_reset_before_the_head_is_nothing_but_a_reset(stream):
    events, simulator = met(faults.Reset(after=-1), stream=stream)
    assert events == [Abort("reset")]
    assert outcome(simulator) == "reset"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_missing_terminal_is_complete_http_without_the_streams_own_end(provider):
    events, simulator = met(faults.MissingTerminal(after=4), stream=True, provider=provider)
    assert tokens(events) == 4
    assert not {"finish", "usage", "terminal"} & set(parts(events))
    assert not isinstance(events[-1], Abort)
    assert outcome(simulator) == "200-unfinished"


@pytest.mark.parametrize(
    ("provider", "shape"), [("openai", b'data: {"error"'), ("anthropic", b"event: error\ndata: ")]
)
def test_an_error_event_ends_the_stream_in_the_providers_shape(provider, shape):
    events, simulator = met(faults.ErrorInStream(after=4), stream=True, provider=provider)
    assert tokens(events) == 4
    assert isinstance(events[-1], Data)
    assert events[-1].body.startswith(shape)
    assert outcome(simulator) == "200-error"


@BOTH
def test_a_malformed_chunk_has_no_size(stream):
    events, simulator = met(faults.MalformedChunk(after=4), stream=stream)
    assert events[0].framing is Framing.CHUNKED
    (garbled,) = [event for event in events if isinstance(event, Data) and event.raw]
    with pytest.raises(ValueError, match="invalid literal"):
        int(garbled.body.split(b"\r\n")[0], 16)
    assert outcome(simulator) == "200-garbled"


@pytest.mark.parametrize("by", [20, -20])
def test_a_wrong_length_lies_by_as_much_as_it_says(by):
    events, simulator = met(faults.WrongLength(by))
    assert events[0].length == len(body(events)) + by
    assert outcome(simulator) == ("200-cut" if by > 0 else "200-length")


# -- names

VALUES = {
    "int": 3,
    "float": 2.5,
    "float | None": 4,
    "float | str | None": "soon",
    "int | None": 9,
    "str": "rate_limit_requests",
    "str | None": "gpt-4o-mini",
    "bool": True,
    "Hint": "date",
}


def _value(declared: str) -> object:
    if declared.startswith("Literal["):
        return json.loads(declared.removeprefix("Literal").replace("'", '"'))[-1]
    return VALUES[declared]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_written_in_a_file_is_the_fault_written_in_python(name):
    kind = FAULTS[name]
    settings = {field.name: _value(str(field.type)) for field in dataclasses.fields(kind)}
    if kind is faults.Outage:
        settings["status"] = 507
    written = {key.replace("_", "-"): value for key, value in settings.items()}
    assert faults.make({"name": name, **written}) == kind(**settings)


@pytest.mark.parametrize("kind", FAULTS.values(), ids=FAULTS)
def test_a_fault_says_what_it_means_and_needs_nothing_said(kind):
    kind()
    assert kind.__doc__
    assert kind.__doc__.strip().endswith(".")


def test_a_misspelt_fault_is_answered_with_the_nearest():
    with pytest.raises(Unknown, match=r"unknown fault 'outrage'; did you mean 'outage'\?"):
        faults.make({"name": "outrage"})


def test_a_misspelt_key_is_answered_with_the_nearest():
    with pytest.raises(Unknown, match=r"'retry-afer'; did you mean 'retry-after'\?"):
        faults.make({"name": "rate-limit", "retry-afer": 2})


def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(ValueError, match="status = 'down' is not of type int"):
        faults.make({"name": "outage", "status": "down"})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: faults.ErrorPage(418), "status = 418 is not one of 502 or 503 or"),
        (lambda: faults.RateLimit(hint="secnds"), "unknown hint 'secnds'; did you mean 'seconds'"),
        (lambda: faults.RateLimit("a\r\nb"), "cannot be sent"),
        (lambda: faults.RateLimit(float("nan")), "nan is no time"),
        (lambda: faults.RateLimit([2]), r"retry-after = \[2\] is not of type float \| str \| None"),
        (lambda: faults.Drip(-1), "seconds = -1 is less than 0"),
        (lambda: faults.Cut(-1), "after = -1 is less than 0"),
        (lambda: faults.Reset(-2), "after = -2 is less than -1"),
        (lambda: faults.SplitOddly(0), "size = 0 is less than 1"),
        (lambda: faults.Filler(30, 0), "every = 0 is less than 0.01"),
        (lambda: faults.Outage(200), "status = 200 is less than 400"),
        (lambda: faults.Outage(True), "status = True is not of type int"),
        (lambda: faults.TLSFailure("expird"), "did you mean 'expired'"),
    ],
)
def test_a_fault_cannot_be_made_of_what_makes_no_sense(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


# -- time and place


def statuses(when: When, count: int = 6, at: str = "*") -> list[int]:
    simulator = world(Incident(faults.Outage(500), (Place.parse(at),), when))
    return [status(taken(simulator.open(request()))) for _ in range(count)]


def test_an_incident_strikes_the_attempts_that_it_names():
    assert statuses(When(first=2)) == [500, 500, 200, 200, 200, 200]
    assert statuses(When(nth=3)) == [200, 200, 500, 200, 200, 200]
    assert statuses(When(after=4)) == [200, 200, 200, 200, 500, 500]
    assert statuses(When(every=2)) == [200, 500, 200, 500, 200, 500]


def test_chance_comes_from_the_seed():
    drawn = statuses(When(chance=0.5), 40)
    assert drawn == statuses(When(chance=0.5), 40)
    assert 8 < drawn.count(500) < 32


def test_a_healed_incident_is_over():
    simulator = world()
    live = simulator.inject(Incident(faults.Outage(500)))
    assert status(taken(simulator.open(request()))) == 500
    live.heal()
    assert status(taken(simulator.open(request()))) == 200
    assert live.met == 1


@pytest.mark.parametrize("kind", [faults.ErrorInStream, faults.ErrorInBody])
def test_an_error_of_a_kind_that_nobody_knows_is_refused_before_it_is_met(kind):
    with pytest.raises(Unknown, match="kind of error 'overload'; did you mean 'overloaded'"):
        world(Incident(kind(kind="overload")))
