from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from .truth import fault_table
from .truth.cases import CASES, HOSTS, OTHERS, OVER_TLS, SPEAK_OPENAI
from .truth.cells import Cell, in_memory
from .truth.clients import CLIENTS
from .truth.matrix import Row

# LiteLLM leaves connections to the garbage collector, and has no way to close them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PAGE = Path(__file__).parent.parent / "docs" / "fault-table.md"
PRESENT = [name for name, client in CLIENTS.items() if client.available]
SAMPLE = [
    Cell(client, case, bool((number + place) % 2))
    for place, client in enumerate(PRESENT)
    for number, case in enumerate(case for case in CASES if case not in OVER_TLS)
    if (number + place) % 12 == 0
]


@pytest.fixture(scope="module", autouse=True)
def _swept() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def rows() -> dict[tuple[str, str], list[str]]:
    """The table as it is in the documentation, by fault and provider."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    cells = [line.strip("|").split(" | ") for line in lines]
    return {(cell[0].strip(), cell[1]): [one.strip() for one in cell[2:]] for cell in cells}


def test_every_fault_has_a_row_at_every_provider_that_shows_it_in_its_own_way() -> None:
    expected = {(case, provider) for case in CASES for provider in ("openai", "anthropic")}
    expected |= {(name, provider) for provider, _, name in (o.partition(": ") for o in OTHERS)}
    assert set(rows()) == expected
    assert {provider for _, provider in expected} == {*HOSTS}


def test_every_fault_is_in_the_table_but_for_those_that_need_tools() -> None:
    from llmroute_sim.faults import FAULTS

    missing = set(FAULTS.values()) - {type(fault) for fault in CASES.values()}
    assert {kind.__name__ for kind in missing} == {
        "TruncatedArguments",
        "SchemaViolated",
    }


@pytest.mark.parametrize("case", CASES)
def test_the_table_says_what_is_sent(case: str) -> None:
    for (name, provider), found in rows().items():
        if name == case:
            carrier, *sent = found[:3]
            assert carrier == fault_table.carrier(case)
            assert sent == [fault_table.text(case, provider, stream) for stream in (False, True)]


@pytest.mark.parametrize("cell", SAMPLE, ids=str)
def test_the_table_says_what_a_client_raises(cell: Cell) -> None:
    provider = "anthropic" if "anthropic" in cell.client else "openai"
    *_, whole, streamed = rows()[cell.fault, provider]
    told = fault_table.read(whole if not cell.stream or streamed == "same" else streamed)
    name = cell.client.replace(" to openai", "").replace(" to anthropic", "")
    if name not in told:
        pytest.skip(f"the table was made with another {name}")
    outcome = in_memory(cell)
    assert told[name] == f"{fault_table.shown(outcome)}, {outcome.tokens}"


@pytest.mark.parametrize("name", [o for o in OTHERS if o.partition(": ")[0] in SPEAK_OPENAI][::7])
def test_the_table_says_what_is_raised_at_those_who_speak_openais_format(name: str) -> None:
    generations = [c for c in PRESENT if c.startswith("openai") and not c.endswith("async")]
    client = next((c for c in generations if c != "openai 2"), None)
    if client is None:
        pytest.skip("needs openai>=3")
    provider, _, case = name.partition(": ")
    told = fault_table.read(rows()[case, provider][3])
    outcome = in_memory(Cell(client, name, False))
    assert told[client] == f"{fault_table.shown(outcome)}, {outcome.tokens}"


def test_what_a_row_says_can_be_read_back() -> None:
    from .truth.cells import Outcome

    met = Outcome(("httpx.ReadError",), 2)
    fine = Outcome((), 5)
    made = [
        Row(Cell(client, "cut", True), outcome, outcome, False, "1")
        for client, outcome in (
            ("httpx", met),
            ("httpx async", met),
            ("openai 3", met),
            ("openai 3 async", fine),
            ("aiohttp", fine),
        )
    ]
    said = fault_table.raising(made)
    assert said == "ReadError, 2: httpx, openai 3 sync; ok, 5: openai 3 async, aiohttp"
    told = fault_table.read(said)
    assert told["httpx async"] == told["openai 3"] == "ReadError, 2"
    assert told["openai 3 async"] == told["aiohttp"] == "ok, 5"
