"""Threads of a world: started, joined, waiting on conditions and sleeping in virtual time."""

from __future__ import annotations

import threading
from typing import Any

from llmroute_sim.carriers.doors import current_door, through
from llmroute_sim.carriers.inside import Inside, aside, here
from llmroute_sim.real import Real
from llmroute_sim.strand import Ended, Strand

__all__ = ("is_alive", "join", "monotonic", "monotonic_ns", "sleep", "start", "wait", "wait_for")

_start = threading.Thread.start
_join = threading.Thread.join
_is_alive = threading.Thread.is_alive
_wait = threading.Condition.wait

FOREIGN = (
    "_pytest", "concurrent.futures.process", "concurrent.futures.thread", "execnet", "faulthandler", "multiprocessing", "pytest_timeout",
    "time_machine", "xdist",
)  # fmt: skip
"""Modules whose threads live in real time: watchdogs, and workers, who take part job by job."""


def sleep(seconds: float) -> None:
    """``time.sleep``."""
    world = here()
    if world is None:
        Real.sleep(seconds)
    elif seconds < 0:
        raise ValueError("sleep length must be non-negative")
    else:
        world.clock.sleep(seconds)


def monotonic() -> float:
    """``time.monotonic``."""
    world = here()
    return Real.monotonic() if world is None else world.clock.monotonic()


def monotonic_ns() -> int:
    """``time.monotonic_ns``."""
    world = here()
    return Real.monotonic_ns() if world is None else world.clock.monotonic_ns()


def wait(self: threading.Condition, timeout: float | None = None) -> bool:
    """``Condition.wait``, and with it events, queues, semaphores, barriers and futures."""
    world = here()
    if world is None:
        return _wait(self, timeout)
    inner: Any = self
    if not inner._is_owned():
        raise RuntimeError("cannot wait on un-acquired lock")
    waiter = world.clock.waiter()
    inner._waiters.append(waiter)
    saved = inner._release_save()
    woken = False
    try:
        if timeout is not None and timeout <= 0:
            world.baton.step_back(waiter.strand)
            woken = waiter.woken
        else:
            woken = world.clock.block(waiter, timeout)
    finally:
        inner._acquire_restore(saved)
        if not woken and waiter in inner._waiters:
            inner._waiters.remove(waiter)
    return woken


def start(self: threading.Thread) -> None:
    """``Thread.start``: a thread that a thread of the world starts belongs to it."""
    world = here()
    if world is None:
        _start(self)
        return
    strand = None
    if not _is_foreign(self):
        strand = world.baton.expect(self.name, daemon=self.daemon)
        thread: Any = self
        thread._llmroute = strand
        thread.run = _Run(world, strand, self.run)
    try:
        # It waits for a sign of the thread, which really comes.
        with aside():
            _start(self)
    except BaseException:
        if strand is not None:
            world.baton.forget(strand)
        raise


def join(self: threading.Thread, timeout: float | None = None) -> None:
    """``Thread.join``."""
    world = here()
    strand: Strand | None = getattr(self, "_llmroute", None)
    if world is None or strand is None:
        _join(self, timeout)
        return
    if wait_for(world, strand, timeout):
        with aside():
            _join(self)


def is_alive(self: threading.Thread) -> bool:
    """``Thread.is_alive``: ended is ended, whatever the operating system has still to do."""
    world = here()
    strand: Strand | None = getattr(self, "_llmroute", None)
    if world is None or strand is None:
        return _is_alive(self)
    return world.baton.knows(strand) and _is_alive(self)


def wait_for(world: Inside, strand: Strand, timeout: float | None) -> bool:
    """Wait virtually until a strand has ended; returns whether it has."""
    waiter = world.clock.waiter()
    if waiter.strand is strand:
        raise RuntimeError("cannot join current thread")
    return not world.baton.watch(strand, waiter) or world.clock.block(waiter, timeout)


class _Run:
    """The ``run`` of a thread of the world."""

    def __init__(self, world: Inside, strand: Strand, run: Any) -> None:
        self._world, self._strand, self._run = world, strand, run
        self._door = current_door()

    def __call__(self) -> None:
        baton, run = self._world.baton, self._run
        # A thread refers to its run no longer than it must.
        threading.current_thread().__dict__.pop("run", None)
        try:
            baton.enter(self._strand)
            with through(self._door):
                run()
        except Ended:
            pass  # the world is over, and with it whatever this thread was to do in it
        finally:
            baton.leave(self._strand)


def _is_foreign(thread: threading.Thread) -> bool:
    """Whether a test plugin started it, to judge by where its code comes from."""
    target: Any = (
        getattr(thread, "_target", None) or getattr(thread, "function", None) or type(thread)
    )
    module = getattr(target, "__module__", None) or ""
    return module.split(".")[0] in FOREIGN or module in FOREIGN
