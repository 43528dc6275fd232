from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim import faults
from llmroute_sim.faults import FAULTS
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.simulator import Simulator
from llmroute_sim.wire import (
    Abort,
    Address,
    Data,
    Event,
    Framing,
    Head,
    Request,
    Wait,
    grammar_error,
)


class StillClock:
    def now(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        return datetime(2027, 1, 1, tzinfo=UTC)


HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}


def request(provider: str = "openai", *, stream: bool = False, **body: object) -> Request:
    asked = {
        "model": "gpt-4o" if provider == "openai" else "claude-sonnet-4-6",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 100,
        "stream": stream,
        **body,
    }
    path = "/v1/chat/completions" if provider == "openai" else "/v1/messages"
    headers = (("authorization", "Bearer sk-test"), ("content-type", "application/json"))
    return Request("POST", path, headers, json.dumps(asked).encode(), Address(HOSTS[provider]))


def taken(exchange: object, limit: int = 1000) -> list[Event]:
    """What a carrier would take: nothing after a wait without end."""
    events = []
    for event in exchange:
        events.append(event)
        if isinstance(event, Wait) and event.seconds == float("inf"):
            exchange.close()
            break
    return events


def world(*incidents: Incident) -> Simulator:
    simulator = Simulator(StillClock(), seed=7)
    for incident in incidents:
        simulator.inject(incident)
    return simulator


def met(fault: faults.Fault, **asked: object) -> tuple[list[Event], Simulator]:
    simulator = world(Incident(fault))
    provider = str(asked.pop("provider", "openai"))
    asking = request(provider, **asked)
    events = taken(simulator.connect(asking.address, None))
    if not events:
        events = taken(simulator.open(asking))
    return events, simulator


def status(events: list[Event]) -> int:
    return next(event.status for event in events if isinstance(event, Head))


def header(events: list[Event], name: str) -> str | None:
    head = next(event for event in events if isinstance(event, Head))
    return dict(head.headers).get(name)


def body(events: list[Event]) -> bytes:
    return b"".join(event.body for event in events if isinstance(event, Data))


def waits(events: list[Event]) -> float:
    return sum(event.seconds for event in events if isinstance(event, Wait))


def tokens(events: list[Event]) -> int:
    return sum(isinstance(event, Data) and event.part == "token" for event in events)


def parts(events: list[Event]) -> list[str]:
    return [event.part for event in events if isinstance(event, Data)]


def outcome(simulator: Simulator) -> str:
    return simulator.history.attempts[-1].outcome


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


def test_a_hint_is_sent_in_seconds_or_in_milliseconds():
    events, _ = met(faults.RateLimit(retry_after=2))
    assert header(events, "retry-after") == "2"
    events, simulator = met(faults.RateLimit(retry_after=2.5, in_milliseconds=True))
    assert header(events, "retry-after-ms") == "2500"
    assert simulator.history.attempts[0].retry_after == 2.5


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


# -- laws

ANY = st.sampled_from(
    [
        faults.Outage(500), faults.RateLimit(), faults.Silence(), faults.LatencySpike(3),
        faults.SlowFirstToken(3), faults.Drip(1), faults.Stall(2), faults.Stall(2, 5.0), faults.Cut(2),
        faults.Reset(2), faults.Reset(-1), faults.MissingTerminal(2), faults.ErrorInStream(2),
        faults.MalformedChunk(2), faults.WrongLength(9), faults.WrongLength(-9),
    ]
)  # fmt: skip


@given(st.lists(ANY, max_size=4), st.booleans(), st.sampled_from(["openai", "anthropic"]))
def test_any_stack_of_faults_leaves_an_exchange(stack, stream, provider):
    simulator = world(*map(Incident, stack))
    events = taken(simulator.open(request(provider, stream=stream)))
    if not (isinstance(events[-1], Wait) and events[-1].seconds == float("inf")):
        assert grammar_error(events) is None


@given(ANY, st.booleans())
def test_a_fault_never_invents_content(fault, stream):
    plain = taken(world().open(request(stream=stream)))
    bent = taken(world(Incident(fault)).open(request(stream=stream)))
    if status(plain) == 200 and any(isinstance(e, Head) and e.status == 200 for e in bent):
        said = b"".join(e.body for e in bent if isinstance(e, Data) and e.part in ("token", "body"))
        meant = b"".join(
            e.body for e in plain if isinstance(e, Data) and e.part in ("token", "body")
        )
        assert meant.startswith(said)


@given(st.floats(1, 50), st.floats(1, 50))
def test_latencies_add(one, two):
    simulator = world(Incident(faults.LatencySpike(one)), Incident(faults.LatencySpike(two)))
    assert waits(taken(simulator.open(request()))) == one + two


@given(ANY, st.booleans())
def test_what_acted_is_named_in_the_history_and_what_did_not_is_not(fault, stream):
    calm = taken(world().open(request(stream=stream)))
    simulator = world(Incident(fault))
    bent = taken(simulator.open(request(stream=stream)))
    assert bool(simulator.history.attempts[0].faults) == (bent != calm)


# -- names

VALUES = {
    "int": 3,
    "float": 2.5,
    "float | None": 4,
    "int | None": 9,
    "str": "rate_limit_requests",
    "bool": True,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_written_in_a_file_is_the_fault_written_in_python(name):
    import dataclasses

    kind = FAULTS[name]
    settings = {field.name: VALUES[str(field.type)] for field in dataclasses.fields(kind)}
    written = {key.replace("_", "-"): value for key, value in settings.items()}
    assert faults.make({"name": name, **written}) == kind(**settings)


def test_a_misspelt_fault_is_answered_with_the_nearest():
    with pytest.raises(Unknown, match=r"unknown fault 'outrage'; did you mean 'outage'\?"):
        faults.make({"name": "outrage"})


def test_a_misspelt_key_is_answered_with_the_nearest():
    with pytest.raises(Unknown, match=r"'retry-afer'; did you mean 'retry-after'\?"):
        faults.make({"name": "rate-limit", "retry-afer": 2})


def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(ValueError, match="status = 'down' is not of type int"):
        faults.make({"name": "outage", "status": "down"})


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
