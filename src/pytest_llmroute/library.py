"""Which scenarios a suite knows by name, the shipped ones and its own, and what they leave open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from llmroute_sim.names import Unknown
from llmroute_sim.reading import ENTRIES, ROLES
from llmroute_sim.scenario import Scenario, Template, load, shipped
from llmroute_sim.sums import NUMBERS

__all__ = ("ROLES", "Library", "Playable", "chosen", "files_in", "filled", "usual")

Playable: TypeAlias = "Scenario | Template | str | os.PathLike[str]"
"""A scenario, the name of one, or the path of a file that holds one."""


@dataclass(frozen=True, slots=True)
class Library:
    """The shipped scenarios, and ``own`` ones by name. A relative path begins at one of ``folders``,
    at the working directory if none has it."""

    own: Mapping[str, Template] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

    def beside(self, folder: Path) -> Library:
        """The same, with relative paths that begin at a folder first."""
        return replace(self, folders=(folder, *self.folders))

    @property
    def names(self) -> tuple[str, ...]:
        """Every scenario that can be named."""
        return (*shipped(), *self.own)

    def find(self, named: str | os.PathLike[str]) -> Template:
        """The scenario of a name or in a file.

        Raises ``Unknown`` for a name that does not exist, ``ValueError`` for a file that does not,
        or that holds no scenario.
        """
        text = os.fspath(named)
        found = self.own.get(text) or shipped().get(text)
        if found is not None:
            return found
        for path in (*(folder / text for folder in self.folders), Path(text)):
            if path.is_file():
                return _read(path)
        if (found := self.own.get(text.removesuffix(".toml"))) is not None:
            return found
        if Path(text).suffix not in _ENDINGS:
            raise Unknown("scenario", text, self.names)
        beside = {file.name for folder in self.folders for file in files_in(folder)}
        raise Unknown("scenario file", text, {*beside, *self.own})

    def filled(self, scenario: Playable, said: Mapping[str, object]) -> Scenario:
        """A scenario, found and with its roles and numbers filled in. Raises as :meth:`find` and
        :func:`filled`."""
        known = scenario if isinstance(scenario, Scenario | Template) else self.find(scenario)
        return filled(known, said)

    @classmethod
    def of(cls, paths: Iterable[Path], folders: Iterable[Path] = ()) -> Library:
        """A library with the scenarios of files and folders, called as their files are, without the
        ending unless somebody has that name. Raises ``ValueError`` for one that cannot be read."""
        own: dict[str, Template] = {}
        for path in paths:
            for file in files_in(path):
                name = file.stem if file.stem not in {*shipped(), *own} else file.name
                own[name if name not in own else f"{file.parent.name}/{file.name}"] = _read(file)
        return cls(own, tuple(folders))


def chosen(library: Library, names: Sequence[str] | None) -> dict[str, Template]:
    """Scenarios to go through, by names that tell them apart: those that are named, or unless any
    are the project's own and the usual of those that are shipped.

    Raises as :meth:`Library.find`.
    """
    if names is not None:
        return {name.removesuffix(".toml"): library.find(name) for name in names}
    fit = {name: shipped()[name] for name in shipped().default}
    return {**library.own, **{name: one for name, one in fit.items() if usual(one)}}


def files_in(path: Path) -> list[Path]:
    """The scenario files that a path means: itself, or those of a folder."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in _ENDINGS)


def filled(scenario: Scenario | Template, said: Mapping[str, object]) -> Scenario:
    """A scenario with its roles and numbers filled in.

    What it does not leave open is passed over, so that one set of places serves many scenarios.
    Raises ``Unknown`` for what no scenario leaves open, ``ValueError`` for what is missing or wrong.
    """
    needs = scenario.needs if isinstance(scenario, Template) else frozenset[str]()
    known = {*ROLES, *NUMBERS}
    roles: dict[str, list[str]] = {}
    numbers: dict[str, float] = {}
    for name, value in said.items():
        if name not in known:
            raise Unknown("role or number of a scenario", name, known)
        if name in ROLES:
            roles[name] = list(_places(name, value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = value
        else:
            raise TypeError(f"{name}={value!r} is not a number")
    if isinstance(scenario, Scenario):
        return scenario
    if missing := sorted(needs - said.keys()):
        says = ", ".join(f"{name}={_EXAMPLES[name]!r}" for name in missing)
        raise ValueError(
            f"the scenario {scenario.name} leaves open: {', '.join(missing)}; "
            f"say who or what that is, as in play({scenario.name!r}, app, {says})"
        )
    try:
        return scenario.bind(roles, numbers)
    except ValueError as error:
        raise ValueError(f"the scenario {scenario.name}: {error}") from error


def usual(template: Template) -> bool:
    """Whether a scenario is for any application that chats: only roles are open."""
    chats = "chat" in template.entry.get("entries", ENTRIES)
    return chats and template.needs <= set(ROLES)


_ENDINGS = (".toml", ".json")
_EXAMPLES = {"target": "openai", "next": "anthropic", "others": ["groq"], **NUMBERS}


def _places(role: str, value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Iterable():
            yield from map(str, value)
        case _:
            raise TypeError(
                f"{role}={value!r} is not a place ('openai/gpt-4o') or a list of places"
            )


def _read(path: Path) -> Template:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        there = files_in(path.parent) if path.parent.is_dir() else []
        raise Unknown("scenario file", str(path), map(str, there)) from None
    except OSError as error:
        raise ValueError(f"the scenario file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the scenario file {path} is not UTF-8 text: {error.reason}") from error
    try:
        return load(path.name, text, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
