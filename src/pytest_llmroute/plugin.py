"""The pytest plugin: options, collection, and what a run comes to. Whatever is heavy is imported when a
test wants a world."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_MARKER = (
    "llmroute(*, strict=True, seed=None, hosts=(), scenarios=None): how the fixtures treat a test. "
    "strict: fail a test that passes although an injected fault was never met or a host was tried "
    "that nothing simulates; seed: what chance is drawn from, instead of the run's seed and the "
    "test's id; hosts: names or patterns that may be tried although nothing simulates them; "
    "scenarios: names and files that llmroute_scenario goes through, instead of all."
)

pytest_plugins = ["pytest_llmroute.fixtures"]

_CLOSING: pytest.StashKey[_Closing] = pytest.StashKey()
_PAGE = "llmroute_page"

OUTCOME: pytest.StashKey[str] = pytest.StashKey()
"""What came of the promise that an item is about: kept, broken or untested."""

_CONFIGS = (".yaml", ".yml", ".json")
_OWN = "llmroute.toml"
"""What routing configurations are called."""


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
    parser.addini(
        "llmroute_scenarios",
        "scenario files, or folders of them, that tests play by name beside the shipped ones",
        type="paths",
        default=[],
    )
    parser.addini(
        "llmroute_configs",
        "routing configurations whose promises are tests: files, folders and globs",
        type="paths",
        default=[],
    )
    parser.addini(
        "llmroute_allow_untested",
        "contracts whose promises may be untested (fallback.order), or * for all",
        type="args",
        default=[],
    )
    parser.addini(
        "llmroute_policy",
        "judge good practice too, which nothing promises",
        type="bool",
        default=False,
    )
    parser.addini(
        "llmroute_baseline",
        "a file of promises that are known not to hold and accepted for a while",
        type="string",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and see that what the ini file names is there."""
    config.addinivalue_line("markers", _MARKER)
    if hasattr(config, "workerinput"):
        return
    config.stash[_CLOSING] = _Closing()
    config.pluginmanager.register(config.stash[_CLOSING], "llmroute-closing")
    told = (*said_in_ini(config), *(config.getoption("override_ini") or ()))
    if any(name.startswith("llmroute") for name in told):
        from pytest_llmroute.arguments import check

        check(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker what its reports will be shown on."""
    node.workerinput[_PAGE] = list(page_of(node.config))


def pytest_report_header(config: pytest.Config) -> str:
    """What a run can be repeated with."""
    return f"llmroute: seed {run_seed(config)}"


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Routing configurations that are arguments."""
    found = yield
    if file_path.suffix in _CONFIGS or file_path.name == _OWN:
        from pytest_llmroute.arguments import given

        if file_path in given(parent.config):
            from pytest_llmroute.collect import collected

            return collected(file_path, parent, found)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Routing configurations that the ini file names."""
    report = yield
    if not isinstance(collector, pytest.Session) or not report.passed:
        return report
    if collector.config.getini("llmroute_configs"):
        from pytest_llmroute.collect import named

        report.result = [*report.result, *named(collector)]
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import now what tests will need, so that no test pays for it, or freezes the clock before."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if wanted & {"llmroute", "llmroute_factory"}:
        import pytest_llmroute.worlds  # noqa: F401 - for its effect


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a report carry what its test and its world come to, also from an xdist worker."""
    report = yield
    if report.when == "teardown" and "pytest_llmroute.census" in sys.modules:
        from pytest_llmroute.census import handed_over

        if (found := handed_over(item.stash.get(OUTCOME, None))) is not None:
            report.user_properties.append(("llmroute", found.dump()))
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


class _Closing:
    """What all tests of a run come to, also those of xdist workers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a report carries."""
        if report.when == "teardown":
            self.told += (
                str(value) for name, value in report.user_properties if name == "llmroute"
            )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run in which no promise could be tested has not passed."""
    closing = session.config.stash.get(_CLOSING, None)
    if closing is not None and closing.told and session.exitstatus == pytest.ExitCode.OK:
        from pytest_llmroute.report.closing import total

        if total(closing.told).proves_nothing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Who was asked, what was met, and what was never broken."""
    closing = config.stash.get(_CLOSING, None)
    if closing is not None and closing.told:
        from pytest_llmroute.report.closing import show

        show(terminalreporter, closing.told, *page_of(config))


def page_of(config: pytest.Config) -> tuple[int, bool]:
    """How wide the terminal is that shows the reports, and whether it has only ASCII."""
    given = getattr(config, "workerinput", {}).get(_PAGE)
    if given is not None:
        width, plain = given
        return int(width), bool(plain)
    encoding = getattr(sys.__stdout__, "encoding", None) or ""
    shown = config.pluginmanager.has_plugin("terminalreporter")
    width = config.get_terminal_writer().fullwidth if shown else 80
    return width, "utf" not in encoding.lower()


def said_in_ini(config: pytest.Config) -> tuple[str, ...]:
    """The names of all options that the ini file gives, known or not."""
    # pytest 9 warns of the name that it had before, and has no other way to ask.
    found = vars(config).get("_inicfg")
    return tuple(config.inicfg if found is None else found)


def run_seed(config: pytest.Config) -> int:
    """What the seeds of all worlds of a run come from."""
    chosen = config.getoption("--llmroute-seed")
    return int(config.getini("llmroute_seed") if chosen is None else chosen)
