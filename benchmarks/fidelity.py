"""Print the fidelity matrix: is each client's experience of each fault the same in memory as over TCP?

    python benchmarks/fidelity.py [--python OTHER_ENVIRONMENT]... [--write docs/fidelity.md]
        [--table docs/fault-table.md]

SDK generations exclude each other, so further environments can be named; each plays the clients
that it alone has. ``--table`` writes what is sent beside what was raised. Takes ten minutes of real
time on two cores. Exit status 1 if any cell differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from truth import fault_table, matrix, tables  # noqa: E402  # the path is set just above

_LIST = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from truth.clients import CLIENTS\n"
    "print('\\n'.join(n for n, c in CLIENTS.items() if c.available))"
)


def clients_of(python: str) -> list[str]:
    """The clients that an environment has."""
    listed = subprocess.run(
        [python, "-c", _LIST, str(ROOT / "tests")], capture_output=True, text=True, check=True
    )
    return listed.stdout.split("\n")[:-1]


def main() -> int:
    """Play everything, print the table, and write down what was raised."""
    options = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    options.add_argument("--python", action="append", default=[])
    options.add_argument("--write", type=Path)
    options.add_argument("--table", type=Path)
    options.add_argument("--processes", type=int, default=2 * (os.cpu_count() or 1))
    asked = options.parse_args()
    found: dict[str, str] = {}
    for python in [sys.executable, *asked.python]:
        for client in clients_of(python):
            found.setdefault(client, python)
    started = matrix.start(found, asked.processes)
    rows = [row for future in started.values() for row in future.result()]
    print(tables.marks(rows))
    for row in rows:
        if not row.same or row.early:
            print(f"{row.cell}\n    tcp    {row.tcp}\n    memory {row.memory}")
    if asked.write:
        asked.write.write_text(tables.document(rows))
    if asked.table:
        asked.table.write_text(fault_table.page(rows))
    return int(any(not row.same for row in rows))


if __name__ == "__main__":
    sys.exit(main())
