"""Health: a deployment that failed too often is left alone for a while, and then used again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target
from pytest_llmroute.contracts.reading import (
    INSTANT,
    began_at,
    deployments_of,
    ended,
    failed,
    flawed,
    forsaken,
    groups_of,
    made,
    routed,
    seconds,
    sibling_serves,
    spoke,
    transient,
    where,
    whole,
)
from pytest_llmroute.contracts.rotation import Leaves, Stays, Transient

__all__ = ("CONTRACTS", "Cooldown", "Leaves", "Stays", "Transient")

_GRACE = 1.0
"""Seconds after which a deployment whose cooldown is over must be in use again."""

_ROW = 6
"""Calls that show a habit and its end. A router that picks by chance would seldom look like that."""

_SELDOM, _HARDLY_EVER = 1e-3, 1e-6
"""How probable it may be that calls all went elsewhere by chance, where that blames nobody and where it
may."""


@dataclass(frozen=True, slots=True)
class Cooldown:
    """A deployment that left rotation gets nothing for ``seconds``, and is used again afterwards.

    ``failures`` is how many in a row, within ``seconds``, make it leave. It may leave before, and
    without such a number it is the only way: it is known to have left when calls, all of which used to
    begin there, are answered by a sibling without asking it, six calls in a row together; or, where
    chance lets a ``share`` of the calls begin there, so many that chance alone would seldom do that.
    What left before its number is not blamed for coming back early. Judged only while a sibling
    serves: with none left, a router may ask anybody.
    Failures that a router may count or not (wrong requests, streams that broke off after their first
    token) are not counted.
    """

    id: ClassVar[str] = "health.cooldown"
    about: ClassVar[str] = "a deployment that left rotation rests for so long, and comes back"

    target: Target
    seconds: float
    failures: int | None = None
    share: float | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """For each time that a deployment left: whether it was left alone, whether it came back."""
        if self.seconds <= INSTANT:
            return
        for attempts in deployments_of(history, self.target):
            since = 0.0
            while (rest := self._left(history, attempts, since)) is not None:
                found = list(self._rested(history, rest))
                if found or self.failures is None:
                    # Coming back proves nothing of one that nobody was kept from meanwhile.
                    found += self._returned(history, rest)
                if rest.due or all(one.kept for one in found):
                    yield from found
                since = rest.out + self.seconds

    def _left(self, history: History, attempts: list[Attempt], since: float) -> _Rest | None:
        """The first time from ``since`` that a deployment left rotation."""
        groups = groups_of(history, attempts)
        calls = [call for call in history.calls if call.group in groups]
        own = {call.id: call for call in calls}
        asked = [a for a in attempts if a.started >= since and a.call in own]
        settled = sorted(asked, key=ended)
        streak: list[Attempt] = []
        for number, attempt in enumerate(settled):
            call = own[str(attempt.call)]
            # A stream that its caller left in the middle may count as a success, and so may an answer
            # that something was wrong with.
            if whole(attempt) or flawed(attempt) or (spoke(attempt) and forsaken(call, attempt)):
                streak.clear()
            if not _counts(attempt, call):
                continue
            streak.append(attempt)
            out = ended(attempt)
            # After a rest nobody has to be back at once.
            first = calls.index(own[str(asked[0].call)]) if since else 0
            before = [call for call in calls[first:] if call.started <= out]
            earliest = _earliest(attempts, own, streak, self.failures)
            due = self.failures is None or _quick(streak, self.failures, self.seconds)
            rest = _Rest(attempt, out, earliest, tuple(attempts), tuple(calls), tuple(before), due)
            then = settled[number + 1].started if number + 1 < len(settled) else math.inf
            if (self.failures is not None and due) or self._skipped(history, rest, then):
                return rest
        return None

    def _skipped(self, history: History, rest: _Rest, then: float) -> bool:
        """Whether calls went elsewhere, after a failure and until it was asked again, that would not
        have done so for any other reason that shows."""
        if not rest.due and rest.last.retry_after is not None:
            return False
        mine = {attempt.id for attempt in rest.attempts}
        after = [call for call in rest.calls if rest.out < call.started < then]
        skips = [call for call in after if _served_elsewhere(history, call, mine)]
        if self.share is None and (not skips or len(rest.before) + len(skips) < _ROW):
            return False
        return self._chance(history, rest, skips) < (_HARDLY_EVER if rest.due else _SELDOM)

    def _chance(self, history: History, rest: _Rest, calls: list[Call]) -> float:
        """How probable it is that none of these calls begins at a deployment that is in rotation."""
        mine = {attempt.id for attempt in rest.attempts}
        if self.share is None:
            return float(not all(began_at(history, call, mine) for call in rest.before))
        beginners = {call.group for call in rest.calls if began_at(history, call, mine)}
        return (1 - self.share) ** sum(call.group in beginners for call in calls)

    def _rested(self, history: History, rest: _Rest) -> Iterator[Observation]:
        until = rest.earliest + self.seconds - INSTANT
        mine = {attempt.id for attempt in rest.attempts}
        late = [call for call in rest.calls if rest.out < call.started < until]
        for call in late:
            for attempt in made(history, call):
                if (
                    attempt.id in mine
                    and attempt.started < until
                    and sibling_serves(history, rest.groups, mine, attempt.started, rest.out)
                ):
                    says = (
                        f"{attempt.id} asked {where(attempt)} {seconds(attempt.started - rest.out)}"
                        f" after it left rotation ({rest.last.id}); {seconds(self.seconds)} promised"
                    )
                    yield Observation(False, attempt.id, says, (rest.last.id, call.id, attempt.id))
                    return
        served = [call for call in late if _served_elsewhere(history, call, mine)]
        if served:
            says = (
                f"{where(rest.last)} failed at {seconds(rest.out)} ({rest.last.id}) and got nothing"
                f" for {seconds(self.seconds)}, while {served[0].id} was answered elsewhere"
            )
            evidence = (rest.last.id, *(call.id for call in served))
            yield Observation(True, rest.last.id, says, evidence)

    def _returned(self, history: History, rest: _Rest) -> Iterator[Observation]:
        due = rest.out + self.seconds
        # Attempts that were under way when it left may have made its rest longer.
        longest = self.seconds + max(
            ended(attempt)
            for attempt in rest.attempts
            if failed(attempt) and attempt.started < due - INSTANT
        )
        back = [a for a in rest.attempts if a.started >= due - INSTANT and a.call is not None]
        if back:
            first = back[0]
            says = f"{first.id} asked {where(first)} again {seconds(first.started - rest.out)} after it left"
            yield Observation(True, first.id, says, (rest.last.id, first.id))
            return
        after = [call for call in rest.calls if call.started > longest + _GRACE]
        missing = [call for call in after if routed(history, call)]
        if missing and self._chance(history, rest, missing) < _HARDLY_EVER:
            call = missing[0]
            says = (
                f"{call.id} did not ask {where(rest.last)}, nor did any later call, though its"
                f" {seconds(self.seconds)} were over {seconds(call.started - longest)} before"
            )
            yield Observation(False, call.id, says, (rest.last.id, *(c.id for c in missing)))


@dataclass(frozen=True, slots=True)
class _Rest:
    """A deployment that left rotation: the last failure before, when that was known, when it may have
    left already, all that was ever asked of it, the calls of the groups that ask it, those of them
    that began while it was in rotation, and whether it had to leave."""

    last: Attempt
    out: float
    earliest: float
    attempts: tuple[Attempt, ...]
    calls: tuple[Call, ...]
    before: tuple[Call, ...]
    due: bool

    @property
    def groups(self) -> set[str | None]:
        return {call.group for call in self.calls}


def _counts(attempt: Attempt, call: Call) -> bool:
    """Whether every router would call it a failure of the deployment."""
    if (call.stream and spoke(attempt)) or (call.outcome == "left" and attempt.left):
        return False
    return transient(attempt) or attempt.status == 429


def _quick(streak: list[Attempt], failures: int, within: float) -> bool:
    """Whether so many failures came in a row, all in so many seconds."""
    return len(streak) >= failures and ended(streak[-1]) - ended(streak[-failures]) <= within


def _earliest(
    attempts: list[Attempt], own: dict[str, Call], streak: list[Attempt], failures: int | None
) -> float:
    """When a deployment may have left. Where more failures without a success came before those that
    count, a router may have counted from there, and have been done with the first of these."""
    counted = streak if failures is None else streak[-failures:]
    before = [a for a in attempts if a.call in own and ended(a) < ended(counted[0])]
    last = max(before, key=ended, default=None)
    doubtful = last is not None and _counts(last, own[str(last.call)])
    return ended(counted[0] if doubtful else streak[-1])


def _served_elsewhere(history: History, call: Call, mine: set[str]) -> bool:
    attempts = made(history, call)
    return not any(a.id in mine for a in attempts) and any(map(whole, attempts))


CONTRACTS = (Cooldown, Transient, Leaves, Stays)
