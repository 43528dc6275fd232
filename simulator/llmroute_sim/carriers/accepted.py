"""One accepted TCP connection: a line on a socket of the kernel's, in real time."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from llmroute_sim.carriers.http1 import Connection
from llmroute_sim.wire import Address, Door

if sys.platform == "linux":
    import fcntl

__all__ = ("Accepted", "Pace")

_NO_LINGER = struct.pack("ii", 1, 0)
_SIOCOUTQNSD = 0x894B  # Linux's number for "how many bytes are not sent"
_LOOK = 0.001
"""Seconds between two looks at whether all is sent and a reset may follow."""
_DRAIN = 2.0
"""Seconds that a connection we ended stays open to read what the client is still sending: a close
with unread bytes would be a reset."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes: an event's seconds are multiplied by ``scale``; segments are written
    ``gap`` real seconds apart, or with 0 together as they come in one turn of the loop."""

    scale: float = 1.0
    gap: float = 0.0


class Accepted(asyncio.Protocol):
    """Carries one connection's exchanges.

    It is among ``peers`` while it stands, and calls ``answered`` whenever nothing is left to do.
    """

    __slots__ = (
        "_answered", "_closing", "_connection", "_last", "_loop", "_out", "_pace", "_pacing",
        "_peers", "_transport", "address",
    )  # fmt: skip

    def __init__(
        self,
        door: Door,
        address: Address,
        pace: Pace,
        peers: set[Accepted],
        answered: Callable[[], None] | None,
    ) -> None:
        self.address = address
        self._connection = Connection(door, address, self)
        self._pace = pace
        self._peers = peers
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._out: deque[bytes] = deque()
        self._pacing: asyncio.TimerHandle | None = None
        self._last: Callable[[], None] | None = None
        self._closing: asyncio.TimerHandle | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The kernel accepted a connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # so that we hear when all of it is written
        self._peers.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; after our end they are read and dropped."""
        try:
            self._connection.feed(data)
        finally:
            self._write()

    def resume_writing(self) -> None:
        """All that we wrote is with the kernel."""
        if self._last == self._tear:
            self._tear()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The connection is gone, from whichever side."""
        self._peers.discard(self)
        self._connection.left()
        for handle in (self._pacing, self._closing):
            if handle is not None:
                handle.cancel()

    # -- what the connection asks: a Line

    def send(self, segment: bytes) -> None:
        """Queue a segment; it is written when this turn of ours is over."""
        self._out.append(segment)

    def end(self) -> None:
        """Half-close once everything is written, then read to the client's end."""
        self._last = self._half_close

    def reset(self) -> None:
        """Reset once everything is written."""
        self._last = self._tear

    def later(self, seconds: float, then: Callable[[], None]) -> asyncio.TimerHandle:
        """Go on after so many seconds, scaled."""
        return self._loop.call_later(seconds * self._pace.scale, self._turn, then)

    # -- what the server asks

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return self._connection.idle and self._last is None

    def hang_up(self) -> None:
        """End an idle connection in an orderly way."""
        self._connection.left()
        self.end()
        self._write()

    def drop(self) -> None:
        """End the connection now, whatever is going on."""
        self._transport.abort()

    # -- writing

    def _turn(self, then: Callable[[], None]) -> None:
        try:
            then()
        finally:
            self._write()

    def _write(self) -> None:
        if self._pacing is not None:
            return
        out = self._out
        if out:
            if self._pace.gap:
                self._transport.write(out.popleft())
                self._pacing = self._loop.call_later(self._pace.gap, self._paced)
                return
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
        if self._last is not None:
            self._last()
        if self._answered is not None and self._connection.idle:
            self._answered()

    def _paced(self) -> None:
        self._pacing = None
        self._write()

    def _half_close(self) -> None:
        if self._closing is None and not self._transport.is_closing():
            self._closing = self._loop.call_later(_DRAIN, self._transport.abort)
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()  # TLS has no half-closed state

    def _tear(self) -> None:
        if self._transport.get_write_buffer_size() or self._transport.is_closing():
            return
        sock = self._transport.get_extra_info("socket")
        if _unsent(sock):
            # A reset throws away what the client's window had no room for yet.
            self._closing = self._loop.call_later(_LOOK, self._tear)
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()


def _unsent(sock: socket.socket) -> int:
    """Bytes that the kernel has not sent; 0 where it cannot be asked."""
    if sys.platform != "linux":
        return 0
    asked = fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, b"\0\0\0\0")
    return int.from_bytes(asked, sys.byteorder)
