from __future__ import annotations

import asyncio
import http.server
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock
from llmroute_sim.wire import (
    Address,
)
from scripted import (
    ASYNC,
    BLOCKING,
    URL,
    Script,
    async_client,
    blocking_get,
)

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
