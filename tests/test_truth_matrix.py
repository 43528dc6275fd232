from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from .truth import matrix, tables
from .truth.cases import CASES, OVER_TLS
from .truth.cells import SCALE, Cell, Outcome, alone, cells, in_memory, over_tcp
from .truth.clients import CLIENTS, RESPONSES

# LiteLLM leaves connections to the garbage collector, and has no way to close them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

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
    "name not found",
    "error page, 502",
    "malformed event",
    "error in body",
    "duplicated chunk",
    "cumulative chunks",
    "wrong content type, html",
    "damaged compression, announced",
    "split oddly",
)
_SAMPLE = [
    Cell(client, fault, stream)
    for number, client in enumerate(_PRESENT)
    for fault in _QUICK[number % 3 :: 3]
    for stream in ((False, True) if fault in ("cut", "reset") else (number % 2 == 0,))
]
_RESPONSES = [
    Cell(client, fault, stream)
    for number, client in enumerate(name for name, one in RESPONSES.items() if one.available)
    for fault in (
        "reset, before the head", "cut", "reset", "missing terminal", "error in stream",
        "error in body", "malformed event", "malformed chunk", "duplicated chunk", "filler",
        "missing usage", "surprising finish", "wrong content type, swapped", "empty answer",
        "split oddly", "rate limit", "outage, 503",
    )
    for stream in ((False, True) if fault in ("cut", "reset") else (True,))
    if fault != "filler" or number == 0
]  # fmt: skip
_UNHURRIED = 5 * SCALE
"""None of these waits for a timeout, so a busy machine may take its time."""


@pytest.fixture(scope="module", autouse=True)
def _swept() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.mark.parametrize("cell", [*_SAMPLE, *_RESPONSES], ids=str)
def test_a_client_cannot_tell_memory_from_tcp(cell: Cell) -> None:
    assert in_memory(cell) == over_tcp(cell, _UNHURRIED)


@pytest.mark.skipif(not _RESPONSES, reason="needs openai")
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_what_is_raised_for_responses_is_what_is_raised_for_chats(stream: bool) -> None:
    other = {
        False: {"model gone", "error in body"},  # 400 and not 404; a response that failed
        True: {"model gone", "wrong length, more"},  # no [DONE] at which to stop reading
    }
    client = _RESPONSES[0].client
    chat = client.removesuffix(" responses")
    differing = {
        name
        for name in CASES
        if name not in OVER_TLS
        and in_memory(Cell(client, name, stream)) != in_memory(Cell(chat, name, stream))
    }
    assert differing == other[stream]


def test_a_silent_provider_is_a_timeout_on_either_clock() -> None:
    cell = Cell("httpx", "stall", True)
    virtual, real = in_memory(cell), over_tcp(cell)
    assert virtual == real
    assert virtual.kinds[0] == "httpx.ReadTimeout"
    assert virtual.tokens == 2
    assert virtual.seconds == 30.0 < real.seconds


def test_faults_are_told_apart_so_that_equality_means_something() -> None:
    faults = ("none", "refused", "reset", "cut", "stall", "status 429", "error inside")
    met = {in_memory(Cell("httpx", fault, True)) for fault in faults}
    assert len(met) == len(faults)


@pytest.mark.parametrize("client", [n for n in _PRESENT if n.startswith(("aiohttp", "openai"))])
def test_in_memory_every_fault_comes_out_the_same_to_the_microsecond(client: str) -> None:
    def play() -> list[tuple[Outcome, float]]:
        return [(met, met.seconds) for met in map(in_memory, cells(client))]

    assert play() == play()


def test_a_difference_would_be_shown() -> None:
    cell = Cell("httpx", "cut", True)
    same = matrix.Row(cell, Outcome(("ReadError",), 2), Outcome(("ReadError",), 2), False, "1")
    lost = replace(same, memory=Outcome(("ReadError",), 1))
    early = replace(same, tcp=Outcome(("ReadError",), 2, 0.1), memory=Outcome((), 2, 30.0))
    assert same.same
    assert not lost.same
    assert early.early
    assert "1 of 2 cells are the same" in tables.marks([same, lost])
    assert "stream" in tables.marks([lost])


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Callable[[str], list[matrix.Row]]]:
    """The rows of a client. Those that were selected begin together; under xdist, which hands out
    tests in an order of its own, each begins when it is asked for."""
    chosen: list[str] = []
    if not hasattr(request.config, "workerinput"):
        items = (item for item in request.session.items if isinstance(item, pytest.Function))
        chosen = [item.callspec.params["client"] for item in items if "played" in item.fixturenames]
    started = matrix.start(dict.fromkeys(chosen, sys.executable))
    yield (
        lambda client: (
            started[client].result() if client in started else matrix.play(client, sys.executable)
        )
    )
    for future in started.values():
        future.cancel()


@pytest.mark.wide
@pytest.mark.parametrize("client", _PRESENT)
def test_no_cell_differs(client: str, played: Callable[[str], list[matrix.Row]]) -> None:
    rows = played(client)
    assert len(rows) == len(cells(client)) + len(alone(client))
    differing = [f"{row.cell}: tcp {row.tcp}, memory {row.memory}" for row in rows if not row.same]
    assert not differing, "\n".join(differing)
    early = [f"{row.cell}: {row.tcp.seconds}, {row.memory.seconds}" for row in rows if row.early]
    assert not early, "\n".join(early)
