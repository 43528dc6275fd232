"""Faults of the stream stage in what an answer says of itself, and in the order of its pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmroute_sim.faults.aim import interrupted, rewritten
from llmroute_sim.faults.stages import Scene, StreamFault
from llmroute_sim.wire import Data, Event, Wait

__all__ = (
    "DuplicatedChunk",
    "MissingFinish",
    "MissingUsage",
    "ReorderedChunks",
    "SurprisingFinish",
)


@dataclass(frozen=True, slots=True)
class DuplicatedChunk(StreamFault):
    """After ``after`` tokens of a stream the next one comes twice, as from a proxy that sends again. A
    JSON answer is not touched. By analogy with ``cumulative-chunks``."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in interrupted(events, self.after, bodies=False):
            yield event
            if due and isinstance(event, Data) and event.part == "token":
                scene.act("degraded")
                yield event


@dataclass(frozen=True, slots=True)
class ReorderedChunks(StreamFault):
    """After ``after`` tokens of a stream the next two come in each other's place. A JSON answer is
    not touched. By analogy: formats that number their events do so for a reason."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        held: Event | None = None
        for event, due in interrupted(events, self.after, bodies=False):
            token = isinstance(event, Data) and event.part == "token"
            if due and token:
                held = event
                continue
            if held is not None and not isinstance(event, Wait):
                if token and event != held:
                    scene.act("degraded")
                    yield event
                    yield held
                else:
                    yield held
                    yield event
                held = None
                continue
            yield event
        if held is not None:
            yield held


@dataclass(frozen=True, slots=True)
class MissingUsage(StreamFault):
    """The answer does not say how many tokens it used; they are charged all the same
    (https://github.com/BerriAI/litellm/issues/37924)."""

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        def change(data: Data) -> Data | None:
            changed = scene.form.without_usage(data)
            if changed is not data:
                scene.act("degraded")
            return changed

        return rewritten(events, change)


@dataclass(frozen=True, slots=True)
class MissingFinish(StreamFault):
    """The answer ends as it should but for its finish reason, which is null. By analogy with streams
    that end without one (https://github.com/ENTERPILOT/GoModel/issues/1017)."""

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        return _finished(events, None, scene)


@dataclass(frozen=True, slots=True)
class SurprisingFinish(StreamFault):
    """The finish reason is another: ``length``, ``filter``, ``refusal``, ``tools``, ``stop`` in the
    format's own word, or any text as it is, also one that nobody has heard of
    (https://github.com/BerriAI/litellm/issues/40477)."""

    reason: str = "filter"

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        return _finished(events, self.reason, scene)


def _finished(events: Iterator[Event], reason: str | None, scene: Scene) -> Iterator[Event]:
    def change(data: Data) -> Data:
        changed = scene.form.with_finish(data, reason)
        if changed is not data:
            scene.act("degraded")
        return changed

    return rewritten(events, change)
