"""Values as JSON holds them, and back: dataclasses by their fields, money as strings, tuples as
arrays, endless times as ``"inf"``."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, Union

__all__ = ("plain", "typed")


_MOST = 1 << 64
"""What a number is at most, which a file may hold: seeds and digests have so many bits."""


def plain(value: object) -> Any:
    """A form that JSON can hold."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return str(value) if math.isinf(value) else value
        case Decimal():
            return str(value)
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case tuple() | list():
            return [plain(inner) for inner in value]
        case set() | frozenset():
            return sorted(map(plain, value))
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return str(value)


def typed(kind: Any, value: Any, where: str = "value") -> Any:
    """The value of a type that :func:`plain` made this of. Raises ``ValueError`` saying where it is
    not of that type."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _either(typing.get_args(kind), value, where)
    if origin is Literal:
        allowed = typing.get_args(kind)
        if value in allowed:
            return value
        raise ValueError(f"{where}: {value!r} is none of {', '.join(map(repr, allowed))}")
    if origin is tuple:
        return _tuple(typing.get_args(kind), value, where)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(typing.get_args(kind), value, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return record(kind, value, where)
    return _scalar(kind, value, where)


def record(kind: type, value: Any, where: str) -> Any:
    """A dataclass of its fields. Raises ``ValueError`` for one that is missing or unknown."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: {_named(value)}, not an object")
    hints = _hints(kind)
    known = {field.name: field for field in fields(kind)}
    for name in value:
        if name not in known:
            raise ValueError(
                f"{where}: {kind.__name__} has no {name!r} (it has {', '.join(known)})"
            )
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}: {name!r} is missing")
    return kind(**{name: typed(hints[name], value[name], f"{where}.{name}") for name in value})


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _either(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    wrong = ""
    for kind in kinds:
        if kind is not type(None):
            try:
                return typed(kind, value, where)
            except ValueError as error:
                wrong = str(error)
    raise ValueError(wrong)


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: {_named(value)}, not an array")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{where}: {len(value)} values in place of {len(kinds)}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(typed(kind, inner, f"{where}[{number}]") for number, (kind, inner) in pairs)


def _mapping(kinds: tuple[Any, ...], value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: {_named(value)}, not an object")
    return {key: typed(kinds[1], inner, f"{where}.{key}") for key, inner in value.items()}


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is Decimal and isinstance(value, str):
        return _amount(value, where)
    if kind is float and value in ("inf", "-inf"):
        return float(value)
    if kind in (float, int) and type(value) in (float, int) and not abs(value) <= _MOST:
        raise ValueError(f"{where}: {value!r:.60} is no number that can be meant")
    if kind is float and type(value) is int:
        return value
    if isinstance(kind, type) and type(value) is kind:
        return value
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    raise ValueError(f"{where}: {_named(value)}, not of type {name}")


def _amount(value: str, where: str) -> Decimal:
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{where}: {value!r:.60} is not an amount") from None
    if not (found.is_finite() and abs(found) <= _MOST):
        raise ValueError(f"{where}: {value!r:.60} is no amount that can be meant")
    return found


def _named(value: object) -> str:
    return f"{value!r:.60} is of type {type(value).__name__}"
