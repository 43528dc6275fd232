"""``llmroute serve``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from pytest_llmroute.cli import options
from pytest_llmroute.cli.mistakes import Wrong, mistakes
from pytest_llmroute.cli.variables import lines

if TYPE_CHECKING:
    from rich.console import Console

    from pytest_llmroute.serving.live import Board
    from pytest_llmroute.serving.server import Server
    from pytest_llmroute.serving.stage import Stage
    from pytest_llmroute.serving.trust import Trust

__all__ = ("PORT", "command")

PORT = 4100
"""The port unless one is given: the same each time, so that programs can keep their settings."""

T = TypeVar("T", int, float)


@click.command("serve")
@click.argument("scenario", required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, metavar="N", help="The port of all providers; 0 is any free one.")  # fmt: skip
@click.option("--listener", "listeners", multiple=True, metavar="PROVIDER[=PORT]", help="Give a provider a port of its own, which can refuse connections. May be repeated.")  # fmt: skip
@click.option("--tls", is_flag=True, help="Serve HTTPS: every provider on a port of its own, with certificates of a throw-away authority. Needs trustme.")  # fmt: skip
@click.option("--target", multiple=True, metavar="PLACE", help="Who the scenario's target is. May be repeated.")  # fmt: skip
@click.option("--next", "following", multiple=True, metavar="PLACE", help="Who is next after the target. May be repeated.")  # fmt: skip
@click.option("--others", multiple=True, metavar="PLACE", help="Who the others are. May be repeated.")  # fmt: skip
@click.option("--number", "numbers", multiple=True, metavar="NAME=N", help="A number that the scenario leaves open. May be repeated.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Serve the hosts of a routing configuration too.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), metavar="N", help="What chance gives; the scenario's unless told.")  # fmt: skip
@click.option("--time-scale", "scale", type=click.FloatRange(0, min_open=True), default=1.0, metavar="X", help="Real seconds that one of the world takes; with 0.1 it runs ten times as fast.")  # fmt: skip
@click.option("--history", "saved", type=click.Path(path_type=Path), metavar="FILE", help="Save what happened when it ends, for `llmroute judge`.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Show no line for each attempt, and no closing.")
def command(
    scenario: str | None,
    port: int,
    listeners: tuple[str, ...],
    tls: bool,
    target: tuple[str, ...],
    following: tuple[str, ...],
    others: tuple[str, ...],
    numbers: tuple[str, ...],
    config: Path | None,
    seed: int | None,
    scale: float,
    saved: Path | None,
    quiet: bool,
) -> None:
    """Serve the simulated providers on loopback, in real time, to programs of any kind.

    SCENARIO is the name of a shipped one or a TOML file: its incidents begin when the server is
    ready; its workload is not played, the program under test does the asking. Ctrl-C ends.
    """
    from llmroute_sim.carriers.tcp import NoTLS, PortError
    from pytest_llmroute.serving.trust import throw_away

    with mistakes(), _said_of_values():
        if saved is not None:
            _check_writable(saved)
        roles = {"target": target, "next": following, "others": others}
        stage = _stage(
            scenario,
            {role: list(places) for role, places in roles.items() if places},
            dict(_pair(text, "--number", float) for text in numbers),
            config,
            seed,
            scale,
        )
        own = dict(_pair(text, "--listener", int, 0) for text in listeners)
        if not all(0 <= number <= 65535 for number in own.values()):
            raise Wrong("--listener: a port is a number up to 65535")
        try:
            with throw_away() if tls else contextlib.nullcontext() as trust:
                _serve(stage, port, own, trust, saved, quiet=quiet)
        except (PortError, NoTLS) as error:
            raise Wrong(str(error)) from error


# -- what is asked for


def _stage(
    scenario: str | None,
    roles: dict[str, list[str]],
    numbers: dict[str, float],
    config: Path | None,
    seed: int | None,
    scale: float,
) -> Stage:
    from pytest_llmroute.serving.stage import NOTHING, Stage, chosen

    if scenario is None and (roles or numbers):
        raise Wrong("roles and numbers are a scenario's: name one (`llmroute list scenarios`)")
    found = NOTHING if scenario is None else chosen(scenario, roles, numbers)
    if seed is not None:
        found = replace(found, seed=seed)
    configs = () if config is None else options.found((config,)).configs
    hosts = {one.host: one for read in configs for one in read.deployments}
    return Stage(found, tuple(hosts.values()), scale)


def _pair(
    text: str, option: str, kind: Callable[[str], T], otherwise: T | None = None
) -> tuple[str, T]:
    name, equals, value = text.partition("=")
    if not equals and otherwise is not None:
        return name, otherwise
    try:
        return name, kind(value)
    except ValueError:
        raise Wrong(f"{option} {text}: {value!r} is not a number (write {name}=1)") from None


@contextlib.contextmanager
def _said_of_values() -> Iterator[None]:
    try:
        yield
    except Wrong:
        raise
    except ValueError as error:
        raise Wrong(str(error)) from error


def _check_writable(file: Path) -> None:
    """Find out before anything runs."""
    from tempfile import TemporaryFile

    if file.is_dir():
        raise Wrong(f"--history {file}: is a folder")
    try:
        with TemporaryFile(dir=file.parent):
            return
    except OSError as error:
        raise Wrong(f"--history {file}: {error.strerror or error}") from error


# -- serving


def _serve(
    stage: Stage,
    port: int,
    listeners: dict[str, int],
    trust: Trust | None,
    saved: Path | None,
    *,
    quiet: bool,
) -> None:
    from pytest_llmroute.report import console as consoles
    from pytest_llmroute.serving.live import Board, closing_lines
    from pytest_llmroute.serving.server import Server
    from pytest_llmroute.serving.stage import warm_up

    out = consoles.stdout()
    page = consoles.page_for(out)
    board = Board(lambda line: _show(out, line), page)
    warm_up()
    server = Server(
        stage,
        port=port,
        listeners=listeners,
        trust=trust,
        tell=(lambda told: None) if quiet else board.tell,
    )
    # Resets are tried on this loop, not on whatever else is the fashion of this process.
    with (
        contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError),
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
    ):
        runner.run(_until_told(server, board))
    world = server.served.world
    if not quiet:
        board.say("")
        for line in closing_lines(world.history, world.incidents, page, server.unseen):
            board.say(line)
    if saved is not None:
        _save(saved, server)
        board.say(f"saved: {saved}")


async def _until_told(server: Server, board: Board) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where a shell has its background jobs ignore Ctrl-C. Some loops cannot be told, and
        # some threads may not.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, task.cancel)
    async with server.carrier:
        for line in _opening_lines(server):
            board.say(line)
        await asyncio.Event().wait()


def _opening_lines(server: Server) -> Iterator[str]:
    from pytest_llmroute.serving.addresses import past_proxies

    stage = server.stage
    yield from lines({**server.environment, **past_proxies()}, "sh")
    for label, host in stage.labels.items():
        yield f"{server.urls[label]} is {host}"
    if stage.deployments and not stage.labels:
        yield "the configuration names no host beside the providers' own"
    if stage.scenario.name:
        title = stage.scenario.title and f": {stage.scenario.title}"
        yield f"scenario {stage.scenario.name}{title}"
        yield "its workload is not played: your program asks"
    for live in server.served.world.incidents:
        yield f"incident {live.number}: {live.incident.name}"
    if stage.scale != 1:
        yield f"a second of the world takes {stage.scale:g} real ones"
    yield f"what controls it: {server.origin}/_llmroute/"
    yield f"ready on {server.origin}"


def _show(out: Console, line: str) -> None:
    from pytest_llmroute.report import console as consoles

    try:
        consoles.show(out, [line])
    except SystemExit as error:
        # What rich makes of a pipe that nobody reads; who listens to us may have heard enough.
        raise BrokenPipeError from error


def _save(file: Path, server: Server) -> None:
    from pytest_llmroute.report.saved import write

    try:
        write(file, json.dumps(server.served.world.history.to_dict(), indent=1) + "\n")
    except OSError as error:
        raise Wrong(f"--history {file}: {error.strerror or error}") from error
