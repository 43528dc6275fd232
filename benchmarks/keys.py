"""Print what every key of LiteLLM's config.yaml promises and why some promise nothing, or write it into
the page that shows it: ``python benchmarks/keys.py [--write]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from key_table import PAGE, tables, written  # noqa: E402  # the path is set just above


def main() -> int:
    """Make both tables."""
    options = argparse.ArgumentParser(description=str(__doc__).partition(":")[0])
    options.add_argument("--write", action="store_true", help="write docs/litellm.md")
    made = tables()
    if options.parse_args().write:
        PAGE.write_text(written(PAGE.read_text("utf-8"), made), "utf-8")
    else:
        print("\n\n".join(made.values()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
