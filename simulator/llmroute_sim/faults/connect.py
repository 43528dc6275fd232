"""Faults of the connect stage: before the connection stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from llmroute_sim.faults.stages import ConnectFault
from llmroute_sim.wire import FOREVER, Abort, Ending, Step, Wait

__all__ = ("NameNotFound", "Refused", "TLSFailure", "Unreachable")


_NAME: Step = "name"
_HANDSHAKE: Step = "handshake"
_ENDINGS: Mapping[str, Ending] = {
    "expired": "tls-expired",
    "wrong-name": "tls-wrong-name",
    "unknown-issuer": "tls-unknown-issuer",
    "alert": "tls-alert",
}


@dataclass(frozen=True, slots=True)
class NameNotFound(ConnectFault):
    """The host's name has no address any more; the resolver says so after ``seconds``. Seen when a
    region's records were emptied (https://aws.amazon.com/message/101925/)."""

    step = _NAME

    seconds: float = 0.0

    def connect(self) -> Iterator[Wait | Abort]:
        if self.seconds:
            yield Wait(self.seconds)
        yield Abort("no-name")


@dataclass(frozen=True, slots=True)
class Refused(ConnectFault):
    """Nobody listens: the connection is refused within one round trip."""

    def connect(self) -> Iterator[Wait | Abort]:
        yield Abort("refused")


@dataclass(frozen=True, slots=True)
class Unreachable(ConnectFault):
    """Packets vanish: connecting takes for ever."""

    def connect(self) -> Iterator[Wait | Abort]:
        yield Wait(FOREVER)


@dataclass(frozen=True, slots=True)
class TLSFailure(ConnectFault):
    """The connection stands, and its TLS handshake does not: the certificate has expired, is for
    another host (``wrong-name``) or from an issuer that nobody knows, the provider breaks off with an
    ``alert``, or never says a word (``stall``). Unknown issuers are what a TLS-inspecting network
    shows (https://github.com/anthropics/claude-code/issues/2816); the others are by analogy."""

    step = _HANDSHAKE

    reason: Literal["expired", "wrong-name", "unknown-issuer", "alert", "stall"] = "expired"

    def connect(self) -> Iterator[Wait | Abort]:
        ending = _ENDINGS.get(self.reason)
        yield Wait(FOREVER) if ending is None else Abort(ending)
