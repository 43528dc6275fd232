from __future__ import annotations

import asyncio
import concurrent.futures.thread as pools
import contextlib
import os
import socket
import ssl
import sys
import threading
import time
from asyncio import base_events
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine

from llmroute_sim.carriers.memory import Unsupported, in_memory
from llmroute_sim.carriers.tls import contexts
from llmroute_sim.clock import Clock
from llmroute_sim.wire import Address, Data, Exchange, Framing, Head, Request, Wait


class Door:
    def __init__(self) -> None:
        self.strays: list[Address] = []

    def knows(self, host: str) -> bool:
        return host.endswith(".test")

    def stray(self, address: Address, call: str | None) -> None:
        self.strays.append(address)

    def connect(self, address: Address, call: str | None) -> Exchange:
        yield from ()

    def open(self, request: Request) -> Exchange:
        yield Wait(1)
        yield Head(200, (), Framing.LENGTH, 2)
        yield Data(b"ok")

    def keeps(self, address: Address) -> bool:
        return True


SEAMS: list[tuple[Any, str]] = [
    *((time, name) for name in ("sleep", "monotonic", "monotonic_ns", "perf_counter", "time")),
    *((socket, name) for name in ("create_connection", "getaddrinfo", "gethostbyname")),
    *((socket.socket, name) for name in ("connect", "connect_ex")),
    (threading, "_time"),
    *((threading.Thread, name) for name in ("start", "join", "run")),
    (threading.Condition, "wait"),
    *((pools.ThreadPoolExecutor, name) for name in ("submit", "shutdown")),
    (pools._WorkItem, "run"),
    (base_events.BaseEventLoop, "run_forever"),
    (base_events.BaseEventLoop, "time"),
    *((asyncio.Runner, name) for name in ("run", "get_loop")),
    (asyncio.events, "new_event_loop"),
]
LIBRARIES = (
    ("urllib3.util.connection", "create_connection"),
    ("httpcore._backends.anyio", "AnyIOStream.start_tls"),
    ("httpcore2._backends.anyio", "AnyIOStream.start_tls"),
    ("aiohttp.connector", "monotonic"),
    ("aiohttp.connector", "DefaultResolver"),
    ("_pytest.timing", "time"),
    ("_pytest.timing", "perf_counter"),
)


def proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "proxy" in name.lower()}


def held() -> dict[str, object]:
    found: dict[str, object] = {"meta path": list(sys.meta_path), "proxies": proxies()}
    for owner, name in SEAMS:
        found[f"{owner.__name__}.{name}"] = vars(owner).get(name, "inherited")
    for module, path in LIBRARIES:
        owner = sys.modules.get(module)
        for part in path.split("."):
            owner = getattr(owner, part, None)
        found[f"{module}.{path}"] = owner
    for kind in contexts():
        for name in ("wrap_socket", "wrap_bio", "load_verify_locations", "load_default_certs"):
            found[f"{kind.__module__}.{kind.__name__}.{name}"] = vars(kind).get(name, "inherited")
    found["travelling"] = time_machine.escape_hatch.is_travelling()
    return found


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    for name in ("httpx", "httpx2", "requests", "aiohttp"):
        with contextlib.suppress(ImportError):
            __import__(name)
    before, wall = held(), time.time()
    yield
    assert held() == before
    assert 0 <= time.time() - wall < 60


# -- put back, whatever happens


def test_every_seam_is_put_back():
    before = held()
    with in_memory(Door(), Clock()):
        inside = held()
        time.sleep(100)
    assert inside["time.sleep"] is not before["time.sleep"]
    assert inside["aiohttp.connector.monotonic"] is not before["time.monotonic"] or (
        before["aiohttp.connector.monotonic"] is None
    )
    assert held() == before


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit, TimeoutError])
def test_every_seam_is_put_back_after_an_exception(ending):
    def body() -> None:
        with in_memory(Door(), Clock()):
            time.sleep(1)
            raise ending

    with pytest.raises(ending):
        body()


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_every_seam_is_put_back_after_an_exception_in_a_loop(ending):
    async def main() -> None:
        await asyncio.sleep(1)
        raise ending

    with pytest.raises(ending), in_memory(Door(), Clock()):
        asyncio.run(main())


def test_an_interrupt_in_a_blocking_wait_ends_the_world():
    def interrupt() -> None:
        raise KeyboardInterrupt

    def body() -> None:
        clock = Clock()
        with in_memory(Door(), clock):
            clock.call_at(5, interrupt)
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        body()
    with in_memory(Door(), Clock()):
        time.sleep(1)


def test_a_second_world_is_refused_and_the_first_goes_on():
    clock = Clock()
    with in_memory(Door(), clock):
        time.sleep(1)
        with pytest.raises(RuntimeError, match="already open"), in_memory(Door(), Clock()):
            pass
        time.sleep(1)
    assert clock.now() == 2.0


def test_a_function_kept_from_a_world_is_real_outside_and_virtual_in_the_next():
    with in_memory(Door(), Clock()):
        kept = time.sleep, time.monotonic
    began = time.perf_counter()
    kept[0](0.01)
    assert time.perf_counter() - began >= 0.01
    assert abs(kept[1]() - time.monotonic()) < 5
    clock = Clock()
    with in_memory(Door(), clock):
        kept[0](1000)
        assert kept[1]() == time.monotonic()
    assert clock.now() == 1000.0


def test_a_monkeypatch_undone_after_the_world_does_no_harm(monkeypatch):
    real = time.sleep
    with in_memory(Door(), Clock()):
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        time.sleep(5)
    monkeypatch.undo()
    began = time.perf_counter()
    time.sleep(0.01)
    assert time.perf_counter() - began >= 0.01
    time.sleep = real


def test_what_a_test_put_in_place_of_sleep_stays():
    slept: list[float] = []
    clock = Clock()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "sleep", slept.append)
        with in_memory(Door(), clock):
            time.sleep(5)
    assert (slept, clock.now()) == ([5], 0.0)


def test_a_name_taken_from_a_module_is_virtual_too():
    assert threading._time is time.monotonic
    clock = Clock()
    with in_memory(Door(), clock):
        assert threading._time is time.monotonic
        assert threading.Condition().acquire()
        assert not threading.Event().wait(7)
    assert clock.now() == 7.0


def test_performance_counters_stay_real():
    with in_memory(Door(), Clock()):
        began = time.perf_counter()
        time.sleep(10_000)
        assert time.perf_counter() - began < 5


# -- wall clocks


def test_wall_clocks_agree_with_the_world():
    from datetime import UTC, datetime

    clock = Clock()
    with in_memory(Door(), clock):
        assert datetime.now(UTC) == clock.wall()
        time.sleep(86400)
        assert datetime.now(UTC) == clock.wall()
        assert time.time() == clock.wall().timestamp()


def test_time_machine_inside_a_world_comes_and_goes():
    clock = Clock()
    with in_memory(Door(), clock):
        time.sleep(5)
        with time_machine.travel(0, tick=False):
            assert time.time() == 0.0
            time.sleep(10)
        assert time.time() == clock.wall().timestamp()
    assert clock.now() == 15.0


def test_time_machine_in_front_of_a_world_comes_back():
    clock = Clock()
    with time_machine.travel(0, tick=False):
        with in_memory(Door(), clock):
            time.sleep(5)
            assert time.time() == clock.wall().timestamp()
        assert time.time() == 0.0


# -- loops


class Mine(asyncio.SelectorEventLoop):
    beats = 0


def test_an_older_loop_is_adopted_with_its_timers_and_given_back():
    loop = Mine()
    fired = []
    loop.call_later(5, lambda: fired.append(clock.now()))
    soon = loop.create_task(asyncio.sleep(1000, "late"))
    clock = Clock()
    with in_memory(Door(), clock):
        loop.run_until_complete(asyncio.sleep(10))
        assert 4 < fired[0] <= 5
    assert type(loop) is Mine
    assert clock.now() == 10.0
    remaining = loop._scheduled[0].when() - loop.time()
    assert 980 < remaining <= 991
    soon.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_loop_of_the_users_own_kind_keeps_its_kind():
    async def main() -> type:
        Mine.beats += 1
        await asyncio.sleep(60)
        return type(asyncio.get_running_loop())

    clock = Clock()
    with in_memory(Door(), clock), asyncio.Runner(loop_factory=Mine, debug=True) as runner:
        runner.get_loop().slow_callback_duration = 1e9
        assert issubclass(runner.run(main()), Mine)
        assert type(runner.get_loop()) is Mine
    assert clock.now() == 60.0


def test_a_running_loop_is_adopted_in_flight():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours = loop.call_later(50, lambda: None)
        before = type(loop), loop._selector, loop._clock_resolution, loop.time()
        clock = Clock()
        with in_memory(Door(), clock):
            await asyncio.sleep(1000)
            assert loop.time() == time.monotonic()
            assert await asyncio.to_thread(clock.now) == 1000.0
        assert (type(loop), loop._selector, loop._clock_resolution) == before[:3]
        assert loop.time() - before[3] < 5
        await asyncio.sleep(0.001)
        ours.cancel()

    asyncio.run(main())


def test_a_background_task_lives_in_virtual_time_meanwhile():
    beats = 0

    async def heart() -> None:
        nonlocal beats
        for beats in range(1_000_000):  # noqa: B007 - counted by who made it
            await asyncio.sleep(0.02)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        beating = loop.create_task(heart())
        runner.run(asyncio.sleep(0))
        with in_memory(Door(), Clock()):
            runner.run(asyncio.sleep(150))
        beating.cancel()
    assert 7400 < beats < 7600


def test_a_loop_is_given_back_when_it_raises():
    loop = asyncio.new_event_loop()
    selector = loop._selector

    async def main() -> None:
        raise ZeroDivisionError

    with in_memory(Door(), Clock()):
        with pytest.raises(ZeroDivisionError):
            loop.run_until_complete(main())
        assert loop._selector is selector
    assert loop._clock_resolution < 1e-6
    loop.close()


def test_a_signal_is_seen_by_an_adopted_loop():
    import signal

    async def main() -> str:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, told.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(1000):
            if told.is_set():
                break
            await asyncio.sleep(1)
        loop.remove_signal_handler(signal.SIGUSR1)
        return "told" if told.is_set() else "never told"

    with in_memory(Door(), Clock()):
        assert asyncio.run(main()) == "told"


def test_uvloop_is_refused_by_name():
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None: ...

    with in_memory(Door(), Clock()):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            coroutine = main()
            with pytest.raises(Unsupported, match=r"uvloop\.Loop keeps time in C"):
                runner.run(coroutine)
        assert asyncio.run(asyncio.sleep(1, "asyncio")) == "asyncio"


def test_trio_is_refused_by_name():
    trio = pytest.importorskip("trio")
    with in_memory(Door(), Clock()), pytest.raises(Unsupported, match="trio has a loop"):
        trio.run(trio.sleep, 1)

    async def main() -> str:
        return "real"

    assert trio.run(main) == "real"


# -- who is inside


def test_threads_of_test_plugins_are_foreign():
    went_off = []

    def watchdog() -> None:
        went_off.append(time.perf_counter())

    watchdog.__module__ = "pytest_timeout"
    clock = Clock()
    with in_memory(Door(), clock):
        timer = threading.Timer(60, watchdog)
        timer.start()
        time.sleep(100_000)
        assert went_off == []
        timer.cancel()
        timer.join()
    assert clock.now() == 100_000.0


def test_an_older_thread_has_real_sockets_and_no_part_in_the_clock():
    listener = socket.create_server(("127.0.0.1", 0))
    seen: dict[str, object] = {}
    go = threading.Event()

    def old() -> None:
        go.wait(10)
        with socket.create_connection(listener.getsockname(), 5) as sock:
            seen["socket"] = type(sock)
        seen["loop"] = asyncio.run(asyncio.sleep(0.001, "real"))

    thread = threading.Thread(target=old)
    thread.start()
    clock = Clock()
    with in_memory(Door(), clock):
        go.set()
        thread.join()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("example.org", 80))
    listener.close()
    assert seen == {"socket": socket.socket, "loop": "real"}
    assert clock.now() == 0.0


def test_making_a_context_reads_no_certificates_in_a_world_only():
    with in_memory(Door(), Clock()):
        assert ssl.create_default_context().cert_store_stats()["x509"] == 0
        kept = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        kept.load_verify_locations("no such file")
    with pytest.raises(FileNotFoundError):
        kept.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="elsewhere.example.org")
    outside = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(FileNotFoundError):
        outside.load_verify_locations("no such file")
