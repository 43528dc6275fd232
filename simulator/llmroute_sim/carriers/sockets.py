"""A blocking connection that is carried in memory: what a client takes for its socket.

One segment is one ``recv``. The order of things is that of Linux: data that arrived before a reset
is read first, then the reset is seen once, then the end.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterable
from typing import Any

from llmroute_sim.carriers.inbox import Inbox, pollable
from llmroute_sim.carriers.network import fake_address
from llmroute_sim.carriers.tls import hides_resets

__all__ = ("MemorySocket",)


class MemorySocket:
    """The client's end of a connection. Looks like ``socket.socket`` and like ``ssl.SSLSocket``."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP
    server_side = False
    session = None
    session_reused = False

    def __init__(self, inbox: Inbox, timeout: float | None) -> None:
        self._inbox = inbox
        self._timeout = timeout
        self._broken = False
        self._closed = False
        self._io_refs = 0
        self.server_hostname: str | None = None
        self.context: ssl.SSLContext | None = None

    # -- reading

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """What came in, at most one segment. Raises ``TimeoutError``, ``ConnectionResetError``."""
        inbox = self._usable()
        while not inbox.segments:
            if inbox.reset_:
                inbox.reset_ = False
                self._broken = True
                if self.context is not None and hides_resets():
                    return b""
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            if inbox.ended:
                return b""
            if self._timeout == 0:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            inbox.wait(self._timeout)
        segment = inbox.segments[0]
        if flags & socket.MSG_PEEK:
            return segment[:limit]
        if len(segment) <= limit:
            inbox.segments.popleft()
            return segment
        inbox.segments[0] = segment[limit:]
        return segment[:limit]

    def recv_into(self, buffer: Any, limit: int = 0, flags: int = 0) -> int:
        """The same, into a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.recv(limit or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def read(self, limit: int = 1024, buffer: Any = None) -> bytes | int:
        """As ``SSLSocket.read``."""
        return self.recv(limit) if buffer is None else self.recv_into(buffer, limit)

    def pending(self) -> int:
        """Bytes that can be read without waiting, as ``SSLSocket.pending``."""
        return len(self._inbox.segments[0]) if self._inbox.segments else 0

    # -- writing

    def send(self, data: Any, flags: int = 0) -> int:
        """Hand everything to the provider's half, which answers as soon as a request is whole."""
        inbox = self._usable()
        if inbox.reset_:
            inbox.reset_ = False
            self._broken = True
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if self._broken:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        # To a peer that has closed, the first write still goes out; its answer breaks the next.
        self._broken = inbox.ended
        data = bytes(data)
        if data:
            inbox.connection.feed(data)
        return len(data)

    write = send

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As ``send``, which takes everything."""
        self.send(data, flags)

    def sendmsg(self, buffers: Iterable[Any], *rest: Any) -> int:
        """As ``send``, from several buffers."""
        return self.send(b"".join(buffers))

    # -- ending

    def shutdown(self, how: int) -> None:
        """Half of a connection is none to us: the client left."""
        self._usable()
        if how != socket.SHUT_RD:
            self._inbox.connection.left()
        self._inbox.ended = True

    def close(self) -> None:
        """The client leaves, once no file made from it is open either."""
        self._closed = True
        if self._io_refs <= 0:
            self._inbox.connection.left()
            self._inbox.ended = True
            self._inbox.segments.clear()

    def __del__(self) -> None:
        # As with a real one, a client that forgets it has left.
        if not self._closed:
            self._inbox.connection.left()

    def detach(self) -> int:
        """There is no descriptor to hand over."""
        self.close()
        return -1

    def unwrap(self) -> MemorySocket:
        """As ``SSLSocket.unwrap``."""
        return self

    def _decref_socketios(self) -> None:
        self._io_refs -= 1
        if self._closed:
            self.close()

    def __enter__(self) -> MemorySocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what a socket is asked

    # http.client reads through a file; the standard one needs no more of a socket than this has.
    makefile = socket.socket.makefile

    def fileno(self) -> int:
        """Something to poll for reading."""
        inbox = self._inbox
        return -1 if self._closed else pollable(bool(inbox.segments) or inbox.ended)

    def gettimeout(self) -> float | None:
        """Seconds, or None."""
        return self._timeout

    def settimeout(self, seconds: float | None) -> None:
        """Seconds that a read may wait, virtually."""
        self._timeout = None if seconds is None else float(seconds)

    def setblocking(self, blocking: bool) -> None:
        """As a timeout of None or 0."""
        self._timeout = None if blocking else 0.0

    def getblocking(self) -> bool:
        """Whether a read may wait."""
        return self._timeout != 0

    timeout = property(gettimeout)

    def getpeername(self) -> tuple[str, int]:
        """The host's address in this process."""
        return fake_address(self._inbox.address.host), self._inbox.address.port

    def getsockname(self) -> tuple[str, int]:
        """Some address of this machine."""
        return "127.0.0.1", 49152

    def setsockopt(self, *_: object) -> None:
        """Options have no meaning in memory."""

    def getsockopt(self, *_: object) -> int:
        """No option is set; in particular no error is pending."""
        return 0

    # -- what a TLS socket is asked

    def secured(self, context: ssl.SSLContext, hostname: str | None) -> MemorySocket:
        """The same connection, taken for an encrypted one."""
        self.context, self.server_hostname = context, hostname
        return self

    def do_handshake(self, block: bool = False) -> None:
        """Done."""

    def version(self) -> str:
        """As ``SSLSocket.version``."""
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        """As ``SSLSocket.cipher``."""
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256

    def getpeercert(self, binary_form: bool = False) -> Any:
        """No certificate was shown, and none is verified."""
        return b"" if binary_form else {}

    def selected_alpn_protocol(self) -> None:
        """None was negotiated, so clients speak HTTP/1.1."""

    def selected_npn_protocol(self) -> None:
        """None was negotiated."""

    def compression(self) -> None:
        """None is used."""

    def _usable(self) -> Inbox:
        if self._closed and self._io_refs <= 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._inbox
