"""Print how many calls tell a router that ignores declared shares from one that keeps them, and what
other wrong splits so many calls find: ``python benchmarks/split.py [SHARE SHARE ...]``. All
probabilities are exact; the alarm is one in a million."""

from __future__ import annotations

import sys

from pytest_llmroute.contracts.balance import calls_to_tell
from pytest_llmroute.contracts.chance import fractions, power

ALARM = 1e-6
TENTHS = [fractions([tenth, 10 - tenth])[0] for tenth in range(1, 10)]
USUAL = ((1, 1), (2, 1), (3, 1), (4, 1), (9, 1), (1, 1, 1), (5, 3, 2), (6, 3, 1), (1, 1, 1, 1))


def main(shares: tuple[float, ...] | None = None) -> None:
    for declared in (shares,) if shares else USUAL:
        calls = calls_to_tell(tuple(map(float, declared)), ALARM)
        first = fractions(declared)[0]
        found = ", ".join(
            f"{float(really):.0%} {power(calls, first, really, ALARM):.0%}"
            for really in TENTHS
            if really != first
        )
        print(f"{' : '.join(f'{share:g}' for share in declared):<14}{calls:>5} calls")
        print(f"    the first has {float(first):.0%}; found if it really gets {found}")


if __name__ == "__main__":
    main(tuple(map(float, sys.argv[1:])) or None)
