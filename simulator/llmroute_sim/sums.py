"""Numbers that a scenario leaves open: ``"= cooldown - 1"``, filled in by what is played."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmroute_sim.names import Unknown

__all__ = ("NUMBERS", "filled", "named")

NUMBERS: Mapping[str, float] = {
    "retries": 2.0,
    "cooldown": 60.0,
    "fails": 3.0,
    "timeout": 20.0,
    "patience": 10.0,
    "window": 86400.0,
    "bill_input": 80_000.0,
    "bill_output": 20_000.0,
    "ttl": 600.0,
    "parallel": 4.0,
    "rpm": 10.0,
    "tpm": 10_000.0,
    "context": 8_000.0,
    "load": 100.0,
}
"""Every number that a scenario may leave open, with a value that stands in for it while a file is
only checked."""

_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def named(text: str) -> set[str]:
    """The names in a sum, none in any other text. Raises ``ValueError`` for what is not a sum."""
    if not text.startswith("="):
        return set()
    return set(_named(_parsed(text)))


def _named(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=int() | float()):
            return
        case ast.Name(id=name):
            yield name
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            yield from _named(left)
            yield from _named(right)
        case _:
            raise _no_sum(node)


def filled(value: Any, numbers: Mapping[str, float]) -> Any:
    """A value with every sum in it replaced by what it comes to.

    Raises ``Unknown`` for a number that is not there, ``ValueError`` for what is not a sum.
    """
    match value:
        case str() if value.startswith("="):
            result = _value(_parsed(value), numbers)
            return int(result) if float(result).is_integer() else float(result)
        case Mapping():
            return {key: filled(inner, numbers) for key, inner in value.items()}
        case list() | tuple():
            return [filled(inner, numbers) for inner in value]
        case _:
            return value


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text[1:].strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text[1:].strip()!r} is not a sum of numbers and names") from error


def _value(node: ast.expr, numbers: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in numbers:
            return numbers[name]
        case ast.Name(id=name) if name in NUMBERS:
            raise ValueError(f"nothing says what the number {name!r} is here")
        case ast.Name(id=name):
            raise Unknown("number", name, {*numbers, *NUMBERS})
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            try:
                return _OPERATIONS[type(op)](_value(left, numbers), _value(right, numbers))
            except ZeroDivisionError as error:
                raise ValueError(f"{ast.unparse(node)!r} divides by nothing") from error
        case _:
            raise _no_sum(node)


def _no_sum(node: ast.expr) -> ValueError:
    return ValueError(f"{ast.unparse(node)!r} is not a sum of numbers and names")
