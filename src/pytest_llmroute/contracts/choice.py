"""Choice: which of several targets a call is sent to first.

Only first picks are looked at, of calls at whose moment no target had failed: what a router does
after a failure is a matter of fallbacks. Two requests of the same moment are read in the router's
favour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from llmroute_sim.history import Attempt, History
from pytest_llmroute.contracts import Observation, Target
from pytest_llmroute.contracts.load import Span, spans
from pytest_llmroute.contracts.picks import Pick, Standing, named, picks
from pytest_llmroute.contracts.reading import INSTANT, ended, money, seconds, surely, whole

__all__ = ("Cheapest", "Fastest", "LeastBusy")

_ENOUGH = 10
"""First picks from which on always the right one is no accident: of two targets, chance would do so
once in a thousand times."""

_WARM = 10
"""First picks from which a router may learn how fast its targets are."""

_SLOWER = 2.0
"""How many times as long every answer of the slower must take as any of the faster."""

_ANSWERS = 5
"""Answers of the faster after which a router may be expected to know it."""

_SOON = 1.0
"""Seconds in which a router may note that an answer is over."""


@dataclass(frozen=True, slots=True)
class Cheapest:
    """A call goes first to the cheapest target that has not failed; ``prices`` compare them, nothing
    is the least of all. Judged from ten calls on."""

    id: ClassVar[str] = "balance.cheapest"
    about: ClassVar[str] = "a call goes to the cheapest healthy target"

    prices: tuple[tuple[Target, Decimal], ...]
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that passed a cheaper target by, else one of all."""
        targets = [target for target, _ in self.prices]
        found = picks(history, targets, self.group, healthy=False)
        if len(found) < _ENOUGH:
            return
        standing = [Standing(history, target) for target in targets]
        right = []
        for pick in found:
            healthy = [n for n, one in enumerate(standing) if not one.down(pick.at)]
            best = min(healthy, key=lambda number: self.prices[number][1], default=pick.target)
            (mine, price), (other, lower) = self.prices[pick.target], self.prices[best]
            if lower < price:
                says = (
                    f"{pick.attempt.id} went to {mine.name} at {money(price)}"
                    f" and passed {other.name} by at {money(lower)}"
                )
                yield Observation(False, pick.attempt.id, says, (pick.call.id, pick.attempt.id))
            elif any(self.prices[number][1] > price for number in healthy):
                right.append(pick)
        if len(right) == len(found):
            says = f"all {len(right)} calls from {right[0].attempt.id} on went to the cheapest healthy target"
            yield Observation(True, right[0].attempt.id, says, named(right))


@dataclass(frozen=True, slots=True)
class LeastBusy:
    """A call goes first to a target that has no more requests in flight than any other. Judged where
    their numbers differed for sure."""

    id: ClassVar[str] = "balance.least-busy"
    about: ClassVar[str] = "a call goes to the target with the fewest requests in flight"

    targets: tuple[Target, ...]
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that found targets unequally busy."""
        loads = [spans(history, target) for target in self.targets]
        for pick in picks(history, self.targets, self.group):
            surely_busy = [_sure(load, pick) for load in loads]
            maybe_busy = [_perhaps(load, pick) for load in loads]
            mine = surely_busy[pick.target]
            others = [number for number in range(len(loads)) if number != pick.target]
            idler = min(others, key=lambda number: len(maybe_busy[number]), default=pick.target)
            chosen = self.targets[pick.target].name
            if len(mine) > len(maybe_busy[idler]):
                says = (
                    f"{pick.attempt.id} went to {chosen} with {len(mine)} in flight,"
                    f" while {self.targets[idler].name} had {len(maybe_busy[idler])}"
                )
                evidence = (pick.call.id, pick.attempt.id, *(span.attempt.id for span in mine))
                yield Observation(False, pick.attempt.id, says, evidence)
                continue
            busier = [n for n in others if len(surely_busy[n]) > len(maybe_busy[pick.target])]
            if busier:
                busy = surely_busy[busier[0]]
                says = (
                    f"{pick.attempt.id} went to {chosen} while {self.targets[busier[0]].name}"
                    f" had {len(busy)} in flight"
                )
                evidence = (pick.call.id, pick.attempt.id, *(span.attempt.id for span in busy))
                yield Observation(True, pick.attempt.id, says, evidence)


def _sure(load: Sequence[Span], pick: Pick) -> list[Span]:
    """What every router would count as in flight when a call was sent."""
    return [
        span
        for span in load
        if span.attempt is not pick.attempt
        and span.start < pick.call.started
        and span.end > pick.at + INSTANT
    ]


def _perhaps(load: Sequence[Span], pick: Pick) -> list[Span]:
    """What some router may count as in flight when a call was sent."""
    return [
        span
        for span in load
        if span.attempt is not pick.attempt
        and span.asked <= pick.at
        and span.end + _SOON > pick.call.started
    ]


@dataclass(frozen=True, slots=True)
class Fastest:
    """Calls go to the faster target: one every answer of which takes at least twice as long as any
    answer of another gets at most a quarter of the first picks, once there were ten of these to
    learn from, and five answers of the faster."""

    id: ClassVar[str] = "balance.fastest"
    about: ClassVar[str] = "a target that is much slower than another is left alone"

    targets: tuple[Target, ...]
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation, where one target is slower and there were calls enough."""
        answers = [
            [a for a in history.attempts if surely(target, a) and whole(a)]
            for target in self.targets
        ]
        found = picks(history, self.targets, self.group)
        for slow, late in enumerate(answers):
            known = [_known(late, early) for early in answers if early is not late]
            learnt = min((moment for moment in known if moment is not None), default=None)
            if learnt is None:
                continue
            after = [pick for pick in found[_WARM:] if pick.at > learnt]
            wrong = [pick for pick in after if pick.target == slow]
            if len(after) < 2 * _ENOUGH:
                continue
            says = (
                f"{len(wrong)} of {len(after)} calls from {after[0].attempt.id} on went to"
                f" {self.targets[slow].name}, which takes {seconds(min(map(_took, late)))} and more"
            )
            yield Observation(4 * len(wrong) <= len(after), after[0].attempt.id, says, named(after))


def _known(late: Sequence[Attempt], early: Sequence[Attempt]) -> float | None:
    """When it could be known that one target is slower than another, None where it is not so."""
    if not late or len(early) < _ANSWERS:
        return None
    for measure in (_took, _waited):
        if min(map(measure, late)) < _SLOWER * max(map(measure, early)):
            return None
    return max(ended(late[0]), ended(early[_ANSWERS - 1]))


def _took(attempt: Attempt) -> float:
    return ended(attempt) - attempt.started


def _waited(attempt: Attempt) -> float:
    """How long until the first token of a stream, which a router may measure instead."""
    if not attempt.stream or attempt.first_token is None:
        return _took(attempt)
    return attempt.first_token - attempt.started
