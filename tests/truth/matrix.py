"""The whole matrix: every client in a process of its own, several at a time, and its tables."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .cells import Cell, Outcome
from .scripts import FAULTS

_WORKER = Path(__file__).with_name("worker.py")
_PATIENCE = 900.0


@dataclass(frozen=True, slots=True)
class Row:
    """What a client met in one cell, truly and in memory."""

    cell: Cell
    tcp: Outcome
    memory: Outcome

    @property
    def same(self) -> bool:
        return self.tcp == self.memory


def play(client: str, python: str) -> list[Row]:
    """All cells of a client, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        done = subprocess.run(
            [python, "-W", "ignore", str(_WORKER), client, str(out)],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        if not out.exists():
            raise RuntimeError(f"{client}: exit {done.returncode}\n{done.stderr[-4000:]}")
        return [_row(entry) for entry in json.loads(out.read_text())]


def start(clients: Mapping[str, str], processes: int = 4) -> dict[str, Future[list[Row]]]:
    """Begin with all of them, each by its interpreter; results come as they are done."""
    pool = ThreadPoolExecutor(processes)
    started = {client: pool.submit(play, client, python) for client, python in clients.items()}
    pool.shutdown(wait=False)
    return started


def _row(entry: dict[str, dict[str, object]]) -> Row:
    def outcome(which: str) -> Outcome:
        kinds, tokens = entry[which]["kinds"], entry[which]["tokens"]
        assert isinstance(kinds, list)
        assert isinstance(tokens, int)
        return Outcome(tuple(kinds), tokens)

    return Row(Cell(**entry["cell"]), outcome("tcp"), outcome("memory"))  # type: ignore[arg-type]  # JSON


def marks(rows: Iterable[Row]) -> str:
    """Client by fault: ``=`` where JSON and stream are the same, else which of them differs."""
    rows = list(rows)
    clients = list(dict.fromkeys(row.cell.client for row in rows))
    wide = max(map(len, FAULTS))
    lines = [" " * wide + "  " + "  ".join(clients)]
    for fault in FAULTS:
        line = [fault.ljust(wide)]
        for client in clients:
            met = [row for row in rows if (row.cell.client, row.cell.fault) == (client, fault)]
            wrong = ["stream" if row.cell.stream else "JSON" for row in met if not row.same]
            line.append(("+".join(wrong) or ("=" if met else "-")).ljust(len(client)))
        lines.append("  ".join(line).rstrip())
    same = sum(row.same for row in rows)
    return "\n".join([*lines, "", f"{same} of {len(rows)} cells are the same"])


def document(rows: Iterable[Row]) -> str:
    """What each client raises, as Markdown tables: one for whole bodies, one for streams."""
    rows = list(rows)
    clients = list(dict.fromkeys(row.cell.client for row in rows))
    lines: list[str] = []
    for stream, title in ((False, "Whole bodies"), (True, "Streams")):
        lines += [f"## {title}", ""]
        for client in clients:
            lines += [
                f"### {client}",
                "",
                "| fault | raised | because of | tokens |",
                "|---|---|---|---|",
            ]
            for row in rows:
                if (row.cell.client, row.cell.stream) == (client, stream):
                    kind, *causes = row.tcp.kinds or ("nothing",)
                    lines.append(
                        f"| {row.cell.fault} | {kind} | {', '.join(causes)} | {row.tcp.tokens} |"
                    )
            lines.append("")
    return "\n".join(lines)
