"""The functions of time as they were before anybody could replace them.

They are held by a class, since tools that freeze time look for them in modules and swap them there.
"""

from __future__ import annotations

import time

__all__ = ("Real",)


class Real:
    """Real time, in seconds unless named otherwise."""

    monotonic = staticmethod(time.monotonic)
    monotonic_ns = staticmethod(time.monotonic_ns)
    sleep = staticmethod(time.sleep)
    clock_gettime = staticmethod(time.clock_gettime)

    @staticmethod
    def thread_clock(ident: int) -> int | None:
        """The clock of the processor time of a living thread, None where there is none."""
        find = getattr(time, "pthread_getcpuclockid", None)
        return find(ident) if find is not None else None
