"""Retries: how often the same target is tried, when it must be, and when it must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target, answered
from pytest_llmroute.contracts.allowances import Classed, Total
from pytest_llmroute.contracts.reading import (
    INSTANT,
    became,
    changes_nothing,
    down,
    ended,
    failed,
    fruitless,
    made,
    owned,
    retries_of,
    same_deployment,
    seconds,
    settled,
    shadowed,
    spoke,
    surely,
    transient,
    where,
)

__all__ = ("CONTRACTS", "Bounded", "Classed", "Hint", "Hopeless", "Total", "Tried")

_LONGEST = 86_400.0
"""Seconds of the longest hint that anybody is held to."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """A call makes at most ``1 + retries`` attempts at the target; one that says itself how often it may
    be retried (``num_retries``), so many."""

    id: ClassVar[str] = "retry.bounded"
    about: ClassVar[str] = "a call makes at most 1 + retries attempts at the target"

    target: Target
    retries: int

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that met a failure at the target."""
        for call in history.calls:
            most = 1 + retries_of(call, self.retries)[1]
            tries = [a for a in made(history, call) if surely(self.target, a)]
            if not any(map(failed, tries)):
                continue
            evidence = (call.id, *(attempt.id for attempt in tries))
            says = (
                f"{call.id} asked {self.target.name} {_times(len(tries))}; at most {most} allowed"
            )
            if len(tries) > most:
                yield Observation(False, tries[most].id, says, evidence)
            elif settled(history, call):
                yield Observation(True, call.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Tried:
    """A transient failure at the target (5xx, timeout, broken connection) is tried again there while
    fewer than ``1 + retries`` attempts were made, before the call moves on or fails.

    Nothing is said of a failure that brought a hint to wait, of a stream whose tokens were out, or
    where other calls' failures may have put the target out of rotation.
    """

    id: ClassVar[str] = "retry.tried"
    about: ClassVar[str] = "a transient failure is tried again while retries are left"

    target: Target
    retries: int

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per transient failure that left a retry."""
        for call in history.calls:
            attempts = made(history, call)
            tries = [attempt for attempt in attempts if surely(self.target, attempt)]
            least, _ = retries_of(call, self.retries)
            for number, failure in enumerate(tries[:least], start=1):
                if (
                    not transient(failure)
                    or failure.retry_after is not None
                    or (call.stream and spoke(failure))
                    or shadowed(history, call)
                ):
                    continue
                after = attempts[attempts.index(failure) + 1 :]
                met = f"{became(failure)} (try {number} of {1 + least})"
                seen = self._seen(history, call, failure, met, after[0] if after else None)
                if seen is not None:
                    yield seen

    def _seen(
        self, history: History, call: Call, failure: Attempt, met: str, then: Attempt | None
    ) -> Observation | None:
        if then is None:
            now = failure.started if call.ended is None else call.ended
            if not fruitless(call) or down(history, self.target, now, leave_out=call):
                return None
            says = f"{call.id} {call.outcome} after {met} without another try"
            return Observation(False, call.id, says, (call.id, failure.id))
        evidence = (call.id, failure.id, then.id)
        if surely(self.target, then):
            return Observation(True, then.id, f"{then.id} tried again after {met}", evidence)
        if (
            self.target.owns(then)
            or then.started < ended(failure)
            or down(history, self.target, then.started, before=then, leave_out=call)
        ):
            return None
        says = f"{then.id} moved on to {where(then)} after {met}"
        return Observation(False, then.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Hint:
    """After a 429 or 503 with a hint of N seconds the same host, model and key are left alone for N
    seconds. What was already asked when the hint came is not held against anybody, nor is a hint of
    more than a day, which is no wait."""

    id: ClassVar[str] = "retry.hint"
    about: ClassVar[str] = "a deployment that gave a retry hint is left alone for so long"

    targets: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per hint."""
        for number, hinted in enumerate(history.attempts):
            hint = hinted.retry_after
            if (
                hint is None
                or not 0 < hint <= _LONGEST
                or hinted.status not in (429, 503)
                or hinted.via is not None
                or hinted.aside
                or not owned(self.targets, hinted)
            ):
                continue
            told = ended(hinted) if hinted.head is None else hinted.head
            early = [
                later
                for later in history.attempts[number + 1 :]
                if later.via is None
                and not later.aside
                and same_deployment(hinted, later)
                and _aware(hinted, later, told)
                and later.started < told + hint - INSTANT
            ]
            if early:
                first = early[0]
                says = (
                    f"{first.id} asked {where(first)} again {seconds(first.started - told)}"
                    f" after {hinted.id} was given a hint of {seconds(hint)}"
                )
                yield Observation(False, first.id, says, (hinted.id, first.id))
            elif self._tempted(history, hinted, told, told + hint):
                says = f"{where(hinted)} was left alone for the {seconds(hint)} that {hinted.id} was told"
                yield Observation(True, hinted.id, says, (hinted.id,))

    @staticmethod
    def _tempted(history: History, hinted: Attempt, told: float, until: float) -> bool:
        """Whether there was an occasion to ask too early: a call that went on or failed after the
        hint, or one that began before it was over."""
        return any(
            (call.id == hinted.call and (answered(call) or fruitless(call)))
            or told < call.started < until
            for call in history.calls
        )


@dataclass(frozen=True, slots=True)
class Hopeless:
    """What a deployment refused as wrong (400, 401, 403, 404, 413, 422...) is not asked of it again
    by the same call. Another key, model or prompt is another question."""

    id: ClassVar[str] = "retry.hopeless"
    about: ClassVar[str] = "a request that a deployment refused as wrong goes there once"

    targets: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call and deployment that refused it as wrong."""
        for call in history.calls:
            attempts = made(history, call)
            judged: list[Attempt] = []
            for number, refusal in enumerate(attempts):
                if (
                    not changes_nothing(refusal)
                    or not owned(self.targets, refusal)
                    or any(_same_request(refusal, earlier) for earlier in judged)
                ):
                    continue
                judged.append(refusal)
                again = [
                    later
                    for later in attempts[number + 1 :]
                    if _same_request(refusal, later) and later.started >= ended(refusal)
                ]
                if again:
                    says = f"{again[0].id} asked {where(refusal)} the same after {became(refusal)}"
                    evidence = (call.id, refusal.id, *(later.id for later in again))
                    yield Observation(False, again[0].id, says, evidence)
                elif settled(history, call):
                    says = f"{became(refusal)}, and {call.id} did not ask it the same again"
                    yield Observation(True, refusal.id, says, (call.id, refusal.id))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _aware(hinted: Attempt, later: Attempt, told: float) -> bool:
    """Whether who made the later attempt could know the hint. Another call's attempt of the very
    same moment could not."""
    if hinted.call is not None and later.call == hinted.call:
        return later.started >= told
    return later.started > told


def _same_request(one: Attempt, other: Attempt) -> bool:
    return same_deployment(one, other) and one.prompt == other.prompt


CONTRACTS = (Bounded, Tried, Hint, Hopeless, Total, Classed)
