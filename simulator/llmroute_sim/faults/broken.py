"""Faults of the stream stage that break an answer off, or break it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmroute_sim.faults.aim import chunked, ended, interrupted, rewritten
from llmroute_sim.faults.stages import Scene, StreamFault, at_least
from llmroute_sim.prompt import Refusal
from llmroute_sim.wire import Abort, Data, Event, Framing, Head

__all__ = (
    "Cut",
    "ErrorInBody",
    "ErrorInStream",
    "MalformedChunk",
    "MalformedEvent",
    "MissingTerminal",
    "Reset",
    "WrongLength",
)


@dataclass(frozen=True, slots=True)
class Cut(StreamFault):
    """After ``after`` tokens, or half way through a JSON body, the connection ends in an orderly
    way: no last chunk, no error."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        return ended(events, self.after, scene, Abort("end"))


@dataclass(frozen=True, slots=True)
class Reset(StreamFault):
    """After ``after`` tokens, or half way through a JSON body, the connection is reset; with
    ``after = -1`` before the head."""

    after: int = 3

    _least = at_least(after=-1)

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        if self.after < 0:
            scene.act()
            return iter((Abort("reset"),))
        return ended(events, self.after, scene, Abort("reset"))


@dataclass(frozen=True, slots=True)
class MissingTerminal(StreamFault):
    """After ``after`` tokens the body is properly ended as HTTP, but nothing of the stream's own
    ending is sent: no finish reason, no usage, no terminal event. A JSON answer is not touched."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in interrupted(events, self.after, bodies=False):
            if due:
                scene.act()
                return
            yield event


@dataclass(frozen=True, slots=True)
class ErrorInStream(StreamFault):
    """After ``after`` tokens of a stream an error event comes in place of the rest. A JSON answer is
    not touched: its errors have statuses."""

    after: int = 3
    kind: str = "overloaded"

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in interrupted(events, self.after, bodies=False):
            if due:
                scene.act()
                yield scene.refuse(Refusal(self.kind), event)
                return
            yield event


@dataclass(frozen=True, slots=True)
class ErrorInBody(StreamFault):
    """An answer with status 200 that is not streamed has an error object in place of the answer
    (OpenRouter: https://openrouter.ai/docs/api-reference/errors). Streams are not touched: see
    ``error-in-stream``."""

    kind: str = "overloaded"

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        def change(data: Data) -> Data:
            if data.part != "body":
                return data
            scene.act()
            return Data(scene.error(Refusal(self.kind), data), "error")

        return rewritten(events, change)


@dataclass(frozen=True, slots=True)
class MalformedEvent(StreamFault):
    """After ``after`` tokens of a stream the next event's JSON is broken; the rest comes as if nothing
    had been. A JSON answer is not touched. By analogy with half events at the end of cut streams."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in interrupted(events, self.after, bodies=False):
            if due:
                scene.act("damaged")
                yield Data(scene.form.garbled(), "piece")
                if isinstance(event, Data) and event.part == "token":
                    continue
            yield event


@dataclass(frozen=True, slots=True)
class MalformedChunk(StreamFault):
    """After ``after`` tokens a chunk's size is not a number, and the connection ends; a JSON body is
    sent in such chunks from half way on."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in interrupted(chunked(events), self.after):
            if due:
                scene.act()
                yield Data(b"ZZ\r\nnot a chunk\r\n", part="garbled", raw=True)
                yield Abort("end")
                return
            yield event


@dataclass(frozen=True, slots=True)
class WrongLength(StreamFault):
    """Content-Length promises ``by`` bytes more than there are (or fewer, if negative), and the
    connection ends after the body."""

    by: int = 20

    def __post_init__(self) -> None:
        super(WrongLength, self).__post_init__()
        if self.by == 0:
            raise ValueError("by = 0 is no wrong length")

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        everything = list(events)
        size = sum(len(event.body) for event in everything if isinstance(event, Data))
        scene.act()
        for event in everything:
            if isinstance(event, Head):
                length = max(0, size + self.by)
                yield Head(event.status, event.headers, Framing.LENGTH, length)
                continue
            yield event
            if isinstance(event, Abort):
                return
        yield Abort("end")
