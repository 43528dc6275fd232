"""What is replaced in a process while a world is open, and put back when it ends.

A table of attributes and the functions that stand in for them. Every function asks on each call
whether the running thread is in a world, so one that somebody keeps (a ``from time import sleep``
inside the world, a monkeypatch undone too late) does no harm after it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread as pools
import functools
import os
import socket
import ssl
import sys
import threading
import time
from asyncio import base_events
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from llmroute_sim.carriers import dialling, jobs, loop, threads, tls
from llmroute_sim.carriers.inside import Unsupported, here
from llmroute_sim.carriers.late import LateImports

__all__ = ("installed",)

SEAMS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (base_events.BaseEventLoop, "run_forever", loop.run_forever),
    (base_events.BaseEventLoop, "call_at", loop.call_at),
    (threading.Thread, "start", threads.start),
    (threading.Thread, "join", threads.join),
    (threading.Thread, "is_alive", threads.is_alive),
    (threading.Condition, "wait", threads.wait),
    (pools.ThreadPoolExecutor, "submit", jobs.submit),
    (pools.ThreadPoolExecutor, "shutdown", jobs.shutdown),
    (pools._WorkItem, "run", jobs.run),
    (socket, "gethostbyname", dialling.gethostbyname),
    (socket.socket, "connect", dialling.connect),
    (socket.socket, "connect_ex", dialling.connect_ex),
)

FROZEN: dict[int, tuple[Any, Callable[..., Any]]] = {
    id(real): (real, ours)
    for real, ours in (
        (time.sleep, threads.sleep),
        (time.monotonic, threads.monotonic),
        (time.monotonic_ns, threads.monotonic_ns),
        (socket.create_connection, dialling.create_connection),
        (socket.getaddrinfo, dialling.getaddrinfo),
    )
}
"""Functions that modules take by name (``from time import monotonic``): replaced wherever a module
holds them, the ones they come from included."""

UNTOUCHED = (
    "_pytest", "execnet", "faulthandler", "hypothesis", "llmroute_sim", "multiprocessing", "pluggy",
    "pytest", "pytest_timeout", "subprocess", "time_machine", "xdist",
)  # fmt: skip
"""Packages that keep the real functions: they watch over tests, or over other processes."""

PROXIES = ("http_proxy", "https_proxy", "all_proxy")

_Frozen = tuple[ModuleType, str, Any, Callable[..., Any]]
_looked_at: dict[str, ModuleType] = {}
_frozen: list[_Frozen] = []


@contextmanager
def installed() -> Iterator[None]:
    """Put every seam in place, and put everything back, whatever happens."""
    with ExitStack() as undo:
        replace = functools.partial(_replace, undo)
        for owner, name, ours in SEAMS:
            replace(owner, name, ours)
        for module, name, real, ours in _frozen_names():
            # What somebody else has put there since is meant to be there.
            if vars(module).get(name) is real:
                replace(module, name, ours)
        _tls(replace)
        _runner(replace)
        arrivals: dict[str, Callable[[ModuleType], None]] = {
            name: functools.partial(arrive, replace) for name, arrive in ARRIVALS.items()
        }
        for name, arrived in arrivals.items():
            known = sys.modules.get(name)
            # One that is still being imported will come through the finder or through a scan.
            if known is not None and not getattr(known.__spec__, "_initializing", False):
                arrived(known)
        finder = LateImports(arrivals)
        sys.meta_path.insert(0, finder)
        undo.callback(_forget, finder)
        for name in PROXIES:
            for variable in (name, name.upper()):
                if variable in os.environ:
                    undo.callback(os.environ.__setitem__, variable, os.environ.pop(variable))
        yield


def _forget(finder: LateImports) -> None:
    if finder in sys.meta_path:
        sys.meta_path.remove(finder)


Replace = Callable[[Any, str, Any], None]
_MISSING = object()


def _replace(undo: ExitStack, owner: Any, name: str, ours: Any) -> None:
    """Set an attribute, and see that what was there returns if nobody else has replaced ours."""
    original = vars(owner).get(name, _MISSING)

    def put_back() -> None:
        if vars(owner).get(name) is ours:
            if original is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

    setattr(owner, name, ours)
    undo.callback(put_back)


def _frozen_names() -> list[_Frozen]:
    """Where modules hold the functions of :data:`FROZEN`. Each module is looked at once."""
    # Copies: a collection of garbage may import something while a dictionary is gone through.
    modules = sys.modules.copy()
    if modules == _looked_at:  # which is quick: what is identical is equal
        return _frozen
    for name, module in modules.items():
        if _looked_at.get(name) is module:
            continue
        _looked_at[name] = module
        if name.partition(".")[0] in UNTOUCHED or not isinstance(module, ModuleType):
            continue
        for attribute, value in vars(module).copy().items():
            real, ours = FROZEN.get(id(value), (None, None))
            if real is value and ours is not None:
                _frozen.append((module, attribute, real, ours))
    return _frozen


def _tls(replace: Replace, _: ModuleType | None = None) -> None:
    """Skip TLS in every class of context that there is."""
    for kind in tls.contexts():
        own = vars(kind)
        for name, ours in (
            ("wrap_socket", tls.wrapping),
            ("wrap_bio", tls.wrapping_bio),
            ("load_verify_locations", tls.unread),
            ("load_default_certs", tls.unread),
            ("set_default_verify_paths", tls.unread),
        ):
            if (name in own or kind is ssl.SSLContext) and not hasattr(own.get(name), "llmroute"):
                replacement = ours(getattr(kind, name))
                replacement.llmroute = True
                replace(kind, name, replacement)


def _runner(replace: Replace) -> None:
    """Refuse, in a world, loops that keep their own time."""
    get_loop, run = asyncio.Runner.get_loop, asyncio.Runner.run

    def checked_get_loop(self: asyncio.Runner) -> asyncio.AbstractEventLoop:
        found = get_loop(self)
        if here():
            loop.refuse_foreign(found)
        return found

    def checked_run(self: asyncio.Runner, coro: Any, **options: Any) -> Any:
        if here():
            try:
                loop.refuse_foreign(get_loop(self))
            except Unsupported:
                coro.close()
                raise
        return run(self, coro, **options)

    replace(asyncio.Runner, "get_loop", checked_get_loop)
    replace(asyncio.Runner, "run", checked_run)


def _urllib3(replace: Replace, module: ModuleType) -> None:
    original = module.create_connection

    def create_connection(address: Any, timeout: Any = ..., *args: Any, **options: Any) -> Any:
        found = dialling.dialled(address, timeout)
        if found is not None:
            return found
        if timeout is not ...:
            options["timeout"] = timeout
        return original(address, *args, **options)

    replace(module, "create_connection", create_connection)


def _anyio_stream(replace: Replace, module: ModuleType) -> None:
    """httpcore wraps its stream in a worker thread; ours needs no wrapping."""
    original = module.AnyIOStream.start_tls

    async def start_tls(self: Any, *args: Any, **options: Any) -> Any:
        from llmroute_sim.carriers.transport import MemoryTransport

        if isinstance(getattr(self._stream, "_transport", None), MemoryTransport):
            return self
        return await original(self, *args, **options)

    replace(module.AnyIOStream, "start_tls", start_tls)


def _aiohttp(replace: Replace, module: ModuleType) -> None:
    """With aiodns installed names are resolved in C, past the loop."""
    threaded = sys.modules["aiohttp.resolver"].ThreadedResolver
    if module.DefaultResolver is not threaded:
        replace(module, "DefaultResolver", threaded)


def _trio(replace: Replace, module: ModuleType) -> None:
    original = module.setup_runner

    def setup_runner(*args: Any, **options: Any) -> Any:
        if here():
            raise Unsupported(
                "trio has a loop, a clock and sockets of its own, which a world in memory does not "
                "reach. Run this test on asyncio (with anyio: a fixture anyio_backend that returns "
                '"asyncio").'
            )
        return original(*args, **options)

    replace(module, "setup_runner", setup_runner)


ARRIVALS: dict[str, Callable[[Replace, ModuleType], None]] = {
    "urllib3.util.connection": _urllib3,
    "httpcore._backends.anyio": _anyio_stream,
    "httpcore2._backends.anyio": _anyio_stream,
    "truststore._api": _tls,
    "aiohttp.connector": _aiohttp,
    "trio._core._run": _trio,
}
"""Modules with seams of their own, which are put in as the module arrives."""
