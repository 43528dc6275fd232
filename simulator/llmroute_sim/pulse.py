"""Whether a thread still gets somewhere, however slowly.

A thread that computes, or would if the machine let it, is not one that waits in C code: it uses
processor time, or is ready to, or sits in the middle of reading a file.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from llmroute_sim.real import Real

__all__ = ("Pulse",)

LOOK = 0.1
"""Real seconds between two looks at a thread; a longer gap was a machine that stood still itself."""

_RUNS = 0.01
"""Processor seconds by which a thread counts as running: one that polls uses less in a second."""

_MAY_RUN = "RD"
"""States in which Linux shows a thread that waits for a processor or for a disk."""


class Pulse:
    """The signs of life of a thread: the running one, to be made in it, or one still to begin."""

    __slots__ = ("_clock", "_ident", "_looked", "_native", "_place", "_still", "_used")

    def __init__(self, ident: int = 0) -> None:
        self._ident = ident
        self._native = threading.get_native_id() if ident else 0
        self._clock = Real.thread_clock(ident) if ident else None
        self.begin()

    def begin(self) -> None:
        """Forget how long it has stood still."""
        self._still, self._looked, self._used = 0.0, Real.monotonic(), self._cpu()
        self._place: object = None

    def stood_still(self) -> float:
        """Real seconds for which it has made no progress, by the looks that were taken so far."""
        now, used = Real.monotonic(), self._cpu()
        self._still += min(now - self._looked, LOOK)
        self._looked = now
        if used is None:
            moved, self._place = self._place, self._where()
            alive = moved != self._place
        else:
            alive = used - (self._used or 0.0) > _RUNS or self._may_run()
        if alive:
            self._still, self._used = 0.0, used
        return self._still

    def _cpu(self) -> float | None:
        """Processor seconds that it has used, None where the platform does not tell."""
        try:
            return None if self._clock is None else Real.clock_gettime(self._clock)
        except OSError:
            return 0.0  # it has ended

    def _may_run(self) -> bool:
        """Whether it waits for the machine only. Nobody can tell elsewhere than on Linux."""
        try:
            # The state follows the name, which stands in parentheses and may contain anything.
            stat = Path(f"/proc/self/task/{self._native}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] in _MAY_RUN
        except OSError:
            return False

    def _where(self) -> object:
        frame = sys._current_frames().get(self._ident)
        return (id(frame), frame.f_lasti if frame else None)
