"""What each shipped configuration does while a model is withdrawn for eighteen days, day by day.

``python benchmarks/suspension.py [CONFIG...]`` plays the story ``long-suspension`` through the first
way in of each configuration: who answered, how often the withdrawn models were still asked, what it
cost, and how long it took on this machine.
"""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.resources import files
from pathlib import Path

from llmroute_sim.history import Attempt, History
from pytest_llmroute.configs import read
from pytest_llmroute.play import Cell, play
from pytest_llmroute.run import Choice, trials

CONFIGS = Path(str(files("llmroute_data").joinpath("configs")))
SHIPPED = (*sorted(CONFIGS.glob("*.yaml")), CONFIGS / "own-code" / "llmroute.toml")
LIMIT = 30.0
"""Seconds that a configuration may take."""


def cell_of(path: Path) -> Cell:
    """The first cell in which a fallback is tried."""
    config = read(path)
    if config is None:
        raise SystemExit(f"{path} is no routing configuration")
    found, _ = trials(config, Choice(scenarios=("long-suspension",)))
    return found[0].cell


def days(history: History) -> Iterator[tuple[str, list[str], list[Attempt]]]:
    """Each day with the outcomes of its calls and with its attempts."""
    labels = {call.id: call.labels["day"] for call in history.calls}
    for day in dict.fromkeys(labels.values()):
        calls = [call.outcome for call in history.calls if call.labels["day"] == day]
        yield day, calls, [one for one in history.attempts if labels.get(one.call or "") == day]


def told(history: History) -> Iterator[str]:
    """A table, in which days that are alike stand together."""
    yield "   days  calls answered  answered by              withdrawn asked  tries    USD"
    rows: list[tuple[list[str], str]] = []
    for day, calls, attempts in days(history):
        by = Counter(f"{one.place}/{one.model}" for one in attempts if one.outcome == "200")
        who = ", ".join(f"{name} {count}" for name, count in by.most_common())
        refused = Counter(str(one.status) for one in attempts if one.faults)
        asked = ", ".join(f"{status} x {count}" for status, count in sorted(refused.items())) or "-"
        spent = sum((one.spent for one in attempts), start=type(attempts[0].spent)(0))
        row = (
            f"  {len(calls):5} {calls.count('answered'):8}  {who:<32}  {asked:>12}"
            f"  {len(attempts) / len(calls):5.2f} {spent:6.4f}"
        )
        rows.append(([day], row))
    for number, row in rows:
        yield f"{number[0]:>7}{row}"


def main() -> int:
    """Print a table for each configuration."""
    slow = 0
    for path in [Path(name) for name in sys.argv[1:]] or SHIPPED:
        cell = cell_of(path)
        began = time.perf_counter()
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            history = play(cell)
        took = time.perf_counter() - began
        slow += took > LIMIT
        hours = history.calls[-1].started / 3600
        print(f"{path.parent.name}/{path.name}: {cell.group} through {cell.entry}")
        print("\n".join(told(history)))
        print(f"{hours:.0f} virtual hours in {took:.1f} s, {len(history.calls)} calls")
        print()
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
