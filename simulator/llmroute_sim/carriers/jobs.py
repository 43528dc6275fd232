"""Executors: their workers idle in C code, so they take part job by job.

A job that a free worker is about to pick up holds the clock still; one that has to queue does not.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import thread as pools
from typing import Any
from weakref import WeakKeyDictionary

from llmroute_sim.calling import current_call, inside_call
from llmroute_sim.carriers.doors import current_door, through
from llmroute_sim.carriers.inside import Inside, aside, here
from llmroute_sim.carriers.threads import wait_for
from llmroute_sim.strand import Ended, Strand

__all__ = ("abandon", "run", "shutdown", "submit")

_submit = ThreadPoolExecutor.submit
_shutdown = ThreadPoolExecutor.shutdown
_run = pools._WorkItem.run


class _Crew:
    """The jobs of one executor: those that have a worker, or are about to, and those in line."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.busy: set[_Job] = set()
        self.line: deque[_Job] = deque()


class _Job:
    """What a world submitted; stands in the work item in place of the function."""

    __slots__ = ("call", "crew", "do", "door", "future", "strand", "world")

    def __init__(self, world: Inside, crew: _Crew, do: Callable[..., Any]) -> None:
        self.world, self.crew, self.do = world, crew, do
        self.call, self.door = current_call(), current_door()
        self.future: Future[Any] | None = None
        soon = len(crew.busy) < crew.size
        self.strand: Strand = world.baton.expect(f"a job: {_name(do)}", soon=soon)
        (crew.busy.add if soon else crew.line.append)(self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        # A job is of the world and the call that submitted it; a pool's thread has no context.
        if self.door is not None and current_door() is None:
            with through(self.door):
                return self._of_call(*args, **options)
        return self._of_call(*args, **options)

    def _of_call(self, *args: Any, **options: Any) -> Any:
        if self.call is None or current_call() is not None:
            return self.do(*args, **options)
        with inside_call(self.call):
            return self.do(*args, **options)

    def ended(self) -> None:
        """Whoever is next in line gets the worker."""
        crew, baton = self.crew, self.world.baton
        if self in crew.line:
            crew.line.remove(self)
        crew.busy.discard(self)
        while crew.line and len(crew.busy) < crew.size:
            job = crew.line.popleft()
            crew.busy.add(job)
            baton.admit(job.strand)
        baton.leave(self.strand)


_crews: WeakKeyDictionary[ThreadPoolExecutor, _Crew] = WeakKeyDictionary()


def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """``ThreadPoolExecutor.submit``."""
    world = here()
    if world is None:
        return _submit(self, fn, *args, **options)
    crew = _crews.setdefault(self, _Crew(self._max_workers))
    job = _Job(world, crew, fn)
    try:
        with aside():
            job.future = _submit(self, job, *args, **options)
    except BaseException:
        job.ended()
        raise
    return job.future


def run(self: Any, *args: Any) -> None:
    """``_WorkItem.run``, in a worker."""
    job = self.task[0] if hasattr(self, "task") else self.fn
    if not isinstance(job, _Job):
        _run(self, *args)
        return
    baton = job.world.baton
    try:
        baton.enter(job.strand)
        if baton.over:
            self.future.cancel()
        # The future's callbacks run in here too, and so with the baton.
        _run(self, *args)
    except Ended:
        pass
    finally:
        job.ended()


def shutdown(self: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
    """``ThreadPoolExecutor.shutdown``: waits virtually for the jobs, then really for the workers."""
    world, crew = here(), _crews.get(self)
    if world is None or crew is None:
        _shutdown(self, wait, cancel_futures=cancel_futures)
        return
    _shutdown(self, False, cancel_futures=cancel_futures)
    if cancel_futures:
        for job in tuple(crew.line):
            if job.future is not None and job.future.cancelled():
                job.ended()
    if wait:
        while jobs := [*crew.busy, *crew.line]:
            wait_for(world, jobs[0].strand, None)
        with aside():
            _shutdown(self, True)


def abandon(world: Inside) -> None:
    """The world is over: what still stands in line must not run after it."""
    for crew in list(_crews.values()):
        for job in list(itertools.chain(crew.line, crew.busy)):
            if job.world is world and job.future is not None and job.future.cancel():
                job.ended()


def _name(do: Any) -> str:
    return str(
        getattr(do, "__qualname__", None) or getattr(getattr(do, "func", None), "__qualname__", "?")
    )
