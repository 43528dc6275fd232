"""The pytest plugin: hooks and fixtures. Whatever is heavy is imported when a test wants a world."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmroute.marker import Marked
    from pytest_llmroute.worlds import World

_MARKER = (
    "llmroute(*, strict=True, seed=None, hosts=()): how the fixture of this name treats a test. "
    "strict: fail a test that passes although an injected fault was never met or a host was tried "
    "that nothing simulates; seed: what chance is drawn from, instead of the run's seed and the "
    "test's id; hosts: names or patterns that may be tried although nothing simulates them."
)

_WORLD: pytest.StashKey[World] = pytest.StashKey()
_MARKED: pytest.StashKey[Marked] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """One seed: per run or per project."""
    group = parser.getgroup("llmroute", "LLM routing (pytest-llmroute)")
    group.addoption(
        "--llmroute-seed",
        type=int,
        metavar="N",
        help="seed of every simulated world of this run (default: the ini option, else 0)",
    )
    parser.addini("llmroute_seed", "seed of every simulated world", type="int", default=0)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


def pytest_report_header(config: pytest.Config) -> str:
    """What a run can be repeated with."""
    return f"llmroute: seed {_seed(config)}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import now what tests will need, so that no test pays for it, or freezes the clock before."""
    if any("llmroute" in getattr(item, "fixturenames", ()) for item in session.items):
        import pytest_llmroute.worlds  # noqa: F401 - for its effect


@pytest.fixture
def llmroute(request: pytest.FixtureRequest) -> Iterator[World]:
    """A simulated world of LLM providers on a virtual clock, for one test."""
    from pytest_llmroute.marker import marked, refuse_trio
    from pytest_llmroute.worlds import world

    refuse_trio(request)
    marks = marked(request.node)
    seed = _seed_of(request.node) if marks.seed is None else marks.seed
    with world(seed=seed) as found:
        request.node.stash[_WORLD] = found
        request.node.stash[_MARKED] = marks
        yield found


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Seed innermost, after whoever else seeds; and judge a test that passed."""
    if (found := item.stash.get(_WORLD, None)) is not None:
        random.seed(found.seed)
    result = yield
    found = item.stash.get(_WORLD, None)
    # unittest keeps what a test raised to itself.
    if found is not None and not getattr(item, "_excinfo", None):
        _judge(item, found)
    return result


def _judge(item: pytest.Item, found: World) -> None:
    from pytest_llmroute.judging import loose_ends

    marks = item.stash[_MARKED]
    if marks.strict and (said := loose_ends(found, marks.hosts)) is not None:
        pytest.fail(said, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what happened in a test that failed."""
    report = yield
    found = item.stash.get(_WORLD, None)
    if found is not None and report.failed:
        terminal = item.config.get_terminal_writer()
        plain = "utf" not in (getattr(sys.__stdout__, "encoding", None) or "").lower()
        drawing = found.timeline(width=terminal.fullwidth, ascii=plain)
        report.sections.append(("llmroute timeline", drawing))
    if found is not None and report.when == "teardown":
        del item.stash[_WORLD]
    return report


def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> list[str] | None:
    """Explain how a path differs."""
    if op != "==" or "pytest_llmroute.path" not in sys.modules:
        return None
    from pytest_llmroute.path import Path, explain

    if isinstance(left, Path) and isinstance(right, list | tuple):
        return explain(left, right)
    if isinstance(right, Path) and isinstance(left, list | tuple):
        return explain(left, right)
    return None


def _seed(config: pytest.Config) -> int:
    chosen = config.getoption("--llmroute-seed")
    return int(config.getini("llmroute_seed") if chosen is None else chosen)


def _seed_of(item: pytest.Item) -> int:
    """A test's own seed: the same in any order, on any worker."""
    text = f"{_seed(item.config)}\x1f{item.nodeid}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
