"""TLS: skipped, but for the one trait of it that a client can see.

What a blocking TLS socket makes of a reset depends on the interpreter's release: an error, or a
plain end. No list of versions is certain, so the first reset under TLS asks, by a handshake with
ourselves over loopback, without a certificate.
"""

from __future__ import annotations

import functools
import socket
import ssl
import struct
import weakref
from collections.abc import Iterator
from typing import Any

from llmroute_sim.carriers.inside import aside, here

__all__ = ("PassThrough", "contexts", "hides_resets", "unread", "wrapping", "wrapping_bio")

_OWED = "_llmroute_unread"
"""Attribute of a context: the certificates that it was told to load inside a world."""


@functools.cache
def hides_resets() -> bool:
    """Whether ``SSLSocket.recv`` shows a reset as an end. False where it cannot be tried."""
    with aside():
        try:
            return _reset_seen_by_tls() == b""
        except (OSError, ssl.SSLError):
            return False


def _reset_seen_by_tls() -> bytes | None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = socket.socket()
        plain.connect(listener.getsockname())
        other, _ = listener.accept()
    ends = []
    for end, role in ((plain, ssl.PROTOCOL_TLS_CLIENT), (other, ssl.PROTOCOL_TLS_SERVER)):
        context = ssl.SSLContext(role)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Anonymous suites need no certificate; TLS 1.3 has none of them.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aNULL:@SECLEVEL=0")
        end.setblocking(False)
        server = role is ssl.PROTOCOL_TLS_SERVER
        ends.append(context.wrap_socket(end, server_side=server, do_handshake_on_connect=False))
    client, peer = ends
    try:
        waiting = {client, peer}
        for _ in range(1000):
            for end in tuple(waiting):
                try:
                    end.do_handshake()
                    waiting.discard(end)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            if not waiting:
                break
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        client.settimeout(1.0)
        try:
            return client.recv(1)
        except ConnectionResetError:
            return None
    finally:
        client.close()
        peer.close()


def contexts() -> Iterator[type[ssl.SSLContext]]:
    """Every class of context in this process: some libraries bring their own."""
    waiting: list[type[ssl.SSLContext]] = [ssl.SSLContext]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


class PassThrough:
    """A TLS object over buffers, as ``SSLContext.wrap_bio`` gives, that encrypts nothing."""

    session = None
    session_reused = False
    server_side = False

    def __init__(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, context: Any, hostname: str | None
    ) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self.context, self.server_hostname = context, hostname

    def read(self, limit: int = 1024, buffer: Any = None) -> bytes | int:
        """As ``SSLObject.read``. Raises ``SSLWantReadError`` where nothing is there."""
        data = self._incoming.read(limit)
        if not data and not self._incoming.eof:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing to read yet")
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        """As ``SSLObject.write``."""
        return self._outgoing.write(data)

    def pending(self) -> int:
        """Bytes that can be read."""
        return self._incoming.pending

    def do_handshake(self) -> None:
        """Done."""

    def unwrap(self) -> None:
        """Nothing to take leave of."""

    def version(self) -> str:
        """As ``SSLObject.version``."""
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        """As ``SSLObject.cipher``."""
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256

    def shared_ciphers(self) -> None:
        """Not known."""

    def compression(self) -> None:
        """None is used."""

    def getpeercert(self, binary_form: bool = False) -> Any:
        """No certificate was shown, and none is verified."""
        return b"" if binary_form else {}

    def selected_alpn_protocol(self) -> None:
        """None was negotiated, so clients speak HTTP/1.1."""

    def selected_npn_protocol(self) -> None:
        """None was negotiated."""

    def get_channel_binding(self, cb_type: str = "tls-unique") -> None:
        """There is no channel."""


def unread(read: Any) -> Any:
    """A way to load certificates that does nothing inside a world, where it is what making a client
    costs most. It is made up for if the context is ever used in earnest."""

    @functools.wraps(read)
    def load(self: ssl.SSLContext, *args: Any, **options: Any) -> Any:
        if here() is None:
            return read(self, *args, **options)
        if not hasattr(self, _OWED):
            setattr(self, _OWED, [])
            for name in ("wrap_socket", "wrap_bio"):
                # On the object itself, so that it outlives the world as the context may.
                setattr(self, name, functools.partial(_outside, weakref.ref(self), name))
        getattr(self, _OWED).append(functools.partial(read, *args, **options))
        return None

    return load


def _outside(context: weakref.ref[ssl.SSLContext], name: str, *args: Any, **options: Any) -> Any:
    self = context()
    if here() is None:
        _make_up(self)
    return getattr(type(self), name)(self, *args, **options)


def _make_up(context: Any) -> None:
    """Load what was not loaded."""
    owed = getattr(context, _OWED, ())
    if owed:
        for name in (_OWED, "wrap_socket", "wrap_bio"):
            delattr(context, name)
        with aside():
            for read in owed:
                read.func(context, *read.args, **read.keywords)


def wrapping(wrap: Any) -> Any:
    """``wrap_socket`` of one class of context: a connection in memory is its own TLS socket."""
    from llmroute_sim.carriers.sockets import MemorySocket

    @functools.wraps(wrap)
    def wrap_socket(self: ssl.SSLContext, sock: Any, *args: Any, **options: Any) -> Any:
        if isinstance(sock, MemorySocket):
            hostname = args[3] if len(args) > 3 else options.get("server_hostname")
            return sock.secured(self, hostname)
        _make_up(self)
        return wrap(self, sock, *args, **options)

    return wrap_socket


def wrapping_bio(wrap: Any) -> Any:
    """``wrap_bio`` of one class of context: what a simulated host is told needs no encryption."""

    @functools.wraps(wrap)
    def wrap_bio(
        self: ssl.SSLContext,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: Any = None,
    ) -> Any:
        world = here()
        if world is None or server_side or world.network.place(server_hostname, 443) is None:
            _make_up(self)
            return wrap(self, incoming, outgoing, server_side, server_hostname, session)
        name = server_hostname.decode() if isinstance(server_hostname, bytes) else server_hostname
        return PassThrough(incoming, outgoing, self, name)

    return wrap_bio
