"""The ``llmroute`` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from pytest_llmroute.configs import Found
    from pytest_llmroute.report.findings import Report

__all__ = ("main",)

WRONG, INTERRUPTED = 2, 130
"""Exit statuses beside those of a report: a mistake in what was asked for, and Ctrl-C."""

_MANY = 32
"""Cells from which on it pays to play them in several processes."""

_EVERYTHING = "--allow-untested"


class _Wrong(click.ClickException):
    """A mistake of the user's: one message, no traceback."""

    exit_code = WRONG

    def show(self, file: Any = None) -> None:
        click.echo(f"llmroute: {self.format_message()}", err=True)


class _Command(click.Command):
    """A command whose ``--allow-untested`` takes a value only after ``=``, so that a path may follow
    it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours = args[: args.index("--")] if "--" in args else args
        spelled = [f"{_EVERYTHING}=*" if arg == _EVERYTHING else arg for arg in ours]
        return super().parse_args(ctx, spelled + args[len(ours) :])


_allowed = click.option(
    _EVERYTHING,
    "allowed",
    multiple=True,
    metavar="[=CONTRACT]",
    help="Let promises that nothing tried pass: all, or those of one contract.",
)
_verbose = click.option("-v", "--verbose", is_flag=True, help="Show what is otherwise counted.")
_paths = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="pytest-llmroute", prog_name="llmroute")
def main() -> None:
    """Break the world under a routing configuration, and report which of its promises hold.

    Exit status: 0 all kept, 1 something broken, 3 something untested, 2 a mistake in what was asked
    for.
    """


@main.command(cls=_Command)
@_paths
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Play only this one: a shipped scenario, or a TOML file. May be repeated.")  # fmt: skip
@click.option("--contract", "contracts", multiple=True, metavar="ID", help="Judge only by this contract. May be repeated.")  # fmt: skip
@click.option("--policy", is_flag=True, help="Judge good practice too, which nothing promises.")
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="What chance gives; 0 unless told.")  # fmt: skip
@click.option("--json", "saved", type=click.Path(path_type=Path), metavar="FILE", help="Save the report, to be judged again by `llmroute judge`.")  # fmt: skip
@click.option("--python", metavar="VENV_PYTHON", help="Run the router in this interpreter.")
@_allowed
@_verbose
def run(
    paths: tuple[Path, ...],
    scenarios: tuple[str, ...],
    contracts: tuple[str, ...],
    policy: bool,
    seed: int,
    saved: Path | None,
    python: str | None,
    allowed: tuple[str, ...],
    verbose: bool,
) -> None:
    """Judge the promises of routing configurations: files, and what is below folders."""
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.saved import dump, write
    from pytest_llmroute.report.terminal import sheet_lines, summary_lines

    out, err = consoles.stdout(), consoles.stderr()
    page = consoles.page_for(out, detail=verbose, python=python)
    with _mistakes(verbose), ExitStack() as stack:
        found = _found(paths)
        from pytest_llmroute.crew import Crew
        from pytest_llmroute.sweep import Sweep, aloud, choose, plan, quietly

        choice = choose(scenarios, contracts, policy=policy, seed=seed)
        _check(allowed)
        if saved is not None:
            _check_writable(saved)
        player, installed, versions, hands = (aloud if verbose else quietly), None, None, 1
        if python is not None:
            crew = stack.enter_context(Crew(python, os.cpu_count() or 1))
            player, hands, child = crew.play, crew.size, crew.first
            installed, versions = child.own.__contains__, child.versions
        plans = plan(found.configs, choice, installed)
        cells = sum(len(one.trials) for one in plans)
        if python is None and not verbose and cells >= _MANY and (os.cpu_count() or 1) > 1:
            crew = stack.enter_context(Crew(sys.executable, os.cpu_count() or 1, named="llmroute"))
            player, hands = crew.play, crew.size
        sweep = Sweep(plans, player, _watcher(stack, err, cells), hands)
        interrupted = False
        try:
            for sheet in sweep.sheets():
                consoles.show(out, sheet_lines(sheet, page))
        except KeyboardInterrupt:
            interrupted = True
            consoles.show(out, sheet_lines(sweep.found[-1], page) if sweep.found else ())
        report = _report(sweep.found, versions, interrupted=interrupted)
        consoles.show(out, summary_lines(report, page))
        _say_skipped(found)
        if interrupted:
            sys.exit(INTERRUPTED)
        if saved is not None:
            try:
                write(saved, dump(report))
            except OSError as error:
                raise _Wrong(f"--json {saved}: {error.strerror or error}") from error
    sys.exit(report.status(allowed))


@main.command()
@_paths
def promises(paths: tuple[Path, ...]) -> None:
    """List what configurations promise, and what of them is not judged. Needs no router."""
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.listing import promise_lines

    out = consoles.stdout()
    page = consoles.page_for(out)
    with _mistakes():
        found = _found(paths)
        for config in found.configs:
            consoles.show(out, promise_lines(config, page))
        _say_skipped(found)


@main.command(cls=_Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="Whose promises to judge a saved history by.")  # fmt: skip
@_allowed
@_verbose
def judge(file: Path, config: Path | None, allowed: tuple[str, ...], verbose: bool) -> None:
    """Judge a saved report or history again. Needs neither the router nor the simulated world."""
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.terminal import sheet_lines, summary_lines

    out = consoles.stdout()
    page = consoles.page_for(out, detail=verbose)
    with _mistakes(verbose):
        _check(allowed)
        report = _judged(file, config)
        for sheet in report.sheets:
            consoles.show(out, sheet_lines(sheet, page))
        consoles.show(out, summary_lines(report, page))
    sys.exit(report.status(allowed))


@main.command("list")
@click.argument("what", type=click.Choice(["scenarios", "faults", "contracts", "providers"]))
def list_(what: str) -> None:
    """List scenarios, faults, contracts or providers."""
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.listing import LISTS

    out = consoles.stdout()
    consoles.show(out, LISTS[what](consoles.page_for(out)))


# -- parts


@contextmanager
def _mistakes(verbose: bool = False) -> Iterator[None]:
    """Say in one message what is wrong with what the user wrote."""
    from llmroute_sim.names import Unknown
    from pytest_llmroute.errors import CannotPlay, ConfigError
    from pytest_llmroute.routers import MissingPackage

    try:
        yield
    except (CannotPlay, ConfigError, Unknown, MissingPackage) as error:
        if verbose and error.__cause__ is not None:
            import traceback

            traceback.print_exception(error.__cause__)
        raise _Wrong(str(error)) from error


def _found(paths: tuple[Path, ...]) -> Found:
    from pytest_llmroute.configs import find

    return find(paths)


def _say_skipped(found: Found) -> None:
    if found.skipped:
        files = "file" if found.skipped == 1 else "files"
        click.echo(f"{found.skipped} YAML {files} skipped: no routing configuration", err=True)


def _check(allowed: tuple[str, ...]) -> None:
    from llmroute_sim.names import Unknown
    from pytest_llmroute.contracts import contracts

    for name in allowed:
        if name != "*" and name not in contracts():
            raise Unknown("contract", name, contracts())


def _check_writable(file: Path) -> None:
    """Find out before anything runs."""
    from tempfile import TemporaryFile

    if file.is_dir():
        raise _Wrong(f"--json {file}: is a folder")
    try:
        with TemporaryFile(dir=file.parent):
            return
    except OSError as error:
        raise _Wrong(f"--json {file}: {error.strerror or error}") from error


def _watcher(stack: ExitStack, err: Console, cells: int) -> Any:
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.progress import Bar, Lines

    if err.is_terminal and cells:
        return stack.enter_context(Bar(err, consoles.page_for(err), cells))
    return Lines(err)


def _report(sheets: Any, versions: Any, *, interrupted: bool = False) -> Report:
    """With the releases that the verdicts are about."""
    from pytest_llmroute.report.findings import Report
    from pytest_llmroute.sweep import PACKAGES
    from pytest_llmroute.versions import installed

    given = installed() if versions is None else versions
    names = ["pytest-llmroute", *(PACKAGES.get(sheet.kind, "") for sheet in sheets), "python"]
    return Report(
        {name: given[name] for name in names if name in given}, tuple(sheets), interrupted
    )


def _judged(file: Path, config: Path | None) -> Report:
    import json

    from pytest_llmroute.report.rejudged import judged, judged_history

    try:
        saved = json.loads(file.read_text("utf-8"))
        if not isinstance(saved, dict):
            raise ValueError("neither a saved report nor a saved history")
        if "attempts" in saved and "cells" not in saved:
            by = None if config is None else _found((config,)).configs
            return judged_history(saved, file, by)
        if config is not None:
            raise ValueError("a saved report has its own promises; --config is for a saved history")
        return judged(saved)
    except OSError as error:
        raise _Wrong(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise _Wrong(f"{file}: {error}") from error
