"""What a user did wrong, in one message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

__all__ = ("INTERRUPTED", "Wrong", "mistakes", "usage")

WRONG, INTERRUPTED = 2, 130
"""Exit statuses beside those of a report: a mistake in what was asked for, and Ctrl-C."""


class Wrong(click.ClickException):
    """A mistake of the user's: one message, no traceback."""

    exit_code = WRONG

    def show(self, file: Any = None) -> None:
        """Say it on standard error."""
        click.echo(f"llmroute: {self.format_message()}", err=True)


@contextmanager
def mistakes(verbose: bool = False) -> Iterator[None]:
    """Say in one message what is wrong with what the user wrote; with ``verbose`` also where in the
    code it came out."""
    from llmroute_sim.names import Unknown
    from pytest_llmroute.errors import CannotPlay, ConfigError
    from pytest_llmroute.routers import MissingPackage

    try:
        yield
    except (CannotPlay, ConfigError, Unknown, MissingPackage) as error:
        if verbose and error.__cause__ is not None:
            import traceback

            traceback.print_exception(error.__cause__)
        raise Wrong(str(error)) from error


@contextmanager
def usage() -> Iterator[None]:
    """Say in one message what is wrong with how a command is used."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "llmroute"
        raise Wrong(f"{error.format_message().rstrip('.')} (see {command} --help)") from error
