from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from .truth import matrix
from .truth.cells import Cell, in_memory, over_tcp
from .truth.clients import CLIENTS

_PRESENT = [name for name, client in CLIENTS.items() if client.available]

# Everything that needs no timeout to be waited for: quick in real time.
_QUICK = (
    "none",
    "refused",
    "reset before head",
    "end before head",
    "garbage head",
    "cut",
    "reset",
    "truncated chunk",
    "length too long",
    "length too short",
    "error inside",
    "status 429",
)
_SAMPLE = [
    Cell(client, fault, stream)
    for number, client in enumerate(n for n in _PRESENT if not n.startswith("litellm"))
    for fault in _QUICK[number % 3 :: 3]
    for stream in (number % 2 == 0, number % 2 == 1)[: 1 + (fault in ("cut", "reset"))]
]


@pytest.mark.parametrize("cell", _SAMPLE, ids=str)
def test_a_client_cannot_tell_memory_from_tcp(cell: Cell) -> None:
    assert in_memory(cell) == over_tcp(cell)


def test_a_silent_provider_is_a_timeout_on_either_clock() -> None:
    cell = Cell("httpx", "stall", True)
    outcome = in_memory(cell)
    assert outcome == over_tcp(cell)
    assert outcome.kinds[0] == "httpx.ReadTimeout"
    assert outcome.tokens == 2


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, Future[list[matrix.Row]]]]:
    started = matrix.start(dict.fromkeys(_PRESENT, sys.executable))
    yield started
    for future in started.values():
        future.cancel()


@pytest.mark.wide
@pytest.mark.parametrize("client", _PRESENT)
def test_no_cell_differs(client: str, played: dict[str, Future[list[matrix.Row]]]) -> None:
    rows = played[client].result()
    assert len(rows) == 40
    differing = [f"{row.cell}: tcp {row.tcp}, memory {row.memory}" for row in rows if not row.same]
    assert not differing, "\n".join(differing)
