"""Faults of the stream stage that cost time: an answer that comes late, or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from llmroute_sim.faults.aim import interrupted
from llmroute_sim.faults.stages import Scene, StreamFault, at_least
from llmroute_sim.wire import FOREVER, Data, Event, Framing, Head, Wait

__all__ = ("Drip", "Filler", "LatencySpike", "Silence", "SlowFirstToken", "Stall")


@dataclass(frozen=True, slots=True)
class Silence(StreamFault):
    """The request is taken and nothing is ever answered."""

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        scene.act()
        yield Wait(FOREVER)


@dataclass(frozen=True, slots=True)
class LatencySpike(StreamFault):
    """The whole answer comes ``seconds`` late, its head included."""

    seconds: float = 30.0

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        scene.act()
        yield Wait(self.seconds)
        yield from events


@dataclass(frozen=True, slots=True)
class SlowFirstToken(StreamFault):
    """The head comes at once, the first token ``seconds`` after it."""

    seconds: float = 30.0

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        waiting = True
        for event in events:
            if waiting and isinstance(event, Data) and event.part in ("token", "body"):
                waiting = False
                scene.act()
                yield Wait(self.seconds)
            yield event


@dataclass(frozen=True, slots=True)
class Filler(StreamFault):
    """The head comes at once, and the first token ``seconds`` later; meanwhile, ``every`` so many
    seconds, what the format has for the purpose: events or comments of a stream, blank lines before
    JSON. So no read times out. Seen: DeepSeek (https://api-docs.deepseek.com/quick_start/rate_limit),
    OpenRouter's comments (https://openrouter.ai/docs/api-reference/streaming), Anthropic's pings."""

    seconds: float = 30.0
    every: float = 5.0

    _least = at_least(seconds=0.0, every=0.01)

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        times = math.ceil(self.seconds / self.every) - 1 if self.seconds else 0
        waiting = stream = False
        for event in events:
            match event:
                case Head(status=200, framing=Framing.LENGTH, length=length):
                    waiting = True
                    event = replace(event, length=(length or 0) + times)
                case Head(status=200):
                    waiting = stream = True
                case Data(part="token" | "body") if waiting:
                    scene.act()
                    for number in range(times):
                        yield Wait(self.every)
                        said = scene.form.filler(event, number) if stream else b"\n"
                        yield Data(said, "filler")
                    yield Wait(self.seconds - times * self.every)
                    waiting = False
            if stream and not waiting and isinstance(event, Data):
                event = scene.form.behind(event, times)
            yield event


@dataclass(frozen=True, slots=True)
class Drip(StreamFault):
    """Every piece of the answer comes ``seconds`` after the one before, so that no read ever times
    out; a JSON body comes in ten pieces."""

    seconds: float = 5.0

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        scene.act()
        for event in events:
            match event:
                case Data(body=body, part="body") if len(body) > 1:
                    size = -(-len(body) // 10)
                    for start in range(0, len(body), size):
                        yield Wait(self.seconds)
                        yield Data(body[start : start + size])
                case Data():
                    yield Wait(self.seconds)
                    yield event
                case _:
                    yield event


@dataclass(frozen=True, slots=True)
class Stall(StreamFault):
    """After ``after`` tokens nothing more comes, but the connection stands; a JSON body stops half
    way. With ``seconds`` it goes on after so long."""

    after: int = 3
    seconds: float = FOREVER

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in interrupted(events, self.after):
            if due:
                scene.act()
                yield Wait(self.seconds)
            yield event
