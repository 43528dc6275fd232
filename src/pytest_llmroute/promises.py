"""Promises: a contract and its because."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

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
    it here, each with the reason.
    """

    contract: Contract
    because: Because
    text: str
    group: str
    entries: tuple[str, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    avoid: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The contract, the group, and the line that promises it."""
        line = f":{self.because.line}" if self.because.line else ""
        return f"{self.contract.id}[{self.group}{line}]"


def retargeted(contract: Contract, change: Callable[[Target], Target]) -> Contract:
    """A contract with every target changed, one by one."""
    changed: dict[str, Any] = {}
    for each in fields(contract):  # type: ignore[arg-type]  # every contract is a dataclass
        match getattr(contract, each.name):
            case Target() as one:
                changed[each.name] = change(one)
            case (Target(), *_) as listed:
                changed[each.name] = tuple(map(change, listed))
    return replace(contract, **changed)  # type: ignore[type-var]  # every contract is a dataclass


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A key that yields no promise, and why: it belongs to another part of the product, it promises
    nothing about routing, or it promises something that nothing here can try."""

    key: tuple[str, ...]
    line: int | None
    reason: str
    address: str | None = None
