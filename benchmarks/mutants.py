"""Print what every contract says of the reference router and of every mutant, or write the page that
shows it: ``python benchmarks/mutants.py [--write]``. ``X`` broken by the mutant meant for it, ``x``
broken too, ``+`` kept, ``.`` nothing to judge."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.routers.page import page  # noqa: E402  # the path is set just above


def main() -> int:
    """Play everything."""
    options = argparse.ArgumentParser(description=str(__doc__).partition(":")[0])
    options.add_argument("--write", action="store_true", help="write docs/mutants.md")
    asked = options.parse_args()
    began = time.perf_counter()
    whole = page(lambda line: print(line, flush=True))
    if asked.write:
        ROOT.joinpath("docs", "mutants.md").write_text(whole, "utf-8")
    print(f"{time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
