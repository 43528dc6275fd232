"""The horizon of one call: how long it may wait before it counts as hanging.

A thread is told by an exception, a task by a cancellation, as ``asyncio.timeout`` does it. Either
may be swallowed by the code that waits, so the horizon tells again, and leaving it says so anyway.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

from llmroute_sim.strand import Ended

if TYPE_CHECKING:
    from llmroute_sim.clock import Clock

__all__ = ("Horizon", "Stuck")

_TELLINGS = 10


class Stuck(BaseException):
    """A wait that would never end, or not before the horizon.

    Not an ``Exception``: a router that catches those must not take it for a provider's failure.
    """


class Horizon:
    """Ends the waits of the thread or task that entered it, ``seconds`` from then."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self.when = 0
        self._clock = clock
        self._told = 0
        self._cancels = 0
        self._why = ""
        self._task: asyncio.Task[object] | None = None
        self.strand = clock.baton.current()

    def __enter__(self) -> Horizon:
        self.strand = self._clock.baton.current()
        try:
            self._task = asyncio.current_task()
        except RuntimeError:
            self._task = None
        self._cancelling = self._task.cancelling() if self._task else 0
        self._clock.add_horizon(self)
        return self

    def reached(self, why: str) -> None:
        """Called by the clock: end whatever the thread or task waits for."""
        self._why = self._why or f"would wait for ever: {why} (at {self._clock.now():g} s)"
        self._told += 1
        if self._told > _TELLINGS:
            # It swallows whatever it is told; the thread itself must go.
            self._task = None
            if self._told > 2 * _TELLINGS:
                self._clock.drop_horizon(self)
        else:
            self.when += 1_000_000_000
        task = self._task
        if task is not None and asyncio.current_task(task.get_loop()) is not task:
            if task.done() or task.get_loop().is_closed():
                self._clock.drop_horizon(self)
            else:
                task.get_loop().call_soon_threadsafe(self._cancel, task)
            return
        self.strand.doom = Stuck(self._why)
        self._clock.baton.rouse(self.strand)

    def _cancel(self, task: asyncio.Task[object]) -> None:
        self._cancels += 1
        task.cancel(self._why)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clock.drop_horizon(self)
        if not self._told:
            return
        if self.strand.doom is not None and not isinstance(self.strand.doom, Ended):
            self.strand.doom = None
        if self._task is not None:
            for _ in range(self._cancels):
                self._task.uncancel()
            if isinstance(error, asyncio.CancelledError) and (
                self._task.cancelling() > self._cancelling
            ):
                return  # somebody else cancelled it as well
        if isinstance(error, Stuck | Ended | KeyboardInterrupt | SystemExit):
            return
        raise Stuck(self._why) from error
