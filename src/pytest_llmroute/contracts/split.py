"""Split: whether calls are spread over targets by declared shares, by an exact test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from llmroute_sim.history import History
from pytest_llmroute.contracts import Observation, Target
from pytest_llmroute.contracts.chance import Chance, calls_needed, fractions, tails, tests
from pytest_llmroute.contracts.picks import astray, named, picks

__all__ = ("SURE", "Split", "calls_to_tell")

SURE = 0.99
"""With what probability a split that ignores the shares must be found before one that is not found
counts as kept."""


@dataclass(frozen=True, slots=True)
class Split:
    """Calls are spread over targets by declared shares, whatever the order of the list.

    An exact test: ``alarm`` is the probability that a router which draws every call by these shares is
    called broken. Kept only where the calls are enough to find, with a probability of 0.99, a router
    that ignores the shares: one that spreads evenly or, where the shares are even, one that sends the
    first target twice its share.
    """

    id: ClassVar[str] = "balance.split"
    about: ClassVar[str] = "calls are spread by the declared shares"

    shares: tuple[tuple[Target, float], ...]
    alarm: Chance = 1e-6
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation, where there are enough calls."""
        targets = [target for target, _ in self.shares]
        found = picks(history, targets, self.group)
        if not found or astray(history, targets, found):
            return
        parts = fractions([share for _, share in self.shares])
        hits = [sum(pick.target == number for pick in found) for number in range(len(targets))]
        likely = [
            2 * min(tails(hit, len(found), part)) for hit, part in zip(hits, parts, strict=True)
        ]
        least = min(likely)
        off = likely.index(least)
        got = ", ".join(
            f"{target.name} {hit} of {len(found)} ({float(part):.0%} declared)"
            for target, hit, part in zip(targets, hits, parts, strict=True)
        )
        mine = [pick for pick in found if pick.target == off] or found
        first = mine[0].attempt
        evidence = named(mine)
        if least < self.alarm / tests(len(targets)):
            says = f"from {first.id} on: {got}; chance does that once in {_rarely(float(least))}"
            yield Observation(False, first.id, says, evidence)
        elif len(found) >= self._enough():
            yield Observation(True, first.id, f"from {first.id} on: {got}", evidence)

    def _enough(self) -> float:
        try:
            return calls_to_tell(tuple(share for _, share in self.shares), self.alarm)
        except ValueError:
            return math.inf


@cache
def calls_to_tell(shares: tuple[float, ...], alarm: float = 1e-6) -> int:
    """How many calls tell a router that ignores shares from one that keeps them: one that spreads
    evenly or, where they are even, that sends the first target twice its share. Raises ``ValueError``
    where the shares are so nearly even that 5000 calls do not."""
    return calls_needed(shares, _ignorant(shares), alarm, SURE)


def _ignorant(shares: Sequence[float]) -> Sequence[float]:
    if len(set(shares)) > 1:
        return [1.0] * len(shares)
    rest = len(shares) - 1
    return [2.0 * rest, *[float(len(shares) - 2)] * rest] if rest > 1 else [1.0, 0.0]


def _rarely(chance: float) -> str:
    return f"{1 / chance:.1g} times" if chance > 1e-30 else "more than 1e30 times"
