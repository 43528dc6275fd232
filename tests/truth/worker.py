"""Run as a script: all cells of one client, over TCP and then in memory; prints JSON."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import logging
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from truth.cases import OVER_TLS
from truth.cells import SCALE, Cell, alone, cells, in_memory, over_tcp
from truth.clients import CLIENTS

_SLOWER = 5 * SCALE


def main(client: str, out: str) -> None:
    """Play every cell. The truth comes first, all of it, before any world begins."""
    logging.disable(logging.CRITICAL)
    # A stream that a client dropped is closed by the collector; in the middle of another request its
    # pool would wait for itself.
    gc.disable()
    for stream in (False, True):  # imports and first calls are slow, and not what is timed
        over_tcp(Cell(client, "none", stream), 1.0)
        over_tcp(Cell(client, "cut", stream), 1.0)
    truth = {}
    for cell in cells(client):
        truth[cell] = over_tcp(cell)
        gc.collect()
    found: list[dict[str, Any]] = []
    for cell, real in truth.items():
        random.seed(str(cell))
        virtual = in_memory(cell)
        gc.collect()
        found.append({"cell": asdict(cell), "tcp": asdict(real), "memory": asdict(virtual)})
        found[-1]["again"] = real != virtual
    for entry in found:
        if entry["again"]:
            # A busy machine can be too late for a scaled timeout: time it more generously.
            entry["tcp"] = asdict(over_tcp(Cell(**entry["cell"]), _SLOWER))
    for cell in alone(client):
        truly, virtual = (
            (over_tcp(cell), None) if cell.fault in OVER_TLS else (None, in_memory(cell))
        )
        entry = {"cell": asdict(cell), "again": False}
        entry |= {"tcp": truly and asdict(truly), "memory": virtual and asdict(virtual)}
        found.append(entry)
    version = importlib.metadata.version(CLIENTS[client].needs[0])
    Path(out).write_text(json.dumps({"version": version, "rows": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
