"""The provider's half of one HTTP/1.1 connection, without the connection.

Bytes of the client go in by :meth:`Connection.feed`; what the exchange decides comes out through a
:class:`Line`, which is all that a carrier has to bring. Requests are parsed by httptools; answers
are written here, because no server library would agree to write what our faults need.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Protocol

import httptools

from llmroute_sim.history import current_call
from llmroute_sim.wire import (
    Abort,
    Address,
    Data,
    Door,
    Exchange,
    Framing,
    Head,
    Headers,
    Request,
    Wait,
)

__all__ = ("MARKER", "Connection", "Line", "Timer")

MARKER = "x-llmroute-call"
"""The request header by which a program without our context says which call it belongs to."""

_LENGTH, _CHUNKED, _CLOSE = Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE  # found faster
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus
} | {529: "HTTP/1.1 529 Overloaded"}
_BLANK = b"\r\n\r\n"
_SPECIAL = {"transfer-encoding", "upgrade", "expect"}
_OFFER = {"upgrade", "connection", "http2-settings", "expect"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the parser made of a head, and how long the body after it is."""

    method: str
    target: str
    headers: Headers
    marker: str | None
    keep: bool
    length: int


_seen: dict[bytes, _Seen] = {}
"""Heads that were parsed before: a client says much the same each time, and parsing is most of what
a connection costs. Bounded; what it holds is a pure function of the bytes."""
_MOST_SEEN = 512


def _remember(head: bytes, body: bytes, request: Request, keep: bool) -> None:
    length = request.header("content-length") or "0"
    plain = not any(name in _SPECIAL for name, _ in request.headers)
    if plain and len(request.body) == len(body) == int(length):
        if len(_seen) >= _MOST_SEEN:
            _seen.clear()
        marker = request.header(MARKER)
        _seen[head] = _Seen(
            request.method, request.target, request.headers, marker, keep, len(body)
        )


class Timer(Protocol):
    """Something that will happen, unless it is cancelled."""

    def cancel(self) -> None:
        """Let it not happen."""


class Line(Protocol):
    """What a carrier does for a connection. After ``end`` or ``reset`` nothing more is asked."""

    def send(self, segment: bytes) -> None:
        """Give the client one segment."""

    def end(self) -> None:
        """End our side in an orderly way."""

    def reset(self) -> None:
        """Tear the connection down: the client's next read or write fails."""

    def later(self, seconds: float, then: Callable[[], None]) -> Timer:
        """Run something after so many seconds of the carrier's clock."""


class Connection:
    """Plays exchanges onto a line, one after the other.

    An exchange is taken from one event at a time and only when its moment has come, so quotas and
    faults are decided then, and a client that leaves leaves the rest undecided. An exception of the
    door's own resets the line and goes on to whoever fed or timed us.
    """

    __slots__ = (
        "_address", "_between", "_body", "_door", "_exchange", "_fields", "_framing", "_head", "_headers", "_keep",
        "_line", "_open", "_parser", "_remaining", "_requests", "_target", "_timer",
    )  # fmt: skip

    def __init__(self, door: Door, address: Address, line: Line) -> None:
        self._door = door
        self._address = address
        self._line = line
        self._open = True
        self._parser = httptools.HttpRequestParser(self)
        self._between = True
        self._requests: deque[tuple[Request, bool]] = deque()
        self._exchange: Exchange | None = None
        self._timer: Timer | None = None
        self._keep = True
        self._head = b""
        self._framing = Framing.LENGTH
        self._remaining = 0
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._fields: tuple[tuple[str, str], ...] = ()
        self._body: list[bytes] = []

    # -- what the carrier calls

    def feed(self, data: bytes) -> None:
        """Take bytes from the client; a request that becomes complete is answered at once."""
        if not self._open:
            return
        fresh = self._between
        head, _, body = data.partition(_BLANK)
        seen = _seen.get(head)
        if seen is not None and fresh and len(body) == seen.length:
            request = Request(
                seen.method, seen.target, seen.headers, body, self._address,
                current_call() or seen.marker,
            )  # fmt: skip
            self._requests.append((request, seen.keep))
        elif not self._parse(data):
            return
        elif fresh and self._between and len(self._requests) == 1:
            _remember(head, body, *self._requests[0])
        if self._exchange is None:
            self._advance()

    def _parse(self, data: bytes) -> bool:
        """Whether what was asked so far may be answered now, by whoever called."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
            return False
        except httptools.HttpParserCallbackError:
            raise  # ours, not the client's
        except httptools.HttpParserError:
            # What was asked before is answered still; bytes after a "close" end up here too.
            self._open = False
            if self._requests:
                self._requests[-1] = (self._requests[-1][0], False)
            elif self._exchange is not None:
                self._keep = False
            else:
                self._line.send(_BAD_REQUEST)
                self._finish()
                return False
        return True

    def _decline(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 with a request that offered another protocol, as Java's client does.

        The parser stops at such a head and takes the body for the other protocol's, so the head is
        fed again without the offer. A tunnel is not an offer; that request is all there is.
        """
        request, _ = self._requests.pop()
        if request.method == "CONNECT":
            self._open = False
            self._requests.append((request, False))
            if self._exchange is None:
                self._advance()
            return
        kept = [field for field in request.headers if field[0] not in _OFFER]
        lines = [f"{request.method} {request.target} HTTP/1.1"] + [f"{n}: {v}" for n, v in kept]
        self._parser = httptools.HttpRequestParser(self)
        self.feed("\r\n".join([*lines, "\r\n"]).encode("latin-1") + rest)

    def left(self) -> None:
        """The client closed its side: whatever is not yet performed never happens."""
        self._stop()

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return self._exchange is None

    @property
    def address(self) -> Address:
        """Where the client dialled."""
        return self._address

    # -- what httptools calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self._between = False
        self._target, self._headers, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer."""
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._fields = tuple(self._headers)  # before trailers join the list
        if ("expect", "100-continue") in self._fields and self._exchange is None:
            self._line.send(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A piece of the body, its framing taken off."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is complete, and waits for its turn."""
        self._between = True
        request = Request(
            self._parser.get_method().decode("ascii"),
            self._target.decode("latin-1"),
            self._fields,
            b"".join(self._body),
            self._address,
            current_call(),
        )
        if request.call is None and (marker := request.header(MARKER)) is not None:
            request = replace(request, call=marker)
        self._requests.append((request, self._parser.should_keep_alive()))

    # -- playing

    def _advance(self) -> None:
        """Go on with the answer at hand, then with what else was asked, until one has to wait."""
        try:
            if self._exchange is not None:
                self._play()
            while self._exchange is None and self._requests:
                request, self._keep = self._requests.popleft()
                self._framing, self._remaining = _LENGTH, 0
                self._exchange = self._door.open(request)
                if request.method == "HEAD":
                    self._exchange, self._keep = _without_body(self._exchange), False
                self._play()
        except Exception:
            self._stop()
            self._line.reset()
            raise

    def _resume(self) -> None:
        self._timer = None
        self._advance()

    def _play(self) -> None:
        exchange, line = self._exchange, self._line
        assert exchange is not None
        for event in exchange:
            match event:
                case Data():
                    self._send(event)
                case Head():
                    self._begin(event)
                case Wait(seconds=seconds):
                    self._flush_head()
                    if math.isfinite(seconds):
                        self._timer = line.later(seconds, self._resume)
                    return
                case Abort(kind=kind):
                    self._flush_head()
                    self._stop()
                    if kind == "end":
                        line.end()
                    else:
                        line.reset()
                    return
        if self._exchange is exchange:  # else the client left while it was played
            self._complete()

    def _begin(self, head: Head) -> None:
        self._framing = framing = head.framing
        status = head.status
        lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown"]
        lines += map(": ".join, head.headers)
        if framing is _LENGTH:
            self._remaining = head.length or 0
            lines.append(f"content-length: {self._remaining}")
        elif framing is _CHUNKED:
            lines.append("transfer-encoding: chunked")
        if framing is _CLOSE or not self._door.keeps(self._address):
            self._keep = False
        if not self._keep:
            lines.append("connection: close")
        lines.append("\r\n")
        self._head = "\r\n".join(lines).encode("latin-1")

    def _send(self, data: Data) -> None:
        body = data.body
        if self._framing is _CHUNKED and not data.raw:
            if not body:
                return  # a chunk of nothing would end the body
            body = b"%x\r\n%b\r\n" % (len(body), body)
        else:
            self._remaining -= len(body)
        if self._head:
            # A whole body travels with its head, a stream's head alone, as servers do it.
            if data.part == "body":
                body = self._head + body
            else:
                self._line.send(self._head)
            self._head = b""
        if body and self._exchange is not None:  # else the head was enough for the client
            self._line.send(body)

    def _flush_head(self) -> None:
        if self._head:
            self._line.send(self._head)
            self._head = b""

    def _complete(self) -> None:
        """The exchange ran to its end: close the framing, then the connection or not."""
        if self._head:
            self._flush_head()
        if self._framing is _CHUNKED:
            self._line.send(b"0\r\n\r\n")
        self._exchange = None
        if not self._keep or self._remaining != 0:
            self._finish()

    def _finish(self) -> None:
        self._stop()
        self._line.end()

    def _stop(self) -> None:
        self._open = False
        self._requests.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.close()


def _without_body(exchange: Exchange) -> Exchange:
    """The answer to HEAD: the same head, whose length is then not a lie."""
    try:
        for event in exchange:
            if not isinstance(event, Data) or event.raw:
                yield event
    finally:
        exchange.close()
