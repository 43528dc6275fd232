"""A blocking connection that is carried in memory: what a client takes for its socket.

One segment is one ``recv``. The order of things is that of Linux: data that arrived before a reset
is read first, then the reset is seen once, then the end.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from llmroute_sim.baton import Waiter
from llmroute_sim.carriers.http1 import Connection, Timer
from llmroute_sim.carriers.network import Ending, Network, fake_address
from llmroute_sim.carriers.tls import hides_resets
from llmroute_sim.wire import Abort, Address

__all__ = ("MemorySocket", "pollable")


@functools.cache
def _pipes() -> tuple[int, int]:
    """A descriptor that is never readable, and one that always is: they serve all connections."""
    quiet, _ = os.pipe()
    loud, end = os.pipe()
    os.write(end, b"!")
    return quiet, loud


def pollable(readable: bool) -> int:
    """A descriptor that says to ``poll`` whether a connection can be read now; pools decide by it
    whether an idle connection died."""
    return _pipes()[readable]


class MemorySocket:
    """The client's end of a connection. Looks like ``socket.socket`` and like ``ssl.SSLSocket``."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP
    server_side = False
    session = None
    session_reused = False
    server_hostname: str | None = None
    context: ssl.SSLContext | None = None

    def __init__(
        self, network: Network, address: Address, timeout: float | None, ending: Ending
    ) -> None:
        self.address = address
        self._network = network
        self._timeout = timeout
        self._segments: deque[bytes] = deque()
        self._ended = False
        self._reset = False
        self._broken = False
        self._closed = False
        self._io_refs = 0
        self._waiter: Waiter | None = None
        self._connection = Connection(network.door, address, self)
        network.joined(self)
        if ending is not None:
            self._connection.left()
            self.end() if ending.kind == "end" else self.reset()

    # -- what the provider's half does

    def send(self, data: Any, flags: int = 0) -> int:
        """Both halves send through here: the provider's gives bytes and is asked for nothing."""
        raise AssertionError  # replaced below: see `_Provider`

    def end(self) -> None:
        """The provider ended its side."""
        self._ended = True
        self._wake()

    def reset(self) -> None:
        """The provider tore it down."""
        self._reset = self._ended = True
        self._wake()
