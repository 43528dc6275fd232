"""``llmroute env``."""

from __future__ import annotations

import click

from pytest_llmroute.cli.mistakes import Wrong
from pytest_llmroute.cli.serve import PORT
from pytest_llmroute.cli.variables import SHELLS, lines

__all__ = ("command",)

_AGAIN = 0.05
"""Seconds between two looks at whether the server is ready."""


@click.command("env")
@click.argument("port", type=click.IntRange(1, 65535), default=PORT, metavar="[PORT]")
@click.option("--format", "shell", type=click.Choice(list(SHELLS)), default="sh", show_default=True, help="For which shell.")  # fmt: skip
@click.option("--wait", type=click.FloatRange(0), default=10.0, show_default=True, metavar="SECONDS", help="How long to wait until the server is ready.")  # fmt: skip
def command(port: int, shell: str, wait: float) -> None:
    """Print the variables that lead SDKs to a running `llmroute serve`, for a shell to set.

    \b
    eval "$(llmroute env)"
    """
    from pytest_llmroute.serving.addresses import past_proxies

    for line in lines({**_asked(port, wait), **past_proxies()}, shell):
        click.echo(line)


def _asked(port: int, wait: float) -> dict[str, str]:
    """What the server says, once it is ready."""
    import json
    import time
    from http.client import HTTPConnection, HTTPException

    until = time.monotonic() + wait
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=max(1.0, wait))
        try:
            connection.request("GET", "/_llmroute/environment")
            found = json.load(connection.getresponse())
            if isinstance(found, dict) and all(isinstance(one, str) for one in found.values()):
                return found
            raise Wrong(f"what listens on port {port} is no `llmroute serve`")
        except (HTTPException, ValueError) as error:
            raise Wrong(f"what listens on port {port} is no `llmroute serve`") from error
        except OSError as error:
            if time.monotonic() >= until:
                raise Wrong(
                    f"nothing answers on port {port} of 127.0.0.1: `llmroute serve --port {port}`"
                ) from error
        finally:
            connection.close()
        time.sleep(_AGAIN)
