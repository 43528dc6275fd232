"""Who leaves rotation: whoever keeps failing, nobody for one failure, and nobody at all where that is
switched off."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target
from pytest_llmroute.contracts.reading import (
    became,
    began_at,
    deployments_of,
    ended,
    failed,
    flawed,
    forsaken,
    groups_of,
    made,
    routed,
    shadowed,
    sibling_serves,
    where,
    whole,
)

__all__ = ("Leaves", "Stays", "Transient")

_MINUTE = 60.0
"""Seconds within which failures add up for everybody who counts them."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """A deployment of the target that has failed every call is left out for ``seconds`` after so many
    ``failures``, as long as a sibling serves. What counts as a failure is what shows that a deployment
    cannot serve: 5xx, 429, no connection, silence, streams that break off; not wrong requests."""

    id: ClassVar[str] = "health.rotation"
    about: ClassVar[str] = "a deployment that fails every call leaves rotation"

    target: Target
    failures: int
    seconds: float = 1.0

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that began while a deployment ought to have left."""
        calls = {call.id: call for call in history.calls}
        for attempts in deployments_of(history, self.target):
            row: list[Attempt] = []
            mine = {attempt.id for attempt in attempts}
            for attempt in sorted(attempts, key=ended):
                call = calls.get(attempt.call or "")
                if call is None or not _cannot_serve(call, attempt):
                    break
                row.append(attempt)
            if len(row) < self.failures:
                continue
            counted = row[: self.failures]
            out = ended(counted[-1])
            if out - ended(counted[0]) > min(_MINUTE, max(self.seconds, 1.0)):
                continue
            yield from self._after(history, counted, out, mine)

    def _after(
        self, history: History, counted: list[Attempt], out: float, mine: set[str]
    ) -> Iterator[Observation]:
        groups = groups_of(history, counted)
        first = f"{where(counted[-1])} had failed {len(counted)} times of {len(counted)}"
        evidence = tuple(attempt.id for attempt in counted)
        for call in history.calls:
            if (
                call.group not in groups
                or not out < call.started < ended(counted[0]) + self.seconds
            ):
                continue
            attempts = made(history, call)
            back = [attempt for attempt in attempts if attempt.id in mine]
            if back and sibling_serves(history, groups, mine, back[0].started):
                says = f"{back[0].id} asked {where(back[0])}, which {first[len(where(counted[-1])) + 1 :]}"
                yield Observation(False, back[0].id, says, (*evidence, back[0].id))
            elif not back and any(map(whole, attempts)) and not shadowed(history, call):
                says = f"{first}, and {call.id} was answered without it"
                yield Observation(True, call.id, says, (*evidence, call.id))


@dataclass(frozen=True, slots=True)
class Transient:
    """One failure that another try may mend (5xx, a refused or broken connection) does not take a
    deployment out of rotation: the next call that would have begun there does. Judged where all calls
    before began there, so that nobody chose by chance.

    With a ``share``, the part of all calls that is declared to begin there, also where somebody
    chooses by chance: broken once so many calls began elsewhere that chance does it with a probability
    of less than ``alarm``. ``answers`` are how many it must have given before it failed.
    """

    id: ClassVar[str] = "health.transient"
    about: ClassVar[str] = "one transient failure does not take a deployment out"

    targets: tuple[Target, ...]
    share: float | None = None
    answers: int = 1
    alarm: float = 1e-6

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per failure that came alone."""
        if self.share is not None:
            yield from self._by_chance(history, self.share)
            return
        for then in _nexts(history, self.targets[0]):
            [*earlier, failure] = then.before
            if self._alone(earlier) and _mendable(failure):
                says = f"{became(failure)}, once; {then.call.id} began {then.began}"
                yield Observation(then.there, then.call.id, says, (failure.id, then.call.id))

    def _alone(self, earlier: list[Attempt]) -> bool:
        return not any(map(failed, earlier)) and sum(map(whole, earlier)) >= self.answers

    def _by_chance(self, history: History, share: float) -> Iterator[Observation]:
        found = deployments_of(history, self.targets[0])
        if len(found) != 1 or len(self.targets[0].deployments) != 1:
            return
        attempts = sorted(found[0], key=lambda attempt: attempt.started)
        mine = {attempt.id for attempt in attempts}
        failure = next((attempt for attempt in attempts if failed(attempt)), None)
        if failure is None or not _mendable(failure) or failure.retry_after is not None:
            return
        if not self._alone(attempts[: attempts.index(failure)]):
            return
        groups = groups_of(history, attempts)
        needed = 1 if share >= 1 else math.ceil(math.log(self.alarm, 1 - share) - 1e-9)
        away: list[Call] = []
        for call in history.calls:
            asked = made(history, call)
            if (
                call.group not in groups
                or call.started <= ended(failure)
                or not asked
                or shadowed(history, call)
            ):
                continue
            evidence = (failure.id, *(one.id for one in away), call.id)
            if asked[0].id in mine:
                says = f"{became(failure)}, once; {call.id} began there all the same"
                yield Observation(True, call.id, says, evidence)
                return
            away.append(call)
            if len(away) == needed:
                says = (
                    f"{became(failure)}, once; {away[0].id} and {needed - 1} more began elsewhere"
                )
                yield Observation(False, away[0].id, says, evidence)
                return


@dataclass(frozen=True, slots=True)
class Stays:
    """Where nobody is ever taken out of rotation, a call that would have begun at a deployment begins
    there, whatever happened before. Judged where all calls before began there, so that nobody chose by
    chance, and not while a hint to wait is heeded."""

    id: ClassVar[str] = "health.never"
    about: ClassVar[str] = "a deployment is never left out, whatever it failed"

    targets: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that began after a failure."""
        for then in _nexts(history, self.targets[0]):
            failure = then.before[-1]
            says = f"{became(failure)}; {then.call.id} began {then.began}"
            yield Observation(then.there, then.call.id, says, (failure.id, then.call.id))


@dataclass(frozen=True, slots=True)
class _Next:
    """A call that began after a failure of the deployment where all before it began: what was asked
    there ``before``, the failure last, and whether it began ``there`` too."""

    call: Call
    before: tuple[Attempt, ...]
    there: bool

    @property
    def began(self) -> str:
        return "there all the same" if self.there else "elsewhere"


def _nexts(history: History, target: Target) -> Iterator[_Next]:
    """For each failure at the only deployment of a target: the next call of its group."""
    found = deployments_of(history, target)
    if len(found) != 1 or len(target.deployments) != 1:
        return
    [attempts] = found
    mine = {attempt.id for attempt in attempts}
    groups = groups_of(history, attempts)
    calls = [call for call in history.calls if call.group in groups and routed(history, call)]
    for number, call in enumerate(calls):
        before = [a for a in attempts if a.started < call.started]
        if not before or not failed(before[-1]) or flawed(before[-1]):
            continue
        settled = all(ended(attempt) < call.started for attempt in before)
        asked = made(history, call)
        if (
            not settled
            or not asked
            or shadowed(history, call)
            or _waits(before, call.started)
            or not all(began_at(history, one, mine) for one in calls[:number])
        ):
            continue
        there = asked[0].id in mine
        yield _Next(call, tuple(before), there)
        if not there:
            return


def _waits(before: list[Attempt], moment: float) -> bool:
    """Whether somebody may be heeding a hint."""
    return any(
        attempt.retry_after is not None and ended(attempt) + attempt.retry_after >= moment
        for attempt in before
    )


def _mendable(attempt: Attempt) -> bool:
    """Whether a failure is of the kind that passes, and that nobody takes for more. Silence is not: to
    wait for somebody is dear."""
    if attempt.status is not None:
        return attempt.status >= 500
    return attempt.outcome in ("refused", "reset", "end")


def _cannot_serve(call: Call, attempt: Attempt) -> bool:
    if not failed(attempt) or flawed(attempt) or forsaken(call, attempt):
        return False
    status = attempt.status
    return status is None or status in (200, 429) or status >= 500
