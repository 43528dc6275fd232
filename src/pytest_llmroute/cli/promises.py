"""``llmroute promises``."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_llmroute.cli import options
from pytest_llmroute.cli.mistakes import mistakes

__all__ = ("command",)


@click.command("promises")
@options.paths
def command(paths: tuple[Path, ...]) -> None:
    """List what configurations promise.

    And what of them is not judged, with the reason. Needs no router.
    """
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.listing import promise_lines

    out = consoles.stdout()
    page = consoles.page_for(out)
    with mistakes():
        found = options.found(paths)
        for config in found.configs:
            consoles.show(out, promise_lines(config, page))
        options.say_skipped(found)
