"""Promises: a contract and its because."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from pytest_llmroute.contracts import Contract, Target

__all__ = ("Because", "NotJudged", "Promise", "Source", "retargeted")

Source: TypeAlias = Literal["config", "user", "format", "policy"]
"""Who promises: a key of the configuration, as the router's public documentation explains it; a
line of the user's own; the wire format that the router speaks; or nobody (good practice, opt-in)."""


@dataclass(frozen=True, slots=True)
class Because:
    """Why a contract is expected to hold: the line that says so and the documentation that explains
    it. ``key`` is the path of the key, ``addresses`` are URLs, ``note`` says what is judged where
    pages contradict each other."""

    kind: Source
    file: str | None = None
    line: int | None = None
    key: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    note: str = ""

    @property
    def where(self) -> str:
        """``file:line key.path``, as far as there is one."""
        place = f"{self.file}:{self.line}" if self.line else (self.file or "")
        return " ".join(part for part in (place, ".".join(self.key)) if part)


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that a configuration says will hold.

    ``text`` says it in the configuration's own names; ``group`` is what a caller asks for to try it;
    ``entries`` restricts the ways in (empty: all that the configuration serves). ``roles`` are the
    places that scenarios call ``target``, ``next`` and ``others``; ``numbers`` the figures that they
    refer to (``retries``, ``cooldown``, ``timeout``...); ``avoid`` names scenarios that cannot try
    it here, each with the reason; ``options`` are what every request carries that tries it
    (``disable_fallbacks``, ``num_retries``...).
    """

    contract: Contract
    because: Because
    text: str
    group: str
    entries: tuple[str, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    avoid: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The contract, the group, and the line that promises it; a policy for the ways in of which
        the page behind that line says nothing is told from the promise for the others."""
        line = f":{self.because.line}" if self.because.line else ""
        if self.because.kind == "policy" and self.entries:
            line += ":policy"
        return f"{self.contract.id}[{self.group}{line}]"


def retargeted(contract: Contract, change: Callable[[Any], Target]) -> Contract:
    """A contract with every target changed, one by one, wherever in its fields there is one.

    ``change`` is given what stands there, which is a target, or a place where a user wrote one.
    """
    changed = {
        name: _retargeted(hint, value, change)
        for name, hint in _hints(type(contract)).items()
        if (value := getattr(contract, name)) is not None
    }
    found: Contract = replace(contract, **changed) if changed else contract  # type: ignore[type-var]  # a protocol says nothing of dataclasses
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The fields of a kind of contract in which there are targets, with their types."""
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind) if "Target" in str(each.type)}


def _retargeted(hint: Any, value: Any, change: Callable[[Any], Target]) -> Any:
    if hint is Target:
        return change(value)
    match get_args(hint):
        case (each, last) if last is Ellipsis:
            return tuple(_retargeted(each, one, change) for one in value)
        case parts if get_origin(hint) is tuple:
            pairs = zip(parts, value, strict=True)
            return tuple(_retargeted(part, one, change) for part, one in pairs)
        case (either, none) if none is NoneType:
            return _retargeted(either, value, change)
    return value


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A key that yields no promise, and why: it belongs to another part of the product, it promises
    nothing about routing, or it promises something that nothing here can try."""

    key: tuple[str, ...]
    line: int | None
    reason: str
    address: str | None = None
