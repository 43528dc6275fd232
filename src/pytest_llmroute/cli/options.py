"""Arguments and options that several commands have, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pytest_llmroute.baseline import Baseline, Promising
    from pytest_llmroute.configs import Found

__all__ = (
    "Judging",
    "allowed",
    "baseline",
    "check_allowed",
    "found",
    "paths",
    "read_baseline",
    "say_skipped",
    "verbose",
)

_EVERYTHING = "--allow-untested"


class Judging(click.Command):
    """A command whose ``--allow-untested`` takes a value only after ``=``, so that a path may follow
    it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell out what the option means without a value."""
        ours = args[: args.index("--")] if "--" in args else args
        spelled = [f"{_EVERYTHING}=*" if arg == _EVERYTHING else arg for arg in ours]
        return super().parse_args(ctx, spelled + args[len(ours) :])


allowed = click.option(
    _EVERYTHING,
    "allowed",
    multiple=True,
    metavar="[=CONTRACT]",
    help="Let promises that nothing tried pass: all, or those of one contract.",
)
baseline = click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Accept the broken promises that this file lists; see `llmroute accept`.",
)
verbose = click.option("-v", "--verbose", is_flag=True, help="Show what is otherwise counted.")
paths = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))


def check_allowed(names: Iterable[str]) -> None:
    """Raise ``Unknown`` for a contract that does not exist."""
    from llmroute_sim.names import Unknown
    from pytest_llmroute.contracts import contracts

    for name in names:
        if name != "*" and name not in contracts():
            raise Unknown("contract", name, contracts())


def found(given: tuple[Path, ...]) -> Found:
    """The configurations that paths name. Raises ``ConfigError``."""
    from pytest_llmroute.configs import find

    return find(given)


def read_baseline(file: Path | None, configs: Iterable[Promising]) -> Baseline | None:
    """A baseline, checked against the configurations it may be about. Raises ``ConfigError``."""
    from pytest_llmroute.baseline import Baseline

    if file is None:
        return None
    read = Baseline.read(file)
    read.check(configs)
    return read


def say_skipped(read: Found) -> None:
    """Count the files that were none."""
    if read.skipped:
        files = "file" if read.skipped == 1 else "files"
        click.echo(f"{read.skipped} YAML {files} skipped: no routing configuration", err=True)
