"""Requests out of the bytes of one connection. httptools parses; heads seen before are not parsed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import httptools

from llmroute_sim.calling import current_call
from llmroute_sim.wire import Address, Headers, Request

__all__ = ("KEPT", "MARKER", "Reader")

MARKER = "x-llmroute-call"
"""The request header by which a program without our context says which call it belongs to."""

KEPT = 64 << 20
"""Bytes of the largest request body that is kept. A larger one is read to its end and forgotten, so
that its sender is answered and memory stays bounded."""

_BLANK = b"\r\n\r\n"
_SPECIAL = {"transfer-encoding", "upgrade", "expect"}
_OFFER = {"upgrade", "connection", "http2-settings", "expect"}


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


class Reader:
    """Collects complete requests, each with whether the connection may be kept after it.

    ``invite`` is called for a client that waits to be told to continue with its body.
    """

    __slots__ = (
        "_address", "_between", "_body", "_fields", "_headers", "_invite", "_parser", "_size",
        "_target", "requests",
    )  # fmt: skip

    def __init__(self, address: Address, invite: Callable[[], None]) -> None:
        self.requests: deque[tuple[Request, bool]] = deque()
        self._address = address
        self._invite = invite
        self._parser = httptools.HttpRequestParser(self)
        self._between = True
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._fields: Headers = ()
        self._body: list[bytes] = []
        self._size = 0

    def read(self, data: bytes) -> bool:
        """Take bytes; whether more can be read after them. They need not be HTTP."""
        fresh, had = self._between, len(self.requests)
        head, blank, body = data.partition(_BLANK)
        seen = _seen.get(head)
        if seen is not None and fresh and blank and len(body) == seen.length:
            request = Request(
                seen.method,
                seen.target,
                seen.headers,
                body,
                self._address,
                current_call() or seen.marker,
            )
            self.requests.append((request, seen.keep))
            return True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            raise  # ours, not the client's
        except httptools.HttpParserError:
            return False  # also what follows a request that said it is the last
        if fresh and blank and self._between and len(self.requests) == had + 1:
            _remember(head, body, *self.requests[-1])
        return True

    def _decline(self, rest: bytes) -> bool:
        """Go on in HTTP/1.1 with a request that offered another protocol, as Java's client does.

        The parser stops at such a head and takes the body for the other protocol's, so the head is
        fed again without the offer. A tunnel is not an offer; that request is all there is.
        """
        if self.requests[-1][0].method == "CONNECT":
            return False
        request, _ = self.requests.pop()
        kept = [field for field in request.headers if field[0] not in _OFFER]
        lines = [f"{request.method} {request.target} HTTP/1.1", *map(": ".join, kept), "\r\n"]
        self._parser = httptools.HttpRequestParser(self)
        return self.read("\r\n".join(lines).encode("latin-1") + rest)

    # -- what httptools calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self._between = False
        self._target, self._headers, self._body, self._size = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer."""
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._fields = tuple(self._headers)  # before trailers join the list
        if ("expect", "100-continue") in self._fields:
            self._invite()

    def on_body(self, body: bytes) -> None:
        """A piece of the body, its framing taken off."""
        self._size += len(body)
        if self._size <= KEPT:
            self._body.append(body)
        else:
            self._body.clear()

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
            self._size if self._size > KEPT else 0,
        )
        if request.call is None and (marker := request.header(MARKER)) is not None:
            request = replace(request, call=marker)
        self.requests.append((request, self._parser.should_keep_alive()))


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
