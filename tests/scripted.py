"""A door whose answers a test writes, and clients of every library that ask at it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest

from llmroute_sim.wire import (
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
