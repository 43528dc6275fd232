"""The ``llmroute`` command: its name, and which module has which of its commands.

A command's module is imported when the command, or the list of all, is asked for; none of them
imports more than it needs to be described.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from pytest_llmroute.cli.mistakes import Wrong, usage

__all__ = ("main",)

_COMMANDS: Mapping[str, str] = {
    "run": "pytest_llmroute.cli.run",
    "promises": "pytest_llmroute.cli.promises",
    "judge": "pytest_llmroute.cli.judge",
    "accept": "pytest_llmroute.cli.accept",
    "list": "pytest_llmroute.cli.lists",
    "serve": "pytest_llmroute.cli.serve",
    "env": "pytest_llmroute.cli.env",
}
"""Where each command is: a module whose ``command`` it is."""


class _Commands(click.Group):
    """A group whose commands are imported when they are wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = import_module(_COMMANDS[cmd_name]).command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            from llmroute_sim.names import Unknown

            raise Wrong(str(Unknown("command", args[0], _COMMANDS)))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with usage():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with usage():
            return super().invoke(ctx)


@click.group(
    "llmroute",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="pytest-llmroute", prog_name="llmroute")
def main() -> None:
    """Break the world under a routing configuration, and report which of its promises hold.

    Exit status: 0 all kept, 1 something broken, 3 something untested, 2 a mistake in what was asked
    for.
    """
