from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

import pytest_llmroute
from llmroute_sim import faults
from llmroute_sim.faults import Fault
from llmroute_sim.history import Attempt
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.providers import provider
from llmroute_sim.simulator import Deployment, Simulator
from llmroute_sim.wire import (
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

HOST = "gateway.test"
MODEL = "gpt-4o"
SERVICE = replace(provider("openai"), name="chain", hosts=(HOST,))
"""Speaks as OpenAI does."""


# -- a gateway as a closed service might run it: it tries its upstreams in turn


@dataclass(frozen=True)
class Upstream:
    host: str
    path: str
    model: str


@dataclass
class Chain:
    """Tries upstreams in turn until one begins to answer; what has begun is passed on as it comes.

    An upstream is left when it has said nothing for ``patience`` seconds.
    """

    upstreams: tuple[Upstream, ...]
    patience: float = 10.0
    name: str = "chain"
    served: list[str] = field(default_factory=list)

    def answer(self, request: Request, forward: Callable[[Request], Exchange]) -> Iterator[Event]:
        for upstream in self.upstreams:
            exchange = forward(self._rewritten(request, upstream))
            try:
                begun = yield from self._until_it_begins(exchange)
                if begun is not None:
                    self.served.append(upstream.host)
                    yield begun
                    yield from exchange
                    return
            finally:
                exchange.close()
        yield from _unavailable()

    def _until_it_begins(self, exchange: Exchange) -> Iterator[Event]:  # returns a Head or None
        waited = 0.0
        for event in exchange:
            match event:
                case Wait(seconds=seconds) if waited + seconds > self.patience:
                    yield Wait(self.patience - waited)
                    return None
                case Wait(seconds=seconds):
                    waited += seconds
                    yield event
                case Head(status=status) if status < 400:
                    return event
                case Head():
                    yield from (rest for rest in exchange if isinstance(rest, Wait))
                    return None
        return None

    def _rewritten(self, request: Request, upstream: Upstream) -> Request:
        body = json.dumps({**json.loads(request.body), "model": upstream.model}).encode()
        kept = tuple(h for h in request.headers if h[0] not in ("authorization", "content-length"))
        headers = (*kept, ("authorization", f"Bearer sk-of-{upstream.host}"))
        # A service of its own knows nothing of the caller's calls.
        return Request("POST", upstream.path, headers, body, Address(upstream.host))


def _unavailable() -> Iterator[Event]:
    body = b'{"error": {"message": "no upstream answered", "code": 502}}'
    yield Head(502, (("content-type", "application/json"),), length=len(body))
    yield Data(body)


UPSTREAMS = (
    Upstream("api.openai.com", "/v1/chat/completions", MODEL),
    Upstream("api.groq.com", "/openai/v1/chat/completions", "llama-3.3-70b-versatile"),
    Upstream("api.mistral.ai", "/v1/chat/completions", "mistral-large-latest"),
)


# -- driving it without a carrier


class Stage:
    def __init__(self, **chain: Any) -> None:
        self.clock = StillClock()
        self.simulator = Simulator(self.clock, seed=4)
        self.gateway = Chain(UPSTREAMS, **chain)
        self.simulator.serve(Deployment(HOST, SERVICE, "gateway", gateway=self.gateway))

    def inject(self, fault: Fault, at: str, **when: Any) -> None:
        self.simulator.inject(Incident(fault, (Place.parse(at),), When.read(when)))

    def ask(self, *, stream: bool = False, take: int | None = None) -> list[Event]:
        call = self.simulator.history.begin_call(self.clock.now())
        said = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        exchange = self.simulator.open(
            Request(
                "POST",
                "/v1/chat/completions",
                (("authorization", "Bearer sk-mine"),),
                json.dumps(said).encode(),
                Address(HOST),
                call.id,
            )
        )
        events: list[Event] = []
        for event in exchange:
            events.append(event)
            if isinstance(event, Wait):
                self.clock.seconds += event.seconds
            if take is not None and len(events) == take:
                exchange.close()
                break
        return events

    @property
    def attempts(self) -> list[Attempt]:
        return self.simulator.history.attempts

    @property
    def path(self) -> list[str]:
        return self.simulator.history.path


def test_an_outage_that_begins_between_two_attempts_of_a_gateway_is_met_by_the_second() -> None:
    stage = Stage()
    stage.inject(faults.Silence(), "openai")
    stage.inject(faults.Outage(), "groq", between=(5, 60))

    events = stage.ask()

    assert stage.path == ["gateway:200", "openai:silence", "groq:503", "mistral:200"]
    assert [attempt.started for attempt in stage.attempts] == [0, 0, 10, 10]
    assert [attempt.ended for attempt in stage.attempts] == [10, 10, 10, 10]
    assert [attempt.via for attempt in stage.attempts] == [None, "a1", "a1", "a1"]
    assert [attempt.call for attempt in stage.attempts] == ["c1"] * 4
    assert [attempt.ordinal for attempt in stage.attempts] == [1, 2, 3, 4]
    assert [attempt.faults for attempt in stage.attempts] == [
        (), ("silence at openai",), ("outage at groq",), (),
    ]  # fmt: skip
    assert stage.gateway.served == ["api.mistral.ai"]
    assert grammar_error(events) is None


@pytest.mark.parametrize(
    ("window", "served"),
    [((0, 10), "groq"), ((0, 10.001), "mistral"), ((10, 60), "mistral"), ((10.001, 60), "groq")],
)
def test_the_outage_is_judged_at_the_moment_of_the_second_attempt(
    window: tuple[float, float], served: str
) -> None:
    stage = Stage()
    stage.inject(faults.Silence(), "openai")
    stage.inject(faults.Outage(), "groq", between=window)
    stage.ask()
    assert stage.path[-1] == f"{served}:200"


def test_what_the_caller_got_is_told_by_the_words_of_the_upstream() -> None:
    stage = Stage()
    stage.inject(faults.Outage(), "openai")
    events = stage.ask(stream=True)
    (call,) = stage.simulator.history.calls
    text = b"".join(event.body for event in events if isinstance(event, Data)).decode()
    call.marks = stage.simulator.history.marks_in(text)
    assert [attempt.place for attempt in stage.simulator.history.sources(call)] == ["groq"]
    gateway, _, groq = stage.attempts
    assert gateway.stream
    assert gateway.complete
    assert (gateway.spent, gateway.tokens_out) == (0, 0)
    assert groq.spent > 0


def test_each_attempt_shows_the_key_and_the_model_of_whoever_made_it() -> None:
    stage = Stage()
    stage.inject(faults.Outage(), "openai")
    stage.ask()
    assert [attempt.model for attempt in stage.attempts] == [
        MODEL, MODEL, "llama-3.3-70b-versatile",
    ]  # fmt: skip
    assert len({attempt.key for attempt in stage.attempts}) == 3


def test_a_gateway_whose_upstreams_all_fail_says_so() -> None:
    stage = Stage()
    stage.inject(faults.Refused(), "openai")
    stage.inject(faults.Outage(), "groq")
    stage.inject(faults.Reset(-1), "mistral")
    events = stage.ask()
    assert isinstance(events[0], Head)
    assert events[0].status == 502
    assert stage.path == ["gateway:502", "openai:refused", "groq:503", "mistral:reset"]
    assert [attempt.via for attempt in stage.attempts] == [None, "a1", "a1", "a1"]
    assert [attempt.ordinal for attempt in stage.attempts] == [1, 2, 3, 4]


def test_a_fault_of_the_gateway_itself_reaches_no_upstream() -> None:
    stage = Stage()
    stage.inject(faults.Outage(), "gateway", first=1)
    stage.inject(faults.Cut(), "gateway", nth=2)
    stage.ask()
    stage.ask()
    assert stage.path == ["gateway:503", "gateway:200-cut", "openai:200-left"]
    assert stage.attempts[0].faults == ("outage at gateway",)


def test_a_client_that_leaves_a_gateway_ends_what_it_had_begun() -> None:
    stage = Stage()
    stage.ask(stream=True, take=3)
    gateway, upstream = stage.attempts
    assert (gateway.left, upstream.left) == (True, True)
    assert (gateway.ended, upstream.ended) == (0, 0)


def test_an_upstream_that_nothing_simulates_is_a_stray_of_the_call() -> None:
    stage = Stage()
    stage.gateway.upstreams = (Upstream("api.nobody.test", "/", "x"), *UPSTREAMS)
    stage.ask()
    (stray,) = stage.simulator.history.strays
    assert (stray.host, stray.call) == ("api.nobody.test", "c1")
    assert stage.path == ["gateway:200", "openai:200"]


def test_two_runs_of_one_seed_are_alike() -> None:
    def run() -> tuple[list[Event], str]:
        stage = Stage()
        stage.inject(faults.Outage(), "openai", chance=0.5)
        events = [event for _ in range(6) for event in stage.ask()]
        return events, stage.simulator.history.digest()

    assert run() == run()


# -- and through a client


def test_a_client_sees_a_gateway_that_lives_through_an_outage_of_its_upstreams() -> None:
    with pytest_llmroute.world() as world:
        world.simulator.serve(Deployment(HOST, SERVICE, "gateway", gateway=Chain(UPSTREAMS)))
        world.inject("silence", at="openai")
        world.inject("outage", at="groq", between=(5, 60))

        def app() -> str:
            answer = httpx.post(
                f"https://{HOST}/v1/chat/completions",
                headers={"authorization": "Bearer sk-mine"},
                json={"model": MODEL, "messages": [{"role": "user", "content": "hi"}]},
                timeout=30,
            )
            return str(answer.json()["choices"][0]["message"]["content"])

        world.ask(app)
        (call,) = world.history.calls
        assert world.path == ["gateway:200", "openai:silence", "groq:503", "mistral:200"]
        assert call.ended == 10
        assert [attempt.place for attempt in world.sources(call)] == ["mistral"]
        assert "#3" in world.timeline()
