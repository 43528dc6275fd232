"""A loopback port that is ours all the time, and listens or refuses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias

__all__ = ("Greet", "Port", "PortError", "loopback")

Greet: TypeAlias = Callable[[Callable[[], asyncio.Protocol], socket.socket], Awaitable[None]]
"""Brings an accepted connection to the protocol that is to have it, or ends it."""

_BACKLOG = 1024
_RESPITE = 0.1


class PortError(OSError):
    """A port cannot be had. ``port`` is the one that was asked for."""

    def __init__(self, number: int, message: str, port: int) -> None:
        super().__init__(number, message)
        self.port = port

    def __str__(self) -> str:
        return str(self.strerror)


class Port:
    """One port. Between :meth:`bind` and :meth:`listen` the kernel refuses for us.

    Not an ``asyncio.Server``: that one forgets the sockets of those who were just being accepted
    when it is closed, and listening takes it a turn of the loop.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.port = port
        self.arriving: set[asyncio.Task[object]] = set()
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._greet: Greet | None = None

    @property
    def open(self) -> bool:
        """Whether it listens."""
        return self._loop is not None

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

    def listen(self, accept: Callable[[], asyncio.Protocol], greet: Greet | None = None) -> None:
        """Accept connections from now on, on the running loop; ``greet`` makes each safe before.

        Raises :class:`PortError` if somebody else does.
        """
        assert self._socket is not None
        try:
            self._socket.listen(_BACKLOG)
        except OSError as error:
            raise self._error(error) from error
        self._loop = asyncio.get_running_loop()
        self._greet = greet
        self._loop.add_reader(self._socket, self._accept, accept)

    def refuse(self) -> None:
        """Let the kernel refuse from now on; the port stays ours."""
        self.close()
        self.bind()

    def close(self) -> None:
        """Give the port back. Who is being accepted right now is :attr:`arriving` still."""
        if self._socket is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._socket)
            self._socket.close()
        self._loop = self._socket = None

    def _accept(self, accept: Callable[[], asyncio.Protocol]) -> None:
        assert self._socket is not None
        assert self._loop is not None
        for _ in range(_BACKLOG):
            try:
                sock = self._socket.accept()[0]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # Out of descriptors: who is waiting is accepted when some are free again.
                self._loop.remove_reader(self._socket)
                self._loop.call_later(_RESPITE, self._resume, accept)
                return
            sock.setblocking(False)
            task = self._loop.create_task(self._arrive(accept, sock))
            self.arriving.add(task)
            task.add_done_callback(self.arriving.discard)

    def _resume(self, accept: Callable[[], asyncio.Protocol]) -> None:
        if self._loop is not None and self._socket is not None:
            self._loop.add_reader(self._socket, self._accept, accept)

    async def _arrive(self, accept: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
        if self._greet is not None:
            await self._greet(accept, sock)
        else:
            await asyncio.get_running_loop().connect_accepted_socket(accept, sock)

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
