"""Scenarios: incidents on a timeline, a workload of calls, a seed.

A scenario file is TOML, or JSON with the same keys. One that names real places is a scenario as it stands; a shipped one names
roles (``target``, ``next``) and numbers (``"= cooldown - 1"``), which each promise fills in with
what its configuration says.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from llmroute_sim import sense
from llmroute_sim.incidents import Incident
from llmroute_sim.logs import recorded
from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Usage
from llmroute_sim.reading import (
    ENTRIES,
    MODES,
    ROLES,
    STIMULI,
    Check,
    ask_of,
    count,
    incident_of,
    number,
    read,
    several,
    spelled,
    truth,
)
from llmroute_sim.reading import text as said
from llmroute_sim.sums import NUMBERS, filled, named
from llmroute_sim.variants import split, varied
from llmroute_sim.workload import Ask

__all__ = ("Ask", "Library", "Scenario", "Template", "load", "shipped")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done to the world, and what is asked of it meanwhile.

    ``good`` says in a line what a good router does, ``tests`` names the contracts that it can try,
    ``modes`` (json, stream) and ``entries`` (chat, text, responses, messages, embeddings) in which it
    makes sense. ``bills`` is what every answer is charged for, if not for what it really has.
    ``stimulus`` names what makes the scenario one: without its ``incidents``, its ``repeats`` (equal
    questions), its ``spend`` (stated bills), its ``load`` (many calls), its ``concurrency``, the
    ``features`` that are asked for besides words, the ``options`` that tell a router what to do, or
    the ``length`` of its prompts it must prove nothing. ``one_way`` is for a long one: it is played
    through the first way in that a configuration has, not through all.
    """

    name: str
    title: str = ""
    good: str = ""
    source: str = ""
    tests: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("json", "stream")
    entries: tuple[str, ...] = ENTRIES
    stimulus: str = "incidents"
    incidents: tuple[Incident, ...] = ()
    asks: tuple[Ask, ...] = (Ask(),)
    bills: Usage | None = None
    first_token: float = 0.4
    per_token: float = 0.02
    seed: int = 0
    one_way: bool = False

    @property
    def calls(self) -> int:
        """How many calls it makes."""
        return sum(ask.calls for ask in self.asks)

    def calmed(self) -> Scenario:
        """The same without its stimulus."""
        match self.stimulus:
            case "incidents":
                return replace(self, incidents=())
            case "repeats":
                return self._asking(question=None)
            case "load":
                return self._asking(times=1, together=1, rate=None, beside=False)
            case "concurrency":
                return self._asking(together=1, rate=None, beside=False)
            case "features" | "options":
                return self._asking(options={})
            case "length":
                return self._asking(tokens=None, conversation=False)
            case _:
                return replace(self, bills=None)

    def _asking(self, **changed: Any) -> Scenario:
        """The same with every line of its workload changed."""
        return replace(self, asks=tuple(replace(ask, **changed) for ask in self.asks))

    @classmethod
    def parse(cls, text: str, name: str = "scenario") -> Scenario:
        """Read a scenario that leaves nothing open, in TOML. Raises ``ValueError`` as :func:`load`."""
        return load(name, text).bind()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Shown by Hypothesis and IPython as the file that would hold it, read."""
        from llmroute_sim.writing import toml

        try:
            text = toml(self)
        except ValueError:
            printer.text(repr(self))
            return
        with printer.group(4, "Scenario.parse(r'''"):
            for line in text.splitlines():
                printer.break_()
                printer.text(line)
        printer.break_()
        printer.text("''')")


@dataclass(frozen=True, slots=True)
class Template:
    """A scenario with roles and numbers still open."""

    name: str
    entry: Mapping[str, Any]

    @property
    def tests(self) -> tuple[str, ...]:
        """The contracts that it names as those that it can try."""
        found = self.entry.get("tests", ())
        return tuple(found) if isinstance(found, list | tuple) else ()

    def tries(self, contract: str) -> bool:
        """Whether it can try a contract. One that names none, not even none at all, may try any."""
        return "tests" not in self.entry or contract in self.tests

    @property
    def title(self) -> str:
        """What happens, in a line."""
        return str(self.entry.get("title", ""))

    @property
    def good(self) -> str:
        """What a good router does, in a line."""
        return str(self.entry.get("good", ""))

    @property
    def source(self) -> str:
        """Where that was seen."""
        return str(self.entry.get("source", ""))

    @property
    def entries(self) -> tuple[str, ...]:
        """The ways in, by their API, through which it makes sense."""
        return tuple(self.entry.get("entries", ENTRIES))

    @property
    def needs(self) -> frozenset[str]:
        """The roles and numbers that have to be filled in."""
        return frozenset(_names(self.entry))

    @property
    def default(self) -> bool:
        """Whether it is played unless told otherwise: a shipped one that is in no folder."""
        return "/" not in self.name

    def bind(
        self,
        roles: Mapping[str, Sequence[str]] | None = None,
        numbers: Mapping[str, float] | None = None,
        *,
        sensible: bool = False,
    ) -> Scenario:
        """Fill in places and numbers. Raises ``ValueError`` with the key that is wrong; of what is
        known to be ``sensible`` it is not asked whether one incident leaves nothing for another, as
        roles can that turn out to be the same place."""
        entry = filled(self.entry, numbers or {})
        return _scenario(self.name, entry, roles or {}, sensible=sensible)

    def tried(self) -> Scenario:
        """Filled in with what stands in for its roles and numbers, to see whether all is right with it.
        Raises ``ValueError`` with the key that is wrong."""
        roles = {role: (f"{role}.example",) for role in ROLES}
        return self.bind(roles, NUMBERS)


def load(file: str, text: str, folder: Traversable | None = None) -> Template:
    """Read a scenario file: JSON if that is how its name ends, else TOML. ``folder`` is where the logs
    are that it replays.

    Raises ``ValueError`` (``Unknown``, ``TOMLDecodeError``, ``JSONDecodeError``) with what is wrong;
    incidents are only known to be right when the template is bound.
    """
    entry = json.loads(text) if file.endswith(".json") else tomllib.loads(text)
    if not isinstance(entry, dict):
        raise ValueError("a scenario is a table")
    for key in entry:
        if spelled(key) not in _KEYS:
            raise Unknown("key of a scenario", key, _KEYS)
    for name in sorted(_names(entry) - {*ROLES, *NUMBERS}):
        raise Unknown("number", name, NUMBERS)
    return Template(file, _with_logs(entry, folder))


def _with_logs(entry: dict[str, Any], folder: Traversable | None) -> dict[str, Any]:
    """A scenario in which what its logs hold stands in place of their names."""
    asks = entry.get("ask")
    if folder is None or not isinstance(asks, list):
        return entry
    return {**entry, "ask": [_with_log(ask, n, folder) for n, ask in enumerate(asks)]}


def _with_log(ask: Any, number: int, folder: Traversable) -> Any:
    if not isinstance(ask, dict) or not isinstance(ask.get("log"), str):
        return ask
    name = ask["log"]
    try:
        return {**ask, "log": recorded(name, folder.joinpath(name).read_text("utf-8"))}
    except (OSError, UnicodeDecodeError):
        there = sorted(one.name for one in folder.iterdir() if one.name.endswith(".jsonl"))
        raise Unknown(f"log in ask[{number}].log", name, there) from None


class Library(Mapping[str, Template]):
    """Every shipped scenario by its name: ``outage-500``, or with the folder that it is in,
    ``stories/long-suspension``. The folder may be left out where only one has such a file. Variants
    (``faults/cut@next:later``) are there for whoever names them. Read when they are asked for."""

    def __init__(self, folder: Traversable) -> None:
        self._files = dict(sorted(_files(folder), key=lambda found: ("/" in found[0], found[0])))
        self._short = {name.rpartition("/")[2]: name for name in reversed(self._files)}
        self._read: dict[str, Template] = {}

    @property
    def default(self) -> tuple[str, ...]:
        """The names of those that are played unless told otherwise."""
        return tuple(name for name in self._files if "/" not in name)

    def full_name(self, name: str) -> str:
        """A name with its folder. Raises ``KeyError``."""
        plain, sign, variant = name.partition("@")
        return (plain if plain in self._files else self._short[plain]) + sign + variant

    def __getitem__(self, name: str) -> Template:
        full = self.full_name(name)
        if full not in self._read:
            variant = split(full)
            if variant is None:
                self._read[full] = load(full, self._files[full].read_text("utf-8"))
            else:
                plain, position, attempts = variant
                entry = varied(self[plain].entry, position, attempts)
                self._read[full] = Template(full, entry)
        return self._read[full]

    def __contains__(self, name: object) -> bool:
        plain = str(name).partition("@")[0]
        return plain in self._files or plain in self._short

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _files(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _files(item, f"{path}{item.name}/")
        elif item.name.endswith(".toml"):
            yield f"{path}{item.name.removesuffix('.toml')}", item


@cache
def shipped() -> Library:
    """Every shipped scenario by its name. Those in no folder are played unless told otherwise."""
    return Library(files("llmroute_data").joinpath("scenarios"))


# -- tables

_SCENARIO: Mapping[str, Check] = {
    "title": said,
    "good": said,
    "source": said,
    "tests": several("tests"),
    "modes": several("modes", MODES),
    "entries": several("entries", ENTRIES),
    "stimulus": said,
    "first-token": number(),
    "per-token": number(),
    "seed": count(0),
    "one-way": truth,
}
_KEYS = (*_SCENARIO, "incident", "ask", "bills")
_BILLS: Mapping[str, Check] = {"input": count(0), "output": count(0)}


def _scenario(
    name: str,
    entry: Mapping[str, Any],
    roles: Mapping[str, Sequence[str]],
    *,
    sensible: bool,
) -> Scenario:
    plain = {key: value for key, value in entry.items() if spelled(key) in _SCENARIO}
    settings = {k.replace("-", "_"): v for k, v in read(plain, _SCENARIO, "a scenario").items()}
    stimulus = settings.get("stimulus", "incidents")
    if stimulus not in STIMULI:
        raise Unknown("stimulus", stimulus, STIMULI)
    incidents = [
        incident_of(one, f"incident[{n}]", roles)
        for n, one in enumerate(_tables(entry, "incident", ()))
    ]
    asks = tuple(ask_of(one, f"ask[{n}]") for n, one in enumerate(_tables(entry, "ask", ({},))))
    if not sensible:
        sense.check(incidents, asks if "ask" in entry else None)
    bills = entry.get("bills")
    if bills is not None:
        bills = Usage(**{"input": 0, "output": 0, **read(bills, _BILLS, "bills", "bills")})
    found = tuple(incident for incident, _ in incidents if incident.at)
    return Scenario(name, incidents=found, asks=asks, bills=bills, **settings)


def _tables(entry: Mapping[str, Any], key: str, default: Sequence[Any]) -> Sequence[Any]:
    found = entry.get(key, default)
    if not isinstance(found, list | tuple):
        raise ValueError(f"{key} is not a list of tables: write [[{key}]]")
    return found


def _names(value: Any) -> set[str]:
    """The roles and the names of numbers in a template."""
    match value:
        case str():
            return named(value)
        case Mapping():
            at = value.get("at")
            roles = {role for role in ROLES if at == role or (isinstance(at, list) and role in at)}
            return roles.union(*map(_names, value.values()))
        case list() | tuple():
            return set().union(*map(_names, value))
        case _:
            return set()
