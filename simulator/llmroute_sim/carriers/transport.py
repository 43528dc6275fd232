"""An asyncio connection that is carried in memory: one segment is one ``data_received``."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from llmroute_sim.carriers.http1 import Connection, Timer
from llmroute_sim.carriers.inbox import pollable
from llmroute_sim.carriers.network import Ending, Network, fake_address
from llmroute_sim.wire import Address

__all__ = ("MemoryTransport",)


class MemoryTransport(asyncio.Transport):
    """The client's end of a connection, and the line on which the provider's half plays.

    Everything reaches the protocol through the loop, one turn for each segment, so where a read
    ends is decided by the exchange. ``raw`` is a socket that the client made for the connection
    and that stays unconnected; it is closed with it.
    """

    def __init__(
        self,
        network: Network,
        address: Address,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        *,
        tls: ssl.SSLContext | bool | None,
        raw: socket.socket | None,
        ending: Ending,
    ) -> None:
        super().__init__()
        self.address = address
        self._network = network
        self._loop = loop
        self._protocol = protocol
        self._tls = tls
        self._raw = raw
        self._context = contextvars.copy_context()
        self._segments: deque[bytes] = deque()
        self._ended = self._reset = self._closing = self._lost = False
        self._paused = self._pumping = self._eof_told = False
        self._connection = Connection(network.door, address, self)
        network.joined(self)
        self._soon(protocol.connection_made, self)
        if ending is not None:
            self._connection.left()
            self.end() if ending.kind == "end" else self.reset()

    # -- what the provider's half does

    def send(self, segment: bytes) -> None:
        """Give the client one segment."""
        if segment and not self._closing:
            self._segments.append(segment)
            self._pump()

    def end(self) -> None:
        """The provider ended its side."""
        self._ended = True
        self._pump()

    def reset(self) -> None:
        """The provider tore the connection down."""
        self._reset = self._ended = True
        self._pump()

    def later(self, seconds: float, then: Callable[[], None]) -> Timer:
        """Run something after so many virtual seconds."""
        return self._network.clock.call_later(seconds, then)

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return self._connection.idle and not self._ended and not self._closing

    def drop(self) -> None:
        """The provider ends an idle connection."""
        self._connection.left()
        self.end()

    def bury(self) -> None:
        """The world is over."""
        self._connection.left()
        self._ended = True
        if not self._loop.is_closed():
            self._lose(None)
        elif self._raw is not None:
            self._raw.close()

    # -- delivery

    def _soon(self, do: Callable[..., object], *args: Any) -> None:
        # Whoever moves the clock may be in another thread than the loop.
        self._loop.call_soon_threadsafe(do, *args, context=self._context)

    def _pump(self) -> None:
        if not (self._pumping or self._paused or self._lost):
            self._pumping = True
            self._soon(self._deliver)

    def _deliver(self) -> None:
        self._pumping = False
        if self._paused or self._closing:
            return
        if self._segments:
            segment = self._segments.popleft()
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                self._fill(self._protocol, segment)
            else:
                self._protocol.data_received(segment)
        elif self._reset:
            self._lose(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
        elif self._ended and not self._eof_told:
            self._eof_told = True
            if not self._protocol.eof_received():
                self.close()
        if self._segments or self._reset or (self._ended and not self._eof_told):
            self._pump()

    def _fill(self, protocol: asyncio.BufferedProtocol, segment: bytes) -> None:
        while segment:
            view = memoryview(protocol.get_buffer(len(segment)))
            taken = min(len(view), len(segment))
            view[:taken] = segment[:taken]
            protocol.buffer_updated(taken)
            segment = segment[taken:]

    def _lose(self, error: Exception | None) -> None:
        self._closing = True
        if not self._lost:
            self._lost = True
            self._segments.clear()
            self._connection.left()
            self._soon(self._say_lost, error)

    def _say_lost(self, error: Exception | None) -> None:
        if self._raw is not None:
            self._raw.close()
        self._protocol.connection_lost(error)

    # -- what the client asks of a transport

    def write(self, data: Any) -> None:
        """Hand everything to the provider's half, which answers as soon as a request is whole."""
        if not self._closing and data:
            self._connection.feed(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        """As ``write``, from several buffers."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """The client leaves."""
        self._lose(None)

    def abort(self) -> None:
        """The client leaves."""
        self._lose(None)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing

    def pause_reading(self) -> None:
        """Hold segments back."""
        self._paused = True

    def resume_reading(self) -> None:
        """Go on with them."""
        self._paused = False
        if self._segments or self._reset or (self._ended and not self._eof_told):
            self._pump()

    def is_reading(self) -> bool:
        """Whether segments are delivered."""
        return not (self._paused or self._closing)

    def can_write_eof(self) -> bool:
        """Yes, though it says nothing to the provider's half."""
        return True

    def write_eof(self) -> None:
        """A request says where it ends; no more is needed."""

    def get_write_buffer_size(self) -> int:
        """Nothing is ever kept back."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """As nothing is kept back, any."""
        return 0, 65536

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As nothing is kept back, any."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to another protocol from now on."""
        self._protocol = protocol  # type: ignore[assignment]  # a stream's: we carry no datagrams

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Where segments go."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As a selector transport, with a stand-in for the socket."""
        match name:
            case "socket":
                return self
            case "peername":
                return self.getpeername()
            case "sockname":
                return self.getsockname()
            case "sslcontext" if self._tls:
                return self._tls
            case _:
                return default

    # -- what its socket is asked

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def fileno(self) -> int:
        """Something to poll for reading."""
        return pollable(bool(self._segments) or self._ended)

    def getpeername(self) -> tuple[str, int]:
        """The host's address in this process."""
        return fake_address(self.address.host), self.address.port

    def getsockname(self) -> tuple[str, int]:
        """Some address of this machine."""
        return "127.0.0.1", 49152

    def setsockopt(self, *_: object) -> None:
        """Options have no meaning in memory."""

    def getsockopt(self, *_: object) -> int:
        """No option is set; in particular no error is pending."""
        return 0
