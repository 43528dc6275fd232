from __future__ import annotations

import asyncio
import contextlib
import gc
import http.server
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

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
    Exchange,
    Framing,
    Head,
    Request,
    Wait,
)

COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()
MESSAGE = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
).encode()
CHUNKS = [
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n' % word
    for word in (b"a", b"b", b"c")
] + [b"data: [DONE]\n\n"]


def json_answer(body: bytes = b"{}", after: float = 1.0) -> list[Event]:
    head = Head(200, (("content-type", "application/json"),), Framing.LENGTH, len(body))
    return [Wait(after), head, Data(body)]


def stream_answer(pieces: list[bytes], gap: float = 1.0) -> list[Event]:
    events: list[Event] = [Head(200, (("content-type", "text/event-stream"),), Framing.CHUNKED)]
    for piece in pieces:
        events += [Wait(gap), Data(piece)]
    return events


class Script:
    def __init__(self, answer: Callable[[Request], list[Event]] | None = None) -> None:
        self.answer = answer or (lambda request: json_answer())
        self.dialling: list[Event] = []
        self.dialled: list[Address] = []
        self.strays: list[Address] = []
        self.requests: list[Request] = []
        self.left = 0
        self.kept = True
        self.hosts: set[str] = set()
        self.on_change: list[Callable[[], None]] = []

    def knows(self, host: str) -> bool:
        return host.endswith((".test", ".com")) or host in self.hosts

    def stray(self, address: Address, call: str | None) -> None:
        self.strays.append(address)

    def connect(self, address: Address, call: str | None) -> Exchange:
        self.dialled.append(address)
        yield from self.dialling

    def open(self, request: Request) -> Exchange:
        self.requests.append(request)
        try:
            yield from self.answer(request)
        except GeneratorExit:
            self.left += 1
            raise

    def keeps(self, address: Address) -> bool:
        return self.kept


@pytest.fixture
def door() -> Script:
    return Script()


@pytest.fixture
def clock(door: Script) -> Iterator[Clock]:
    clock = Clock()
    with in_memory(door, clock):
        yield clock


# -- clients, by what they are made of

BLOCKING = ("httpx", "httpx2", "requests", "urllib3", "http.client")
ASYNC = ("httpx", "httpx2", "aiohttp")
URL = "https://api.example.test"


def blocking_get(name: str, url: str, timeout: float | None) -> bytes:
    if name == "http.client":
        import http.client
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout)
        with contextlib.closing(connection):
            connection.request("GET", parts.path or "/")
            return connection.getresponse().read()
    client = pytest.importorskip(name)
    if name == "urllib3":
        with client.PoolManager() as pool:
            return pool.request("GET", url, timeout=timeout, retries=False).data
    return client.get(url, timeout=timeout).content


@contextlib.asynccontextmanager
async def async_client(name: str, patience: float | None):
    client = pytest.importorskip(name)
    if name == "aiohttp":
        limits = client.ClientTimeout(total=None, sock_read=patience, sock_connect=patience)
        async with client.ClientSession(timeout=limits) as session:

            async def get(url: str) -> bytes:
                async with session.get(url) as response:
                    return await response.read()

            yield get
    else:
        async with client.AsyncClient(timeout=patience) as session:

            async def get(url: str) -> bytes:
                return (await session.get(url)).content

            yield get


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


# -- what is not simulated


@pytest.mark.parametrize("name", BLOCKING)
def test_a_stray_is_refused_by_name_and_told(door, clock, name):
    with pytest.raises(Exception, match="refused") as caught:
        blocking_get(name, "https://elsewhere.example.org/x", 5)
    assert "elsewhere.example.org" in str(caught.value)
    assert door.strays == [Address("elsewhere.example.org", 443)]
    assert door.dialled == []


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_stray_is_refused_and_told(door, clock, name):
    async def main() -> None:
        async with async_client(name, 5) as get:
            await get("https://elsewhere.example.org/x")

    with pytest.raises(Exception, match=r"(?i)refused|connect"):
        asyncio.run(main())
    assert door.strays == [Address("elsewhere.example.org", 443)]


def test_a_socket_past_the_seams_is_refused_by_name(door, clock):
    with socket.socket() as sock:
        with pytest.raises(ConnectionRefusedError, match=r"192\.0\.2\.1"):
            sock.connect(("192.0.2.1", 80))
        with pytest.raises(ConnectionRefusedError, match=r"api\.example\.test"):
            sock.connect_ex((socket.gethostbyname("api.example.test"), 80))


def test_every_host_has_one_address_in_this_process():
    seen = set()
    for _ in range(2):
        with in_memory(Script(), Clock()):
            seen.add(socket.getaddrinfo("one.example.test", 443)[0][4])
            assert socket.gethostbyname("two.example.test") != next(iter(seen))[0]
    assert len(seen) == 1
    assert next(iter(seen))[0].startswith("127.")


class Local(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(0.03)
        self.send_response(200)
        self.send_header("content-length", "5")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b"local")

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def local() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Local)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_users_own_loopback_server_is_reached(local, door, clock):
    url = f"http://127.0.0.1:{local}/"
    assert blocking_get("httpx", url, 5) == b"local"
    assert blocking_get("requests", url, 5) == b"local"
    assert clock.description == "virtual"
    assert door.strays == []


@pytest.mark.parametrize("name", ASYNC)
def test_a_loopback_server_is_reached_from_a_loop_and_the_clock_says_so(local, door, clock, name):
    async def main() -> bytes:
        async with async_client(name, 5) as get:
            assert await get(URL) == b"{}"
            return await get(f"http://localhost:{local}/")

    assert asyncio.run(main()) == b"local"
    assert clock.description == "virtual, foreign sockets"


def test_loopback_that_the_door_knows_is_simulated(door, clock):
    door.hosts = {"localhost"}
    assert blocking_get("httpx", "http://localhost:4000/v1", 5) == b"{}"
    assert door.dialled == [Address("localhost", 4000)]


def test_proxies_of_the_environment_are_hidden(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example.org:3128")
    door = Script()
    with in_memory(door, Clock()):
        assert blocking_get("httpx", URL, 5) == b"{}"
        assert blocking_get("requests", URL, 5) == b"{}"
    assert door.strays == []
    assert os.environ["HTTPS_PROXY"] == os.environ["ALL_PROXY"] == "http://proxy.example.org:3128"


def test_tls_over_buffers_passes_through_for_simulated_hosts_only(door, clock):
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    plain = context.wrap_bio(incoming, outgoing, server_hostname="api.example.test")
    plain.do_handshake()
    plain.write(b"hello")
    assert outgoing.read() == b"hello"
    with pytest.raises(ssl.SSLWantReadError):
        plain.read()
    incoming.write(b"there")
    assert plain.read(3) == b"the"
    real = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    assert isinstance(real, ssl.SSLObject)


# -- the SDKs, at the hosts that they have built in

ASKED = [{"role": "user", "content": "hi"}]


@pytest.fixture
def providers(door: Script) -> Script:
    def answer(request: Request) -> list[Event]:
        if b'"stream":true' in request.body.replace(b" ", b""):
            return stream_answer(CHUNKS)
        anthropic = request.address.host == "api.anthropic.com"
        return json_answer(MESSAGE if anthropic else COMPLETION)

    door.answer = answer
    return door


def test_openai_blocking(providers, clock):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(api_key="k") as client:
        made = client.chat.completions.create(model="m", messages=ASKED)
        assert made.choices[0].message.content == "hello"
        pieces = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        said = [(chunk.choices[0].delta.content, clock.now()) for chunk in pieces]
    assert said == [("a", 2.0), ("b", 3.0), ("c", 4.0)]
    assert {request.address for request in providers.requests} == {Address("api.openai.com", 443)}


def test_openai_async(providers, clock):
    openai = pytest.importorskip("openai")

    async def main() -> list[tuple[str | None, float]]:
        async with openai.AsyncOpenAI(api_key="k") as client:
            made = await client.chat.completions.create(model="m", messages=ASKED)
            assert made.choices[0].message.content == "hello"
            pieces = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
            return [(chunk.choices[0].delta.content, clock.now()) async for chunk in pieces]

    assert asyncio.run(main()) == [("a", 2.0), ("b", 3.0), ("c", 4.0)]
    assert clock.description == "virtual"


def test_anthropic_both_ways(providers, clock):
    anthropic = pytest.importorskip("anthropic")
    with anthropic.Anthropic(api_key="k") as client:
        made = client.messages.create(model="m", max_tokens=9, messages=ASKED)
        assert made.content[0].text == "hello"

    async def main() -> str:
        async with anthropic.AsyncAnthropic(api_key="k") as client:
            made = await client.messages.create(model="m", max_tokens=9, messages=ASKED)
            return made.content[0].text

    assert asyncio.run(main()) == "hello"
    assert clock.now() == 2.0


def test_an_sdk_retries_and_times_out_on_the_virtual_clock(providers, clock):
    openai = pytest.importorskip("openai")
    providers.answer = lambda request: [Wait(FOREVER)]
    with (
        openai.OpenAI(api_key="k", timeout=30, max_retries=1) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(model="m", messages=ASKED)
    assert len(providers.requests) == 2
    assert 60 < clock.now() < 70


def test_litellm_both_ways(providers, clock, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm = pytest.importorskip("litellm")
    options = {"model": "openai/gpt-4o", "messages": ASKED, "api_key": "k"}
    assert litellm.completion(**options).choices[0].message.content == "hello"

    async def main() -> str:
        return (await litellm.acompletion(**options)).choices[0].message.content

    assert asyncio.run(main()) == "hello"
    assert clock.now() == 2.0
    assert clock.description == "virtual"
    assert providers.strays == []


def test_threads_and_tasks_of_an_sdk_share_one_digest(providers):
    openai = pytest.importorskip("openai")

    def told(request: Request) -> list[Event]:
        number = json.loads(request.body)["n"]
        return json_answer(COMPLETION, 1 + number * 0.37) if number % 3 else [Abort("reset")]

    def in_threads() -> list[tuple[float, str]]:
        clock, seen = Clock(), []
        with (
            in_memory(Script(told), clock),
            openai.OpenAI(api_key="k", max_retries=0) as client,
            ThreadPoolExecutor(8) as pool,
        ):

            def one(number: int) -> None:
                try:
                    client.chat.completions.create(model="m", messages=ASKED, n=number)
                    seen.append((clock.now(), f"{number} ok"))
                except openai.APIConnectionError:
                    seen.append((clock.now(), f"{number} lost"))

            for number in range(8):
                pool.submit(one, number)
        return seen

    def in_tasks() -> list[tuple[float, str]]:
        clock, seen = Clock(), []

        async def main() -> None:
            async with openai.AsyncOpenAI(api_key="k", max_retries=0) as client:

                async def one(number: int) -> None:
                    try:
                        await client.chat.completions.create(model="m", messages=ASKED, n=number)
                        seen.append((clock.now(), f"{number} ok"))
                    except openai.APIConnectionError:
                        seen.append((clock.now(), f"{number} lost"))

                await asyncio.gather(*map(one, range(8)))

        with in_memory(Script(told), clock):
            asyncio.run(main())
        return seen

    threads = [in_threads() for _ in range(10)]
    tasks = [in_tasks() for _ in range(10)]
    assert all(run == threads[0] for run in threads)
    assert all(run == tasks[0] for run in tasks)
    assert sorted(threads[0]) == sorted(tasks[0])


def test_connections_are_forgotten_when_clients_are(door, clock):
    blocking_get("httpx", URL, 5)
    gc.collect()
    door.kept = False
    for drop in door.on_change:
        drop()
    assert len(door.dialled) == 1
