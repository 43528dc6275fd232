"""The fields of a contract, read from a table that a user wrote. What is allowed in a table is what
the contract's own fields say, by name and by type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from llmroute_sim.names import Unknown
from pytest_llmroute.contracts import Contract, Target

__all__ = ("Misfit", "field_names", "fill")

_Reader: TypeAlias = Callable[[object, Callable[[str], Target]], object]

_HIDDEN = frozenset({"group"})
"""Fields that the configuration as a whole fills in."""


class Misfit(ValueError):
    """A value that is not what its key is for; ``key`` is None where the key is missing."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


def field_names(kind: type[Contract]) -> tuple[str, ...]:
    """The keys that a contract takes."""
    return tuple(field.name for field in fields(kind) if field.name not in _HIDDEN)  # type: ignore[arg-type]  # every contract is a dataclass


def fill(
    kind: type[Contract],
    entry: Mapping[str, Any],
    target: Callable[[str], Target],
    group: str,
) -> Contract:
    """A contract with the values of a table. Raises :class:`Misfit`; ``target`` reads a place, and
    may raise ``ValueError`` for a wrong one."""
    filled: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # every contract is a dataclass
        if field.name in _HIDDEN:
            filled[field.name] = group
        elif field.name in entry:
            filled[field.name] = _read(field.name, str(field.type), entry[field.name], target)
        elif field.default is MISSING:
            what = _KINDS[str(field.type)][0]
            raise Misfit(f"{field.name} is missing: {kind.id} needs {what}")
    return kind(**filled)


def _read(name: str, declared: str, value: object, target: Callable[[str], Target]) -> object:
    what, read = _KINDS[declared]
    try:
        return read(value, target)
    except Unknown:
        raise
    except (TypeError, ValueError, InvalidOperation) as error:
        said = f" ({error})" if str(error) and isinstance(error, ValueError) else ""
        raise Misfit(f"{value!r} is not {what}{said}", name) from error


def _place(value: object, target: Callable[[str], Target]) -> Target:
    if not isinstance(value, str):
        raise TypeError
    return target(value)


def _places(value: object, target: Callable[[str], Target]) -> tuple[Target, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        raise TypeError
    return tuple(_place(one, target) for one in listed)


def _count(value: object, _: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _seconds(value: object, _: object) -> float:
    if type(value) not in (int, float) or not float(value) > 0:  # type: ignore[arg-type]  # type() narrows for us, not for mypy
        raise TypeError
    return float(value)  # type: ignore[arg-type]  # the same


def _money(value: object, _: object) -> Decimal:
    if not isinstance(value, str) or not (amount := Decimal(value)).is_finite() or amount <= 0:
        raise TypeError
    return amount


def _fraction(value: object, _: object) -> float:
    if type(value) not in (int, float) or not 0 <= float(value) <= 1:  # type: ignore[arg-type]  # type() narrows for us, not for mypy
        raise TypeError
    return float(value)  # type: ignore[arg-type]  # the same


def _chance(value: object, _: object) -> float:
    if type(value) is not float or not 0 < value < 1:
        raise TypeError
    return value


def _shares(value: object, target: Callable[[str], Target]) -> tuple[tuple[Target, float], ...]:
    table = _table(value)
    return tuple((target(place), _seconds(share, target)) for place, share in table.items())


def _prices(value: object, target: Callable[[str], Target]) -> tuple[tuple[Target, Decimal], ...]:
    return tuple((target(place), _price(price)) for place, price in _table(value).items())


def _price(value: object) -> Decimal:
    if not isinstance(value, str) or not (amount := Decimal(value)).is_finite() or amount < 0:
        raise TypeError
    return amount


def _carriers(
    value: object, target: Callable[[str], Target]
) -> tuple[tuple[str, tuple[Target, ...]], ...]:
    return tuple((tag, _places(listed, target)) for tag, listed in _table(value).items())


def _counts(value: object, _: object) -> tuple[tuple[str, int], ...]:
    return tuple((name, _count(number, _)) for name, number in _table(value).items())


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not value:
        raise TypeError
    return value


def _one_of(*names: str) -> _Reader:
    def read(value: object, _: object) -> str:
        if value not in names:
            raise TypeError
        return str(value)

    return read


def _words(value: object, _: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError
    return tuple(value)


_KINDS: Mapping[str, tuple[str, _Reader]] = {
    "Target": ("a place ('openai/gpt-4o')", _place),
    "tuple[Target, ...]": ("a list of places (['openai/gpt-4o', ...])", _places),
    "int": ("a count (2)", _count),
    "int | None": ("a count (2)", _count),
    "float": ("seconds above 0 (60)", _seconds),
    "float | None": ("seconds above 0 (60)", _seconds),
    "Decimal": ("an amount of USD above 0, as a string ('0.50')", _money),
    "tuple[str, ...]": ("a list of strings", _words),
    "Share": ("a part of the whole, from 0 to 1 (0.5)", _fraction),
    "Chance": ("a probability above 0 and below 1 (1e-6)", _chance),
    "Unit": ("'requests' or 'tokens'", _one_of("requests", "tokens")),
    "Scope": ("'requests' or 'in-flight'", _one_of("requests", "in-flight")),
    "tuple[tuple[Target, float], ...]": (
        "a table of places with their shares, above 0 ({ 'openai/gpt-4o' = 9, ... })",
        _shares,
    ),
    "tuple[tuple[Target, Decimal], ...]": (
        "a table of places with their prices, as strings ({ 'openai/gpt-4o' = '10', ... })",
        _prices,
    ),
    "tuple[tuple[str, tuple[Target, ...]], ...]": (
        "a table of tags or names, each with its places ({ paid = ['openai/gpt-4o'], ... })",
        _carriers,
    ),
    "tuple[tuple[str, int], ...]": ("a table of names and counts ({ timeout = 2 })", _counts),
}
"""What the types of fields are called, and how a value becomes one."""
