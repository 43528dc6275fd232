"""Print what every contract says of the reference router and of every mutant: ``python
benchmarks/mutants.py``. One row per router, one column per contract; ``+`` kept, ``X`` broken, ``.``
nothing to judge. A good table has one X in each row but the first, on the diagonal."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.routers.trials import TRIALS, scenarios, seen

SIGNS = {"kept": "+", "broken": "X", "untested": "."}


def main() -> int:
    began = time.perf_counter()
    names = list(TRIALS)
    for number, name in enumerate(names, 1):
        print(f"{number:>4} {name}")
    print(f"\n{'':<22}" + "".join(f"{number:>4}" for number in range(1, len(names) + 1)))
    wrong = 0
    for router in ("reference", *TRIALS):
        row = ""
        for contract in names:
            trials = scenarios() if router == "reference" else [router]
            outcomes = {seen(router, trial, contract).outcome for trial in trials}
            sign = "X" if "broken" in outcomes else "+" if "kept" in outcomes else "."
            wrong += (sign == "X") != (router == contract)
            row += f"{sign:>4}"
        print(f"{router:<22}{row}")
    print(f"\n{wrong} cells off, {time.perf_counter() - began:.1f} s")
    return wrong > 0


if __name__ == "__main__":
    raise SystemExit(main())
