"""The carrier for clients in this process: every connection in memory, all time virtual.

It sits below the client's own HTTP parser, so pools, keep-alive, parsers, timeouts and SDKs are the
real ones; sockets, the network, TLS and waiting are not.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import time_machine

from llmroute_sim.carriers import jobs, seams
from llmroute_sim.carriers.doors import through
from llmroute_sim.carriers.inside import Inside, Unsupported, here, inside
from llmroute_sim.carriers.loop import adopt_running
from llmroute_sim.carriers.network import Network
from llmroute_sim.clock import Clock
from llmroute_sim.lap import Lap
from llmroute_sim.strand import Ended
from llmroute_sim.wire import Door

__all__ = ("StillWaiting", "Unsupported", "in_memory", "new_clock")


class StillWaiting(UserWarning):
    """Threads or jobs were still waiting in a world when it ended."""


def new_clock() -> Clock | Lap:
    """The clock for a world that the running code opens: one of its own, or, inside of a world, that
    world's, counted from now."""
    world = here()
    return Clock() if world is None else Lap(world.clock)


@contextmanager
def in_memory(door: Door, clock: Clock | Lap) -> Iterator[Network]:
    """While open, every connection that a client in this process's world makes is carried in memory
    to ``door``, and time is virtual.

    The world is the thread that opens it, and the threads and jobs that it starts; all others keep
    real time and real sockets. A host that the door does not know is refused, and told to the door
    as a stray; loopback that it does not know is left to the machine.

    Worlds are parallel in two ways. One that is opened inside of another, with a :class:`Lap` of its
    clock, is told apart from it by context: a task, a thread or a block of its own. A thread that
    is in no world waits until the open one has ended.

    Raises ``RuntimeError`` if it waited too long, or for a clock of its own inside of a world,
    :class:`Unsupported` (one of those) for a running uvloop, and warns (:class:`StillWaiting`) of
    threads that still waited when it ended.
    """
    if isinstance(clock, Lap):
        with _beside(door) as shared:
            yield shared
        return
    network = Network(door, clock)
    world = Inside(clock, network, clock.baton, clock.baton.members)
    left: list[str] = []
    with ExitStack() as undo:
        undo.callback(_warn, left)
        undo.enter_context(inside(world))
        clock.begin()
        undo.callback(clock.finish)
        undo.enter_context(_wall_clock(clock))
        undo.enter_context(seams.installed())
        undo.callback(_end, world, left)
        undo.callback(network.close)
        adopt_running(world)
        world.undo = undo.pop_all()
    with _part(world, door):
        yield network


@contextmanager
def _beside(door: Door) -> Iterator[Network]:
    world = here()
    if world is None:
        raise RuntimeError(
            "the world whose clock this one shares has ended, or is another thread's"
        )
    world.network.begin(door)
    with _part(world, door), through(door):
        yield world.network


@contextmanager
def _part(world: Inside, door: Door) -> Iterator[None]:
    """One of the worlds on a clock. The last one of a thread ends what they share, for worlds of
    threads that were started in them too."""
    thread = get_ident()
    world.parts.append(thread)
    try:
        yield
    finally:
        world.parts.remove(thread)
        world.network.end(door)
        founder = world.baton.founder
        if thread not in world.parts and (founder is None or founder.ident == thread):
            world.undo.close()


def _end(world: Inside, left: list[str]) -> None:
    """Wake whoever still waits, and let go of the loops."""
    jobs.abandon(world)
    left += world.baton.end()
    for adoption in list(world.loops.values()):
        adoption.undo()


def _warn(left: list[str]) -> None:
    if left:
        warnings.warn(
            f"the world ended while these still waited in it: {', '.join(left)}. They were woken "
            f"with {Ended.__name__}, so that nothing goes on after it.",
            StillWaiting,
            stacklevel=2,
        )


@contextmanager
def _wall_clock(clock: Clock) -> Iterator[None]:
    """``time.time`` and ``datetime.now`` are those of the world, for the whole process."""
    travel = time_machine.travel(clock.wall(), tick=False)
    try:
        traveller = travel.start()
    except RuntimeError as error:
        raise Unsupported(
            "freezegun was started before this world, and time has one owner at a time: freeze "
            "inside the world (or by a decorator on the test), not in a fixture in front of it"
        ) from error
    follow = traveller.shift
    clock.followers.append(follow)
    timing: Any = sys.modules.get("_pytest.timing")
    frozen = getattr(timing, "time", None)
    if timing is not None:
        # pytest's own reports tell when a test really ran.
        timing.time = time_machine.escape_hatch.time.time
    try:
        yield
    finally:
        clock.followers.remove(follow)
        if timing is not None:
            timing.time = frozen
        travel.stop()
