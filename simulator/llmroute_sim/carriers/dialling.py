"""How blocking clients dial: the patched functions of ``socket`` and of those that copied them."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from llmroute_sim.calling import current_call
from llmroute_sim.carriers.inbox import Inbox
from llmroute_sim.carriers.inside import here
from llmroute_sim.carriers.network import fake_address
from llmroute_sim.carriers.sockets import MemorySocket

__all__ = ("connect", "connect_ex", "create_connection", "dialled", "getaddrinfo", "gethostbyname")

_create_connection = socket.create_connection
_getaddrinfo = socket.getaddrinfo
_gethostbyname = socket.gethostbyname
_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def dialled(address: Any, timeout: Any) -> MemorySocket | None:
    """A connection in memory to an address, or None if it is left to the machine."""
    world = here()
    place = world.network.place(address[0], address[1]) if world else None
    if world is None or place is None:
        return None
    # Any other object than a number stands for the default, in socket and urllib3 alike.
    seconds = (
        timeout
        if timeout is None or isinstance(timeout, int | float)
        else socket.getdefaulttimeout()
    )
    if world.network.named(address[0]):
        world.network.look_up(place)
    ending = world.network.dial(place, seconds)
    return MemorySocket(Inbox(world.network, place, ending), seconds)


def create_connection(address: Any, timeout: Any = ..., *args: Any, **options: Any) -> Any:
    """``socket.create_connection``."""
    found = dialled(address, timeout)
    if found is not None:
        return found
    if timeout is not ...:
        options["timeout"] = timeout
    return _create_connection(address, *args, **options)


def getaddrinfo(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002 - the original's name
    *rest: Any,
    **options: Any,
) -> Any:
    """``socket.getaddrinfo``: every host of the world has one address."""
    world = here()
    place = world.network.place(host, port) if world else None
    if world is None or place is None:
        return _getaddrinfo(host, port, family, type, *rest, **options)
    if world.network.named(host):
        world.network.look_up(place)
    kind = type or socket.SOCK_STREAM
    return [(socket.AF_INET, kind, socket.IPPROTO_TCP, "", (fake_address(place.host), place.port))]


def gethostbyname(hostname: Any) -> str:
    """``socket.gethostbyname``."""
    world = here()
    place = world.network.place(hostname, 0) if world else None
    if world is None or place is None:
        return _gethostbyname(hostname)
    if world.network.named(hostname):
        world.network.look_up(place)
    return fake_address(place.host)


def connect(self: socket.socket, address: Any) -> None:
    """``socket.socket.connect``: a real socket goes nowhere but to this machine's own servers."""
    _guard(self, address)
    _connect(self, address)


def connect_ex(self: socket.socket, address: Any) -> int:
    """``socket.socket.connect_ex``."""
    _guard(self, address)
    return _connect_ex(self, address)


def _guard(sock: socket.socket, address: Any) -> None:
    world = here()
    if world is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    place = world.network.place(address[0], address[1])
    if place is not None:
        world.network.door.stray(place, current_call())
        raise ConnectionRefusedError(
            errno.ECONNREFUSED,
            f"{os.strerror(errno.ECONNREFUSED)}: {place.host}:{place.port} was dialled by a socket "
            "of its own, past every seam; nothing leaves this machine",
        )
