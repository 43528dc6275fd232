"""One attempt that meets a fault, and what a carrier would be given to perform."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from llmroute_sim import faults
from llmroute_sim.incidents import Incident
from llmroute_sim.simulator import Simulator
from llmroute_sim.wire import Address, Data, Event, Head, Request, Wait


class StillClock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime(2027, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


HOSTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "groq": "api.groq.com",
    "mistral": "api.mistral.ai",
    "deepseek": "api.deepseek.com",
    "together": "api.together.ai",
}
RESPONSES = "openai-responses"
"""OpenAI again, in the other of its formats."""
MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-6",
    "groq": "llama-3.1-8b-instant",
    "mistral": "mistral-small-latest",
    "deepseek": "deepseek-chat",
    "together": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
}


def request(provider: str = "openai", *, stream: bool = False, **body: object) -> Request:
    if provider == RESPONSES:
        return _responses(stream, body)
    asked = {
        "model": MODELS[provider],
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 100,
        "stream": stream,
        **body,
    }
    path = "/v1/messages" if provider == "anthropic" else "/v1/chat/completions"
    headers = (("authorization", "Bearer sk-test"), ("content-type", "application/json"))
    return Request("POST", path, headers, json.dumps(asked).encode(), Address(HOSTS[provider]))


def _responses(stream: bool, body: dict[str, object]) -> Request:
    """The same asked by OpenAI's other endpoint."""
    asked = {
        "model": MODELS["openai"],
        "input": "hello",
        "max_output_tokens": 100,
        "stream": stream,
        **body,
    }
    headers = (("authorization", "Bearer sk-test"), ("content-type", "application/json"))
    raw = json.dumps(asked).encode()
    return Request("POST", "/v1/responses", headers, raw, Address(HOSTS["openai"]))


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


def head(events: list[Event]) -> Head:
    return next(event for event in events if isinstance(event, Head))


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
