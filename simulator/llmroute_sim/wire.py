"""What crosses a connection: a request, and the events of the exchange that answers it.

Two rules. An exchange is ``Wait* (Abort | Head (Wait | Data)* Abort?)``; and nothing here knows a
provider, a fault or a socket. Four event types carry every failure there is: refused, reset, cut,
stall, slow first token, drip, truncated chunk, wrong length, garbage bytes, silence for ever.

One :class:`Data` is one segment on the wire, so where a client's reads are cut is part of the
exchange and not an accident of the machine.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

__all__ = (
    "FOREVER",
    "Abort",
    "Address",
    "Data",
    "Door",
    "Ending",
    "Event",
    "Exchange",
    "Flaw",
    "Framing",
    "Head",
    "Headers",
    "Part",
    "Request",
    "Step",
    "Wait",
    "grammar_error",
)

FOREVER = math.inf
"""The length of a :class:`Wait` that nothing ends but the client's own timeout."""

Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a client dials: the host name it asked for (lower case) and the port."""

    host: str
    port: int = 443


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived, headers in lower case and in order.

    ``address`` is where the client connected, which names the provider. ``call`` is the id of the
    call that the client's context said it belongs to, or None where no context could tell. ``lost``
    are the bytes of a body that was too large to be kept, and is empty here.
    """

    method: str
    target: str
    headers: Headers
    body: bytes
    address: Address
    call: str | None = None
    lost: int = 0

    @property
    def size(self) -> int:
        """Bytes of the body as it was sent."""
        return len(self.body) or self.lost

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first value of a header, asked for in lower case."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Framing(enum.Enum):
    """How a body says where it ends. The head may lie about it."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


Part: TypeAlias = Literal[
    "body", "open", "token", "finish", "usage", "terminal", "error", "garbled", "filler", "piece"
]
"""What a segment carries, so that faults can aim without knowing the format: a whole JSON body,
the opening events of a stream, one token of content, the event that gives the finish reason, the
usage, the event that says the stream is complete (and, in a format where one event says all of it,
the reason and the usage), an error inside a stream, malformed bytes, what is sent while there is
nothing to say, bytes of something whose last segment is still to come."""

Flaw: TypeAlias = Literal["damaged", "degraded"]
"""What is wrong with an answer that arrives to its end: it cannot be read as what was asked for, or
it can be and is not what a sound provider would have said."""

Step: TypeAlias = Literal["name", "connection", "handshake"]
"""What may fail before a connection stands: finding the host's address, connecting, TLS."""

Ending: TypeAlias = Literal[
    "reset", "end", "refused", "no-name", "tls-expired", "tls-wrong-name", "tls-unknown-issuer",
    "tls-alert",
]  # fmt: skip
"""How a connection ends: by a reset, by a plain end, or before it stands, because it was never
accepted, its host has no address, the certificate shown has expired, is another host's or has an
unknown issuer, or the handshake is broken off."""

_UNBORN = frozenset(get_args(Ending)) - {"reset", "end"}


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing happens for so many seconds; :data:`FOREVER` is silence without end."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and headers. ``length`` is what Content-Length will claim."""

    status: int
    headers: Headers
    framing: Framing = Framing.LENGTH
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """One segment of body; with ``raw`` its bytes bypass the framing, even in place of a head."""

    body: bytes
    part: Part = "body"
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Abort:
    """The connection ends before the exchange is complete, or before there is one."""

    kind: Ending


Event: TypeAlias = Wait | Head | Data | Abort
Exchange: TypeAlias = Generator[Event, None, None]
"""A live attempt. What has been taken from it was performed; closing it says the client left."""


class Door(Protocol):
    """All that a carrier knows of the world behind it."""

    def knows(self, host: str) -> bool:
        """Whether a host is simulated; any other is a stray."""
        ...

    def stray(self, address: Address, call: str | None) -> None:
        """Record that a client tried to reach a host that is not simulated."""
        ...

    def connect(self, address: Address, call: str | None) -> Exchange:
        """What happens to a connection before it stands: ``Wait* Abort?``, in the usual case
        nothing. A refusal is an attempt, and is in the history when this has been taken."""
        ...

    def open(self, request: Request) -> Exchange:
        """Answer a request. Nothing is decided before the moment at which it is asked for."""
        ...

    def keeps(self, address: Address) -> bool:
        """Whether an idle connection survives. False while a fault of the connect stage is aimed at
        the host, so that the next request dials anew and meets it."""
        ...


def grammar_error(events: list[Event]) -> str | None:
    """Why these events are not an exchange, or None if they are.

    A raw :class:`Data` may stand in for a head. The framing's own end is not an event: an exchange
    that stops after its last Data is complete.
    """
    headed = ended = False
    for number, event in enumerate(events):
        if ended:
            return f"event {number} ({type(event).__name__}) comes after the connection ended"
        match event:
            case Abort(kind=kind) if headed and kind in _UNBORN:
                return f"event {number}: a connection that has answered cannot end by {kind}"
            case Abort():
                ended = True
            case Head() if headed:
                return f"event {number}: a second head"
            case Head():
                headed = True
            case Data(raw=raw) if not headed and not raw:
                return f"event {number}: body before the head"
            case Data():
                headed = True
            case Wait(seconds=seconds) if seconds < 0 or math.isnan(seconds):
                return f"event {number}: a wait of {seconds} s"
    if not (headed or ended):
        return "nothing was answered and the connection was not ended"
    return None
