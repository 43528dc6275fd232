"""The provider's half of one HTTP/1.1 connection, without the connection.

Bytes of the client go in by :meth:`Connection.feed`; what the exchange decides comes out through a
:class:`Line`, which is all that a carrier has to bring. Answers are written here, because no server
library would agree to write what our faults need.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from llmroute_sim.carriers.reading import Reader
from llmroute_sim.wire import (
    Abort,
    Address,
    Data,
    Door,
    Exchange,
    Framing,
    Head,
    Wait,
)

__all__ = ("Connection", "Line", "Timer")

_LENGTH, _CHUNKED, _CLOSE = Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE  # found faster
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus
} | {529: "HTTP/1.1 529 Overloaded"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


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
        "_address", "_door", "_exchange", "_framing", "_head", "_keep", "_line", "_open",
        "_reader", "_remaining", "_requests", "_timer",
    )  # fmt: skip

    def __init__(self, door: Door, address: Address, line: Line) -> None:
        self._door = door
        self._address = address
        self._line = line
        self._open = True
        self._reader = Reader(address, self._invite)
        self._requests = self._reader.requests
        self._exchange: Exchange | None = None
        self._timer: Timer | None = None
        self._keep = True
        self._head = b""
        self._framing = _LENGTH
        self._remaining = 0

    # -- what the carrier calls

    def feed(self, data: bytes) -> None:
        """Take bytes from the client; a request that becomes complete is answered at once."""
        if self._open and not self._reader.read(data):
            # What was asked before is answered still, and no more is read.
            self._open = False
            if self._requests:
                self._requests[-1] = (self._requests[-1][0], False)
            elif self._exchange is not None:
                self._keep = False
            else:
                self._line.send(_BAD_REQUEST)
                self._finish()
        if self._exchange is None:
            self._advance()

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

    # -- playing

    def _invite(self) -> None:
        """The client will not send its body before it is told to."""
        if self._exchange is None:
            self._line.send(_CONTINUE)

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
