"""Entries of a saved history: dataclasses as JSON holds them, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

__all__ = ("plain", "read_all", "tuples")

_Entry = TypeVar("_Entry")


def plain(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with money as strings and tuples as lists."""
    for key, value in entry.items():
        if isinstance(value, Decimal):
            entry[key] = str(value)
        elif isinstance(value, tuple):
            entry[key] = list(value)
    return entry


def tuples(entry: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """An entry with the lists of these names as tuples again."""
    return {key: tuple(value) if key in names else value for key, value in entry.items()}


def read_all(
    saved: Mapping[str, Any], kind: str, read: Callable[[Mapping[str, Any]], _Entry]
) -> list[_Entry]:
    """All entries of a kind, none if there is none. Raises ``ValueError`` naming the first that is not
    of its form."""
    found = []
    for number, entry in enumerate(saved.get(kind, ())):
        try:
            found.append(read(entry))
        except (TypeError, KeyError, ValueError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"{kind}[{number}]: {error}") from error
    return found
