"""The provider's half of a blocking connection: what it has sent, until it is read."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable

from llmroute_sim.carriers.http1 import Connection, Timer
from llmroute_sim.carriers.network import Ending, Network
from llmroute_sim.strand import Waiter
from llmroute_sim.wire import Address

__all__ = ("Inbox", "pollable")


@functools.cache
def _pipes() -> tuple[int, int]:
    """A descriptor that is never readable, and one that always is: they serve all connections."""
    quiet, _ = os.pipe()
    loud, end = os.pipe()
    os.write(end, b"!")
    return quiet, loud


def pollable(readable: bool) -> int:
    """A descriptor that tells ``poll`` whether a connection can be read now; pools decide by it
    whether an idle connection died."""
    return _pipes()[readable]


class Inbox:
    """What the provider's half has sent and a blocking client has not yet read."""

    __slots__ = (
        "__weakref__",
        "_network",
        "address",
        "connection",
        "ended",
        "reset_",
        "segments",
        "waiter",
    )

    def __init__(self, network: Network, address: Address, ending: Ending) -> None:
        self.address = address
        self.segments: deque[bytes] = deque()
        self.ended = False
        self.reset_ = False
        self.waiter: Waiter | None = None
        self._network = network
        self.connection = Connection(network.door, address, self)
        network.joined(self)
        if ending is not None:
            self.connection.left()
            self.end() if ending.kind == "end" else self.reset()

    def send(self, segment: bytes) -> None:
        """Give the client one segment."""
        if segment:
            self.segments.append(segment)
            self._wake()

    def end(self) -> None:
        """The provider ended its side."""
        self.ended = True
        self._wake()

    def reset(self) -> None:
        """The provider tore the connection down."""
        self.reset_ = self.ended = True
        self._wake()

    def later(self, seconds: float, then: Callable[[], None]) -> Timer:
        """Run something after so many virtual seconds."""
        return self._network.clock.call_later(seconds, then)

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return self.connection.idle and not self.ended

    def drop(self) -> None:
        """The provider ends an idle connection."""
        self.connection.left()
        self.end()

    def bury(self) -> None:
        """The world is over."""
        self.drop()

    def wait(self, timeout: float | None) -> None:
        """Block until there is something to read. Raises ``TimeoutError``."""
        clock = self._network.clock
        self.waiter = waiter = clock.waiter()
        try:
            if not clock.block(waiter, timeout):
                raise TimeoutError("timed out")
        finally:
            self.waiter = None

    def _wake(self) -> None:
        if self.waiter is not None:
            self.waiter.release()
