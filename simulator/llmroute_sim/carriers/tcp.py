"""Exchanges over genuine loopback TCP, in real time, for programs that are not this process.

Two ways of addressing. One port with a path per provider: ``http://127.0.0.1:PORT/openai/v1/...``
reaches the address that the caller mapped ``openai`` to, with the prefix taken off. And one
listener per address, whose URL has no prefix. A program that can set a base URL can use either.

What this carrier cannot do, and does not pretend to:

* A connection that was accepted cannot be refused any more. A listener of its own is closed while
  its address refuses, if the door can say so beforehand (:class:`Foretelling`); then the kernel
  refuses, and nobody sees such an attempt, so it is in no history. On the shared port, or with a
  door that cannot foretell, a refusal is performed as a reset, and is in the history.
* Silence before a connection stands is performed as silence after the request, for the same reason.
* Names are not looked up, and TLS is spoken only where it is asked for, by listeners of their own.
  A door that asks for it (``lack``) is told so, and lets no such fault loose.

Only loopback addresses are bound.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from llmroute_sim.carriers.accepted import Accepted, Pace
from llmroute_sim.carriers.certificates import Certificates, NoTLS, secured
from llmroute_sim.carriers.doors import lacking
from llmroute_sim.carriers.doorstep import Doorstep, check_paths
from llmroute_sim.carriers.port import Greet, Port, PortError, loopback
from llmroute_sim.wire import Address, Door, Exchange, Step

__all__ = ("Foretelling", "NoTLS", "PortError", "TCPCarrier", "serve")

_SHARED = Address("shared port", 0)
_LACKING: Mapping[Step, str] = {
    "name": "a program that is given a base URL looks up no name of the provider's. Give it one "
    "whose name exists nowhere, as http://openai.invalid/v1",
    "handshake": "no TLS is spoken here. Serve with listeners of their own and tls=True (`llmroute "
    "serve --tls`)",
}
_POLL = 0.02
"""Seconds between two looks at whether an address has begun or ceased to refuse."""


@runtime_checkable
class Foretelling(Protocol):
    """A door that can say, without an attempt being made, that it would refuse one."""

    def refuses(self, address: Address) -> bool:
        """Whether every connection to the address is refused at this moment."""
        ...


def serve(
    door: Door,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    paths: Mapping[str, Address] | None = None,
    listeners: Iterable[Address] | Mapping[Address, int] = (),
    tls: bool | Certificates = False,
    time_scale: float = 1.0,
    segment_gap: float = 0.0,
) -> TCPCarrier:
    """Make a server; ``with`` runs it in a thread of its own, ``async with`` on the running loop.

    ``paths`` maps the first segment of a path on the shared ``port`` to a simulated address.
    ``listeners`` are addresses that get a port of their own, any free one unless it is given.
    Port 0 is any free one. With ``tls`` the listeners speak TLS, with certificates whose authority is
    :attr:`TCPCarrier.authority` (new ones, unless they are given); the shared port never does.
    ``time_scale`` multiplies every wait; ``segment_gap`` (seconds) keeps segments apart so that the
    client reads them one by one, else those of one turn are one write.

    Raises ``ValueError`` for a host that is not loopback and for a fault at large that has no form
    here, :class:`NoTLS` if trustme is needed and not installed, and on entering :class:`PortError` for
    a port that is taken.
    """
    return TCPCarrier(
        door,
        host=host,
        port=port,
        paths=dict(paths or {}),
        listeners=dict(listeners)
        if isinstance(listeners, Mapping)
        else dict.fromkeys(listeners, 0),
        certificates=Certificates() if tls is True else tls or None,
        pace=Pace(time_scale, segment_gap),
    )


class TCPCarrier:
    """A server of simulated providers on loopback. Made by :func:`serve`."""

    def __init__(
        self,
        door: Door,
        *,
        host: str,
        port: int,
        paths: Mapping[str, Address],
        listeners: Mapping[Address, int],
        certificates: Certificates | None,
        pace: Pace,
    ) -> None:
        check_paths(paths)
        if not paths and not listeners:
            raise ValueError("nothing to serve: give paths, listeners, or both")
        for address in (*paths.values(), *listeners):
            if not door.knows(address.host):
                raise ValueError(f"{address.host} cannot be served: it is not simulated")
        self.host = loopback(host)
        lacking(door, _LACKING if certificates is None else {"name": _LACKING["name"]})
        self._certificates = certificates
        self._door = door
        self._pace = pace
        self._peers: set[Accepted] = set()
        self._paths = paths
        self._shared = Port(self.host, port) if paths else None
        self._own = {address: Port(self.host, n) for address, n in listeners.items()}
        self._oracle = door if listeners and isinstance(door, Foretelling) else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = asyncio.Event()
        self._failures: list[BaseException] = []

    # -- where it is

    @property
    def port(self) -> int:
        """The shared port, that of the paths."""
        if self._shared is None:
            raise ValueError("this server has no shared port: it was given listeners, no paths")
        return self._shared.port

    def url(self, at: str | Address) -> str:
        """The base URL, without a slash at its end, of a path or of an address.

        An address that has a listener of its own is reached there, any other by its path.
        Raises ``KeyError`` where neither leads to it.
        """
        if isinstance(at, Address):
            if at in self._own:
                scheme = "http" if self._certificates is None else "https"
                return self._base(self._own[at].port, scheme)
            at = next((name for name, address in self._paths.items() if address == at), at.host)
        if at not in self._paths:
            known = [f"/{name}" for name in self._paths] + [a.host for a in self._own]
            raise KeyError(f"{at!r} is not served here; there are {', '.join(known)}")
        return f"{self._base(self.port)}/{at}"

    @property
    def authority(self) -> str:
        """The certificate (PEM) of the authority that a client must trust to be served by TLS."""
        if self._certificates is None:
            raise ValueError("this server speaks no TLS: it was given no tls=True")
        return self._certificates.authority

    def _base(self, port: int, scheme: str = "http") -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{port}"

    # -- running

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="llmroute-tcp", daemon=True
        )
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failures and error is None:
            raise self._failures[0]

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def refresh(self) -> None:
        """Look now, from any thread, which addresses refuse; return when it has been acted on."""
        loop = self._loop
        if loop is None:
            return
        if self._thread is None or threading.current_thread() is self._thread:
            self._settle()
        else:
            asyncio.run_coroutine_threadsafe(self._settled(), loop).result()

    def _run(self, ready: Future[None]) -> None:
        # Not whatever loop is the fashion of this process: resets are tried on this one.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._main(ready))

    async def _main(self, ready: Future[None]) -> None:
        asyncio.get_running_loop().set_exception_handler(self._failed)
        try:
            await self._start()
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        await self._stop.wait()
        await self._close()

    def _failed(self, loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        loop.default_exception_handler(told)
        if (error := told.get("exception")) is not None:
            self._failures.append(error)

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            for listener in self._listeners:
                listener.bind()
            if self._shared is not None:
                self._shared.listen(lambda: self._accept(_SHARED, self._paths))
            self._settle()
        except BaseException:
            await self._close()
            raise
        told = getattr(self._door, "on_change", None)
        if isinstance(told, list):
            told.append(self.refresh)
        self._poll()

    async def _close(self) -> None:
        told = getattr(self._door, "on_change", None)
        if isinstance(told, list) and self.refresh in told:
            told.remove(self.refresh)
        self._loop = None
        for listener in self._listeners:
            listener.close()
            if self._certificates is not None:
                for task in listener.arriving:
                    task.cancel()  # a handshake may be meant never to end
            await asyncio.gather(*listener.arriving, return_exceptions=True)
        for peer in list(self._peers):
            peer.drop()
        await asyncio.sleep(0)  # a dropped connection is closed in the next turn

    @property
    def _listeners(self) -> list[Port]:
        return ([self._shared] if self._shared else []) + list(self._own.values())

    def _accept(self, address: Address, paths: Mapping[str, Address] | None) -> Accepted:
        door = Doorstep(self._door, paths)
        answered = self._settle if self._oracle is not None else None
        return Accepted(door, address, self._pace, self._peers, answered)

    def _greet(self, address: Address) -> Greet | None:
        """How a connection to a listener is made safe before it is accepted, if it is."""
        if self._certificates is None:
            return None
        context = functools.partial(self._certificates.context, address.host)

        def greet(accept: Callable[[], asyncio.Protocol], sock: socket.socket) -> Awaitable[None]:
            handshake = getattr(self._door, "handshake", None)
            exchange = _nothing() if handshake is None else handshake(address, None)
            return secured(sock, accept, exchange, context, self._pace.scale)

        return greet

    # -- refusing

    def _refuses(self, address: Address) -> bool:
        return self._oracle is not None and self._oracle.refuses(address)

    def _settle(self) -> None:
        """Close what refuses from now on, and open what does not any more."""
        if self._loop is None:
            return  # all is being closed, and an answer that was under way has ended
        for address, listener in self._own.items():
            refuses = self._refuses(address)
            if refuses and listener.open:
                listener.refuse()
                for peer in list(self._peers):
                    if peer.address == address and peer.idle:
                        peer.hang_up()
            elif not refuses and not listener.open:
                listener.listen(
                    functools.partial(self._accept, address, None), self._greet(address)
                )

    async def _settled(self) -> None:
        self._settle()

    def _poll(self) -> None:
        if self._loop is not None and self._oracle is not None:
            self._settle()
            self._loop.call_later(_POLL, self._poll)


def _nothing() -> Exchange:
    """A door that has no say in TLS."""
    yield from ()
