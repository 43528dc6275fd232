"""Latency: how long a caller waits, and how long a provider is waited for that still speaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation
from pytest_llmroute.contracts.reading import (
    INSTANT,
    ended,
    failed,
    forsaken,
    made,
    seconds,
    where,
)
from pytest_llmroute.contracts.stream import SLACK

__all__ = ("CONTRACTS", "AnswerWithin", "AttemptWithin", "FirstToken")


@dataclass(frozen=True, slots=True)
class FirstToken:
    """A stream whose first token has not come ``seconds`` after it was asked for, and a second of
    slack, is left, whatever else came meanwhile: its head, a role, pings. Judged where a first token
    came late or not at all."""

    id: ClassVar[str] = "latency.first-token"
    about: ClassVar[str] = "a stream whose first token does not come in time is left"

    seconds: float

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per stream whose first token did not come in time."""
        for attempt, call in _tied(history):
            if not attempt.stream:
                continue
            first = attempt.first_token
            until = _until(attempt, call) if first is None else first
            waited = until - attempt.started
            if first is not None and waited <= self.seconds + SLACK:
                continue
            if first is None and not attempt.left:
                continue
            yield from _judged(attempt, call, waited, self.seconds, "for its first token")


@dataclass(frozen=True, slots=True)
class AttemptWithin:
    """An attempt that is not streamed is left ``seconds`` after it was made, and a second of slack,
    even while its answer comes in drops. Judged where an answer took that long."""

    id: ClassVar[str] = "latency.attempt"
    about: ClassVar[str] = "an attempt that is not streamed is left in time, even while bytes drip"

    seconds: float

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per attempt that took as long, or was left before it could."""
        for attempt, call in _tied(history):
            waited = _until(attempt, call) - attempt.started
            if attempt.stream or not (attempt.left or waited > self.seconds + SLACK):
                continue
            yield from _judged(attempt, call, waited, self.seconds, "for its answer")


@dataclass(frozen=True, slots=True)
class AnswerWithin:
    """A call is over within ``seconds``: its caller has the whole answer, or an error. Judged where
    one of its attempts failed or met a fault, or it took longer."""

    id: ClassVar[str] = "latency.answer"
    about: ClassVar[str] = "a caller has an answer, or an error, in time"

    seconds: float
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that met a fault or took longer."""
        for call in history.calls:
            if self.group not in (None, call.group) or call.ended is None:
                continue
            took = call.ended - call.started
            attempts = made(history, call)
            late = call.outcome == "hung" or took > self.seconds + INSTANT
            met = any(attempt.faults or failed(attempt) for attempt in attempts)
            if not (late or met) or call.outcome not in ("answered", "failed", "hung"):
                continue
            says = (
                f"{call.id} {call.outcome} after {seconds(took)}; {seconds(self.seconds)} allowed"
            )
            evidence = (call.id, *(attempt.id for attempt in attempts))
            yield Observation(not late, call.id, says, evidence)


def _tied(history: History) -> Iterator[tuple[Attempt, Call]]:
    """The attempts of known calls that were connected, each with its call."""
    calls = {call.id: call for call in history.calls}
    for attempt in history.attempts:
        call = calls.get(attempt.call or "")
        if call is not None and not attempt.aside and attempt.via is None and attempt.model:
            yield attempt, call


def _until(attempt: Attempt, call: Call) -> float:
    """Until when somebody waited for an attempt."""
    if call.ended is not None and (attempt.ended is None or forsaken(call, attempt)):
        return call.ended
    return ended(attempt)


def _judged(
    attempt: Attempt, call: Call, waited: float, allowed: float, what: str
) -> Iterator[Observation]:
    says = f"{attempt.id} waited {seconds(waited)} {what} at {where(attempt)}; {seconds(allowed)} allowed"
    if waited > allowed + SLACK:
        yield Observation(False, attempt.id, says, (call.id, attempt.id))
    elif waited >= allowed - INSTANT and call.outcome in ("answered", "failed"):
        yield Observation(True, attempt.id, says, (call.id, attempt.id))


CONTRACTS = (FirstToken, AnswerWithin, AttemptWithin)
