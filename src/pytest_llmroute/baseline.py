"""A baseline: promises that are known not to hold and accepted for a while, each with a reason and a
last day. Reads and writes ``llmroute-baseline.toml``."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from llmroute_sim.names import Unknown
from pytest_llmroute.contracts import contracts
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.identity import lasting_names, meant
from pytest_llmroute.promises import Promise
from pytest_llmroute.routers.own.tables import Table, load

__all__ = ("FILE", "Accepted", "Baseline", "Held", "Outcome", "Promising", "from_folder", "written")

FILE = "llmroute-baseline.toml"
"""What a baseline is called unless told otherwise."""

Outcome: TypeAlias = Literal["broken", "untested"]

_KEYS = ("config", "promise", "scenario", "outcome", "reason", "expires", "owner", "link")
_OUTCOMES: tuple[Outcome, ...] = ("broken", "untested")
_NAME = re.compile(r"([\w.-]+)\[.*\].*", re.S)


class Promising(Protocol):
    """A configuration, or what was found of one."""

    @property
    def path(self) -> Path | str:
        """The file."""
        ...

    @property
    def promises(self) -> tuple[Promise, ...]:
        """All that it promises, in its order."""
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """An entry. ``config`` is as the file says it, from the file's folder; ``promise`` a lasting
    name, or as much of one as tells it apart; no ``scenario`` means any; ``expires`` is the last day
    on which it counts, and ``expired`` that this day is over. ``place`` is the file and line."""

    config: str
    promise: str
    reason: str
    expires: date
    scenario: tuple[str, ...] = ()
    outcome: Outcome = "broken"
    owner: str | None = None
    link: str | None = None
    place: str = ""
    expired: bool = False

    @property
    def says(self) -> str:
        """``accepted until 2027-03-01: the reason (the owner, the link)``."""
        more = ", ".join(part for part in (self.owner, self.link) if part)
        until = f"accepted until {self.expires}"
        begun = f"was {until}, which is over ({self.place})" if self.expired else until
        return f"{begun}: {self.reason}{f' ({more})' if more else ''}"

    def covers(self, scenario: str | None) -> bool:
        """Whether it counts in a scenario (None: in whatever scenario)."""
        return not self.scenario or scenario in self.scenario


@dataclass(frozen=True, slots=True)
class Held:
    """What a baseline says of a configuration: its promises, their lasting names, and of each the
    entries that mean it alone."""

    config: Promising
    promises: tuple[Promise, ...]
    names: tuple[str, ...]
    entries: Mapping[str, Sequence[Accepted]]

    def of(self, promise: Promise) -> Sequence[Accepted]:
        """The entries about a promise."""
        return self.entries.get(self.names[self.promises.index(promise)], ())


@dataclass(frozen=True, slots=True)
class Baseline:
    """The entries of a file; ``folder`` is what their paths begin at."""

    path: Path
    entries: tuple[Accepted, ...] = ()
    _held: dict[int, Held] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path | str) -> Baseline:
        """Read a file. Raises ``ConfigError`` with the line of whatever is wrong."""
        path = Path(path)
        try:
            table = load(path)
        except UnicodeDecodeError as error:
            raise ConfigError(f"not UTF-8 text ({error.reason})", path=path) from error
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror or error}", path=path) from error
        table.check("a baseline", ("accepted",))
        return cls(path, tuple(_entry(one) for one in table.tables("accepted")))

    @property
    def folder(self) -> Path:
        """What the paths of its entries begin at."""
        return self.path.absolute().parent

    def about(self, config: Promising) -> tuple[Accepted, ...]:
        """The entries about a configuration."""
        file = Path(config.path).resolve()
        return tuple(one for one in self.entries if (self.folder / one.config).resolve() == file)

    def check(self, configs: Iterable[Promising]) -> None:
        """Raises ``ConfigError`` for an entry that may mean several promises of a configuration, and
        for two that mean the same."""
        for config in configs:
            names = self.held(config).names
            seen: dict[tuple[str, Outcome], list[Accepted]] = {}
            for entry in self.about(config):
                found = meant(entry.promise, names)
                if len(found) > 1:
                    several = ", ".join(map(repr, found))
                    message = f"{entry.promise!r} may mean {len(found)} promises: {several}"
                    raise self._wrong(entry, "promise", message)
                for name in found:
                    for other in seen.setdefault((name, entry.outcome), []):
                        if _overlap(entry, other):
                            message = f"accepted already by {other.place}"
                            raise self._wrong(entry, "promise", message)
                    seen[name, entry.outcome].append(entry)

    def accepted(
        self,
        config: Promising,
        promise: Promise,
        today: date,
        scenario: str | None = None,
        outcome: Outcome = "broken",
    ) -> Accepted | None:
        """The entry that accepts an outcome of a promise in a scenario, or None. Look at its
        ``expired``. ``config`` is the configuration whose promise it is."""
        if not self.entries:
            return None
        for entry in self.held(config).of(promise):
            if entry.outcome == outcome and entry.covers(scenario):
                return replace(entry, expired=today > entry.expires)
        return None

    def held(self, config: Promising) -> Held:
        """What it says of a configuration; found once, since all names are compared with all."""
        held = self._held.get(id(config))
        if held is None or held.config is not config:
            promises = config.promises
            names = lasting_names(promises)
            entries: dict[str, list[Accepted]] = {}
            for entry in self.about(config):
                match meant(entry.promise, names):
                    case (name,):
                        entries.setdefault(name, []).append(entry)
            held = self._held[id(config)] = Held(config, promises, names, entries)
        return held

    def _wrong(self, entry: Accepted, key: str, message: str) -> ConfigError:
        line = int(entry.place.rpartition(":")[2])
        return ConfigError(message, path=self.path, line=line, key=("accepted", key))


def _overlap(one: Accepted, other: Accepted) -> bool:
    return (
        not one.scenario or not other.scenario or not {*one.scenario}.isdisjoint({*other.scenario})
    )


# -- reading


def _entry(table: Table) -> Accepted:
    table.check("an accepted promise", _KEYS)
    return Accepted(
        _needed(table, "config", "the path of a configuration, from this file's folder"),
        _promise(table),
        _needed(table, "reason", "a reason in words").strip(),
        _day(table),
        _scenarios(table),
        _outcome(table),
        table.text("owner", "a name"),
        table.text("link", "an address"),
        f"{table.path}:{table.line()}",
    )


def _needed(table: Table, key: str, what: str) -> str:
    text = table.text(key, what)
    if text is None:
        raise table.error(f"{key} is missing: {what}")
    if not text.strip():
        raise table.error(f"{text!r} is not {what}", key)
    return text


def _promise(table: Table) -> str:
    text = _needed(table, "promise", "the name of a promise, as `llmroute accept` writes it")
    found = _NAME.fullmatch(text)
    if found is None:
        message = f"{text!r} is not the name of a promise (such as 'retry.bounded[chat]')"
        raise table.error(message, "promise")
    if found[1] not in contracts():
        raise table.unknown(Unknown("contract", found[1], contracts()), "promise")
    return text


def _day(table: Table) -> date:
    value: Any = table.entry.get("expires")
    if value is None:
        raise table.error("expires is missing: the last day on which it is accepted (2027-03-01)")
    if not isinstance(value, date) or isinstance(value, datetime):
        hint = " without quotes" if isinstance(value, str) else ""
        raise table.error(f"{value!r} is not a date{hint} (2027-03-01)", "expires")
    return value


def _scenarios(table: Table) -> tuple[str, ...]:
    from llmroute_sim.scenario import shipped

    value: Any = table.entry.get("scenario", [])
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
        raise table.error(f"{value!r} is not a scenario, nor a list of some", "scenario")
    if not names and "scenario" in table.entry:
        raise table.error("an empty list: leave the key out to mean any scenario", "scenario")
    for name in names:
        own = name.endswith(".toml") or "/" in name
        if not own and name not in shipped():
            raise table.unknown(Unknown("scenario", name, shipped()), "scenario")
    return tuple(dict.fromkeys(names))


def _outcome(table: Table) -> Outcome:
    value = table.entry.get("outcome", "broken")
    for outcome in _OUTCOMES:
        if value == outcome:
            return outcome
    close = difflib.get_close_matches(str(value), _OUTCOMES, n=1)
    message = f"{value!r} is no outcome (allowed: {', '.join(_OUTCOMES)})"
    raise table.error(message, "outcome", close[0] if close else None)


# -- writing


def written(entries: Sequence[Accepted], before: str = "") -> str:
    """The text of a baseline: what was there ``before``, as it stands, and entries after it."""
    import tomli_w

    text = tomli_w.dumps({"accepted": [_plain(entry) for entry in entries]}) if entries else ""
    if not before.strip():
        return _HEAD + text
    return f"{before.rstrip()}\n\n{text}" if text else before


_HEAD = """\
# Promises that are known not to hold. A run fails on any other, on one whose last day is over, and on
# one that holds again: then remove its entry.

"""


def _plain(entry: Accepted) -> dict[str, Any]:
    one = len(entry.scenario) == 1
    found: dict[str, Any] = {
        "config": entry.config,
        "promise": entry.promise,
        "scenario": entry.scenario[0] if one else list(entry.scenario),
        "outcome": None if entry.outcome == "broken" else entry.outcome,
        "reason": entry.reason,
        "expires": entry.expires,
        "owner": entry.owner,
        "link": entry.link,
    }
    return {key: value for key, value in found.items() if value not in (None, [])}


def from_folder(config: Path | str, baseline: Path) -> str:
    """The path of a configuration as an entry of a baseline says it."""
    there, here = Path(config).absolute(), baseline.absolute().parent
    return Path(os.path.relpath(there, here)).as_posix()
