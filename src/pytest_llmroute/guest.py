"""Playing as a guest in a process that belongs to somebody's tests: whatever loops, filters and
plugins they have, the router meets none of them, and they find everything as it was."""

from __future__ import annotations

import asyncio
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from llmroute_sim.clock import Stuck
from llmroute_sim.history import History
from pytest_llmroute import census
from pytest_llmroute.errors import CannotPlay, ConfigError
from pytest_llmroute.play import Cell, play
from pytest_llmroute.routers import MissingPackage

__all__ = ("Remembering", "play_as_guest", "prepare")

_ROOM = 50_000
"""Calls and attempts that are remembered; histories of the longest unused cells are given up first."""


def play_as_guest(cell: Cell) -> History:
    """Play a cell in this process.

    Raises ``ConfigError`` and ``MissingPackage`` for a router that cannot be had, ``CannotPlay`` for
    one that fails outside of a call.
    """
    with _usual_loops():
        try:
            history = play(cell)
        except (ConfigError, MissingPackage):
            raise
        except (Exception, Stuck) as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise CannotPlay(f"the router could not be run ({cell.entry}): {said}") from error
    census.count(history)
    return history


_prepared: set[str] = set()


def prepare(cell: Cell) -> None:
    """Let the router of a kind that is slow to begin do once what it does once: imports, prices,
    vocabularies. So that is no part of any play."""
    if cell.config.kind == "litellm" and cell.config.kind not in _prepared:
        _prepared.add(cell.config.kind)
        # What is wrong will be told by whoever plays in earnest.
        with _usual_loops(), suppress(Exception, Stuck):
            play(replace(cell, scenario=cell.scenario.calmed()))


@contextmanager
def _usual_loops() -> Iterator[None]:
    """asyncio's own event loops, of which the clock can be virtual, and no warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        get = getattr(asyncio, "get_event_loop_policy", None)  # gone from Python 3.16 on
        policy = get() if get else None
        if policy is None or type(policy).__module__.startswith("asyncio."):
            yield
            return
        asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
        try:
            yield
        finally:
            asyncio.set_event_loop_policy(policy)


class Remembering:
    """Plays every cell once: the same one, asked for again, gives the same history."""

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._known: OrderedDict[str, History] = OrderedDict()
        self._kept = 0

    def __call__(self, cell: Cell) -> History:
        """Play a cell, or remember what came of it. Raises as :func:`play_as_guest`."""
        name = f"{cell.config.path.absolute()}\x1f{cell.id}\x1f{cell.scenario!r}"
        if (history := self._known.get(name)) is not None:
            self._known.move_to_end(name)
            return history
        history = play_as_guest(cell)
        self._known[name] = history
        self._kept += _weight(history)
        while self._kept > self._room and len(self._known) > 1:
            self._kept -= _weight(self._known.popitem(last=False)[1])
        return history


def _weight(history: History) -> int:
    return 1 + len(history.calls) + len(history.attempts)
