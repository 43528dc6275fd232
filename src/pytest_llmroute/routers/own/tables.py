"""Tables of a TOML file that a user wrote, read key by key, with the line of whatever is wrong."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llmroute_sim.names import Unknown
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.routers.own.lines import KeyPath, key_lines

__all__ = ("Table", "load")

_MANY = 16


class Table:
    """One table: its values, and where it stands."""

    def __init__(
        self,
        path: Path,
        lines: Mapping[KeyPath, int],
        entry: Mapping[str, Any],
        at: KeyPath = (),
    ) -> None:
        self.path = path
        self.entry = entry
        self.at = at
        self._lines = lines

    def line(self, key: str | None = None) -> int | None:
        """The line of a key, or of the table itself."""
        whole = self.at if key is None else (*self.at, key)
        while whole and whole not in self._lines:
            whole = whole[:-1]
        return self._lines.get(whole)

    def error(
        self, message: str, key: str | None = None, closest: str | None = None
    ) -> ConfigError:
        """What is wrong with a key, or with the table itself."""
        whole = self.at if key is None else (*self.at, key)
        names = tuple(str(part) for part in whole if not isinstance(part, int))
        return ConfigError(message, path=self.path, line=self.line(key), key=names, closest=closest)

    def unknown(self, unknown: Unknown, key: str | None = None) -> ConfigError:
        """The same for a name that does not exist."""
        names = ", ".join(unknown.known)
        known = names if len(unknown.known) <= _MANY else f"{len(unknown.known)} others"
        message = f"unknown {unknown.what} {unknown.name!r} (known: {known or 'none'})"
        return self.error(message, key, unknown.closest)

    def check(self, what: str, allowed: Iterable[str]) -> None:
        """Raises ``ConfigError`` for a key that is not allowed."""
        known = tuple(allowed)
        for key in self.entry:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                message = f"unknown key of {what} (allowed: {', '.join(known)})"
                raise self.error(message, key, close[0] if close else None)

    def text(self, key: str, what: str) -> str | None:
        """A string, None where the key is missing."""
        value = self.entry.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.error(f"{value!r} is not {what}", key)
        return value

    def texts(self, key: str, what: str) -> tuple[str, ...]:
        """A list of strings, empty where the key is missing."""
        value = self.entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.error(f"{value!r} is not a list of {what}", key)
        return tuple(value)

    def table(self, key: str) -> Table:
        """A table in this one, empty where there is none."""
        value = self.entry.get(key, {})
        if not isinstance(value, Mapping):
            raise self.error(f"{value!r} is not a table ([{key}])", key)
        return Table(self.path, self._lines, value, (*self.at, key))

    def tables(self, key: str) -> list[Table]:
        """A list of tables in this one."""
        value = self.entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            raise self.error(f"not a list of tables ([[{key}]])", key)
        return [
            Table(self.path, self._lines, one, (*self.at, key, number))
            for number, one in enumerate(value)
        ]


def load(path: Path) -> Table:
    """Read a file. Raises ``ConfigError`` for what is not TOML."""
    text = path.read_text("utf-8")
    try:
        entry = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(error))
        message, line = (said[1], int(said[2])) if said else (str(error), None)
        raise ConfigError(f"not TOML: {message}", path=path, line=line) from error
    return Table(path, key_lines(text), entry)
