"""Requests per second of the TCP server, beside a bare asyncio protocol that says the same bytes.

    python benchmarks/server.py [--rounds 7] [--seconds 1.0] [--connections 32]

Servers run in processes of their own, the load comes from this one, rounds alternate. ``least`` is
an asyncio.Protocol that waits with httptools for the end of a request and writes one constant;
``bare`` also keeps what was asked; ``carrier`` is ours with a world that always answers the same,
``by path`` the same on a shared port, ``simulator`` the real world on a shared port. Only the
ratios carry over to another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import httptools

from llmroute_sim.carriers.tcp import serve
from llmroute_sim.wire import Abort, Address, Data, Door, Exchange, Framing, Head, Request, Wait

OPENAI = Address("api.openai.com")
_CONTENT = "All happy families are alike; each unhappy family is unhappy in its own way. " * 4
_BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _CONTENT},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 70, "total_tokens": 75},
    }
).encode()
_HEADERS = (
    ("content-type", "application/json"),
    ("openai-organization", "org-1"),
    ("openai-processing-ms", "300"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-request-id", "req_1"),
)
ASKED = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me about families."}]}
).encode()
REQUEST = (
    b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    b"User-Agent: OpenAI/Python 3.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Runtime: CPython\r\n"
    b"Authorization: Bearer sk-1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(ASKED), ASKED)
)


class Constant:
    """A world with nothing in it."""

    _events: tuple[Head | Data | Wait | Abort, ...] = (
        Head(200, _HEADERS, Framing.LENGTH, len(_BODY)),
        Data(_BODY),
    )

    def knows(self, host: str) -> bool:
        """Everything."""
        return True

    def stray(self, address: Address, call: str | None) -> None:
        """Nobody strays."""

    def connect(self, address: Address, call: str | None) -> Exchange:
        """Nothing happens."""
        yield from ()

    def open(self, request: Request) -> Exchange:
        """The constant."""
        yield from self._events

    def keeps(self, address: Address) -> bool:
        """Always."""
        return True


class Least(asyncio.Protocol):
    """The least that can be done with asyncio and httptools: whatever is asked, say the same."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer."""
        self._transport.write(self.answer)


class Bare(Least):
    """The least that knows what it was asked: method, target, headers and body."""

    def on_message_begin(self) -> None:
        """A request."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""

    def on_url(self, url: bytes) -> None:
        """Its target."""
        self._target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A piece of body."""
        self._body += body


# -- servers, each in a process of its own


def _announce(port: int) -> None:
    print(port, flush=True)
    for _ in sys.stdin:  # each line asks for the CPU seconds so far
        print(time.process_time(), flush=True)


def _bare(protocol: type[Least], answer: bytes) -> None:
    async def run() -> None:
        protocol.answer = answer
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.to_thread(_announce, port)

    asyncio.run(run())


def _ours(door: Door, *, shared: bool) -> None:
    paths, own = ({"openai": OPENAI}, ()) if shared else ({}, (OPENAI,))
    with serve(door, paths=paths, listeners=own) as server:
        _announce(int(server.url(OPENAI).split(":")[2].split("/")[0]))


def _simulator() -> None:
    from llmroute_sim.clock import RealClock
    from llmroute_sim.simulator import Simulator

    _ours(Simulator(RealClock()), shared=True)


@dataclass
class Server:
    """A child, where it listens, and what was measured."""

    name: str
    child: subprocess.Popen[str]
    port: int
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, *arguments: str) -> Server:
        """Start this file again, as a server."""
        child = subprocess.Popen(
            [sys.executable, __file__, "--serve", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        return cls(name, child, int(child.stdout.readline()))

    def cpu(self) -> float:
        """CPU seconds that the child has used."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def measure(self, seconds: float, connections: int) -> None:
        """One round."""
        before = self.cpu()
        done, took = load(self.port, seconds, connections)
        self.rates.append(done / took)
        self.costs.append((self.cpu() - before) / done * 1e6)


# -- the load


def once(port: int) -> bytes:
    """One whole answer."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(REQUEST)
        got = b""
        while b"\r\n\r\n" not in got:
            got += sock.recv(65536)
        head = got.lower().partition(b"\r\n\r\n")[0]
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(got) < len(head) + 4 + length:
            got += sock.recv(65536)
        return got


def load(port: int, seconds: float, connections: int) -> tuple[int, float]:
    """Ask on every connection as fast as it is answered; give the answers and the seconds."""
    chosen = selectors.DefaultSelector()
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    missing = dict.fromkeys(socks, 0)
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chosen.register(sock, selectors.EVENT_READ)
        sock.sendall(REQUEST)
    done = 0
    start = time.perf_counter()
    while (now := time.perf_counter()) < start + seconds or not done:
        for key, _ in chosen.select(0):  # awake all the time, as many clients would be
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            data = sock.recv(65536)
            if not missing[sock]:  # an answer begins; its head is never cut here
                head, _, data = data.partition(b"\r\n\r\n")
                at = head.rindex(b"content-length: ") + 16
                missing[sock] = int(head[at:].partition(b"\r\n")[0])
            missing[sock] -= len(data)
            if not missing[sock]:
                done += 1
                sock.sendall(REQUEST)
    for sock in socks:
        sock.close()
    return done, now - start


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    asked = options.parse_args()
    match asked.serve:
        case ["bare", answer]:
            _bare(Bare, bytes.fromhex(answer))
        case ["least", answer]:
            _bare(Least, bytes.fromhex(answer))
        case ["carrier"]:
            _ours(Constant(), shared=False)
        case ["by path"]:
            _ours(Constant(), shared=True)
        case ["simulator"]:
            _simulator()
        case _:
            compare(asked.rounds, asked.seconds, asked.connections)


def compare(rounds: int, seconds: float, connections: int) -> None:
    """Take turns, and print."""
    carrier = Server.start("carrier")
    answer = once(carrier.port).hex()
    bare = Server.start("bare", answer)
    rest = [Server.start("by path"), Server.start("simulator")]
    servers = [Server.start("least", answer), bare, carrier, *rest]
    for server in servers:
        load(server.port, 0.5, connections)  # the first answers load what they need
    for _ in range(rounds):
        for server in servers:
            server.measure(seconds, connections)
    print(f"{'server':12}{'requests/s':>12}{'of bare':>10}{'CPU us/request':>16}{'of bare':>10}")
    for server in servers:
        rate, cost = statistics.median(server.rates), statistics.median(server.costs)
        faster = statistics.median(a / b for a, b in zip(server.rates, bare.rates, strict=True))
        dearer = statistics.median(a / b for a, b in zip(server.costs, bare.costs, strict=True))
        print(f"{server.name:12}{rate:12.0f}{faster:10.2f}{cost:16.1f}{dearer:10.2f}")
        server.child.terminate()
        server.child.wait()


if __name__ == "__main__":
    main()
