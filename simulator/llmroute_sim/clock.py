"""Time: virtual, where all clients are in this process, or real.

A virtual clock is a heap of moments. It moves only when nothing can run, and then straight to the
next moment, so a minute of cooldown costs microseconds and ends at the same microsecond each time.
Where nothing is scheduled, or only beyond the horizon, whoever waits would wait for ever: that is a
finding, and :class:`Stuck` says it.

Instants are kept as whole nanoseconds and snapped to microseconds where only float dust keeps them
apart, so that 0 + 3 + 6 is 9 and ties are ties on any machine.
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from llmroute_sim.baton import Baton
from llmroute_sim.horizon import Horizon, Stuck
from llmroute_sim.real import Real
from llmroute_sim.strand import Ended, Waiter

__all__ = ("HORIZON", "Clock", "Ended", "RealClock", "Stuck", "Timer")

HORIZON = 100 * 86400.0
"""Seconds after which a world's waits count as endless, unless told: longer than a budget month,
short enough that an idle background timer reaches it in seconds."""

_SECOND = 1_000_000_000
_SNAP = 200
"""Nanoseconds from a whole microsecond that are float dust."""


_EPOCH = datetime(2027, 1, 1, tzinfo=UTC)
"""The first midnight: urllib3 warns on every https call before the date it calls recent."""


class _Line:
    """Where the next world of this process may begin: process-wide caches hold deadlines."""

    monotonic = 0
    wall = _EPOCH


class Timer:
    """Something that will happen, unless it is cancelled."""

    __slots__ = ("_do",)

    def __init__(self, do: Callable[[], object]) -> None:
        self._do: Callable[[], object] | None = do

    def cancel(self) -> None:
        """See to it that it does not happen."""
        self._do = None


class Clock:
    """The virtual clock of one world. Begins at 0.0.

    ``horizon`` is how many seconds a wait of the world may last before it counts as endless. The
    thread that first uses a clock founds its world; others come in as they are started.
    """

    def __init__(self, *, horizon: float = HORIZON) -> None:
        self.baton = Baton()
        self.foreign_sockets = False
        self.followers: list[Callable[[float], object]] = []
        self._ns = 0
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = itertools.count()
        self._length = horizon
        self._end = _nanoseconds(horizon)
        self._horizons: list[Horizon] = []
        self._place()

    # -- reading

    def now(self) -> float:
        """Seconds since this clock began, exact to the microsecond."""
        return (self._ns + 500) // 1000 / 1e6

    def wall(self) -> datetime:
        """The world's date and time, UTC. Every world begins at a midnight of its own."""
        return self._midnight + timedelta(microseconds=(self._ns + 500) // 1000)

    def monotonic(self) -> float:
        """What ``time.monotonic`` says in this world: never less than in a world before it."""
        return (self._base + self._ns) / _SECOND

    def monotonic_ns(self) -> int:
        """The same in whole nanoseconds."""
        return self._base + self._ns

    @property
    def description(self) -> str:
        """On what clock things were found: ``virtual``, ``virtual, degraded (2)``, ``virtual,
        foreign sockets``."""
        said = ["virtual"]
        if self.baton.degraded:
            said.append(f"degraded ({self.baton.degraded})")
        if self.foreign_sockets:
            said.append("foreign sockets")
        return ", ".join(said)

    # -- waiting

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass, from a thread of the world. Raises :class:`Stuck` at a horizon."""
        if seconds > 0:
            self.block(self.waiter(), seconds)
        else:
            self.baton.step_back(self.baton.current())

    def advance_to(self, when: float) -> None:
        """Sleep until a moment of this clock, in seconds since it began; a past one is now."""
        self.sleep(when - self.now())

    def waiter(self) -> Waiter:
        """A wait of the running thread, for :meth:`block`."""
        return Waiter(self.baton, self.baton.current())

    def block(self, waiter: Waiter, seconds: float | None = None) -> bool:
        """Wait until the waiter is released, or so many seconds at most.

        Returns whether it was released. Raises :class:`Stuck` where it would wait for ever, and
        :class:`Ended` where the world ends meanwhile.
        """
        baton, strand = self.baton, waiter.strand
        timer = None
        if seconds is not None and seconds < math.inf and not waiter.woken:
            timer = self.call_later(seconds, waiter.expire)
        try:
            while True:
                if strand.doom is not None:
                    doom = strand.doom
                    if not isinstance(doom, Ended):
                        strand.doom = None
                    raise doom
                if waiter.woken:
                    return not waiter.expired
                if not baton.park(strand, waiter):
                    self._fire(waiter)
        finally:
            waiter.woken = True
            if timer is not None:
                timer.cancel()

    def glide(self, seconds: float) -> bool:
        """Let time pass at once, where nothing of the world happens meanwhile: what :meth:`block` does
        with a wait that nobody ends, for a fraction of its price. False where that is not sure; then
        nothing was done."""
        if not self.baton.alone:
            return False
        when, heap = self._moment(seconds), self._heap
        if when > self._end or (heap and heap[0][0] <= when):
            return False
        for horizon in self._horizons:
            if horizon.when <= when:
                return False
        self._move(when)
        return True

    def horizon_at(self, seconds_from_now: float) -> Horizon:
        """A context within which the running thread or task may wait so many seconds at most.

        Leaving it raises :class:`Stuck` if it was reached, or if nothing else was left to happen;
        the world goes on.
        """
        return Horizon(self, seconds_from_now)

    # -- scheduling

    def call_at(self, when: float, do: Callable[[], object]) -> Timer:
        """Run something at a moment of this clock, in seconds since it began."""
        return self.call_later(when - self.now(), do)

    def call_later(self, seconds: float, do: Callable[[], object]) -> Timer:
        """Run something after so many seconds, in whichever thread moves the clock there."""
        timer = Timer(do)
        if seconds < math.inf:
            heapq.heappush(self._heap, (self._moment(seconds), next(self._count), timer))
        return timer

    def add_horizon(self, horizon: Horizon) -> None:
        """Watch a horizon."""
        horizon.when = self._moment(horizon.seconds)
        self._horizons.append(horizon)

    def drop_horizon(self, horizon: Horizon) -> None:
        """Watch it no more."""
        if horizon in self._horizons:
            self._horizons.remove(horizon)

    def _moment(self, seconds: float) -> int:
        now = self._ns
        if seconds <= 0:
            return now
        raw = now + (round(seconds * 1e9) or 1)
        near = (raw + 500) // 1000 * 1000
        return near if near > now and -_SNAP <= near - raw <= _SNAP else raw

    def _fire(self, waiter: Waiter) -> None:
        """Move to the next moment and let it happen."""
        heap = self._heap
        while heap and heap[0][2]._do is None:
            heapq.heappop(heap)
        when = heap[0][0] if heap else None
        if when is None and self._somebody_comes(waiter):
            return
        if self._horizons and self._at_horizon(when):
            return
        if when is None or when > self._end:
            self._stuck(when)
            return
        timer = heapq.heappop(heap)[2]
        self._move(when)
        if timer._do is not None:
            timer._do()

    def _at_horizon(self, when: int | None) -> bool:
        if when is None:
            waiting = [horizon for horizon in self._horizons if self.baton.parked(horizon.strand)]
        else:
            waiting = self._horizons
        nearest = min(waiting, key=lambda horizon: horizon.when, default=None)
        if nearest is None:
            return False
        if when is None:
            nearest.reached("nothing is left that could happen")
            return True
        if nearest.when > when:
            return False
        self._move(nearest.when)
        nearest.reached(f"still waiting after {nearest.seconds:g} s")
        return True

    def _move(self, when: int) -> None:
        passed = when - self._ns
        if passed > 0:
            self._ns = when
            for follow in self.followers:
                follow(passed / _SECOND)

    def _stuck(self, when: int | None) -> None:
        why = "nothing is left that could happen"
        if when is not None:
            why = f"the next thing lies beyond the horizon of {self._length:g} s"
            # The next call gets a horizon of its own.
            self._end = self._ns + _nanoseconds(self._length)
        founder = self.baton.founder
        # Whoever else idles, a worker that waits for work as a rule, hangs nobody.
        if founder is not None and self.baton.parked(founder):
            founder.doom = Stuck(f"would wait for ever: {why} (at {self.now():g} s)")
            self.baton.rouse(founder)

    def _somebody_comes(self, waiter: Waiter) -> bool:
        """Before a verdict: give threads that live in real time a moment to wake somebody, and those
        of the world that went astray the time that they need."""
        if self.baton.anyone_astray:
            return self.baton.rest(waiter.strand)
        if not _outsiders(self.baton):
            return False
        until = Real.monotonic() + 0.1
        while Real.monotonic() < until:
            if waiter.woken or self.baton.anyone_ready:
                return True
            Real.sleep(0.002)
        return False

    # -- one world after the other

    def _place(self) -> None:
        self._midnight = _Line.wall
        self._base = max(_Line.monotonic, math.ceil(Real.monotonic()) * _SECOND)

    def begin(self) -> None:
        """Open the world of this clock in the running thread. Raises ``RuntimeError`` if it had
        one before: threads of that may still hold on to it."""
        if self.baton.over:
            raise RuntimeError("the world of this clock has ended: make a new Clock for the next")
        if self._ns == 0:
            self._place()
        self.baton.current()

    def finish(self) -> None:
        """Remember where the world ended, so that the next begins later."""
        _Line.monotonic = max(_Line.monotonic, -(-(self._base + self._ns) // _SECOND) * _SECOND)
        day = self.wall().replace(hour=0, minute=0, second=0, microsecond=0)
        _Line.wall = max(_Line.wall, day + timedelta(days=1))


class RealClock:
    """Time as it is, for foreign processes, or faster: one of its seconds takes ``scale`` real ones."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._began = Real.monotonic()
        self._dawn = datetime.now(UTC)

    @property
    def description(self) -> str:
        """``real``, with how much faster or slower than real where it is."""
        return "real" if self._scale == 1 else f"real x{1 / self._scale:g}"

    def now(self) -> float:
        """Seconds since this clock began, to the microsecond."""
        return round((Real.monotonic() - self._began) / self._scale, 6)

    def wall(self) -> datetime:
        """The date and time, UTC; as it was when this clock began, and on from there."""
        return self._dawn + timedelta(seconds=self.now())

    def sleep(self, seconds: float) -> None:
        """Wait, really."""
        Real.sleep(max(0.0, seconds * self._scale))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _outsiders(baton: Baton) -> bool:
    """Whether threads run beside the world that might wake one of its own: not idle workers."""
    pool = sys.modules.get("concurrent.futures.thread")
    workers = {thread.ident for thread in pool._threads_queues} if pool else set()
    return any(
        ident not in baton.members and ident not in workers for ident in sys._current_frames()
    )
