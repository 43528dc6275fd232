"""Compare the verdicts of a report with the table kept for the installed release of a router.

``python .ci/verdicts.py report.json`` fails on any difference; with ``--keep`` it writes the table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TABLES = Path("tests/verdicts")


def table(report: dict[str, object]) -> dict[str, str]:
    """Promise and cell to verdict."""
    return {f"{v['promise']} | {v['cell']}": v["verdict"] for v in report["verdicts"]}  # type: ignore[index, attr-defined]


def main() -> int:
    report = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    release = report["versions"]["litellm"]
    kept = TABLES / f"litellm-{release}.json"
    found = table(report)
    if "--keep" in sys.argv:
        kept.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", "utf-8")
        return 0
    if not kept.exists():
        print(f"no table is kept for litellm {release}; add one with --keep after a look at it")
        return 1
    expected = json.loads(kept.read_text("utf-8"))
    different = sorted(
        f"{key}: expected {expected.get(key, 'nothing')}, found {found.get(key, 'nothing')}"
        for key in expected.keys() | found.keys()
        if expected.get(key) != found.get(key)
    )
    print(f"litellm {release}: {len(found)} verdicts, {len(different)} unlike the table")
    print("\n".join(different))
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
