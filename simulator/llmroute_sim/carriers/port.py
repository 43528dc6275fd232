"""A loopback port that is ours all the time, and listens or refuses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable

__all__ = ("Port", "PortError", "loopback")

_BACKLOG = 1024


class PortError(OSError):
    """A port cannot be had. ``port`` is the one that was asked for."""

    def __init__(self, number: int, message: str, port: int) -> None:
        super().__init__(number, message)
        self.port = port

    def __str__(self) -> str:
        return str(self.strerror)


class Port:
    """One port. Between :meth:`bind` and :meth:`listen` the kernel refuses for us."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.port = port
        self.open = False
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        """Take the port, or with 0 any free one. Raises :class:`PortError` if it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self._host, self.port))
        except OSError as error:
            self.close()
            raise self._error(error) from error
        self.port = self._socket.getsockname()[1]

    async def listen(self, accept: Callable[[], asyncio.Protocol]) -> None:
        """Accept connections from now on. Raises :class:`PortError` if somebody else does."""
        assert self._socket is not None
        self.open = True
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            accept, sock=self._socket, backlog=_BACKLOG, start_serving=False
        )
        try:
            await self._server.start_serving()
        except OSError as error:
            raise self._error(error) from error

    def refuse(self) -> None:
        """Let the kernel refuse from now on; the port stays ours."""
        self.close()
        self.bind()

    def close(self) -> None:
        """Give the port back."""
        self.open = False
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _error(self, error: OSError) -> PortError:
        number = error.errno or 0
        if number == errno.EADDRINUSE:
            why = "it is already in use; give another one, or 0 for any that is free"
        else:
            why = str(error.strerror).lower()
        message = f"cannot listen on port {self.port} of {self._host}: {why}"
        return PortError(number, message, self.port)


def loopback(host: str) -> str:
    """The host as an address. Raises ``ValueError`` unless nobody but this machine reaches it."""
    if host == "localhost":
        return "127.0.0.1"
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return host
    raise ValueError(f"{host!r} is not loopback: the simulator binds 127.0.0.1 or ::1 only")
