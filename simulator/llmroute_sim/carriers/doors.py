"""Worlds beside each other in one process: requests go to the door of the world that sends them.

The first world owns the clock and the seams. Others that are opened in it, in a task, a thread or a
block of its own, share both, and are told apart by the context of whoever dials or writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from llmroute_sim.calling import outside_calls
from llmroute_sim.wire import Abort, Address, Door, Exchange, Request, Step

__all__ = ("Doors", "current_door", "through")

_door: ContextVar[Door | None] = ContextVar("llmroute_door", default=None)


def current_door() -> Door | None:
    """The door that the running code's context names; None is that of the first world."""
    return _door.get()


@contextmanager
def through(door: Door | None) -> Iterator[None]:
    """Let everything that this context sends go to a door, and belong to no call of another world."""
    token = _door.set(door)
    try:
        with outside_calls():
            yield
    finally:
        # A block that is left in another context than it was entered in has nothing to put back.
        with contextlib.suppress(ValueError):
            _door.reset(token)


class Doors:
    """The doors of all worlds of a process, as one."""

    def __init__(self, first: Door) -> None:
        self._first: Door = first
        self._others: list[Door] = []

    @property
    def here(self) -> Door:
        """The door of the running code's world; of one that has ended, the first world's."""
        door = _door.get()
        return self._first if door is None or door not in self._others else door

    @property
    def all(self) -> tuple[Door, ...]:
        """Every door, the first world's first."""
        return (self._first, *self._others)

    def add(self, door: Door) -> None:
        """A world begins beside the others."""
        self._others.append(door)

    def remove(self, door: Door) -> None:
        """It ends; if it was the first, what belongs to none of the others reaches nobody."""
        if door is self._first:
            self._first = _Nobody()
        else:
            self._others.remove(door)

    # -- as a door

    def knows(self, host: str) -> bool:
        """Whether a host is simulated in the running code's world."""
        return self.here.knows(host)

    def stray(self, address: Address, call: str | None) -> None:
        """Record a client that tried to reach a host that is not simulated."""
        self.here.stray(address, call)

    def connect(self, address: Address, call: str | None) -> Exchange:
        """What becomes of a connection before it stands."""
        return self.here.connect(address, call)

    def resolve(self, address: Address, call: str | None) -> Exchange:
        """What becomes of looking a host's name up, where the door has a say in that."""
        resolve = getattr(self.here, "resolve", None)
        if resolve is not None:
            yield from resolve(address, call)

    def open(self, request: Request) -> Exchange:
        """Answer a request; one on a kept connection that was dialled from another world, too."""
        return self.here.open(request)

    def keeps(self, address: Address) -> bool:
        """Whether an idle connection survives in every world that has its host."""
        return all(door.keeps(address) for door in self.all if door.knows(address.host))


class _Nobody:
    """The door of a world that has ended while others have not."""

    def knows(self, host: str) -> bool:
        return False

    def stray(self, address: Address, call: str | None) -> None:
        pass

    def connect(self, address: Address, call: str | None) -> Exchange:
        yield Abort("refused")

    def open(self, request: Request) -> Exchange:
        yield Abort("reset")

    def keeps(self, address: Address) -> bool:
        return False


def lacking(door: Door, steps: Mapping[Step, str]) -> None:
    """Tell a door that asks for it which steps of connecting its carrier cannot perform, and why."""
    lack: Callable[[Mapping[Step, str]], None] | None = getattr(door, "lack", None)
    if lack is not None:
        lack(steps)


def changes(door: Door) -> list[Callable[[], None]] | None:
    """Whom a door tells that a fault of the connect stage came or went, if it tells anybody."""
    found: list[Callable[[], None]] | None = getattr(door, "on_change", None)
    return found
