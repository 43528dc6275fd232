"""Routing configurations as test items: one for each promise in each scenario that tries it."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmroute import arguments
from pytest_llmroute.plugin import OUTCOME, page_of, run_seed

if TYPE_CHECKING:
    from llmroute_sim.scenario import Template
    from pytest_llmroute.cases import Case
    from pytest_llmroute.fate import Fate, Rules

__all__ = ("ConfigFile", "ContractCollector", "PromiseItem", "collected", "named")

_RULES: pytest.StashKey[Rules] = pytest.StashKey()

_UNTRIED = "untried"
"""What stands in an id where no scenario tries a promise."""


def collected(
    path: Path, parent: pytest.Collector, others: list[pytest.Collector]
) -> list[pytest.Collector]:
    """What collects a file that is an argument: a routing configuration, unless somebody else wants
    it and it was not meant as one."""
    from pytest_llmroute.configs import meant

    if others and not meant(path):
        return others
    return [*others, _file(parent, path)]


def named(session: pytest.Session) -> Iterator[ConfigFile]:
    """The files that the ini file names, and that the arguments cover without naming them."""
    config = session.config
    explicit = arguments.given(config)
    for path in arguments.named(config, "llmroute_configs"):
        for file in _below(path) if path.is_dir() else (path,):
            wanted = file not in explicit and arguments.covered(config, file)
            if wanted and not arguments.ignored(config, file):
                yield _file(session, file)


def _below(folder: Path) -> list[Path]:
    from pytest_llmroute.configs import below
    from pytest_llmroute.errors import ConfigError

    try:
        return list(below(folder))
    except ConfigError as error:
        raise pytest.UsageError(f"llmroute_configs: {error}") from error


def _file(parent: pytest.Collector, path: Path) -> ConfigFile:
    plugins = parent.config.pluginmanager
    if not plugins.has_plugin("llmroute-collect"):
        plugins.register(sys.modules[__name__], "llmroute-collect")
    return ConfigFile.from_parent(parent, path=path)


class ConfigFile(pytest.File):
    """A routing configuration."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """The contracts that it promises to keep. Raises ``CollectError`` with what is wrong in it."""
        from llmroute_sim.names import Unknown
        from pytest_llmroute.cases import cases
        from pytest_llmroute.configs import find
        from pytest_llmroute.errors import ConfigError

        try:
            (config,) = find([self.path]).configs
            rules = _rules(self.session)
            stale = list(rules.stale(config))
            found = cases(config, *rules.choices)
        except (ConfigError, Unknown, pytest.UsageError) as error:
            said = str(error).replace(f"{Path.cwd()}{os.sep}", "")
            raise self.CollectError(f"llmroute: {said}") from error
        for number, said in enumerate(stale, 1):
            yield Complaint.from_parent(self, name=f"baseline[{number}]", text=said)
        if not found:
            said = "untested: this configuration promises nothing that is judged here"
            yield Complaint.from_parent(self, name=_UNTRIED, text=said, outcome="untested")
        contracts: dict[str, dict[str, list[Case]]] = {}
        for case in found:
            promises = contracts.setdefault(case.promise.contract.id, {})
            promises.setdefault(case.name, []).append(case)
        for contract, promises in contracts.items():
            yield ContractCollector.from_parent(
                self, name=contract, promises=tuple(map(tuple, promises.values())), rules=rules
            )


class ContractCollector(pytest.Collector):
    """What a configuration promises by one contract."""

    def __init__(self, promises: tuple[tuple[Case, ...], ...], rules: Rules, **node: Any) -> None:
        super().__init__(**node)
        self.promises = promises
        self.rules = rules

    def collect(self) -> Iterator[PromiseItem]:
        """Each promise in each scenario that tries it."""
        for cases in self.promises:
            for case in cases:
                name = f"{case.scenario or _UNTRIED}[{_label(case)}]"
                yield PromiseItem.from_parent(
                    self,
                    name=name,
                    # Read as pytest reads ids, or it would not know them again.
                    nodeid=f"{self.nodeid}::{name}",
                    case=case,
                    siblings=cases,
                    rules=self.rules,
                )


def _label(case: Case) -> str:
    """The group and the line of a promise, in characters that every terminal and log can show."""
    within, _, number = case.name.removeprefix(f"{case.promise.contract.id}[").rpartition("]")
    return "".join(
        one if one.isascii() and one.isprintable() else one.encode("unicode_escape").decode()
        for one in within + number
    )


class PromiseItem(pytest.Item):
    """A promise in a scenario, tried through every way in."""

    def __init__(self, case: Case, siblings: tuple[Case, ...], rules: Rules, **node: Any) -> None:
        from pytest_llmroute.report.terminal import placed

        super().__init__(**node)
        self.case = case
        self.siblings = siblings
        self.rules = rules
        self.sections: list[tuple[str, str]] = []
        self.extra_keyword_matches.add(case.name)
        self.add_marker("llmroute")
        self.user_properties += [
            ("promise", case.name),
            ("contract", case.promise.contract.id),
            ("because", placed(case.promise.because)),
            ("scenario", case.scenario or ""),
            ("seed", str(rules.seed)),
        ]

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The line that promises."""
        line = self.case.promise.because.line
        title = (
            f"{self.case.name} in {self.case.scenario}" if self.case.scenario else self.case.name
        )
        return self.path, None if line is None else line - 1, title

    def runtest(self) -> None:
        """Play and judge."""
        self.stash[OUTCOME] = "untested"
        self.sections.clear()
        fate = self._fate()
        if isinstance(fate, str):
            pytest.fail(fate, pytrace=False)
        self.stash[OUTCOME] = fate.outcome
        if fate.timeline:
            self.sections.append(("llmroute timeline", fate.timeline))
            self.sections.append(("a test that would have caught it", fate.test))
        if fate.accepted:
            _expected(fate.accepted)
        match fate.end:
            case "skipped":
                pytest.skip(fate.text)
            case "failed":
                pytest.fail(fate.text, pytrace=False)

    def _fate(self) -> Fate | str:
        """What becomes of the case, or why it cannot be played."""
        from pytest_llmroute.errors import CannotPlay, ConfigError
        from pytest_llmroute.report.terminal import Page
        from pytest_llmroute.routers import MissingPackage

        width, plain = page_of(self.config)
        page = Page(max(60, min(width, 120)), plain)
        try:
            return self.rules.fate(self.case, self.siblings, page, [self._again()])
        except CannotPlay as error:
            told = traceback.format_exception(error.__cause__ or error)
            self.sections.append(("what the router raised", "".join(told).rstrip()))
            return str(error)
        except (ConfigError, MissingPackage) as error:
            return str(error)

    def _again(self) -> str:
        """The command that runs this item."""
        start = self.config.invocation_params.dir
        file, _, rest = self.nodeid.partition("::")
        path = Path(os.path.relpath(self.config.rootpath / file, start)).as_posix()
        words = ["pytest", f"{path}::{rest}"]
        if self.config.getoption("--llmroute-seed") is not None:
            words.append(f"--llmroute-seed={self.rules.seed}")
        return shlex.join(words)


def _expected(reason: str) -> None:
    """Fail as expected; with ``--runxfail`` it is none."""
    pytest.xfail(reason)


class Complaint(pytest.Item):
    """Something wrong with a configuration that need not be played to be known."""

    def __init__(self, text: str, outcome: str | None = None, **node: Any) -> None:
        super().__init__(**node)
        self.text = text
        self.add_marker("llmroute")
        if outcome is not None:
            self.stash[OUTCOME] = outcome

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file."""
        return self.path, None, self.name

    def runtest(self) -> None:
        """Fail."""
        pytest.fail(self.text, pytrace=False)


def _rules(session: pytest.Session) -> Rules:
    """What the ini file says of all configurations."""
    from pytest_llmroute.baseline import Baseline
    from pytest_llmroute.fate import Rules
    from pytest_llmroute.library import files_in
    from pytest_llmroute.run import Choice

    config = session.config
    if _RULES not in session.stash:
        own = (
            _scenario(config, file)
            for path in arguments.named(config, "llmroute_scenarios")
            for file in files_in(path)
        )
        shipped = Choice(policy=config.getini("llmroute_policy"), seed=run_seed(config))
        mine = replace(shipped, own=tuple(own))
        baseline = config.getini("llmroute_baseline")
        session.stash[_RULES] = Rules(
            (shipped, mine) if mine.own else (shipped,),
            shipped.seed,
            frozenset(config.getini("llmroute_allow_untested")),
            Baseline.read(arguments.beside_ini(config, baseline)) if baseline else None,
        )
    return session.stash[_RULES]


def _scenario(config: pytest.Config, file: Path) -> Template:
    """A scenario of the user's own, called by its path wherever pytest was started."""
    from pytest_llmroute.sweep import choose

    template = choose((str(file),), ()).own[0]
    return replace(template, name=Path(os.path.relpath(file, config.rootpath)).as_posix())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no item pay for what its router does once, in its duration or by its timeout."""
    if isinstance(item, PromiseItem) and item.case.cells:
        from pytest_llmroute.guest import prepare

        prepare(item.case.cells[0])
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a report speak of the line that promises, not of this module."""
    report = yield
    if not isinstance(item, PromiseItem | Complaint) or call.excinfo is None:
        return report
    path, line, _ = item.reportinfo()
    number = 1 if line is None else line + 1
    if report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (str(path), number, report.longrepr[2].removeprefix("Skipped: "))
    elif (crash := getattr(report.longrepr, "reprcrash", None)) is not None:
        crash.path, crash.lineno = str(path), number
        crash.message = crash.message.removeprefix("Failed: ")
    if report.failed and isinstance(item, PromiseItem):
        report.sections += item.sections
    return report
