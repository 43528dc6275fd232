"""What each shipped configuration does while a model is withdrawn for eighteen days, day by day.

``python benchmarks/suspension.py [CONFIG...]`` plays the story ``long-suspension`` through the first
way in of each configuration: who answered, how often the withdrawn models were still asked, what it
cost, and how long it took on this machine, imports aside. Fails where a configuration took more than
half a minute.
"""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from llmroute_sim.history import Attempt, History
from llmroute_sim.workload import Ask
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


def quietly(cell: Cell) -> History:
    """Play it; what the router prints is not heard."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return play(cell)


def days(history: History) -> Iterator[tuple[str, list[str], list[Attempt]]]:
    """Each day with the outcomes of its calls and with its attempts."""
    labels = {call.id: call.labels["day"] for call in history.calls}
    for day in dict.fromkeys(labels.values()):
        calls = [call.outcome for call in history.calls if call.labels["day"] == day]
        yield day, calls, [one for one in history.attempts if labels.get(one.call or "") == day]


def told(history: History) -> Iterator[str]:
    """A line for each day."""
    yield "day  calls answered  tries   USD  withdrawn asked       answered by"
    for day, calls, attempts in days(history):
        by = Counter(f"{one.place}/{one.model}" for one in attempts if one.outcome == "200")
        refused = Counter(str(one.status) for one in attempts if one.faults)
        yield (
            f"{day:>3}  {len(calls):5} {calls.count('answered'):8}  {len(attempts) / len(calls):5.2f}"
            f" {sum(one.spent for one in attempts):5.4f}  {_counts(refused):<20}  {_counts(by)}"
        )


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{name} x {count}" for name, count in found.most_common()) or "-"


def main() -> int:
    """Print a table for each configuration."""
    slow = 0
    for path in [Path(name) for name in sys.argv[1:]] or SHIPPED:
        cell = cell_of(path)
        quietly(replace(cell, scenario=replace(cell.scenario, asks=(Ask(),))))
        began, used = time.perf_counter(), time.process_time()
        history = quietly(cell)
        took, used = time.perf_counter() - began, time.process_time() - used
        slow += took > LIMIT
        hours = history.calls[-1].started / 3600
        print(f"{path.parent.name}/{path.name}: {cell.group} through {cell.entry}")
        print("\n".join(told(history)))
        print(
            f"{hours:.0f} virtual hours, {len(history.calls)} calls: {took:.1f} s, {used:.1f} s of CPU"
        )
        print(flush=True)
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
