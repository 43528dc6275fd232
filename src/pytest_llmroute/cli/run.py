"""``llmroute run``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_llmroute.cli import options, outputs
from pytest_llmroute.cli.mistakes import INTERRUPTED, mistakes

if TYPE_CHECKING:
    from rich.console import Console

    from pytest_llmroute.child import Interpreter
    from pytest_llmroute.crew import Crew
    from pytest_llmroute.report.findings import Report
    from pytest_llmroute.routers import RoutingConfig
    from pytest_llmroute.run import Choice
    from pytest_llmroute.standing import Extent
    from pytest_llmroute.sweep import Sweep

__all__ = ("command",)

_MANY = 32
"""Cells from which on it pays to play them in several processes."""


@click.command("run", cls=options.Judging)
@options.paths
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Play only this one: a shipped scenario, or a TOML file. May be repeated.")  # fmt: skip
@click.option(
    "--full", is_flag=True, help="Play the whole library: every fault alone, and stories."
)
@click.option("--contract", "contracts", multiple=True, metavar="ID", help="Judge only by this contract. May be repeated.")  # fmt: skip
@click.option("--policy", is_flag=True, help="Judge good practice too, which nothing promises.")
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="What chance gives; 0 unless told.")  # fmt: skip
@click.option("--json", "saved", type=click.Path(path_type=Path), metavar="FILE", help="Save the report, to be judged again by `llmroute judge`.")  # fmt: skip
@options.baseline
@outputs.options
@click.option("--python", metavar="VENV_PYTHON", help="Run the router in this interpreter.")
@options.allowed
@options.verbose
def command(
    paths: tuple[Path, ...],
    scenarios: tuple[str, ...],
    full: bool,
    contracts: tuple[str, ...],
    policy: bool,
    seed: int,
    saved: Path | None,
    baseline: Path | None,
    junit: Path | None,
    summary: Path | None,
    github: bool | None,
    python: str | None,
    allowed: tuple[str, ...],
    verbose: bool,
) -> None:
    """Judge the promises of routing configurations.

    PATHS are files, and folders that they are looked for in.
    """
    with mistakes(verbose), ExitStack() as stack:
        found = options.found(paths)
        some = bool(scenarios or contracts)
        crew = _crew(stack, found.configs, python, some=some, verbose=verbose)
        from pytest_llmroute.report import console as consoles
        from pytest_llmroute.report.accepted import closing_lines, ruled_lines
        from pytest_llmroute.standing import Standing, Terms
        from pytest_llmroute.sweep import choose

        choice = choose(scenarios, contracts, policy=policy, seed=seed, full=full)
        out = consoles.stdout()
        page = consoles.page_for(out, detail=verbose, python=python)
        options.check_allowed(allowed)
        known = options.read_baseline(baseline, found.configs)
        terms = Terms(frozenset(allowed), known, extent=_extent(scenarios, seed))
        to = outputs.Outputs(junit, summary, github, saved)
        to.check()
        other = None if crew is None or python is None else crew.first
        sweep = _sweep(stack, found.configs, choice, crew, other, verbose=verbose)
        versions = None if other is None else other.versions
        interrupted = False
        try:
            for sheet in sweep.sheets():
                consoles.show(out, ruled_lines(sheet, page, terms))
        except KeyboardInterrupt:
            interrupted = True
            consoles.show(out, ruled_lines(sweep.found[-1], page, terms) if sweep.found else ())
        standing = Standing(_report(sweep.found, versions, interrupted=interrupted), terms)
        consoles.show(out, closing_lines(standing, page))
        options.say_skipped(found)
        if interrupted:
            sys.exit(INTERRUPTED)
        consoles.show(out, to.write(standing, page))
    sys.exit(standing.status)


def _extent(scenarios: tuple[str, ...], seed: int) -> Extent:
    return "other" if seed else "some" if scenarios else "all"


def _crew(
    stack: ExitStack,
    configs: tuple[RoutingConfig, ...],
    python: str | None,
    *,
    some: bool,
    verbose: bool,
) -> Crew | None:
    """Those who play, where it is known before anything is planned that they are wanted: routers are
    imported while it is planned what to ask them. ``some``: only some part is asked for, which may
    be little."""
    from pytest_llmroute.crew import Crew

    if python is not None:
        return stack.enter_context(Crew(python, os.cpu_count() or 1))
    if verbose or some or not _heavy(configs):
        return None
    return _own_crew(stack, load=[config.path for config in configs])


def _own_crew(stack: ExitStack, load: Iterable[Path] = ()) -> Crew | None:
    """Processes of this interpreter, where several can work at the same time."""
    from pytest_llmroute.crew import Crew

    cores = os.cpu_count() or 1
    if cores == 1:
        return None
    return stack.enter_context(Crew(sys.executable, cores, named="llmroute", load=load))


def _sweep(
    stack: ExitStack,
    configs: tuple[RoutingConfig, ...],
    choice: Choice,
    crew: Crew | None,
    other: Interpreter | None,
    *,
    verbose: bool,
) -> Sweep:
    """A sweep over configurations, with the hands that it takes. ``other`` is the interpreter that
    plays, if it is not this one."""
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.routers import present
    from pytest_llmroute.sweep import Sweep, aloud, plan, quietly

    plans = plan(configs, choice, present if other is None else other.own.__contains__)
    cells = sum(len(one.trials) for one in plans)
    if crew is None and not verbose and cells >= _MANY:
        crew = _own_crew(stack)
    watcher = _watcher(stack, consoles.stderr(), cells)
    if crew is not None:
        return Sweep(plans, crew.play, watcher, crew.size)
    return Sweep(plans, aloud if verbose else quietly, watcher)


def _heavy(configs: Iterable[RoutingConfig]) -> bool:
    """Whether there is a router that takes long to import."""
    from pytest_llmroute.routers import PACKAGES, present

    return any(present(PACKAGES[config.kind]) for config in configs if config.kind in PACKAGES)


def _watcher(stack: ExitStack, err: Console, cells: int) -> Any:
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.progress import Bar, Lines

    if err.is_terminal and cells:
        return stack.enter_context(Bar(err, consoles.page_for(err), cells))
    return Lines(err)


def _report(sheets: Any, versions: Any, *, interrupted: bool = False) -> Report:
    """With the releases that the verdicts are about."""
    from pytest_llmroute.report.findings import Report
    from pytest_llmroute.routers import PACKAGES
    from pytest_llmroute.versions import installed

    given = installed() if versions is None else versions
    names = ["pytest-llmroute", *(PACKAGES.get(sheet.kind, "") for sheet in sheets), "python"]
    return Report(
        {name: given[name] for name in names if name in given}, tuple(sheets), interrupted
    )
