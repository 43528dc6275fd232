"""Who may run: of all the threads of a world, one at a time.

Every thread and every executor job of a world is a strand. One of them holds the baton; to wait is
to pass it on. Tickets are drawn when a thread or job is submitted, and the lowest ticket that can
run is next, so the order never depends on the operating system.

A strand that waits in C code keeps the baton where nobody sees it (a bare lock, a real socket).
The others then look at it now and again, and after a second in which its thread neither ran nor
could have run they go on without it. That is a degradation: it is counted, and what happened since
may depend on the machine.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator

from llmroute_sim.pulse import LOOK
from llmroute_sim.real import Real
from llmroute_sim.strand import Ended, Strand, Waiter

__all__ = ("Baton",)

PATIENCE = 1.0
"""Real seconds that it may stand still before the others go on without it."""

GRACE = 2.0
"""Real seconds in which the strands of a world that ended must go."""


class Baton:
    """Passes the right to run from strand to strand. ``members`` are threads by their ident."""

    def __init__(self) -> None:
        self.members: dict[int, Strand] = {}
        self.founder: Strand | None = None
        self.degraded = 0
        self.over = False
        # Reentrant, since a signal's handler may wake a loop while this thread is in here.
        self._mutex = threading.RLock()
        self._alive: dict[int, Strand] = {}
        self._ready: list[tuple[int, Strand]] = []
        self._holder: Strand | None = None
        self._turns = 0
        self._tickets = itertools.count(1)
        self._seen: tuple[int, int] | None = None

    # -- coming and going

    def current(self) -> Strand:
        """The strand of the running thread, holding the baton.

        The first thread that asks founds the world. Raises ``RuntimeError`` in a thread that does
        not belong to it.
        """
        ident = threading.get_ident()
        strand = self.members.get(ident)
        if strand is None:
            if self.founder is not None:
                raise RuntimeError("this thread does not belong to the world of this clock")
            strand = self.founder = self._new("the thread that opened the world")
            self.members[strand.begin()] = strand
            self._holder = strand
        if self._holder is not strand:
            if self.over and strand is not self.founder:
                raise Ended("the world is over")
            self._rejoin(strand)
        return strand

    def expect(self, name: str, *, soon: bool = True, daemon: bool = False) -> Strand:
        """Draw a ticket for a thread or job that was just submitted. With ``soon`` it holds the
        clock until it has run; else :meth:`admit` says when."""
        with self._mutex:
            strand = self._new(name, daemon)
            if soon:
                self._push(strand)
        return strand

    def admit(self, strand: Strand) -> None:
        """A job that had to queue is about to be picked up."""
        with self._mutex:
            self._push(strand)

    def forget(self, strand: Strand) -> None:
        """A thread or job will not come after all."""
        with self._mutex:
            self._retire(strand)

    def enter(self, strand: Strand) -> None:
        """Begin a strand in the running thread, when its turn comes. One that was forgotten, since
        its world ended, never gets one and begins as a thread of its own."""
        if strand.ticket not in self._alive:
            return
        self.members[strand.begin()] = strand
        self._await(strand)

    def leave(self, strand: Strand) -> None:
        """End a strand: whoever waits for it can run."""
        with self._mutex:
            if strand.ident is not None and self.members.get(strand.ident) is strand:
                del self.members[strand.ident]
            self._retire(strand)

    def watch(self, strand: Strand, waiter: Waiter) -> bool:
        """Release a waiter when a strand ends. False if it has."""
        with self._mutex:
            alive = strand.ticket in self._alive
            if alive:
                strand.watchers.append(waiter)
        return alive

    def knows(self, strand: Strand) -> bool:
        """Whether a strand has not ended."""
        return strand.ticket in self._alive

    def strands(self) -> Iterator[Strand]:
        """All that have not ended, by ticket."""
        return iter(sorted(self._alive.values(), key=lambda strand: strand.ticket))

    def end(self) -> list[str]:
        """End the world: wake whoever still waits in it, and name them, but for daemon threads,
        which nobody means to wait for.

        The caller's strand stays until the others have gone, or have shown that they will not.
        """
        me = self.current()
        self.over = True
        left = []
        for strand in self.strands():
            if strand is not me:
                strand.doom = Ended("the world is over")
                if not strand.daemon:
                    left.append(strand.name)
                self.rouse(strand)
        until = Real.monotonic() + GRACE
        while len(self._alive) > 1 and Real.monotonic() < until:
            self.step_back(me)
            if len(self._alive) > 1:
                Real.sleep(0.001)
                for strand in self.strands():
                    if strand is not me:
                        self.rouse(strand)
        return [
            f"{name} (outlived it)" if any(s.name == name for s in self.strands()) else name
            for name in left
        ]

    # -- waiting and waking

    def park(self, strand: Strand, waiter: Waiter) -> bool:
        """Let the next strand run until it is our turn again, to go on or to move the clock.
        False where there is nobody else."""
        with self._mutex:
            if waiter.woken:
                return True
            other = self._pop()
            if other is None:
                return False
            strand.astray = False
            self._give(other)
        self._await(strand)
        return True

    def step_back(self, strand: Strand) -> None:
        """Let the others run that can, without waiting for anything."""
        with self._mutex:
            other = self._pop()
            if other is None:
                return
            self._push(strand)
            strand.astray = False
            self._give(other)
        self._await(strand)

    def wake(self, waiter: Waiter) -> None:
        """End a wait. From any thread."""
        with self._mutex:
            if not waiter.woken:
                waiter.woken = True
                self.rouse(waiter.strand)

    def rest(self, strand: Strand) -> bool:
        """Let those who are astray come back, really, as long as they show signs of life. Returns
        whether anybody had a turn meanwhile."""
        with self._mutex:
            self._holder = None
            turns = self._turns
            for lost in self._astray():
                lost.pulse.begin()
            other = self._pop()
            if other is not None:
                self._give(other)
        self._await(strand)
        return self._turns != turns + 1

    def rouse(self, strand: Strand) -> None:
        """Let a strand look up, whatever it waits for."""
        with self._mutex:
            if strand is not self._holder and not strand.astray:
                self._push(strand)
                if self._holder is None and (other := self._pop()) is not None:
                    self._give(other)

    @property
    def alone(self) -> bool:
        """Whether the running thread holds the baton, and nobody else can run or wants it."""
        holder = self._holder
        return (
            holder is not None
            and not self._ready
            and holder.doom is None
            and holder.ident == threading.get_ident()
        )

    @property
    def anyone_astray(self) -> bool:
        """Whether some strand runs, or waits, where nobody sees it."""
        return bool(self._astray())

    @property
    def anyone_ready(self) -> bool:
        """Whether some strand can run."""
        return bool(self._ready)

    def parked(self, strand: Strand) -> bool:
        """Whether a strand waits, or is the one that asks, so that it will notice its doom."""
        return strand.ticket in self._alive and not strand.astray

    # -- within the mutex

    def _astray(self) -> list[Strand]:
        return [strand for strand in self._alive.values() if strand.astray]

    def _new(self, name: str, daemon: bool = False) -> Strand:
        strand = Strand(next(self._tickets), name, daemon)
        self._alive[strand.ticket] = strand
        return strand

    def _push(self, strand: Strand) -> None:
        if not strand.queued and strand.ticket in self._alive:
            strand.queued = True
            heapq.heappush(self._ready, (strand.ticket, strand))

    def _pop(self) -> Strand | None:
        while self._ready:
            strand = heapq.heappop(self._ready)[1]
            strand.queued = False
            if strand.ticket in self._alive:
                return strand
        return None

    def _give(self, strand: Strand) -> None:
        self._turns += 1
        self._holder = strand
        if not strand.astray:
            strand.turn.release()

    def _retire(self, strand: Strand) -> None:
        if self._alive.pop(strand.ticket, None) is None:
            return
        for watcher in strand.watchers:
            self.wake(watcher)
        if self._holder is strand:
            self._holder = None
            # Nobody can run: then somebody who waits must move the clock.
            other = self._pop() or min(
                (s for s in self._alive.values() if s.ident is not None and not s.astray),
                key=lambda s: s.ticket,
                default=None,
            )
            if other is not None:
                self._give(other)

    # -- outside the mutex

    def _rejoin(self, strand: Strand) -> None:
        """A strand that was lost, or interrupted, takes its turn again."""
        with self._mutex:
            strand.astray = False
            if self._holder is strand:
                return  # it was its turn in the meantime
            self._push(strand)
            if self._holder is None:
                self._give(self._pop() or strand)
        self._await(strand)

    def _await(self, strand: Strand) -> None:
        try:
            while not strand.turn.acquire(timeout=LOOK):
                self._look(strand)
        except BaseException:
            # An interrupt: this thread runs on without the baton.
            with self._mutex:
                strand.astray = True
                if self._holder is strand:
                    strand.turn.acquire(blocking=False)
            raise

    def _look(self, strand: Strand) -> None:
        with self._mutex:
            holder = self._holder
            if holder is strand:
                return
            if holder is None:
                lost = self._astray()
                if lost and all(s.pulse.stood_still() >= PATIENCE for s in lost):
                    self._give(strand)
                return
            seen = (self._turns, holder.ticket)
            if seen != self._seen:
                self._seen = seen
                holder.pulse.begin()
            elif holder.pulse.stood_still() >= PATIENCE:
                self.degraded += 1
                holder.astray = True
                self._give(self._pop() or strand)
