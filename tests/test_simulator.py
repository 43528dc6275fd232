from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim import faults
from llmroute_sim.faults import Fault
from llmroute_sim.history import Attempt, fingerprint
from llmroute_sim.incidents import Incident, Live, Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Usage
from llmroute_sim.providers import Tariff, provider
from llmroute_sim.quotas import Quota
from llmroute_sim.simulator import Deployment, Pace, Simulator
from llmroute_sim.wire import (
    Abort,
    Address,
    Data,
    Event,
    Exchange,
    Head,
    Request,
    Wait,
    grammar_error,
)
from meeting import StillClock

OPENAI = "api.openai.com"
CLAUDE = "api.anthropic.com"


class Got:
    """What an exchange brought, its waits taken at once."""

    def __init__(self, exchange: Exchange, clock: StillClock) -> None:
        self.events: list[Event] = []
        for event in exchange:
            self.events.append(event)
            if isinstance(event, Wait):
                clock.seconds += event.seconds
        assert grammar_error(self.events) is None
        head = next((event for event in self.events if isinstance(event, Head)), None)
        self.status = head.status if head else None
        self.headers = dict(head.headers) if head else {}
        self.body = b"".join(event.body for event in self.events if isinstance(event, Data))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return str(self.json["choices"][0]["message"]["content"])


class Stage:
    def __init__(self, seed: int = 0, pace: Pace | None = None) -> None:
        self.clock = StillClock()
        self.sim = Simulator(self.clock, seed=seed, pace=pace)

    def inject(self, fault: Fault, *at: str, **when: Any) -> Live:
        places = tuple(map(Place.parse, at or ("*",)))
        return self.sim.inject(Incident(fault, places, When(**when)))

    def ask(
        self,
        host: str = OPENAI,
        model: str = "gpt-4o",
        *,
        key: str | None = "sk-test",
        path: str = "/v1/chat/completions",
        text: str = "hello",
        call: str | None = None,
        **options: Any,
    ) -> Got:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **options}
        headers = (("authorization", f"Bearer {key}"),) if key else ()
        request = Request("POST", path, headers, json.dumps(body).encode(), Address(host), call)
        return Got(self.sim.open(request), self.clock)

    def dial(self, host: str = OPENAI) -> list[Event]:
        return list(self.sim.connect(Address(host), None))

    @property
    def last(self) -> Attempt:
        return self.sim.history.attempts[-1]

    def statuses(self, count: int, **options: Any) -> list[int | None]:
        return [self.ask(**options).status for _ in range(count)]


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- places


@pytest.mark.parametrize(
    ("place", "meets"),
    [
        ("*", ["openai/gpt-4o", "openai/gpt-4o-mini", "eu/gpt-4o", "mine/ours"]),
        ("openai", ["openai/gpt-4o", "openai/gpt-4o-mini", "eu/gpt-4o"]),
        ("openai/gpt-4o", ["openai/gpt-4o", "eu/gpt-4o"]),
        ("*/gpt-4o", ["openai/gpt-4o", "eu/gpt-4o"]),
        ("api.openai.com", ["openai/gpt-4o", "openai/gpt-4o-mini"]),
        ("openai@eu", ["eu/gpt-4o"]),
        ("eu", ["eu/gpt-4o"]),
        ("mine", ["mine/ours"]),
        ("llm.mine.example/ours", ["mine/ours"]),
        ("mistral", []),
        (f"openai#{fingerprint('sk-test')}", ["openai/gpt-4o", "openai/gpt-4o-mini", "eu/gpt-4o"]),
        (f"openai#{fingerprint('sk-other')}", []),
    ],
)
def test_an_incident_acts_at_its_place_and_nowhere_else(
    stage: Stage, place: str, meets: list[str]
) -> None:
    stage.sim.serve(Deployment("eu.openai.example", provider("openai"), "eu", region="eu"))
    stage.sim.serve(
        Deployment("llm.mine.example", provider("groq"), "mine", models=frozenset({"ours"}))
    )
    stage.inject(faults.Outage(), place)
    stage.ask()
    stage.ask(model="gpt-4o-mini")
    stage.ask("eu.openai.example")
    stage.ask("llm.mine.example", "ours")
    hit = [f"{a.place}/{a.model}" for a in stage.sim.history.attempts if a.outcome == "503"]
    assert hit == meets


def test_a_place_that_does_not_exist_is_refused_with_the_nearest(stage: Stage) -> None:
    with pytest.raises(Unknown, match="did you mean 'openai'"):
        stage.inject(faults.Outage(), "opnai")
    with pytest.raises(Unknown, match="did you mean 'openai'"):
        stage.sim.limit("opnai", Quota(requests=1))
    assert stage.ask().status == 200


# -- times


@pytest.mark.parametrize(
    ("when", "failing"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"first": 2}, [1, 2]),
        ({"nth": 3}, [3]),
        ({"after": 4}, [5, 6]),
        ({"every": 3}, [3, 6]),
        ({"after": 2, "every": 2}, [4, 6]),
        ({"between": (20.0, 40.0)}, [3, 4]),
        ({"between": (20.0, 60.0), "nth": 2}, [4]),
    ],
)
def test_an_incident_acts_at_the_attempts_and_times_it_names(
    stage: Stage, when: dict[str, Any], failing: list[int]
) -> None:
    stage.inject(faults.Outage(), "openai", **when)
    statuses = []
    for _ in range(6):
        stage.ask(CLAUDE, "claude", path="/v1/messages")  # elsewhere: does not count
        statuses.append(stage.ask().status)
        stage.clock.seconds += 10
    assert [number for number, status in enumerate(statuses, 1) if status == 503] == failing


def test_chance_is_drawn_from_the_seed_for_each_attempt() -> None:
    def run(seed: int) -> list[int | None]:
        stage = Stage(seed)
        stage.inject(faults.Outage(), "openai", chance=0.3)
        return stage.statuses(200)

    assert run(1) == run(1) != run(2)
    assert 30 <= run(1).count(503) <= 90


def test_healing_ends_an_incident_for_good(stage: Stage) -> None:
    live = stage.inject(faults.Outage(), "openai")
    assert stage.statuses(2) == [503, 503]
    live.heal()
    assert stage.statuses(2) == [200, 200]
    assert (live.seen, live.met) == (2, 2)


def test_an_incident_knows_what_came_and_what_met_it(stage: Stage) -> None:
    live = stage.inject(faults.Cut(after=1), "openai", nth=2)
    stage.ask(stream=True)
    assert (live.seen, live.met) == (1, 0)
    stage.ask(stream=True)
    assert (live.seen, live.met) == (2, 1)
    assert stage.last.faults == ("cut at openai",)


def test_a_fault_that_cannot_do_anything_was_not_met(stage: Stage) -> None:
    live = stage.inject(faults.Cut(after=10_000), "openai")
    stage.ask(stream=True)
    assert live.met == 0
    assert stage.last.faults == ()


# -- quotas


def test_requests_above_the_limit_are_refused_until_there_is_room(stage: Stage) -> None:
    stage.sim.limit("openai", Quota(requests=3))
    left = [stage.ask().headers["x-ratelimit-remaining-requests"] for _ in range(3)]
    refused = stage.ask()
    assert left == ["2", "1", "0"]
    assert (refused.status, stage.last.error) == (429, "rate_limit_requests")
    hint = stage.last.retry_after
    assert hint == 20
    assert refused.headers["retry-after"] == "20"
    stage.clock.seconds += hint - 0.001
    assert stage.ask().status == 429
    stage.clock.seconds += 0.001
    assert stage.ask().status == 200
    assert stage.ask().status == 429


def test_a_quota_is_full_again_after_a_minute(stage: Stage) -> None:
    stage.sim.limit("openai", Quota(requests=3))
    assert stage.statuses(4) == [200, 200, 200, 429]
    stage.clock.seconds += 60
    assert stage.statuses(4) == [200, 200, 200, 429]


def test_tokens_are_limited_as_requests_are(stage: Stage) -> None:
    stage.sim.limit("openai", Quota(tokens=100))
    assert stage.ask(text="word " * 60).status == 200
    assert stage.ask(text="word " * 60).status == 429
    assert stage.last.error == "rate_limit_tokens"
    assert stage.ask(text="word " * 20).status == 200


def test_a_quota_is_for_each_key_and_model(stage: Stage) -> None:
    stage.sim.limit("openai", Quota(requests=1))
    assert stage.statuses(2) == [200, 429]
    assert stage.ask(key="sk-other").status == 200
    assert stage.ask(model="gpt-4o-mini").status == 200
    assert stage.ask("api.groq.com", "llama-3.3-70b-versatile").status == 200


def test_what_is_refused_uses_no_quota_and_costs_nothing(stage: Stage) -> None:
    stage.sim.limit("openai", Quota(requests=1))
    stage.inject(faults.Outage(), "openai", first=3)
    assert stage.statuses(5) == [503, 503, 503, 200, 429]
    assert [a.spent > 0 for a in stage.sim.history.attempts] == [False] * 3 + [True, False]


# -- what providers refuse by themselves


def test_a_prompt_that_is_too_long_is_a_400(stage: Stage) -> None:
    assert stage.ask(model="gpt-4", text="word " * 6000).status == 200
    refused = stage.ask(model="gpt-4", text="word " * 12_000)
    assert (refused.status, stage.last.error) == (400, "context_length")
    assert refused.json["error"]["code"] == "context_length_exceeded"
    assert stage.last.spent == 0


def test_room_for_the_answer_counts_towards_the_window(stage: Stage) -> None:
    assert stage.ask(model="gpt-4", text="word " * 6000, max_tokens=7000).status == 400


def test_a_model_that_nobody_sells_is_a_404(stage: Stage) -> None:
    refused = stage.ask(model="gpt-nine")
    assert (refused.status, stage.last.error) == (404, "model_not_found")
    assert "gpt-nine" in refused.json["error"]["message"]


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_a_401(stage: Stage, key: str | None) -> None:
    refused = stage.ask(key=key)
    assert (refused.status, stage.last.error, stage.last.key) == (401, "auth", None)


def test_a_path_that_nobody_serves_is_a_404(stage: Stage) -> None:
    assert stage.ask(path="/v1/nothing").status == 404
    assert stage.last.operation is None


def test_a_body_that_is_not_json_is_a_400(stage: Stage) -> None:
    request = Request(
        "POST", "/v1/chat/completions", (("authorization", "Bearer k"),), b"{", Address(OPENAI)
    )
    assert Got(stage.sim.open(request), stage.clock).status == 400


@pytest.mark.parametrize("host", [OPENAI, CLAUDE, "api.groq.com", "api.mistral.ai"])
def test_a_body_that_no_carrier_kept_is_a_413_in_the_providers_own_words(
    stage: Stage, host: str
) -> None:
    path = "/v1/messages" if host == CLAUDE else "/openai/v1/chat/completions"
    headers = (("authorization", "Bearer sk"), ("x-api-key", "sk"))
    request = Request("POST", path, headers, b"", Address(host), lost=1 << 30)
    assert Got(stage.sim.open(request), stage.clock).status == 413
    assert (stage.last.outcome, stage.last.error) == ("413", "request_too_large")
    assert (stage.last.spent, stage.last.tokens_in) == (0, 0)


def test_a_body_is_too_large_where_the_provider_says_so(stage: Stage) -> None:
    body = b'{"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}'
    headers = (("authorization", "Bearer sk"), ("x-api-key", "sk"))
    for host, path, model, limited in (
        (CLAUDE, "/v1/messages", b"claude-sonnet-4-5", True),
        (OPENAI, "/v1/chat/completions", b"gpt-4o", False),
    ):
        sent = body.replace(b"x", model, 1)
        for size, status in ((32 << 20, 200), ((32 << 20) + 1, 413 if limited else 200)):
            request = Request("POST", path, headers, sent.ljust(size), Address(host))
            assert Got(stage.sim.open(request), stage.clock).status == status


def test_a_host_sells_the_models_it_is_said_to(stage: Stage) -> None:
    tariff = Tariff(Decimal("0.001"), Decimal("0.002"))
    stage.sim.serve(
        Deployment(
            "h.example", provider("openai"), "h", models=frozenset({"m"}), tariffs={"m": tariff}
        )
    )
    assert stage.ask("h.example", "m").status == 200
    assert stage.last.spent == tariff.charge(Usage(stage.last.tokens_in, stage.last.tokens_out)) > 0
    assert stage.ask("h.example", "n").status == 404


# -- connections


def test_a_refused_connection_is_an_attempt(stage: Stage) -> None:
    live = stage.inject(faults.Refused(), "openai", first=1)
    assert stage.dial() == [Abort("refused")]
    assert (stage.last.step, stage.last.faults) == ("openai:refused", ("refused at openai",))
    assert live.met == 1
    assert stage.dial() == []
    assert len(stage.sim.history.attempts) == 1


def test_idle_connections_survive_unless_a_connection_may_fail(stage: Stage) -> None:
    def kept() -> tuple[bool, bool]:
        return stage.sim.keeps(Address(OPENAI)), stage.sim.keeps(Address(CLAUDE))

    assert kept() == (True, True)
    stage.inject(faults.Outage(), "openai")
    assert kept() == (True, True)
    live = stage.inject(faults.Refused(), "openai")
    assert kept() == (False, True)
    live.heal()
    assert kept() == (True, True)


def test_whoever_listens_hears_of_faults_of_connections_only(stage: Stage) -> None:
    heard: list[str] = []
    stage.sim.on_change.append(lambda: heard.append("changed"))
    stage.inject(faults.Outage(), "openai").heal()
    assert heard == []
    live = stage.inject(faults.Refused(), "openai")
    assert heard == ["changed"]
    live.heal()
    live.heal()
    assert heard == ["changed"] * 2


def test_strays_are_written_down(stage: Stage) -> None:
    assert not stage.sim.knows("api.opnai.com")
    stage.clock.seconds = 3
    stage.sim.stray(Address("api.opnai.com", 8443), "c1")
    (stray,) = stage.sim.history.strays
    assert (stray.at, stray.host, stray.port, stray.call) == (3, "api.opnai.com", 8443, "c1")


# -- what is charged


def test_an_answer_costs_what_its_tokens_cost(stage: Stage) -> None:
    usage = stage.ask(text="word " * 30).json["usage"]
    attempt = stage.last
    assert (attempt.tokens_in, attempt.tokens_out) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )
    assert attempt.tokens_in > 30
    # gpt-4o: $2.50 and $10 per million tokens
    expected = attempt.tokens_in * Decimal("2.5") + attempt.tokens_out * Decimal(10)
    assert attempt.spent == expected / 1_000_000
    assert not attempt.billed_as_stated


def test_a_stated_usage_replaces_the_real_one_and_is_marked(stage: Stage) -> None:
    stage.sim.stated_usage = Usage(400_000, 300_000)
    assert stage.ask().json["usage"]["total_tokens"] == 700_000
    assert stage.last.spent == Decimal(4)
    assert stage.last.billed_as_stated
    stage.sim.stated_usage = None
    stage.ask()
    assert not stage.last.billed_as_stated


def test_a_stated_usage_is_charged_only_where_the_answer_tells_it(stage: Stage) -> None:
    stage.sim.stated_usage = Usage(400_000, 300_000)
    stage.ask(stream=True)
    assert not stage.last.billed_as_stated
    assert stage.last.spent < 1
    stage.ask(stream=True, stream_options={"include_usage": True})
    assert stage.last.billed_as_stated
    assert stage.last.spent == Decimal(4)


# -- what is said


def test_no_two_attempts_say_the_same_words(stage: Stage) -> None:
    texts = [stage.ask(text="the same").text for _ in range(300)]
    texts += [stage.ask(text="the same", call="c1").text for _ in range(300)]
    attempts = stage.sim.history.attempts
    marks = [mark for attempt in attempts for mark in attempt.marks]
    assert len(set(marks)) == len(marks)
    for text, attempt in zip(texts, attempts, strict=True):
        assert stage.sim.history.marks_in(text) == attempt.marks


def test_what_is_said_does_not_depend_on_what_others_ask() -> None:
    alone, busy = Stage(), Stage()
    said = [alone.ask(call="c1").body for _ in range(2)]
    busy.ask(call="c2")
    first = busy.ask(call="c1").body
    busy.ask(CLAUDE, "claude-sonnet-4-6", path="/v1/messages")
    assert [first, busy.ask(call="c1").body] == said


def test_an_answer_that_is_cut_by_max_tokens_says_so(stage: Stage) -> None:
    got = stage.ask(max_tokens=3)
    assert got.json["choices"][0]["finish_reason"] == "length"
    assert got.json["usage"]["completion_tokens"] == 3
    assert stage.sim.history.marks_in(got.text)


def test_the_pace_is_that_of_a_model(stage: Stage) -> None:
    paced = Stage(pace=Pace(first_token=2.0, token=0.5))
    paced.ask(stream=True)
    attempt = paced.last
    assert (attempt.head, attempt.first_token) == (2.0, 2.0)
    assert attempt.last == pytest.approx(2.0 + 0.5 * (attempt.tokens_out - 1))
    stage.ask(stream=True)
    assert stage.last.ended == 0


# -- sameness


@st.composite
def workloads(draw: st.DrawFn) -> list[tuple[str, Any]]:
    step = st.one_of(
        st.tuples(st.just("ask"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 20.0])),
        st.tuples(st.just("inject"), st.sampled_from(sorted(faults.FAULTS))),
        st.tuples(st.just("heal"), st.none()),
    )
    return draw(st.lists(step, max_size=12))


def play(seed: int, workload: list[tuple[str, Any]]) -> tuple[list[Event], str]:
    stage = Stage(seed, Pace(0.1, 0.01))
    stage.sim.limit("openai", Quota(requests=4))
    events: list[Event] = []
    for do, what in workload:
        match do:
            case "ask":
                call = stage.sim.history.begin_call(stage.clock.now())
                # Silence has no end; a client leaves.
                exchange = stage.sim.open(_request(call.id, stream=what))
                for event in exchange:
                    events.append(event)
                    if isinstance(event, Wait):
                        stage.clock.seconds += min(event.seconds, 30)
                        if event.seconds > 30:
                            break
                exchange.close()
            case "wait":
                stage.clock.seconds += what
            case "inject":
                stage.inject(faults.make({"name": what}), "openai", chance=0.7)
            case _:
                for live in stage.sim.incidents:
                    live.heal()
    return events, stage.sim.history.digest()


def _request(call: str, *, stream: bool) -> Request:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    headers = (("authorization", "Bearer sk-test"),)
    return Request(
        "POST", "/v1/chat/completions", headers, json.dumps(body).encode(), Address(OPENAI), call
    )


@given(workloads(), st.integers(0, 3))
def test_the_same_seed_gives_the_same_bytes(workload: list[tuple[str, Any]], seed: int) -> None:
    assert play(seed, workload) == play(seed, workload)


def test_another_seed_gives_other_bytes() -> None:
    asking = [("ask", False)]
    assert play(1, asking)[0] != play(2, asking)[0]


def test_every_attempt_is_closed_with_what_the_client_took(stage: Stage) -> None:
    exchange = stage.sim.open(_request("c1", stream=True))
    for _ in range(4):
        next(exchange)
    stage.clock.seconds = 7
    exchange.close()
    assert (stage.last.outcome, stage.last.left, stage.last.ended) == ("200-left", True, 7)


def test_a_host_that_is_served_at_one_port_refuses_at_others(stage):
    served = Deployment("10.1.2.3:8000", provider("openai"), "one")
    stage.sim.serve(served)
    assert stage.sim.knows("10.1.2.3")
    assert list(stage.sim.connect(Address("10.1.2.3", 8000), None)) == []
    assert list(stage.sim.connect(Address("10.1.2.3", 8001), None)) == [Abort("refused")]
    [stray] = stage.sim.history.strays
    assert (stray.host, stray.port) == ("10.1.2.3", 8001)
