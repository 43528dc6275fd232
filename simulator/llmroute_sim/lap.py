"""Time in a world that shares the clock of another: counted from when it was opened."""

from __future__ import annotations

from datetime import datetime

from llmroute_sim.clock import Clock
from llmroute_sim.horizon import Horizon

__all__ = ("Lap",)


class Lap:
    """A clock's time since now. What waits by it waits by the clock."""

    def __init__(self, clock: Clock | Lap) -> None:
        self.clock: Clock = clock.clock if isinstance(clock, Lap) else clock
        self._began = self.clock.now()

    def now(self) -> float:
        """Seconds since this lap began."""
        return round(self.clock.now() - self._began, 6)

    def wall(self) -> datetime:
        """The date and time, UTC; the same in all worlds of a clock."""
        return self.clock.wall()

    @property
    def description(self) -> str:
        """On what clock things were found."""
        return self.clock.description

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass. Raises :class:`~llmroute_sim.clock.Stuck` at a horizon."""
        self.clock.sleep(seconds)

    def advance_to(self, when: float) -> None:
        """Sleep until so many seconds after the lap began; a past moment is now."""
        self.clock.sleep(when - self.now())

    def horizon_at(self, seconds_from_now: float) -> Horizon:
        """A context within which the running thread or task may wait so many seconds at most."""
        return self.clock.horizon_at(seconds_from_now)
