"""One cell: a client, a fault and a kind of body, performed by a carrier."""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from tempfile import NamedTemporaryFile
from unittest import mock

from llmroute_sim.carriers.certificates import Certificates
from llmroute_sim.carriers.tcp import serve
from llmroute_sim.wire import Address

from .cases import CASES, IN_MEMORY, OTHERS, OVER_TLS, Case
from .clients import CLIENTS, RESPONSES
from .scripts import FAULTS, TOKEN, Scripted

SCALE = 0.012
GAP = 0.002
TIMEOUT = 30.0
HANGS_AFTER = 250.0
"""Scripted seconds after which a client that has not given up never will."""

HOSTS = {
    "openai": "api.openai.com",
    "openai-responses": "api.openai.com",
    "anthropic": "api.anthropic.com",
}
EVERYBODY = {**CLIENTS, **RESPONSES}


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    client: str
    fault: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.client}: {self.fault}, {'stream' if self.stream else 'JSON'}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The class of the exception and those of its causes, outermost first; none if it went well;
    ``hangs`` in their place. And how many tokens had been delivered by then.

    ``seconds`` is how long it took in the script's seconds; real time only gives a lower bound."""

    kinds: tuple[str, ...]
    tokens: int
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        return f"{' < '.join(self.kinds) or 'ok'} ({self.tokens} tokens)"


NAMES = (*FAULTS, *CASES)


def cells(client: str) -> list[Cell]:
    """Those that both carriers can perform."""
    both = [name for name in NAMES if name not in (*OVER_TLS, *IN_MEMORY)]
    return [Cell(client, fault, stream) for fault in both for stream in (False, True)]


def alone(client: str) -> list[Cell]:
    """Those that one carrier alone can perform."""
    names = [*OVER_TLS, *IN_MEMORY]
    if client.startswith("openai") and client not in ("openai 2", "openai 2 async"):
        names += OTHERS if not client.endswith("async") else ()
    return [Cell(client, name, stream) for name in names for stream in (False, True)]


def over_tcp(cell: Cell, scale: float = SCALE) -> Outcome:
    """In real time, all seconds scaled, over a genuine loopback connection, by TLS where the fault
    wants that."""
    address = Address(HOSTS[EVERYBODY[cell.client].dialect])
    tls = _trusted() if cell.fault in OVER_TLS else False
    pace = {"time_scale": scale, "segment_gap": GAP}
    with serve(_door(cell), listeners=[address], tls=tls, **pace) as server, _resolver(cell):
        base = "http://nowhere.invalid" if cell.fault == "name not found" else server.url(address)
        began = time.perf_counter()
        outcome = _ask(cell, f"{base}/v1", scale)
        return replace(outcome, seconds=(time.perf_counter() - began) / scale)


def _door(cell: Cell) -> Scripted | Case:
    dialect = EVERYBODY[cell.client].dialect
    kind = Scripted if cell.fault in FAULTS else Case
    return kind(dialect, cell.fault, cell.stream)


@contextmanager
def _resolver(cell: Cell) -> Iterator[None]:
    """A resolver that knows no name, where the fault wants that. All that asks it is genuine."""

    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    lost = cell.fault == "name not found"
    with mock.patch.object(socket, "getaddrinfo", nobody) if lost else nullcontext():
        yield


@cache
def _trusted() -> Certificates:
    """Certificates of an authority that every client made from now on trusts."""
    certificates = Certificates()
    with NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(certificates.authority)
    atexit.register(os.unlink, file.name)
    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = file.name
    return certificates


def in_memory(cell: Cell) -> Outcome:
    """On the virtual clock, to the host of the provider, over bytes in memory."""
    from llmroute_sim.carriers import memory
    from llmroute_sim.clock import Clock

    dialect = EVERYBODY[cell.client].dialect
    clock = Clock()
    with warnings.catch_warnings():
        # LiteLLM logs a failure in a thread that need not be done by now.
        warnings.simplefilter("ignore", memory.StillWaiting)
        with memory.in_memory(_door(cell), clock):
            outcome = _ask(cell, f"http://{HOSTS[dialect]}/v1", 1.0)
            return replace(outcome, seconds=clock.now())


def _ask(cell: Cell, base: str, scale: float) -> Outcome:
    return ask(cell.client, base, cell.stream, TIMEOUT * scale, HANGS_AFTER * scale)


def ask(client: str, base: str, stream: bool, timeout: float, patience: float) -> Outcome:
    """Ask once, and say what the caller got. Times in seconds of whichever clock is on."""
    heard: list[str] = []
    kinds: tuple[str, ...] = ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what clients leave open is not under test
            asked = EVERYBODY[client].ask(base, stream, timeout)
            if isinstance(asked, AsyncIterator):
                asyncio.run(_listen_async(asked, heard, patience))
            else:
                _listen(asked, heard)
    except Exception as error:
        kinds = _kinds(error)
    return Outcome(kinds, "".join(heard).count(TOKEN))


def _listen(asked: Iterator[str], heard: list[str]) -> None:
    for piece in asked:
        heard.append(piece)


class Hangs(Exception):
    """Nobody will ever answer, and the client does not know it."""


async def _listen_async(asked: AsyncIterator[str], heard: list[str], patience: float) -> None:
    async def listen() -> None:
        async for piece in asked:
            heard.append(piece)

    task = asyncio.ensure_future(listen())
    done, _ = await asyncio.wait({task}, timeout=patience)
    if not done:
        task.cancel()
        await asyncio.wait({task})
        raise Hangs
    task.result()


def _kinds(error: BaseException) -> tuple[str, ...]:
    if isinstance(error, Hangs):
        return ("hangs",)
    kinds: list[str] = []
    link: BaseException | None = error
    while link is not None and len(kinds) < 5:
        kind = type(link)
        package = kind.__module__.partition(".")[0]
        kinds.append(
            kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
        )
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return tuple(kinds)
