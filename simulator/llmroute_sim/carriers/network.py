"""The network of a world: which hosts it has, where they are, and what a dial meets.

Every host has one address in 127.0.0.0/8, the same for the whole process, since clients remember
what a name resolved to for longer than a world lasts. A connection that slips past the seams is
thus refused by this machine at worst, and leaves it in no case.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import math
import os
import socket
from collections.abc import Generator, Mapping
from typing import Protocol
from weakref import WeakKeyDictionary

from llmroute_sim.calling import current_call
from llmroute_sim.carriers.doors import Doors, changes, lacking
from llmroute_sim.clock import Clock
from llmroute_sim.wire import Abort, Address, Door, Exchange, Step, Wait

__all__ = ("LACKING", "Ending", "Line", "Network", "fake_address")

Ending = Abort | None
"""How a dialled connection begins: None, or already ended."""

LACKING: Mapping[Step, str] = {
    "handshake": "in memory no TLS is spoken. Over TCP a client meets its real error: `llmroute serve "
    "--tls`, or in Python llmroute_sim.carriers.tcp.serve(..., tls=True)"
}
"""Steps of connecting that have no form in memory, and why."""
_FIRST = int(ipaddress.IPv4Address("127.77.0.1"))
_address_of: dict[str, str] = {}
_host_at: dict[str, str] = {}


def fake_address(host: str) -> str:
    """The address of a host in this process."""
    address = _address_of.get(host)
    if address is None:
        address = str(ipaddress.IPv4Address(_FIRST + len(_address_of)))
        _address_of[host] = address
        _host_at[address] = host
    return address


class Line(Protocol):
    """A connection, as far as the network must know it."""

    address: Address

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered on it."""

    def drop(self) -> None:
        """The provider ends it."""

    def bury(self) -> None:
        """The world is over; nothing may be carried any more."""


class Network:
    """Connections of the clients of a process to the hosts of its worlds."""

    def __init__(self, door: Door, clock: Clock) -> None:
        self.door = Doors(door)
        self.clock = clock
        self._lines: WeakKeyDictionary[Line, Door] = WeakKeyDictionary()
        lacking(door, LACKING)
        self._listen(door)

    def begin(self, door: Door) -> None:
        """A world begins beside the first."""
        lacking(door, LACKING)
        self.door.add(door)
        self._listen(door)

    def end(self, door: Door) -> None:
        """A world ends: a client that is kept must find the connections that it made dead."""
        self._deaf(door)
        self.door.remove(door)
        for line, made_for in list(self._lines.items()):
            if made_for is door:
                line.bury()
                self._lines.pop(line, None)

    def _listen(self, door: Door) -> None:
        """Drop idle connections whenever the door says that a fault came or went."""
        if (told := changes(door)) is not None:
            told.append(self.drop_idle)

    def _deaf(self, door: Door) -> None:
        if (told := changes(door)) is not None and self.drop_idle in told:
            told.remove(self.drop_idle)

    def place(self, host: object, port: object) -> Address | None:
        """Where a client that names this host is going, or None if that is left to the machine:
        loopback, and whatever is not a host and a port at all."""
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not isinstance(name, str) or not name:
            return None
        name = name.rstrip(".").lower()
        name = _host_at.get(name, name)
        if not self.door.knows(name) and _is_loopback(name):
            return None
        try:
            number = int(port) if isinstance(port, int | str | bytes) else 0
        except ValueError:
            number = {"https": 443, "http": 80}.get(str(port), 0)
        return Address(name, number)

    def joined(self, line: Line) -> None:
        """Count a connection in."""
        self._lines[line] = self.door.here

    def drop_idle(self) -> None:
        """End the idle connections that no longer survive, so that the next request dials anew."""
        for line in list(self._lines):
            if line.idle and not self.door.keeps(line.address):
                line.drop()

    def close(self) -> None:
        """All is over: a client that is kept must find its connections dead."""
        for door in self.door.all:
            self._deaf(door)
        for line in list(self._lines):
            line.bury()
        self._lines.clear()

    # -- dialling

    @staticmethod
    def named(host: object) -> bool:
        """Whether a client that dials this gives a name, which has to be looked up first."""
        text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
        return text not in _host_at and not _is_number(text)

    def look_up(self, address: Address) -> None:
        """Look a name up, blocking, as long as it takes. Raises ``socket.gaierror``."""
        for seconds in self._looking_up(address):
            self.clock.block(self.clock.waiter(), seconds)

    async def look_up_async(self, address: Address) -> None:
        """The same in a coroutine."""
        for seconds in self._looking_up(address):
            await _pause(seconds)

    def dial(self, address: Address, timeout: float | None) -> Ending:
        """Dial, blocking. Raises what the operating system would: ``TimeoutError``,
        ``ConnectionRefusedError``."""
        clock = self.clock
        until = math.inf if timeout is None else clock.now() + timeout
        dialling = self._dialling(address)
        try:
            for seconds in dialling:
                left = until - clock.now()
                if seconds >= left:
                    clock.block(clock.waiter(), left)
                    raise TimeoutError("timed out")
                clock.block(clock.waiter(), seconds)
        except _Answer as answer:
            return answer.ending
        finally:
            dialling.close()
        return None

    async def dial_async(self, address: Address) -> Ending:
        """The same in a coroutine, whose caller brings the timeout."""
        dialling = self._dialling(address)
        try:
            for seconds in dialling:
                await _pause(seconds)
        except _Answer as answer:
            return answer.ending
        finally:
            dialling.close()
        return None

    def _looking_up(self, address: Address) -> Generator[float, None, None]:
        if self.door.knows(address.host):
            yield from _waits(self.door.resolve(address, current_call()))

    def _dialling(self, address: Address) -> Generator[float, None, None]:
        call = current_call()
        if not self.door.knows(address.host):
            self.door.stray(address, call)
            raise ConnectionRefusedError(
                errno.ECONNREFUSED,
                f"{os.strerror(errno.ECONNREFUSED)}: {address.host}:{address.port} is not "
                "simulated, and nothing leaves this machine",
            )
        yield from _waits(self.door.connect(address, call))


def _waits(exchange: Exchange) -> Generator[float, None, None]:
    """How long each wait is before a connection stands; raises what ends it."""
    try:
        for event in exchange:
            match event:
                case Wait(seconds=seconds):
                    yield seconds
                case Abort(kind="no-name"):
                    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
                case Abort(kind="refused"):
                    raise ConnectionRefusedError(
                        errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)
                    )
                case Abort():
                    raise _Answer(event)
    finally:
        exchange.close()


async def _pause(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


class _Answer(Exception):
    """Not an error: how a dial that was accepted goes on."""

    def __init__(self, ending: Abort) -> None:
        self.ending = ending


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if not _is_number(name):
        return False
    found = ipaddress.ip_address(name.partition("%")[0])
    return found.is_loopback or found.is_unspecified


def _is_number(name: str) -> bool:
    """Whether a host is given as an address."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
