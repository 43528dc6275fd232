"""The path of a test: what was asked, step by step, and what came back; a list with an explanation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

__all__ = ("Path", "explain")

ROWS = 4
"""Rows of the explanation: with the line above them, the heading and the line below, eight."""


class Path(list[str]):
    """``place:outcome`` of every attempt, in order: ``["openai:429", "groq:200"]``.

    A list like any other; it is a class only so that a failing ``==`` can be explained.
    """

    __slots__ = ()


def explain(left: Sequence[str], right: Sequence[str], *, width: int = 72) -> list[str]:
    """What differs between a path and another list, in at most eight lines."""
    happened, expected = (left, right) if isinstance(left, Path) else (right, left)
    lines = [_headline(left, right, width), ""]
    rows = list(zip_longest(map(str, happened), map(str, expected)))
    differing = [number for number, (was, should) in enumerate(rows) if was != should]
    if not differing:
        kind = type(expected).__name__
        return [*lines, f"the same steps, but a path is a list and this is a {kind}: write [...]"]
    first = max(0, min(differing[0] - 1, len(rows) - ROWS))
    shown = rows[first : first + ROWS]
    column = max(len(was or "") for was, _ in shown)
    column = max(column, len("happened"), len("(nothing)")) + 2
    lines.append(f"       {'happened':<{column}}expected")
    for number, (was, should) in enumerate(shown, first + 1):
        sign = " " if was == should else "✗"
        lines.append(
            f"  {sign} {number:>2} {was or '(nothing)':<{column}}{should or '(nothing)'}".rstrip()
        )
    rest = sum(number >= first + ROWS for number in differing)
    if rest:
        lines.append(f"  and {rest} more steps that differ")
    return lines


def _headline(left: Sequence[str], right: Sequence[str], width: int) -> str:
    line = f"{_arrows(left)}  !=  {_arrows(right)}"
    if len(line) <= width:
        return line
    return f"a path of {len(left)} steps  !=  one of {len(right)}"


def _arrows(steps: Sequence[str]) -> str:
    return " → ".join(map(str, steps)) if steps else "(no attempt)"
