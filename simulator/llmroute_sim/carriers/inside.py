"""Which world is open in this process, and whether the running thread is in it.

Every patched function asks here on every call, so a patch that outlives its world, or is met by a
thread that does not belong to it, does what the original did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock, get_ident
from typing import TYPE_CHECKING

from llmroute_sim.baton import Baton
from llmroute_sim.clock import Clock
from llmroute_sim.strand import Strand

if TYPE_CHECKING:
    from llmroute_sim.carriers.loop import Adoption
    from llmroute_sim.carriers.network import Network

__all__ = ("Inside", "Unsupported", "aside", "here", "inside", "opened")


class Unsupported(RuntimeError):
    """Something that cannot take part in a world of this process, and what to do instead."""


@dataclass(slots=True)
class Inside:
    """An open world, as the patched functions see it."""

    clock: Clock
    network: Network
    baton: Baton
    members: dict[int, Strand]
    loops: dict[asyncio.AbstractEventLoop, Adoption] = field(default_factory=dict)
    parts: list[int] = field(default_factory=list)
    """The threads of the worlds that are open on this clock, one entry for each."""
    undo: ExitStack = field(default_factory=ExitStack)


_open: Inside | None = None
_turn = Lock()

TURN = 300.0
"""Real seconds that a thread waits for the world of another thread to end."""


def here() -> Inside | None:
    """The open world, if the running thread is in it."""
    world = _open
    if world is None or get_ident() not in world.members:
        return None
    return world


def opened() -> Inside | None:
    """The open world, whichever thread asks."""
    return _open


@contextmanager
def inside(world: Inside) -> Iterator[None]:
    """Let a world be the open one. Wall clock and patches belong to the whole process, so a thread
    that is in no world waits for its turn.

    Raises ``RuntimeError`` if that does not come, or if the running thread is in a world.
    """
    global _open
    if here() is not None:
        raise RuntimeError(
            "a world is already open in this thread, and this one brings a clock of its own: open "
            "it with pytest_llmroute.world(), which shares the clock, or after the first has ended"
        )
    if not _turn.acquire(timeout=TURN):
        raise RuntimeError(
            f"a world is already open in this process, in another thread, for {TURN:g} s: time "
            "belongs to the whole process, so worlds of threads that know nothing of each other "
            "take turns. Close the other one, or start this thread inside of it"
        )
    _open = world
    try:
        yield
    finally:
        _open = None
        _turn.release()


@contextmanager
def aside() -> Iterator[None]:
    """Take the running thread out of its world for something that must really happen."""
    world, ident = _open, get_ident()
    strand = world.members.pop(ident, None) if world is not None else None
    try:
        yield
    finally:
        if world is not None and strand is not None and not world.baton.over:
            world.members[ident] = strand
