"""Where in a TOML file each key stands. ``tomllib`` reads values and forgets their lines."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ("KeyPath", "key_lines")

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys from the top, with numbers where a list of tables is entered: ``("promise", 0, "chain")``."""


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The line, from 1, of every key and table of a valid TOML text.

    A statement is read together with as many following lines as it takes for it to be whole, so
    strings and lists over several lines, quoted and dotted keys need no rules of their own.
    """
    lines = text.splitlines()
    found: dict[KeyPath, int] = {}
    tables: dict[tuple[str, ...], int] = {}
    prefix: KeyPath = ()
    start = 0
    while start < len(lines):
        end, entry = _statement(lines, start)
        if lines[start].lstrip().startswith("["):
            prefix = _enter(tables, entry, repeated=lines[start].lstrip().startswith("[["))
            found.setdefault(prefix, start + 1)
        else:
            for path in _paths(entry):
                found.setdefault((*prefix, *path), start + 1)
        start = end
    return found


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    """Where the statement that begins at a line ends, and what it says."""
    for end in range(start + 1, len(lines) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
    raise ValueError(f"line {start + 1} begins a statement that does not end")


def _enter(
    tables: dict[tuple[str, ...], int], entry: Mapping[str, Any], *, repeated: bool
) -> KeyPath:
    """The path of a table's header; ``tables`` counts the lists of tables that were entered."""
    names: list[str] = []
    inner: Any = entry
    while isinstance(inner, Mapping) and inner:
        name, inner = next(iter(inner.items()))
        names.append(name)
    whole = tuple(names)
    if repeated:
        tables[whole] = tables.get(whole, -1) + 1
    path: list[str | int] = []
    for depth, name in enumerate(names, start=1):
        path.append(name)
        if (number := tables.get(whole[:depth])) is not None:
            path.append(number)
    return tuple(path)


def _paths(entry: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, inner in entry.items():
        yield (name,)
        if isinstance(inner, Mapping):
            for path in _paths(inner):
                yield (name, *path)
