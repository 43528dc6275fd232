"""The whole matrix: every client in a process of its own, several at a time."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .cells import Cell, Outcome

_WORKER = Path(__file__).with_name("worker.py")
_PATIENCE = 1800.0


@dataclass(frozen=True, slots=True)
class Row:
    """What a client (of this version) met in one cell, truly and in memory (None where a carrier has
    no form for it); ``again`` says that the truth was played twice, the second time slower, since the
    first time was not the same."""

    cell: Cell
    tcp: Outcome | None
    memory: Outcome | None
    again: bool
    version: str

    @property
    def same(self) -> bool:
        return not self.both or self.tcp == self.memory

    @property
    def both(self) -> bool:
        """Whether both carriers performed it."""
        return self.tcp is not None and self.memory is not None

    @property
    def met(self) -> Outcome:
        """What the client met, truly where that can be."""
        found = self.tcp or self.memory
        assert found is not None
        return found

    @property
    def early(self) -> bool:
        """Whether real time fell short of the virtual time, which then would be invented."""
        if self.tcp is None or self.memory is None:
            return False
        return self.tcp.seconds < self.memory.seconds - 0.5


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
        found = json.loads(out.read_text())
    return [
        Row(
            Cell(**entry["cell"]),
            entry["tcp"] and _outcome(**entry["tcp"]),
            entry["memory"] and _outcome(**entry["memory"]),
            entry["again"],
            found["version"],
        )
        for entry in found["rows"]
    ]


def _outcome(kinds: list[str], tokens: int, seconds: float) -> Outcome:
    return Outcome(tuple(kinds), tokens, seconds)


def start(clients: Mapping[str, str], processes: int = 4) -> dict[str, Future[list[Row]]]:
    """Begin with all of them, each by its interpreter; results come as they are done."""
    pool = ThreadPoolExecutor(processes)
    started = {client: pool.submit(play, client, python) for client, python in clients.items()}
    pool.shutdown(wait=False)
    return started
