"""YAML with the line of every key.

A tree of plain values, and beside it where each key stands, so that whoever finds something wrong
or worth promising can say in which line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from pytest_llmroute.errors import ConfigError

__all__ = ("KeyPath", "Tree", "leaves", "load")

KeyPath: TypeAlias = tuple[str, ...]
"""The keys that lead to a value; items of lists by their number from 0."""

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Tree:
    """A file: its values, and the line of each key path."""

    path: Path
    values: dict[str, Any] = field(repr=False)
    lines: Mapping[KeyPath, int]

    def line(self, key: KeyPath) -> int | None:
        """The line of a key, or of the nearest key around it."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key[:-1]
        return None

    def error(self, message: str, key: KeyPath, closest: str | None = None) -> ConfigError:
        """What to raise about a key."""
        return ConfigError(message, path=self.path, line=self.line(key), key=key, closest=closest)

    def section(self, name: str) -> dict[str, Any]:
        """A section of the file, empty where there is none. Raises ``ConfigError`` if it is none."""
        found = self.values.get(name)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise self.error(f"is {_kind(found)}, not a table of settings", (name,))
        return found


def load(path: Path) -> Tree:
    """Read a file. Raises ``ConfigError`` with line and column where it is not YAML, or where its
    top level is not a table."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text ({error.reason})", path=path) from error
    loader = yaml.SafeLoader(text)
    lines: dict[KeyPath, int] = {}
    try:
        node = loader.get_single_node()
        values = None if node is None else _value(loader, node, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (column {mark.column + 1})" if mark else ""
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(
            f"is not YAML: {said}{where}", path=path, line=mark.line + 1 if mark else None
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"is not YAML: {error}", path=path) from error
    finally:
        loader.dispose()
    if not isinstance(values, dict):
        raise ConfigError(f"holds {_kind(values)}, not a table of settings", path=path, line=1)
    return Tree(path, values, lines)


def leaves(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The key paths that hold something that is no table: what a user wrote, line by line."""
    match value:
        case dict() if value:
            for key, inner in value.items():
                yield from leaves(inner, (*path, key))
        case list() if any(isinstance(item, dict) for item in value):
            for number, item in enumerate(value):
                yield from leaves(item, (*path, str(number)))
        case _:
            yield path


def _value(
    loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]
) -> Any:
    match node:
        case yaml.MappingNode():
            found: dict[str, Any] = {}
            for name, inner, line in _entries(loader, node):
                lines[*path, name] = line
                found[name] = _value(loader, inner, (*path, name), lines)
            return found
        case yaml.SequenceNode():
            items = []
            for number, inner in enumerate(node.value):
                lines[*path, str(number)] = inner.start_mark.line + 1
                items.append(_value(loader, inner, (*path, str(number)), lines))
            return items
        case _:
            return loader.construct_object(node)


def _entries(
    loader: yaml.SafeLoader, node: yaml.MappingNode
) -> Iterator[tuple[str, yaml.Node, int]]:
    """Keys with their values and lines; what is merged in (``<<``) first, so that it is overridden."""
    for key, inner in node.value:
        if key.tag == _MERGE:
            merged = inner.value if isinstance(inner, yaml.SequenceNode) else [inner]
            for source in reversed(merged):
                if isinstance(source, yaml.MappingNode):
                    yield from _entries(loader, source)
    for key, inner in node.value:
        if key.tag != _MERGE:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            yield str(name), inner, key.start_mark.line + 1


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "a yes or no"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return type(value).__name__
