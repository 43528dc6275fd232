"""What became of an attempt, read off the events that were really performed."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator

from llmroute_sim.history import Attempt
from llmroute_sim.wire import Abort, Data, Event, Framing, Head, Wait

__all__ = ("watch",)


def watch(
    events: Iterator[Event], attempt: Attempt, now: Callable[[], float]
) -> Generator[Event, None, None]:
    """Pass events on and write into the attempt what they say of it. An event counts as performed
    when the next one is asked for; a client that leaves closes this iterator."""
    seen = _Seen(attempt)
    try:
        for event in events:
            match event:
                case Data():
                    seen.data(event, now)
                case Head():
                    seen.head(event, now)
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
        attempt.ended = round(now(), 6)
        seen.conclude()


class _Seen:
    """The state of one exchange while it is watched."""

    __slots__ = (
        "aborted", "attempt", "body", "declared", "ended", "error", "garbled", "streamed",
        "terminal", "waiting",
    )  # fmt: skip

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.waiting: float | None = None
        self.aborted: str | None = None
        self.ended = self.error = self.garbled = self.terminal = False
        self.streamed = False
        self.declared: int | None = None
        self.body = 0

    def head(self, head: Head, now: Callable[[], float]) -> None:
        self.attempt.status = head.status
        self.attempt.head = round(now(), 6)
        if head.framing is Framing.LENGTH:
            self.declared = head.length

    def data(self, data: Data, now: Callable[[], float]) -> None:
        self.body += len(data.body)
        self.attempt.last = round(now(), 6)
        match data.part:
            case "token" | "body":
                self.streamed = self.streamed or data.part == "token"
                if self.attempt.first_token is None and self.attempt.status == 200:
                    self.attempt.first_token = self.attempt.last
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
        if self.aborted or self.error or self.garbled:
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
        if self.attempt.left:
            # A client that has all it needs may leave before the framing ends.
            return "" if self.terminal else "-left"
        return "" if self.attempt.complete else "-unfinished"
