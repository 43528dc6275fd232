"""The stages at which faults act, and what they may use there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType, NoneType, UnionType
from typing import (
    Any,
    Literal,
    Protocol,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Answer, Prompt, Refusal
from llmroute_sim.prose import Author
from llmroute_sim.wire import Abort, Data, Event, Flaw, Step, Wait

__all__ = (
    "AdmitFault",
    "AnswerFault",
    "ConnectFault",
    "Fault",
    "Form",
    "Scene",
    "StreamFault",
    "at_least",
)


_CONNECTION: Step = "connection"


class Form(Protocol):
    """What a fault may ask of a provider's format without knowing it."""

    def garbled(self) -> bytes:
        """A malformed event of a stream."""
        ...

    def filler(self, before: Data, nth: int) -> bytes:
        """What a stream says that has nothing to say yet, for the ``nth`` time (from 0) before an
        event."""
        ...

    def behind(self, data: Data, fillers: int) -> Data:
        """An event as it is when so many of these came before it."""
        ...

    def without_usage(self, data: Data) -> Data | None:
        """The same without the tokens that were used; the very same if it tells none, None if
        nothing else is in it."""
        ...

    def with_finish(self, data: Data, reason: str | None) -> Data:
        """The same with another finish reason (one of ours in the provider's word, any other as it
        is, None for none); the very same if it has no place for one."""
        ...


class Act(Protocol):
    """Says that a fault does what it is there for (an answer may be too short for it)."""

    def __call__(self, flaw: Flaw | None = None) -> None:
        """``flaw`` is what an answer is that arrives whole and yet is not what it should be."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault of the stream stage may use: ``refuse`` renders a refusal as an event of the
    running stream in place of one, ``error`` as the JSON of a body in place of one, ``otherwise``
    renders the same answer streamed if it is not, and not streamed if it is (None where there is no
    other way)."""

    form: Form
    refuse: Callable[[Refusal, Event], Data]
    error: Callable[[Refusal, Data], bytes]
    otherwise: Callable[[], Iterator[Event]] | None
    act: Act


def at_least(**values: float) -> Mapping[str, float]:
    """The smallest values that fields may have."""
    return MappingProxyType(values)


# What belongs to a class and not to its values is not annotated: it would be taken for a field by
# whoever shows or makes such values by their fields.


@dataclass(frozen=True, slots=True)
class _Checked:
    """Values of the right type and size, whoever makes the fault."""

    _least = at_least(seconds=0.0, after=0)

    def __post_init__(self) -> None:
        kind: Any = type(self)
        declared = _declared(kind)
        for field in fields(self):
            value, name = getattr(self, field.name), field.name.replace("_", "-")
            _check(name, value, declared[field.name])
            least = self._least.get(field.name)
            if least is not None and isinstance(value, int | float) and value < least:
                raise ValueError(f"{name} = {value!r} is less than {least:g}")


@dataclass(frozen=True, slots=True)
class ConnectFault(_Checked):
    """A connection that never stands. ``step`` is where it fails."""

    step = _CONNECTION

    def connect(self) -> Iterator[Wait | Abort]:
        """What happens to it instead."""
        raise TypeError(f"{type(self).__name__} is a stage, not a fault")


@dataclass(frozen=True, slots=True)
class AdmitFault(_Checked):
    """A request that is turned away. Nothing is charged and no quota is used."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        """Why this prompt is turned away, or None if it is not. ``window`` is the model's context
        window in tokens, where it is known."""
        raise TypeError(f"{type(self).__name__} is a stage, not a fault")


@dataclass(frozen=True, slots=True)
class AnswerFault(_Checked):
    """A model that answers, and not well. What it says is charged."""

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        """What the model says in place of ``answer``; the same where the fault has no say.
        ``author`` writes further words of the same attempt."""
        raise TypeError(f"{type(self).__name__} is a stage, not a fault")


@dataclass(frozen=True, slots=True)
class StreamFault(_Checked):
    """An answer that does not arrive as it was meant to."""

    def bend(self, events: Iterator[Event], scene: Scene) -> Iterator[Event]:
        """The events that arrive in place of ``events``."""
        raise TypeError(f"{type(self).__name__} is a stage, not a fault")


Fault: TypeAlias = ConnectFault | AdmitFault | AnswerFault | StreamFault


@functools.cache
def _declared(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _check(name: str, value: object, declared: Any) -> None:
    """Raise ``ValueError`` unless a value is of the declared type."""
    options = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    allowed = [word for option in options for word in get_args(option)]
    if not any(_fits(value, option) for option in options):
        if isinstance(value, str) and allowed and str not in options:
            raise Unknown(name, value, [str(word) for word in allowed])
        told = " or ".join(map(repr, allowed)) or " | ".join(map(_said, options))
        what = f"one of {told}" if allowed else f"of type {told}"
        raise ValueError(f"{name} = {value!r} is not {what}")


def _fits(value: object, option: Any) -> bool:
    if get_origin(option) is Literal:
        return type(value) is not bool and value in get_args(option)
    if isinstance(value, bool):
        return option is bool
    if isinstance(value, int):
        return option in (int, float)
    return type(value) is option


def _said(option: Any) -> str:
    return "None" if option is NoneType else str(option.__name__)
