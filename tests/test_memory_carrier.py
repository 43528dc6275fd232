from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.carriers.tls import hides_resets
from llmroute_sim.clock import Clock, Stuck
from llmroute_sim.wire import (
    FOREVER,
    Abort,
    Address,
    Data,
    Event,
    Framing,
    Head,
    Request,
    Wait,
)
from scripted import (
    ASYNC,
    BLOCKING,
    URL,
    Script,
    async_client,
    blocking_get,
    json_answer,
    stream_answer,
)

# -- clients, by what they are made of


def waits_what_the_path_says(request: Request) -> list[Event]:
    return json_answer(b'{"ok": true}', float(request.path.rpartition("/")[2]))


def three_in_threads(name: str) -> tuple[dict[int, tuple[str, float]], str]:
    clock, seen = Clock(), {}

    def one(seconds: int) -> None:
        try:
            blocking_get(name, f"{URL}/{seconds}", 10)
            seen[seconds] = ("ok", clock.now())
        except Exception as error:
            seen[seconds] = (type(error).__name__, clock.now())

    with in_memory(Script(waits_what_the_path_says), clock):
        threads = [threading.Thread(target=one, args=(s,)) for s in (3, 9, 30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return seen, clock.description


def three_in_tasks(name: str) -> tuple[dict[int, tuple[str, float]], str]:
    clock, seen = Clock(), {}

    async def main() -> None:
        async with async_client(name, 10) as get:

            async def one(seconds: int) -> None:
                try:
                    await get(f"{URL}/{seconds}")
                    seen[seconds] = ("ok", clock.now())
                except Exception as error:
                    seen[seconds] = (type(error).__name__, clock.now())

            await asyncio.gather(*(one(s) for s in (3, 9, 30)))

    with in_memory(Script(waits_what_the_path_says), clock):
        asyncio.run(main())
    return seen, clock.description


@pytest.mark.parametrize("name", BLOCKING)
def test_calls_in_threads_end_when_they_should_and_always_the_same(name):
    runs = [three_in_threads(name) for _ in range(20)]
    seen, description = runs[0]
    assert list(seen) == [3, 9, 30]
    assert [seen[s][1] for s in (3, 9, 30)] == [3.0, 9.0, 10.0]
    assert [seen[s][0] for s in (3, 9)] == ["ok", "ok"]
    assert seen[30][0] != "ok"
    assert description == "virtual"
    assert all(run == runs[0] for run in runs)


@pytest.mark.parametrize("name", ASYNC)
def test_calls_in_tasks_end_when_they_should_and_always_the_same(name):
    runs = [three_in_tasks(name) for _ in range(20)]
    seen, description = runs[0]
    assert list(seen) == [3, 9, 30]
    assert [seen[s][1] for s in (3, 9, 30)] == [3.0, 9.0, 10.0]
    assert [seen[s][0] for s in (3, 9)] == ["ok", "ok"]
    assert seen[30][0] != "ok"
    assert description == "virtual"
    assert all(run == runs[0] for run in runs)


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_threads_and_tasks_tell_the_same_story(name):
    assert three_in_threads(name) == three_in_tasks(name)


# -- faults as the client's own parser sees them


def outcome(do: Callable[[], object]) -> str:
    try:
        do()
    except Exception as error:
        return type(error).__name__
    return "ok"


FAULTS: dict[str, tuple[list[Event], dict[str, str]]] = {
    "reset before the head": (
        [Abort("reset")],
        {"httpx": "ReadError", "aiohttp": "ClientOSError", "requests": "ConnectionError"},
    ),
    "end before the head": (
        [Abort("end")],
        {
            "httpx": "RemoteProtocolError",
            "aiohttp": "ServerDisconnectedError",
            "requests": "ConnectionError",
        },
    ),
    "silence": (
        [Wait(FOREVER)],
        {"httpx": "ReadTimeout", "aiohttp": "SocketTimeoutError", "requests": "ReadTimeout"},
    ),
    "garbage": (
        [Data(b"\x00\x01garbage\r\n\r\n", raw=True), Abort("end")],
        {
            "httpx": "RemoteProtocolError",
            "aiohttp": "ClientResponseError",
            "requests": "ConnectionError",
        },
    ),
    "cut": (
        [*stream_answer([b"a", b"b"]), Abort("end")],
        {
            "httpx": "RemoteProtocolError",
            "aiohttp": "ClientPayloadError",
            "requests": "ChunkedEncodingError",
        },
    ),
    "reset in the body": (
        [*stream_answer([b"a", b"b"]), Abort("reset")],
        {
            "httpx": "ReadError",
            "aiohttp": "ClientPayloadError",
            "requests": "ChunkedEncodingError",
        },
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["httpx", "aiohttp", "requests"])
def test_a_fault_shows_as_the_clients_own_error(door, clock, name, fault):
    events, errors = FAULTS[fault]
    door.answer = lambda request: events

    async def call() -> None:
        async with async_client(name, 30) as get:
            await get("http://api.example.test/")

    if name == "requests":
        found = outcome(lambda: blocking_get(name, "http://api.example.test/", 30))
    else:
        found = outcome(lambda: asyncio.run(call()))
    assert found == errors[name]
    if name == "httpx":
        same = outcome(lambda: blocking_get(name, "http://api.example.test/", 30))
        assert same == errors[name]
    if fault == "silence":
        assert clock.now() == (60.0 if name == "httpx" else 30.0)


def test_a_reset_under_blocking_tls_looks_as_this_interpreter_shows_it(door, clock):
    httpx = pytest.importorskip("httpx")
    door.answer = lambda request: [Abort("reset")]
    expected = httpx.RemoteProtocolError if hides_resets() else httpx.ReadError
    with pytest.raises(expected):
        httpx.get(URL)

    async def call() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(URL)

    with pytest.raises(httpx.ReadError):
        asyncio.run(call())


@pytest.mark.parametrize("name", ["httpx", "httpx2", "aiohttp", "requests", "urllib3"])
def test_what_happens_before_a_connection_stands(door, clock, name):
    def call() -> str:
        async def in_a_task() -> None:
            async with async_client(name, 20) as get:
                await get(URL)

        if name == "aiohttp":
            return outcome(lambda: asyncio.run(in_a_task()))
        return outcome(lambda: blocking_get(name, URL, 20))

    refused = {
        "httpx": "ConnectError",
        "httpx2": "ConnectError",
        "aiohttp": "ClientConnectorError",
        "requests": "ConnectionError",
        "urllib3": "NewConnectionError",
    }
    silent = {
        "httpx": "ConnectTimeout",
        "httpx2": "ConnectTimeout",
        "aiohttp": "ConnectionTimeoutError",
        "requests": "ConnectTimeout",
        "urllib3": "ConnectTimeoutError",
    }
    door.dialling = [Wait(2), Abort("refused")]
    assert call() == refused[name]
    assert clock.now() == 2.0
    door.dialling = [Wait(FOREVER)]
    assert call() == silent[name]
    assert clock.now() == 22.0
    door.dialling = [Wait(3)]
    assert call() == "ok"
    assert clock.now() == 26.0
    assert door.dialled == [Address("api.example.test", 443)] * 3


def test_one_segment_is_one_read(door, clock):
    segment = b"x" * 100_000
    door.answer = lambda request: [
        Head(200, (), Framing.CLOSE),
        Data(b"one"),
        Data(b"two"),
        Data(segment),
    ]

    async def streams() -> list[bytes]:
        reader, writer = await asyncio.open_connection("api.example.test", 80)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        seen = []
        while data := await reader.read(1 << 20):
            seen.append(data)
        writer.close()
        await writer.wait_closed()
        return seen

    sock = socket.create_connection(("api.example.test", 80), 5)
    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    seen = []
    while data := sock.recv(1 << 20):
        seen.append(data)
    sock.close()
    assert seen[-2:] == [b"two", segment]
    assert seen[-3].endswith(b"one")
    assert asyncio.run(streams()) == seen


def test_a_client_that_leaves_ends_the_exchange(door, clock):
    door.answer = lambda request: stream_answer([b"piece"] * 100)
    httpx = pytest.importorskip("httpx")
    with httpx.stream("GET", URL) as response:
        next(response.iter_raw())
    assert door.left == 1

    async def call() -> None:
        async with async_client("httpx", None) as get, asyncio.timeout(5):
            await get(URL)

    with pytest.raises(TimeoutError):
        asyncio.run(call())
    assert door.left == 2
    assert clock.now() == 6.0


def test_a_hang_for_ever_ends_in_any_client(door, clock):
    door.answer = lambda request: [Wait(FOREVER)]

    async def ask() -> None:
        async with async_client("httpx", None) as get:
            with clock.horizon_at(600):
                await get(URL)

    with pytest.raises(Stuck), clock.horizon_at(600):
        blocking_get("httpx", URL, None)
    with pytest.raises(Stuck):
        asyncio.run(ask())
    with pytest.raises(Stuck):
        blocking_get("requests", URL, None)
    door.answer = lambda request: json_answer()
    assert blocking_get("httpx", URL, None) == b"{}"
    assert clock.now() == 1.0


# -- pools


@pytest.mark.parametrize("name", ["httpx", "httpx2", "requests"])
def test_a_pool_keeps_a_connection_until_it_is_dropped(door, clock, name):
    client = pytest.importorskip(name)
    with client.Session() if name == "requests" else client.Client() as session:
        for _ in range(2):
            session.get(URL)
        assert len(door.dialled) == 1
        door.kept = False
        for drop in door.on_change:
            drop()
        session.get(URL)
    assert len(door.dialled) == 2


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_pool_keeps_a_connection_until_it_is_dropped(door, clock, name):
    async def main() -> None:
        async with async_client(name, 10) as get:
            for _ in range(2):
                await get(URL)
            assert len(door.dialled) == 1
            door.kept = False
            for drop in door.on_change:
                drop()
            door.kept = True
            await get(URL)

    asyncio.run(main())
    assert len(door.dialled) == 2


def test_idle_connections_age_in_virtual_time(door, clock):
    httpx = pytest.importorskip("httpx")
    with httpx.Client() as session:
        session.get(URL)
        time.sleep(60)
        session.get(URL)
    assert len(door.dialled) == 2


@pytest.mark.parametrize("name", ["httpx", "httpx2", "requests"])
def test_a_client_kept_across_worlds_meets_the_new_one(name):
    client = pytest.importorskip(name)
    session = client.Session() if name == "requests" else client.Client()
    for number in range(4):
        body = b'{"world": %d}' % number
        door = Script(lambda request, body=body: json_answer(body))
        with in_memory(door, Clock()):
            assert session.get(URL).json() == {"world": number}
            assert session.get(URL).json() == {"world": number}
        assert len(door.dialled) == 1
    session.close()


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_client_and_its_loop_kept_across_worlds_meet_the_new_one(name):
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        get = runner.run(stack.enter_async_context(async_client(name, 10)))
        for number in range(4):
            body = b'{"world": %d}' % number
            door = Script(lambda request, body=body: json_answer(body))
            with in_memory(door, Clock()):
                for _ in range(2):
                    assert json.loads(runner.run(get(URL))) == {"world": number}
            assert len(door.dialled) == 1
        runner.run(stack.aclose())


def test_connections_are_forgotten_when_clients_are(door, clock):
    blocking_get("httpx", URL, 5)
    gc.collect()
    door.kept = False
    for drop in door.on_change:
        drop()
    assert len(door.dialled) == 1
