"""Flows of control that take turns: what one is, and how it waits."""

from __future__ import annotations

import threading
from typing import Protocol

from llmroute_sim.pulse import Pulse

__all__ = ("Ended", "Strand", "Waiter")


class Ended(BaseException):
    """The world is over; raised in whatever still waits in it. No router should catch it."""


class Strand:
    """One thread of a world, or one job of an executor."""

    __slots__ = (
        "astray",
        "daemon",
        "doom",
        "ident",
        "name",
        "pulse",
        "queued",
        "ticket",
        "turn",
        "watchers",
    )

    def __init__(self, ticket: int, name: str, daemon: bool) -> None:
        self.ticket = ticket
        self.daemon = daemon
        self.name = name
        self.ident: int | None = None
        self.pulse = Pulse()
        self.turn = threading.Lock()
        self.turn.acquire()
        self.doom: BaseException | None = None
        self.queued = False
        self.astray = False
        self.watchers: list[Waiter] = []

    def begin(self) -> int:
        """It is the running thread that carries it out; returns that thread's ident."""
        self.ident = threading.get_ident()
        self.pulse = Pulse(self.ident)
        return self.ident


class Waker(Protocol):
    """Whoever passes turns on."""

    def wake(self, waiter: Waiter) -> None: ...


class Waiter:
    """A wait of one strand. ``release`` ends it; conditions call that, as they do on a lock."""

    __slots__ = ("_baton", "expired", "strand", "woken")

    def __init__(self, baton: Waker, strand: Strand) -> None:
        self._baton = baton
        self.strand = strand
        self.woken = False
        self.expired = False

    def release(self) -> None:
        """Let the strand go on when its turn comes. From any thread."""
        self._baton.wake(self)

    def expire(self) -> None:
        """The time is up."""
        self.expired = not self.woken
        self._baton.wake(self)
