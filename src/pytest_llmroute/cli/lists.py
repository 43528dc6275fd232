"""``llmroute list``."""

from __future__ import annotations

import click

__all__ = ("command",)


@click.command("list")
@click.argument("what", type=click.Choice(["scenarios", "faults", "contracts", "providers"]))
def command(what: str) -> None:
    """List scenarios, faults, contracts or providers."""
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.report.listing import LISTS

    out = consoles.stdout()
    consoles.show(out, LISTS[what](consoles.page_for(out)))
