"""The carrier for clients in this process: every connection in memory, all time virtual.

It sits below the client's own HTTP parser, so pools, keep-alive, parsers, timeouts and SDKs are the
real ones; sockets, the network, TLS and waiting are not.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import time_machine

from llmroute_sim.carriers import jobs, seams
from llmroute_sim.carriers.inside import Inside, Unsupported, inside
from llmroute_sim.carriers.loop import adopt_running
from llmroute_sim.carriers.network import Network
from llmroute_sim.clock import Clock
from llmroute_sim.strand import Ended
from llmroute_sim.wire import Door

__all__ = ("StillWaiting", "Unsupported", "in_memory")


class StillWaiting(UserWarning):
    """Threads or jobs were still waiting in a world when it ended."""


@contextmanager
def in_memory(door: Door, clock: Clock) -> Iterator[Network]:
    """While open, every connection that a client in this process's world makes is carried in memory
    to ``door``, and time is virtual.

    The world is the thread that opens it, and the threads and jobs that it starts; all others keep
    real time and real sockets. A host that the door does not know is refused, and told to the door
    as a stray; loopback that it does not know is left to the machine.

    Raises ``RuntimeError`` if a world is open already, :class:`Unsupported` (one of those) for a
    running uvloop, and warns (:class:`StillWaiting`) of threads that still waited when it ended.
    """
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
        network.listen()
        adopt_running(world)
        yield network


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
