"""Picks: where calls were sent first, and what was known of the targets by then."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.reading import ended, failed, flawed, shadowed, surely, whole

__all__ = ("Pick", "Standing", "astray", "named", "picks")

_SHOWN = 20
"""First picks that are named as evidence of what many did."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A call, its first attempt, and the number of the target that this went to."""

    call: Call
    attempt: Attempt
    target: int

    @property
    def at(self) -> float:
        """When it was sent."""
        return self.attempt.started


class Standing:
    """What was known of a target at a moment."""

    def __init__(self, history: History, target: Target) -> None:
        began = {call.id: call.started for call in history.calls}
        own = [a for a in history.attempts if a.via is None and target.owns(a)]
        bad = sorted(ended(a) for a in own if failed(a) or flawed(a))
        good = sorted(
            (ended(a), began.get(a.call or "", a.started)) for a in own if whole(a) and not a.aside
        )
        self._bad = bad
        self._good = [end for end, _ in good]
        self._latest = list(accumulate((start for _, start in good), max))

    def down(self, moment: float) -> bool:
        """Whether it had failed, and no call that began after that was answered by it: then a router
        may have reason not to ask it."""
        if not (failures := bisect_right(self._bad, moment)):
            return False
        answers = bisect_right(self._good, moment)
        return not answers or self._latest[answers - 1] <= self._bad[failures - 1]


def picks(
    history: History, targets: Sequence[Target], group: str | None, *, healthy: bool = True
) -> list[Pick]:
    """Where the calls for a group were sent first that began at one of the targets and nowhere else,
    for all that is known; with ``healthy`` only those at whose moment nothing was known against any
    target. Where no group is said, the calls must all have asked for the same name."""
    first = _first(history)
    standing = [Standing(history, target) for target in targets]
    untied = bool(history.untied)
    found = []
    for call in history.calls:
        sent = first.get(call.id)
        if sent is None or (group is not None and call.group != group):
            continue
        owners = [number for number, target in enumerate(targets) if target.owns(sent)]
        if len(owners) != 1 or not surely(targets[owners[0]], sent):
            continue
        if untied and shadowed(history, call):
            continue
        if healthy and any(one.down(sent.started) for one in standing):
            continue
        found.append(Pick(call, sent, owners[0]))
    return found if len({pick.call.group for pick in found}) <= 1 else []


def astray(history: History, targets: Sequence[Target], found: Sequence[Pick]) -> bool:
    """Whether calls for the same name began with nobody of these, or nobody knows with whom: then
    who else may be picked is not known, or somebody was not recognised."""
    groups = {pick.call.group for pick in found}
    first = _first(history)
    return any(
        sum(target.owns(sent) for target in targets) != 1
        for call in history.calls
        if call.group in groups and (sent := first.get(call.id)) is not None
    )


def _first(history: History) -> dict[str, Attempt]:
    """The first attempt of every call."""
    first: dict[str, Attempt] = {}
    for attempt in history.attempts:
        if attempt.via is None and not attempt.aside and attempt.call is not None:
            first.setdefault(attempt.call, attempt)
    return first


def named(found: Sequence[Pick]) -> tuple[str, ...]:
    """The attempts that show what many did: the first of them."""
    return tuple(pick.attempt.id for pick in found[:_SHOWN])
