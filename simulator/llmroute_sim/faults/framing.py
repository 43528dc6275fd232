"""Faults of the stream stage in how an answer is packed: its compression, its type, its segments."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from llmroute_sim.faults.stages import Scene, StreamFault, at_least
from llmroute_sim.wire import Data, Event, Framing, Head, Headers, Wait

__all__ = ("DamagedCompression", "SplitOddly", "WrongContentType")

_LOGIN = b"""<!DOCTYPE html>
<html><head><title>Sign in to the network</title></head>
<body><h1>Sign in</h1><p>This network wants to know who you are before it lets you through.</p>
<form action="/login" method="post"><input name="user"><input name="password" type="password">
</form></body></html>
"""


@dataclass(frozen=True, slots=True)
class DamagedCompression(StreamFault):
    """Compression gone wrong: gzip is ``announced`` and the body plain; the body is gzip and that is
    ``unannounced``; gzip whose last bytes (``cut``) are missing; sound gzip whether or not anybody
    asked for it (``unasked``), or ``zstd`` that few can read. Seen:
    https://github.com/musistudio/claude-code-router/issues/1746,
    https://github.com/langgenius/dify/issues/9275."""

    how: Literal["announced", "unannounced", "cut", "unasked", "zstd"] = "announced"

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        packing: _Packing | None = None
        for event in events:
            match event:
                case Head(status=200):
                    scene.act("damaged" if self.how.endswith("announced") else "degraded")
                    if self.how != "announced":
                        packing = _Zstd() if self.how == "zstd" else _Gzip()
                        event = replace(event, framing=Framing.CHUNKED, length=None)
                    if self.how != "unannounced":
                        name = "zstd" if self.how == "zstd" else "gzip"
                        event = replace(event, headers=(*event.headers, ("content-encoding", name)))
                case Data(raw=False) if packing is not None:
                    event = replace(event, body=packing.pack(event.body))
                case Wait() | Head() | Data():
                    pass
                case _:
                    packing = None
            yield event
        if packing is not None and self.how != "cut":
            yield Data(packing.end(), "piece")


class _Packing(Protocol):
    def pack(self, body: bytes) -> bytes:
        """Compress a segment so that all of it can be read."""

    def end(self) -> bytes:
        """What closes the whole."""


class _Gzip:
    def __init__(self) -> None:
        self._compress = zlib.compressobj(wbits=31)

    def pack(self, body: bytes) -> bytes:
        return self._compress.compress(body) + self._compress.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._compress.flush()


class _Zstd:
    """A frame of blocks that are kept as they are, which needs no library: RFC 8878."""

    def __init__(self) -> None:
        # No content size, no checksum, a window of 128 KiB.
        self._begin = b"\x28\xb5\x2f\xfd\x00\x38"

    def pack(self, body: bytes) -> bytes:
        begin, self._begin = self._begin, b""
        size = 1 << 16
        blocks = (body[start : start + size] for start in range(0, len(body), size))
        return begin + b"".join((len(block) << 3).to_bytes(3, "little") + block for block in blocks)

    def end(self) -> bytes:
        return self._begin + b"\x01\x00\x00"


@dataclass(frozen=True, slots=True)
class WrongContentType(StreamFault):
    """Status 200 and not what was asked for: an ``html`` page to sign in on, as captive portals and
    proxies show it; the right body with a wrong ``label``; or ``swapped``: JSON where a stream was
    asked for, a stream where JSON was."""

    how: Literal["html", "label", "swapped"] = "html"

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event in events:
            if not (isinstance(event, Head) and event.status == 200):
                yield event
            elif self.how == "label":
                scene.act("degraded")
                yield replace(event, headers=_typed(event.headers, "text/plain; charset=utf-8"))
            elif self.how == "html":
                scene.act("damaged")
                headers = _typed(event.headers, "text/html; charset=utf-8")
                yield Head(200, headers, Framing.LENGTH, len(_LOGIN))
                yield Data(_LOGIN, "piece")
                return
            elif scene.otherwise is not None:
                scene.act("degraded")
                yield from scene.otherwise()
                return
            else:
                yield event


def _typed(headers: Headers, kind: str) -> Headers:
    return tuple((name, kind if name == "content-type" else value) for name, value in headers)


@dataclass(frozen=True, slots=True)
class SplitOddly(StreamFault):
    """All is sent, and lawfully so: in segments of ``size`` bytes, which split events and characters,
    the lines of a stream ended by CR and LF. Every client must just work."""

    size: int = 7
    crlf: bool = True

    _least = at_least(size=1)

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        stream = False
        for event in events:
            match event:
                case Head(framing=framing):
                    stream = framing is not Framing.LENGTH
                case Data(body=body, raw=False):
                    if stream and self.crlf:
                        body = body.replace(b"\n", b"\r\n")
                    last = max(0, (len(body) - 1) // self.size * self.size)
                    if last or body != event.body:
                        scene.act()
                    for start in range(0, last, self.size):
                        yield Data(body[start : start + self.size], "piece")
                    yield replace(event, body=body[last:])
                    continue
            yield event
