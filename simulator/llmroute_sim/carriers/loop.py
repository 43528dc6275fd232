"""Event loops: adopted while they run or have timers in a world, whoever made them and whenever.

For that time a loop is of a class made on the spot, its selector is wrapped and its timers are
shifted to the virtual clock, all by the same amount, so what was due in a second still is. Then
everything is put back. A loop that does not run keeps the clock that its timers were set by: real
time has no say in when they are due.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import socket
import ssl
from asyncio import base_events
from collections.abc import Callable
from typing import Any

from llmroute_sim.carriers.inside import Inside, Unsupported, aside, here, opened
from llmroute_sim.carriers.network import fake_address
from llmroute_sim.carriers.selector import TURNS, Selector
from llmroute_sim.carriers.transport import MemoryTransport
from llmroute_sim.strand import Waiter
from llmroute_sim.wire import Address

__all__ = ("Adoption", "adopt_running", "call_at", "refuse_foreign", "run_forever")

_run_forever = base_events.BaseEventLoop.run_forever
_call_at = base_events.BaseEventLoop.call_at

_LONGEST = 3600.0
"""Seconds that a loop moves on at once, where nothing else happens."""

_MANY = 100
"""Timers from which on asyncio looks whether most of them were cancelled."""


def run_forever(self: base_events.BaseEventLoop) -> None:
    """``BaseEventLoop.run_forever``: in a thread of a world the loop is adopted meanwhile."""
    if self.is_running():
        return _run_forever(self)  # which says so
    world, adoption = here(), _adoption(self)
    if world is None:
        if adoption is not None:
            adoption.undo()  # it waited in a world and is run outside of it
        return _run_forever(self)
    if adoption is None:
        adoption = Adoption(self, world)
    try:
        return _run_forever(self)
    finally:
        if not adoption.loop._scheduled:
            adoption.undo()


def call_at(
    self: base_events.BaseEventLoop, when: float, callback: Any, *args: Any, context: Any = None
) -> asyncio.TimerHandle:
    """``BaseEventLoop.call_at``: a loop that is given a timer in a world is adopted before it runs."""
    world = here()
    if world is None or self in world.loops or self.is_running():
        return _call_at(self, when, callback, *args, context=context)
    Adoption(self, world)
    return self.call_at(when, callback, *args, context=context)


def adopt_running(world: Inside) -> None:
    """Adopt the loop that already runs in this thread, if one does."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        refuse_foreign(loop)
        Adoption(loop, world)


def refuse_foreign(loop: object) -> None:
    """Raise :class:`Unsupported` for a loop whose time is not ours to give."""
    if not isinstance(loop, base_events.BaseEventLoop):
        kind = type(loop)
        raise Unsupported(
            f"{kind.__module__}.{kind.__qualname__} keeps time in C code, which a virtual clock "
            "cannot reach. Run this test on asyncio's own loop (no loop factory or policy, "
            "use_uvloop=False), or on the real clock over the loopback server."
        )


class Adoption:
    """A loop on the virtual clock, until it is undone."""

    def __init__(self, loop: Any, world: Inside) -> None:
        self.loop = loop
        self.world = world
        self.waiter: Waiter | None = None
        self.dialled: dict[socket.socket, Any] = {}
        self._kind: type = type(loop)
        self._resolution = loop._clock_resolution
        self._selector = loop._selector
        with aside():
            before = loop.time()
        loop.__class__ = _virtual(self._kind)
        loop.time = world.clock.monotonic
        # Coarser than the spacing of any float that time() can be, or the loop would spin.
        loop._clock_resolution = 1e-6
        loop._selector = Selector(self._selector, self)
        world.loops[loop] = self
        self._shift(world.clock.monotonic() - before)

    def undo(self) -> None:
        """Put everything back."""
        loop = self.loop
        if self.world.loops.get(loop) is not self:
            return
        del self.world.loops[loop]
        now = loop.time()
        loop.__class__ = self._kind
        del loop.time
        loop._clock_resolution = self._resolution
        if isinstance(loop._selector, Selector):
            loop._selector = self._selector
        with aside():
            self._shift(loop.time() - now)
        for sock in self.dialled:
            sock.close()

    def _shift(self, seconds: float) -> None:
        for handle in self.loop._scheduled:
            handle._when += seconds


def _adoption(loop: Any) -> Adoption | None:
    world = opened()
    return world.loops.get(loop) if world is not None else None


_classes: dict[type, type] = {}


def _virtual(kind: type) -> type:
    """A class of loop like another, but for time and connections."""
    if kind not in _classes:
        name = f"Virtual{kind.__name__}"
        _classes[kind] = type(name, (_Virtual, kind), {"__module__": __name__})
    return _classes[kind]


class _Virtual(asyncio.SelectorEventLoop):
    """What an adopted loop does differently."""

    def call_at(  # type: ignore[override]  # its type variables are of no use here
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        if when == math.inf:
            # Never: not scheduled at all, so that a wait for nothing else is seen as endless.
            return asyncio.TimerHandle(when, callback, args, self, context)
        # On the microsecond: dust must not decide which of two timers is first.
        when = round(when * 1e6) / 1e6
        loop: Any = self
        if loop._debug:
            return super().call_at(when, callback, *args, context=context)
        # The same in fewer steps: what idles in the background comes here for every second of a day.
        loop._check_closed()
        timer: Any = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(loop._scheduled, timer)
        timer._scheduled = True
        return timer

    def _run_once(self) -> None:
        """Some turns of the loop, as ``BaseEventLoop._run_once`` makes them one by one, as long as
        nothing but its own timers moves it."""
        loop: Any = self
        once: Callable[[], None] = super()._run_once  # type: ignore[misc]  # private, since 3.4
        selector, scheduled, ready = loop._selector, loop._scheduled, loop._ready
        if type(selector) is not Selector or selector.foreign or loop._debug:
            return once()
        clock, resolution = selector.clock, loop._clock_resolution
        for _ in range(TURNS):
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
                loop._timer_cancelled_count -= 1
            if not ready:
                ahead = scheduled[0]._when - clock.monotonic() if scheduled else math.inf
                if ahead > _LONGEST or loop._stopping or (ahead > 0 and not clock.glide(ahead)):
                    return once()
            end = clock.monotonic() + resolution
            while scheduled and scheduled[0]._when < end:
                due = heapq.heappop(scheduled)
                due._scheduled = False
                ready.append(due)
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
            # The world may have ended in one of them, and let go of the loop.
            if loop._stopping or loop._selector is not selector or selector.foreign:
                return None
        if len(scheduled) > _MANY:
            return once()  # it clears those that were cancelled
        if events := selector.look():
            loop._process_events(events)
        return None

    def _write_to_self(self) -> None:
        adoption, world = _adoption(self), here()
        if adoption is not None and adoption.waiter is not None:
            adoption.waiter.release()
        if world is None or adoption is None:
            super()._write_to_self()  # type: ignore[misc]  # private, and there since 3.4

    def close(self) -> None:
        if (adoption := _adoption(self)) is None or self.is_running():
            return super().close()
        adoption.undo()
        return self.close()

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        adoption = _adoption(self)
        place = adoption.world.network.place(host, port) if adoption else None
        if adoption is None or place is None:
            return await super().getaddrinfo(host, port, **options)
        if adoption.world.network.named(host):
            await adoption.world.network.look_up_async(place)
        kind = options.get("type") or socket.SOCK_STREAM
        return [
            (socket.AF_INET, kind, socket.IPPROTO_TCP, "", (fake_address(place.host), place.port))
        ]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        adoption = _adoption(self)
        place = _inet(adoption, sock, address)
        if adoption is None or place is None:
            return await super().sock_connect(sock, address)
        adoption.dialled[sock] = (place, await adoption.world.network.dial_async(place))
        return None

    async def create_connection(  # type: ignore[override]  # narrower than typeshed's overloads
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: Any = None,
        port: Any = None,
        *,
        sock: socket.socket | None = None,
        ssl: ssl.SSLContext | bool | None = None,
        **options: Any,
    ) -> Any:
        adoption = _adoption(self)
        place, ending = None, None
        if adoption is not None and sock is not None:
            place, ending = adoption.dialled.pop(sock, (None, None))
        elif adoption is not None:
            place = adoption.world.network.place(host, port)
            if place is not None:
                if adoption.world.network.named(host):
                    await adoption.world.network.look_up_async(place)
                ending = await adoption.world.network.dial_async(place)
        if adoption is None or place is None:
            return await super().create_connection(
                protocol_factory, host, port, sock=sock, ssl=ssl, **options
            )
        protocol = protocol_factory()
        transport = MemoryTransport(
            adoption.world.network, place, self, protocol, tls=ssl, raw=sock, ending=ending
        )
        await asyncio.sleep(0)  # connection_made comes before the caller goes on
        return transport, protocol

    async def start_tls(self, transport: Any, protocol: Any, *args: Any, **options: Any) -> Any:
        if isinstance(transport, MemoryTransport):
            transport.set_protocol(protocol)
            return transport
        return await super().start_tls(transport, protocol, *args, **options)


def _inet(adoption: Adoption | None, sock: socket.socket, address: Any) -> Address | None:
    if adoption is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return adoption.world.network.place(address[0], address[1])
