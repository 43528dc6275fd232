"""Chance: how likely a split of calls is if each was drawn by declared shares, told exactly.

The number of calls that one target gets of ``n`` independent draws is binomial. Its tails are summed
in whole numbers, so that nothing is approximated however small the probability. A split over several
targets is looked at target by target, each with its part of the alarm (Bonferroni): the probability
that a router which draws as declared is blamed is at most the alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import comb
from typing import TypeAlias

__all__ = ("Chance", "band", "calls_needed", "fractions", "power", "tails")

Chance: TypeAlias = float
"""A probability, above 0 and below 1."""


def fractions(shares: Sequence[float]) -> tuple[Fraction, ...]:
    """Shares as parts of the whole, exactly as they are written: 0.7 is seven tenths. Raises
    ``ValueError`` where one is negative or all are nothing."""
    parts = [Fraction(str(share)) for share in shares]
    if any(part < 0 for part in parts) or not (whole := sum(parts)):
        raise ValueError(f"{list(shares)} are no shares")
    return tuple(part / whole for part in parts)


def tails(hits: int, draws: int, share: Fraction) -> tuple[Fraction, Fraction]:
    """The probabilities of at most and of at least so many hits."""
    at_most = sum(_terms(draws, share, hits + 1))
    whole = share.denominator**draws
    here = comb(draws, hits) * _weight(share, hits, draws)
    return Fraction(at_most, whole), Fraction(whole - at_most + here, whole)


def band(draws: int, share: Fraction, alarm: float) -> tuple[int, int]:
    """The fewest and the most hits that raise no alarm, half of it on either side."""
    whole = share.denominator**draws
    allowed = Fraction(alarm) / 2 * whole
    low = _first_beyond(_terms(draws, share, draws + 1), allowed)
    high = _first_beyond(_terms(draws, 1 - share, draws + 1), allowed)
    return low, draws - high


def power(draws: int, share: Fraction, really: Fraction, alarm: float) -> float:
    """The probability that a target which is drawn with another share than declared raises the alarm."""
    low, high = band(draws, share, alarm)
    few = tails(low - 1, draws, really)[0] if low > 0 else Fraction(0)
    many = tails(high + 1, draws, really)[1] if high < draws else Fraction(0)
    return float(few + many)


def calls_needed(
    shares: Sequence[float],
    really: Sequence[float],
    alarm: float = 1e-6,
    sure: float = 0.99,
    most: int = 5000,
) -> int:
    """The fewest calls, in tens, in which a split by other shares is found with probability ``sure``,
    by the target that tells most. Raises ``ValueError`` where ``most`` are too few."""
    pairs = list(zip(fractions(shares), fractions(really), strict=True))
    each = alarm / tests(len(pairs))
    low, high = 1, most // 10
    found = {}

    def finds(tens: int) -> bool:
        if tens not in found:
            found[tens] = any(
                power(10 * tens, share, wrong, each) >= sure
                for share, wrong in pairs
                if share != wrong
            )
        return found[tens]

    if not finds(high):
        raise ValueError(f"{most} calls do not tell {list(really)} from {list(shares)}")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if finds(middle) else (middle + 1, high)
    return 10 * low


def tests(targets: int) -> int:
    """How many targets are looked at: of two, one tells all."""
    return 1 if targets <= 2 else targets


def _weight(share: Fraction, hits: int, draws: int) -> int:
    missed = share.denominator - share.numerator
    return int(share.numerator**hits * missed ** (draws - hits))


def _terms(draws: int, share: Fraction, many: int) -> Iterator[int]:
    """The probabilities of 0, 1, 2... hits, as parts of the denominator's power."""
    hit, missed = share.numerator, share.denominator - share.numerator
    if not missed:
        yield from (int(hits == draws) for hits in range(many))
        return
    term = missed**draws
    for hits in range(many):
        yield term
        term = term * (draws - hits) * hit // ((hits + 1) * missed)


def _first_beyond(terms: Iterator[int], allowed: Fraction) -> int:
    """How many terms, the smallest first, are together no more than is allowed."""
    total, number = 0, 0
    for number, term in enumerate(terms):  # noqa: B007 - the number is what is wanted
        total += term
        if total > allowed:
            break
    return number
