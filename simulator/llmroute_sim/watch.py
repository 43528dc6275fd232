"""What became of an attempt, read off the events that were really performed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator

from llmroute_sim.history import Attempt
from llmroute_sim.wire import Abort, Data, Event, Flaw, Framing, Head, Part, Wait

__all__ = ("watch",)


def watch(
    events: Iterator[Event],
    attempt: Attempt,
    now: Callable[[], float],
    flaws: Collection[Flaw] = (),
) -> Generator[Event, None, None]:
    """Pass events on and write into the attempt what they say of it. An event counts as performed
    when the next one is asked for; a client that leaves closes this iterator. ``flaws`` are what by
    then was wrong with an answer that arrives to its end."""
    seen = _Seen(attempt, flaws)
    try:
        for event in events:
            match event:
                case Data():
                    seen.body += len(event.body)
                    attempt.last = now()
                    seen.part(event.part)
                case Head():
                    attempt.status, attempt.head = event.status, now()
                    if event.framing is Framing.LENGTH:
                        seen.declared = event.length
                case Wait(seconds=seconds):
                    seen.waiting = seconds
                    yield event
                    seen.waiting = None
                    continue
                case Abort(kind=kind):
                    seen.aborted = kind
            yield event
        seen.ended = True
    finally:
        attempt.ended = now()
        seen.conclude()


class _Seen:
    """The state of one exchange while it is watched."""

    waiting: float | None = None
    aborted: str | None = None
    declared: int | None = None
    body = 0
    ended = error = garbled = terminal = streamed = False

    def __init__(self, attempt: Attempt, flaws: Collection[Flaw]) -> None:
        self.attempt = attempt
        self.flaws = flaws

    def part(self, part: Part) -> None:
        """A segment that carries this was performed."""
        match part:
            case "token" | "body":
                if part == "token":
                    self.streamed = True
                attempt = self.attempt
                if attempt.first_token is None and attempt.status == 200:
                    attempt.first_token = attempt.last
            case "open":
                self.streamed = True
            case "terminal":
                self.terminal = True
            case "error":
                self.error = True
            case "garbled":
                self.garbled = True

    def conclude(self) -> None:
        attempt = self.attempt
        attempt.complete = self.ended and self._whole()
        attempt.left = not self.ended and self.aborted is None
        attempt.outcome = self._outcome()

    def _whole(self) -> bool:
        if self.aborted or self.error or self.garbled or "damaged" in self.flaws:
            return False
        if self.streamed:
            return self.terminal
        return self.declared is None or self.declared == self.body

    def _outcome(self) -> str:
        status = self.attempt.status
        silent = self.waiting is not None and math.isinf(self.waiting)
        if status is None:
            return self.aborted or ("silence" if silent else "left")
        return f"{status}{self._flaw(silent)}"

    def _flaw(self, silent: bool) -> str:
        """What is wrong with the body, with the dash before it, or nothing."""
        if self.garbled:
            return "-garbled"
        if self.error:
            return "-error"
        if self.aborted == "reset":
            return "-reset"
        if self.declared is not None and self.declared < self.body:
            return "-length"
        if self.aborted is not None:
            return "-cut"
        if silent:
            return "-stall"
        if self.flaws:
            return "-damaged" if "damaged" in self.flaws else "-degraded"
        if self.attempt.left:
            # A client that has all it needs may leave before the framing ends.
            return "" if self.terminal else "-left"
        return "" if self.attempt.complete else "-unfinished"
