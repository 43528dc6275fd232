"""Play cells of the shipped LiteLLM configurations in a shuffled order in one process, and each of them
in a process that has played no other: ``python benchmarks/isolation.py [COUNT [SEED]]``. Prints every
cell of which the history or a verdict differs; none is what is wanted."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.isolation import Seen, differences, process


def main(count: int = 200, seed: int = 1) -> int:
    began = time.perf_counter()
    asked = {"seed": seed, "count": count}
    row = process({**asked, "how": "together"}, hashed=1)
    middle = time.perf_counter()
    different = differences(row, process({**asked, "how": "apart"}, hashed=2))
    for cell, (together, alone) in different.items():
        print(f"{cell}\n  in a row: {_said(together)}\n  alone:    {_said(alone)}")
    verdicts = sum(len(one.get("verdicts", ())) for one in row)
    print(
        f"{len(row)} cells, {verdicts} verdicts, seed {seed}: {len(different)} differ "
        f"({middle - began:.0f} s in a row, {time.perf_counter() - middle:.0f} s alone)"
    )
    return bool(different)


def _said(seen: Seen) -> str:
    if "error" in seen:
        return str(seen["error"]).strip().splitlines()[-1]
    outcomes = ", ".join(f"{contract} {outcome}" for contract, outcome, _ in seen["verdicts"])
    return f"{seen['digest'][:12]} {outcomes}"


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
