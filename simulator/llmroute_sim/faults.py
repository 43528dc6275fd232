"""Faults: one thing that goes wrong, in no provider's terms.

A fault acts at one of three stages, as one pure method: before the connection stands
(:class:`ConnectFault`), before anything is charged (:class:`AdmitFault`), or on the events of an
answer (:class:`StreamFault`). It names what fails; how that looks is the dialect's business. Each is
a small frozen value, faults compose, and a scenario file names one by its kebab-case name with its
fields as keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

from llmroute_sim.names import Unknown, kebab
from llmroute_sim.prompt import Prompt, Refusal
from llmroute_sim.wire import FOREVER, Abort, Data, Event, Framing, Head, Wait

__all__ = (
    "FAULTS",
    "AdmitFault",
    "ConnectFault",
    "ContextLengthExceeded",
    "Cut",
    "Drip",
    "ErrorInStream",
    "Fault",
    "LatencySpike",
    "MalformedChunk",
    "MissingTerminal",
    "ModelGone",
    "Outage",
    "RateLimit",
    "Refused",
    "Reset",
    "Scene",
    "Silence",
    "SlowFirstToken",
    "Stall",
    "StreamFault",
    "Unauthorized",
    "Unreachable",
    "WrongLength",
    "make",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault of the stream stage may use: ``refuse`` renders a refusal as an event of the
    running stream, ``garbled`` is a malformed event, and ``act`` is called when the fault does what
    it is there for (an answer may be too short for it)."""

    refuse: Callable[[Refusal], Data]
    garbled: Callable[[], bytes]
    act: Callable[[], None]


@dataclass(frozen=True, slots=True)
class ConnectFault:
    """A connection that never stands."""

    def connect(self) -> Iterator[Wait | Abort]:
        """What happens to it instead."""
        raise TypeError(f"{type(self).__name__} is a stage, not a fault")


@dataclass(frozen=True, slots=True)
class AdmitFault:
    """A request that is turned away. Nothing is charged and no quota is used."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        """Why this prompt is turned away, or None if it is not. ``window`` is the model's context
        window in tokens, where it is known."""
        raise TypeError(f"{type(self).__name__} is a stage, not a fault")


@dataclass(frozen=True, slots=True)
class StreamFault:
    """An answer that does not arrive as it was meant to."""

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        """The events that arrive in place of ``events``."""
        raise TypeError(f"{type(self).__name__} is a stage, not a fault")


Fault: TypeAlias = ConnectFault | AdmitFault | StreamFault


# -- before the connection stands


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


# -- before anything is charged


@dataclass(frozen=True, slots=True)
class Outage(AdmitFault):
    """The provider is down and says so: 500, 503, or 529 where the provider has it."""

    status: int = 503

    _KINDS: ClassVar[Mapping[int, str]] = {500: "server_error", 529: "overloaded"}

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal(self._KINDS.get(self.status, "unavailable"), status=self.status)


@dataclass(frozen=True, slots=True)
class RateLimit(AdmitFault):
    """429 whatever the quota says. ``retry_after`` (seconds) is the hint, None sends none;
    ``in_milliseconds`` sends it as ``retry-after-ms``."""

    retry_after: float | None = None
    in_milliseconds: bool = False

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal(
            "rate_limit_requests",
            retry_after=self.retry_after,
            in_milliseconds=self.in_milliseconds,
        )


@dataclass(frozen=True, slots=True)
class ContextLengthExceeded(AdmitFault):
    """The prompt is said to be too long: always, or when it has more than ``limit`` tokens."""

    limit: int | None = None

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        if self.limit is not None and prompt.tokens <= self.limit:
            return None
        maximum = self.limit or window or 8192
        facts = {"maximum": maximum, "tokens": max(prompt.tokens, maximum + maximum // 5)}
        return Refusal("context_length", facts=facts)


@dataclass(frozen=True, slots=True)
class Unauthorized(AdmitFault):
    """The key is refused: 401."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("auth")


@dataclass(frozen=True, slots=True)
class ModelGone(AdmitFault):
    """The model does not exist (any more): 404, while its siblings work."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("model_not_found")


# -- on the way back


@dataclass(frozen=True, slots=True)
class Silence(StreamFault):
    """The request is taken and nothing is ever answered."""

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        scene.act()
        yield Wait(FOREVER)


@dataclass(frozen=True, slots=True)
class LatencySpike(StreamFault):
    """The whole answer comes ``seconds`` late, its head included."""

    seconds: float = 30.0

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        scene.act()
        yield Wait(self.seconds)
        yield from events


@dataclass(frozen=True, slots=True)
class SlowFirstToken(StreamFault):
    """The head comes at once, the first token ``seconds`` after it."""

    seconds: float = 30.0

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        waiting = True
        for event in events:
            if waiting and isinstance(event, Data) and event.part in ("token", "body"):
                waiting = False
                scene.act()
                yield Wait(self.seconds)
            yield event


@dataclass(frozen=True, slots=True)
class Drip(StreamFault):
    """Every piece of the answer comes ``seconds`` after the one before, so that no read ever times
    out; a JSON body comes in ten pieces."""

    seconds: float = 5.0

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        scene.act()
        for event in events:
            match event:
                case Data(body=body, part="body") if len(body) > 1:
                    size = -(-len(body) // 10)
                    for start in range(0, len(body), size):
                        yield Wait(self.seconds)
                        yield Data(body[start : start + size])
                case Data():
                    yield Wait(self.seconds)
                    yield event
                case _:
                    yield event


@dataclass(frozen=True, slots=True)
class Stall(StreamFault):
    """After ``after`` tokens nothing more comes, but the connection stands; a JSON body stops half
    way. With ``seconds`` it goes on after so long."""

    after: int = 3
    seconds: float = FOREVER

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in _interrupted(events, self.after):
            if due:
                scene.act()
                yield Wait(self.seconds)
            yield event


@dataclass(frozen=True, slots=True)
class Cut(StreamFault):
    """After ``after`` tokens, or half way through a JSON body, the connection ends in an orderly
    way: no last chunk, no error."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        return _ended(events, self.after, scene, Abort("end"))


@dataclass(frozen=True, slots=True)
class Reset(StreamFault):
    """After ``after`` tokens, or half way through a JSON body, the connection is reset; with
    ``after = -1`` before the head."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        if self.after < 0:
            scene.act()
            return iter((Abort("reset"),))
        return _ended(events, self.after, scene, Abort("reset"))


@dataclass(frozen=True, slots=True)
class MissingTerminal(StreamFault):
    """After ``after`` tokens the body is properly ended as HTTP, but nothing of the stream's own
    ending is sent: no finish reason, no usage, no terminal event. A JSON answer is not touched."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in _interrupted(events, self.after, bodies=False):
            if due:
                scene.act()
                return
            yield event


@dataclass(frozen=True, slots=True)
class ErrorInStream(StreamFault):
    """After ``after`` tokens of a stream an error event comes in place of the rest. A JSON answer is
    not touched: its errors have statuses."""

    after: int = 3
    kind: str = "overloaded"

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in _interrupted(events, self.after, bodies=False):
            if due:
                scene.act()
                yield scene.refuse(Refusal(self.kind))
                return
            yield event


@dataclass(frozen=True, slots=True)
class MalformedChunk(StreamFault):
    """After ``after`` tokens a chunk's size is not a number, and the connection ends; a JSON body is
    sent in such chunks from half way on."""

    after: int = 3

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        for event, due in _interrupted(_chunked(events), self.after):
            if due:
                scene.act()
                yield Data(b"ZZ\r\nnot a chunk\r\n", part="garbled", raw=True)
                yield Abort("end")
                return
            yield event


@dataclass(frozen=True, slots=True)
class WrongLength(StreamFault):
    """Content-Length promises ``by`` bytes more than there are (or fewer, if negative), and the
    connection ends after the body."""

    by: int = 20

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        everything = list(events)
        size = sum(len(event.body) for event in everything if isinstance(event, Data))
        scene.act()
        for event in everything:
            if isinstance(event, Head):
                length = max(0, size + self.by)
                yield Head(event.status, event.headers, Framing.LENGTH, length)
                continue
            yield event
            if isinstance(event, Abort):
                return
        yield Abort("end")


FAULTS: Mapping[str, type[Fault]] = {
    kebab(kind.__name__): kind
    for kind in (
        Refused, Unreachable, Outage, RateLimit, ContextLengthExceeded, Unauthorized, ModelGone,
        Silence, LatencySpike, SlowFirstToken, Drip, Stall, Cut, Reset, MissingTerminal,
        ErrorInStream, MalformedChunk, WrongLength,
    )
}  # fmt: skip
"""Every fault by the name that scenario files use."""


def make(entry: Mapping[str, Any]) -> Fault:
    """The fault that a table of a scenario file describes.

    Raises ``Unknown`` for a name or key that does not exist, ``ValueError`` for a wrong value.
    """
    settings = {key.replace("-", "_"): value for key, value in entry.items()}
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ValueError("a fault needs a name")
    kind = FAULTS.get(name)
    if kind is None:
        raise Unknown("fault", name, FAULTS)
    known = {field.name: str(field.type) for field in fields(kind)}
    for key, value in settings.items():
        if key not in known:
            allowed = [field.replace("_", "-") for field in known]
            raise Unknown(f"key of the fault {name}", key.replace("_", "-"), allowed)
        if not _fits(value, known[key]):
            raise ValueError(f"{key.replace('_', '-')} = {value!r} is not of type {known[key]}")
    return kind(**settings)


def _fits(value: object, declared: str) -> bool:
    options = {part.strip() for part in declared.split("|")}
    if isinstance(value, bool):
        return "bool" in options
    if isinstance(value, int):
        return bool(options & {"int", "float"})
    return type(value).__name__ in options


def _interrupted(
    events: Iterator[Event], after: int, *, bodies: bool = True
) -> Iterator[tuple[Event, bool]]:
    """Each event, and whether the interruption comes just before it: once, when ``after`` tokens of
    a stream are out, or half way through a JSON body."""
    tokens = 0
    pending = True
    for event in events:
        if pending and isinstance(event, Data):
            if event.part == "body" and bodies:
                pending = False
                half = len(event.body) // 2
                yield Data(event.body[:half]), False
                yield Data(event.body[half:]), True
                continue
            if event.part in ("token", "finish") and tokens >= after:
                pending = False
                yield event, True
                continue
            tokens += event.part == "token"
        yield event, False


def _ended(events: Iterator[Event], after: int, scene: Scene, how: Abort) -> Iterator[Event]:
    for event, due in _interrupted(events, after):
        if due:
            scene.act()
            yield how
            return
        yield event


def _chunked(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Head):
            yield Head(event.status, event.headers, Framing.CHUNKED)
        else:
            yield event
