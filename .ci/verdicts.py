"""Compare the verdicts of a report with the table kept for the installed release of a router.

``python .ci/verdicts.py report.json`` fails on any difference in the configurations that the report is
about; with ``--keep`` it writes what the report says of them into the table. The table knows every
configuration, promise and scenario; where all ways in agree, their verdict stands for them all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

TABLES = Path("tests/verdicts")

Table: TypeAlias = dict[str, dict[str, dict[str, Any]]]
"""Configuration, promise and scenario to a verdict, or to the ways in by verdict."""

UNTRIED = "no scenario"


def table(report: dict[str, Any]) -> Table:
    """The verdicts of a report."""
    found: dict[str, dict[str, dict[str, dict[str, list[str]]]]] = {}
    for verdict in report["verdicts"]:
        config, cell = verdict["config"], verdict["cell"]
        scenario, _, way = (cell or UNTRIED).removeprefix(f"{config}::").partition("::")
        tried = found.setdefault(config, {}).setdefault(verdict["promise"], {})
        tried.setdefault(scenario, {}).setdefault(verdict["verdict"], []).append(way)
    return {
        config: {
            promise: {
                scenario: next(iter(by)) if len(by) == 1 else {one: sorted(by[one]) for one in by}
                for scenario, by in tried.items()
            }
            for promise, tried in promises.items()
        }
        for config, promises in found.items()
    }


def flat(known: Table) -> Iterator[tuple[str, str]]:
    """Every line of a table, and what it says."""
    for config, promises in known.items():
        for promise, tried in promises.items():
            for scenario, said in tried.items():
                yield f"{config} | {promise} | {scenario}", json.dumps(said, sort_keys=True)


def differences(expected: Table, found: Table) -> list[str]:
    """What a report says otherwise than the table, in the configurations that it is about."""
    before = dict(flat({config: expected.get(config, {}) for config in found}))
    now = dict(flat(found))
    return [
        f"{line}: expected {before.get(line, 'nothing')}, found {now.get(line, 'nothing')}"
        for line in sorted(before.keys() | now.keys())
        if before.get(line) != now.get(line)
    ]


def main() -> int:
    report = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    release = report["versions"]["litellm"]
    kept = TABLES / f"litellm-{release}.json"
    known: Table = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    found = table(report)
    if "--keep" in sys.argv:
        kept.write_text(json.dumps(known | found, indent=1, sort_keys=True) + "\n", "utf-8")
        return 0
    if not known:
        print(f"no table is kept for litellm {release}; add one with --keep after a look at it")
        return 1
    different = differences(known, found)
    count = len(report["verdicts"])
    print(f"litellm {release}: {count} verdicts, {len(different)} lines unlike the table")
    print("\n".join(different))
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
