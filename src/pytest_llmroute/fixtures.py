"""The fixtures, and what they do to the tests that take them. Whatever is heavy is imported when a test
wants a world."""

from __future__ import annotations

import difflib
import hashlib
import random
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmroute.plugin import page_of, run_seed

if TYPE_CHECKING:
    from llmroute_sim.scenario import Template
    from pytest_llmroute.controls import Controls
    from pytest_llmroute.factory import WorldFactory
    from pytest_llmroute.library import Library
    from pytest_llmroute.loopback import Server
    from pytest_llmroute.marker import Marked
    from pytest_llmroute.worlds import World

_WORLD: pytest.StashKey[Controls] = pytest.StashKey()
_CHANCE: pytest.StashKey[int] = pytest.StashKey()
_MARKED: pytest.StashKey[Marked] = pytest.StashKey()
_LIBRARY: pytest.StashKey[Library] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """See that the scenarios that the ini file names are there."""
    for path in config.getini("llmroute_scenarios"):
        if not path.exists():
            beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            close = difflib.get_close_matches(path.name, beside, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise pytest.UsageError(f"llmroute_scenarios: there is no {path}{hint}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with ``llmroute_scenario`` for each scenario."""
    if "llmroute_scenario" not in metafunc.fixturenames or _parametrized(metafunc):
        return
    from pytest_llmroute.library import chosen
    from pytest_llmroute.marker import marked

    try:
        library = _library(metafunc.definition)
        found = chosen(library, marked(metafunc.definition).scenarios)
    except (ValueError, TypeError) as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from error
    metafunc.parametrize("llmroute_scenario", found.values(), ids=list(found), indirect=True)


def _parametrized(metafunc: pytest.Metafunc) -> bool:
    """Whether a test says itself which scenarios it wants."""
    marks = metafunc.definition.iter_markers("parametrize")
    return any("llmroute_scenario" in str(mark.args[:1]) for mark in marks)


@pytest.fixture
def llmroute(request: pytest.FixtureRequest) -> Iterator[World]:
    """A simulated world of LLM providers on a virtual clock, for one test."""
    from pytest_llmroute.marker import marked, refuse_trio
    from pytest_llmroute.worlds import world

    refuse_trio(request)
    marks = marked(request.node)
    with world(seed=_seed_of(request.node, marks)) as found:
        found.library = _library_for(request.node)
        request.node.stash[_WORLD] = found
        request.node.stash[_CHANCE] = found.seed
        request.node.stash[_MARKED] = marks
        yield found


@pytest.fixture(scope="session")
def llmroute_factory() -> WorldFactory:
    """Opens a world within a test: ``with llmroute_factory() as world``. For Hypothesis."""
    from pytest_llmroute.factory import WorldFactory, warm_up

    warm_up()
    return WorldFactory()


@pytest.fixture
def llmroute_scenario(request: pytest.FixtureRequest) -> Template:
    """Each scenario that any application can be tried with, one test for each; to be played."""
    found: Template = request.param
    return found


@pytest.fixture
def llmroute_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Simulated LLM providers on a loopback port in real time, for an application in a process of
    its own."""
    from pytest_llmroute.loopback import served
    from pytest_llmroute.marker import marked

    if "llmroute" in request.fixturenames:
        pytest.fail(
            "a test has llmroute or llmroute_server: one is for code of this process in virtual "
            "time, the other for programs in real time",
            pytrace=False,
        )
    marks = marked(request.node)
    with served(seed=_seed_of(request.node, marks)) as found:
        request.node.stash[_WORLD] = found
        request.node.stash[_MARKED] = marks
        yield found


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Seed innermost, after whoever else seeds; and judge a test that passed."""
    if (seed := item.stash.get(_CHANCE, None)) is not None:
        random.seed(seed)
    if (factory := getattr(item, "funcargs", {}).get("llmroute_factory")) is not None:
        _prepare(item, factory)
    try:
        result = yield
    except ValueError as error:
        _skip_unplayable(item, error)
        raise
    found = item.stash.get(_WORLD, None)
    # unittest keeps what a test raised to itself.
    if found is not None and not getattr(item, "_excinfo", None):
        _judge(item, found)
    return result


def _prepare(item: pytest.Item, factory: WorldFactory) -> None:
    """Tell the factory, which serves the whole session, whose turn it is."""
    from pytest_llmroute.factory import unhurried
    from pytest_llmroute.marker import marked, refuse_backend

    refuse_backend(getattr(item, "funcargs", {}).get("anyio_backend", "asyncio"))
    unhurried(getattr(item, "obj", None))
    marks = marked(item)
    factory.last = None
    factory.seed = _seed_of(item, marks)
    factory.strict, factory.hosts = marks.strict, marks.hosts
    factory.library = _library_for(item)


def _skip_unplayable(item: pytest.Item, error: ValueError) -> None:
    """A test that goes through the library leaves out what its application does not do."""
    playing = sys.modules.get("pytest_llmroute.playing")
    goes_through = "llmroute_scenario" in getattr(item, "fixturenames", ())
    if goes_through and playing is not None and isinstance(error, playing.Unplayable):
        pytest.skip(str(error))


def _judge(item: pytest.Item, found: Controls) -> None:
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
    factory = getattr(item, "funcargs", {}).get("llmroute_factory")
    if report.failed and (shown := getattr(factory, "last", None) or found) is not None:
        report.sections += _sections(item.config, shown)
    if found is not None and report.when == "teardown":
        del item.stash[_WORLD]
    return report


def _sections(config: pytest.Config, found: Controls) -> Iterator[tuple[str, str]]:
    """What happened in a world, and the scenario in it that stands in no file yet."""
    width, plain = page_of(config)
    yield "llmroute timeline", found.timeline(width=width, ascii=plain)
    if (scenario := getattr(found, "unfiled", None)) is not None:
        from llmroute_sim.writing import toml

        again = '# as a file it is played again: llmroute.play("FILE.toml", app)'
        yield "llmroute scenario", f"{again}\n{toml(scenario)}"


def _library(node: pytest.Item) -> Library:
    """The scenarios that a test knows by name. Raises ``ValueError`` for a file of the project's own
    that cannot be read."""
    found = node.config.stash.get(_LIBRARY, None)
    if found is None:
        from pytest_llmroute.library import Library

        found = Library.of(node.config.getini("llmroute_scenarios"), [node.config.rootpath])
        node.config.stash[_LIBRARY] = found
    return found.beside(node.path.parent)


def _library_for(item: pytest.Item) -> Library:
    """The same for a test that runs, and fails if there is none."""
    try:
        return _library(item)
    except ValueError as error:
        pytest.fail(f"llmroute_scenarios: {error}", pytrace=False)


def _seed_of(item: pytest.Item, marks: Marked) -> int:
    """A test's own seed: the same in any order, on any worker."""
    if marks.seed is not None:
        return marks.seed
    text = f"{run_seed(item.config)}\x1f{item.nodeid}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
