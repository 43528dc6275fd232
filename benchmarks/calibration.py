"""Print what is said of eleven defects that real releases of LiteLLM had, with a release that had each
and one that had it no more: ``python benchmarks/calibration.py [ROW...]``.

Each release runs in a virtual environment of its own with the dependencies of its day. They are made
with uv in a temporary folder, which takes a while; with ``LLMROUTE_CALIBRATION_ENVS=FOLDER`` they are
kept there, named by their release, and found again. ``--every-way`` plays all ways in, not only those
through which a defect was seen.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.calibration import RELEASED, ROWS, Found, environments, interpreter, judged


def main(arguments: list[str]) -> int:
    every_way = "--every-way" in arguments
    names = [name for name in arguments if name != "--every-way"]
    rows = [row for row in ROWS if not names or row.name in names]
    if unknown := set(names) - {row.name for row in rows}:
        there = ", ".join(row.name for row in ROWS)
        print(f"no such row: {', '.join(sorted(unknown))}; there are {there}")
        return 2
    began = time.perf_counter()
    found: dict[tuple[str, str], Found] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = environments(Path(temporary))
        for release in RELEASED:
            mine = [row for row in rows if release in (row.broken, row.kept)]
            if not mine:
                continue
            for one in judged(mine, interpreter(release, folder), every_way=every_way):
                found[one.row.name, release] = one
                ways = ", ".join(f"{way} {verdict}" for way, verdict in one.verdicts.items())
                ran = "" if one.release == release else f" (really {one.release})"
                print(f"{one.row.name} {release}{ran}: {ways}", file=sys.stderr, flush=True)
    right = 0
    print(
        "| configuration | promise | because | scenario | ways in | broken in | kept in | found |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        said = [found[row.name, release] for release, _ in row.releases]
        as_it_was = [(one.release, one.verdict) for one in said] == list(row.releases)
        right += as_it_was
        print(
            f"| `{row.name}` | `{row.contract}` | {row.source} | `{row.scenario}` "
            f"| {', '.join(row.ways)} | {row.broken} | {row.kept} "
            f"| {', '.join(one.verdict for one in said)}{'' if as_it_was else ': WRONG'} |"
        )
    print(f"\n{right} of {len(rows)} in both colours, {time.perf_counter() - began:.0f} s")
    return right < len(rows)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
