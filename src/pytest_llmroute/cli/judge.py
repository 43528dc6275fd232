"""``llmroute judge``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_llmroute.cli import options, outputs
from pytest_llmroute.cli.mistakes import Wrong, mistakes

if TYPE_CHECKING:
    from pytest_llmroute.report.findings import Report

__all__ = ("command", "judged")


@click.command("judge", cls=options.Judging)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="Whose promises to judge a saved history by.")  # fmt: skip
@options.baseline
@outputs.options
@options.allowed
@options.verbose
def command(
    file: Path,
    config: Path | None,
    baseline: Path | None,
    junit: Path | None,
    summary: Path | None,
    github: bool | None,
    allowed: tuple[str, ...],
    verbose: bool,
) -> None:
    """Judge a saved report or history again. Needs neither the router nor the simulated world."""
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.accepted import closing_lines, ruled_lines
    from pytest_llmroute.standing import Standing, Terms

    out = consoles.stdout()
    page = consoles.page_for(out, detail=verbose)
    with mistakes(verbose):
        options.check_allowed(allowed)
        to = outputs.Outputs(junit, summary, github)
        to.check()
        report = judged(file, config)
        # A saved report does not say whether all was played.
        known = options.read_baseline(baseline, report.sheets)
        terms = Terms(frozenset(allowed), known, extent="some")
        standing = Standing(report, terms)
        for sheet in report.sheets:
            consoles.show(out, ruled_lines(sheet, page, terms))
        consoles.show(out, closing_lines(standing, page))
        consoles.show(out, to.write(standing, page))
    sys.exit(standing.status)


def judged(file: Path, config: Path | None) -> Report:
    """A saved report or history, judged again. Raises ``Wrong`` and ``ConfigError``."""
    import json

    from pytest_llmroute.report.rejudged import judged, judged_history

    try:
        saved = json.loads(file.read_text("utf-8"))
        if not isinstance(saved, dict):
            raise ValueError("neither a saved report nor a saved history")
        if "attempts" in saved and "cells" not in saved:
            by = None if config is None else options.found((config,)).configs
            return judged_history(saved, file, by)
        if config is not None:
            raise ValueError("a saved report has its own promises; --config is for a saved history")
        return judged(saved)
    except OSError as error:
        raise Wrong(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise Wrong(f"{file}: {error}") from error
