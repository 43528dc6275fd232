"""TLS over genuine TCP: certificates of a throw-away authority, sound ones and bad ones.

Made with trustme, which need not be installed for anything else. A program trusts the authority by
:attr:`Certificates.authority` (``SSL_CERT_FILE``, ``NODE_EXTRA_CA_CERTS``, ``verify=``...), and then a
bad certificate is refused by that program's own TLS, with its own error.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from llmroute_sim.wire import Abort, Ending, Exchange, Wait

__all__ = ("Certificates", "NoTLS", "secured")

_NAMES = ("localhost", "127.0.0.1", "::1")
_LONG_AGO = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC))
_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
"""A record of TLS 1.2 with a fatal alert: handshake failure."""


class NoTLS(RuntimeError):
    """TLS cannot be spoken, since trustme is not installed."""


class Certificates:
    """What listeners show of themselves."""

    def __init__(self) -> None:
        try:
            import trustme
        except ImportError:
            raise NoTLS(
                "TLS needs certificates, which trustme makes and which is not installed: "
                "pip install trustme"
            ) from None
        self._ours, self._strangers = trustme.CA(), trustme.CA()
        self.context = lru_cache(maxsize=64)(self._context)

    @property
    def authority(self) -> str:
        """The certificate (PEM) of who signs the sound ones."""
        return str(self._ours.cert_pem.bytes().decode())

    def _context(self, host: str, ending: Ending | None) -> ssl.SSLContext:
        """What a server at ``host`` speaks TLS with: soundly, or so that a client refuses."""
        names: tuple[str, ...] = (host, *_NAMES)
        options: dict[str, Any] = {}
        signer = self._ours
        match ending:
            case "tls-expired":
                options = {"not_before": _LONG_AGO[0], "not_after": _LONG_AGO[1]}
            case "tls-wrong-name":
                names = ("somebody-else.example",)
            case "tls-unknown-issuer":
                signer = self._strangers
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        signer.issue_cert(*names, **options).configure_cert(context)
        return context


async def secured(
    sock: socket.socket,
    accept: Callable[[], asyncio.Protocol],
    exchange: Exchange,
    context: Callable[[Ending | None], ssl.SSLContext],
    scale: float,
) -> None:
    """Speak TLS on an accepted connection, as ``exchange`` has it, and then let it be accepted."""
    loop = asyncio.get_running_loop()
    try:
        for event in exchange:
            match event:
                case Wait(seconds=seconds) if math.isinf(seconds):
                    await _unanswered(sock)
                    return
                case Wait(seconds=seconds):
                    await asyncio.sleep(seconds * scale)
                case Abort(kind="tls-alert"):
                    await loop.sock_recv(sock, 1 << 16)
                    await loop.sock_sendall(sock, _ALERT)
                    sock.close()
                    return
                case Abort(kind=kind):
                    await _refused(sock, context(kind))
                    return
        # A client that does not like our certificate says so here, and is gone.
        await loop.connect_accepted_socket(accept, sock, ssl=context(None))
    except OSError:  # ssl.SSLError is one too
        sock.close()
    except asyncio.CancelledError:
        sock.close()
        raise
    finally:
        exchange.close()


async def _unanswered(sock: socket.socket) -> None:
    """Say nothing until the client leaves."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(sock, 1 << 16):
            pass
    finally:
        sock.close()


async def _refused(sock: socket.socket, context: ssl.SSLContext) -> None:
    """Show a bad certificate. A client that accepts it is shown out."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=context)
    transport.close()
