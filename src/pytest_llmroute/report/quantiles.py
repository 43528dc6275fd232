"""What many numbers say: percentiles that really occurred, and how sure a share of a few is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

__all__ = ("nearest_rank", "wilson")

_SURE = NormalDist().inv_cdf(0.975)
"""Standard errors on each side of a value that leave out 5 % of all cases."""


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """The smallest of some ordered values that ``percent`` of them do not exceed. It is one of them:
    nothing is made up between two. Of fewer than 100 the 99th is the greatest."""
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Between which shares the true one lies, of which ``part`` out of ``whole`` were seen, with 95 %
    confidence (Wilson's score interval, which stays honest for a few and near 0 and 1)."""
    share, spread = part / whole, _SURE**2 / whole
    middle = share + spread / 2
    reach = _SURE * math.sqrt(share * (1 - share) / whole + spread / (4 * whole))
    low, high = (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)
    # At the ends the formula gives 0 and 1 but for float dust.
    return (0.0 if part == 0 else max(0.0, low), 1.0 if part == whole else min(1.0, high))
