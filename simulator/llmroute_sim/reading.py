"""How the tables of a scenario file are read: which keys there are, what each may be, and what to say
of one that is not.

Every error names the key by its path in the file (``incident[1].when``), says what is allowed and,
for a name, which is the closest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeAlias

from llmroute_sim.faults import make
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.workload import Ask

__all__ = (
    "ENTRIES",
    "MODES",
    "ROLES",
    "STIMULI",
    "ask_of",
    "count",
    "incident_of",
    "labels",
    "number",
    "read",
    "several",
    "spelled",
    "text",
    "truth",
)

ROLES = ("target", "next", "others")
MODES = ("json", "stream")
ENTRIES = ("chat", "text", "responses", "messages", "embeddings")
STIMULI = (
    "incidents", "repeats", "spend", "load", "concurrency", "features", "options", "length",
)  # fmt: skip

Check: TypeAlias = Callable[[Any], Any]
"""Gives a value as it is kept. Raises ``ValueError`` with what it is not, to be read after it."""


# -- one value


def count(least: int) -> Check:
    """A whole number from ``least`` up."""

    def check(value: Any) -> int:
        whole = isinstance(value, int | float) and not isinstance(value, bool)
        if not (whole and math.isfinite(value) and value == int(value) and value >= least):
            raise ValueError(f"is not a whole number from {least} up")
        return int(value)

    return check


def number(*, above: bool = False) -> Check:
    """A number from 0 up, or above 0."""

    def check(value: Any) -> float:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not (real and math.isfinite(value) and (value > 0 if above else value >= 0)):
            raise ValueError(f"is not a number {'above 0' if above else 'from 0 up'}")
        return float(value)

    return check


def truth(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("is not a string")
    return value


def several(what: str, allowed: Iterable[str] = ()) -> Check:
    """A list of strings; of these, where some are given."""
    known = tuple(allowed)

    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise ValueError("is not a list of strings")
        for one in value:
            if known and one not in known:
                raise Unknown(f"one of {what}", one, known)
        return tuple(value)

    return check


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("is not a table")
    return value


def labels(value: Any) -> Mapping[str, str | tuple[str, ...]]:
    """A table of strings, or of lists of strings to be taken in turn."""
    found: dict[str, str | tuple[str, ...]] = {}
    for key, said in _table(value).items():
        many = isinstance(said, list | tuple)
        if many and said and all(isinstance(one, str) for one in said):
            found[key] = tuple(said)
        elif isinstance(said, str):
            found[key] = said
        else:
            raise ValueError(f"has {key} = {said!r}, which is neither a string nor a list of some")
    return found


# -- a table


def read(entry: Any, checks: Mapping[str, Check], what: str, where: str = "") -> dict[str, Any]:
    """The keys of a table that are said, checked. ``what`` is what it is a table of, ``where`` the
    path of its key. Raises ``ValueError``."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} is not a table")
    found = {}
    for key, value in entry.items():
        name = spelled(key)
        if name not in checks:
            raise Unknown(f"key of {what}", key, checks)
        path = f"{where}.{name}" if where else name
        try:
            found[name] = checks[name](value)
        except Unknown as error:
            raise ValueError(f"{path}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{path} = {_short(value)} {error}") from error
    return found


def spelled(key: str) -> str:
    """A key as files spell it."""
    return key.replace("_", "-")


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."


# -- asks


def _log(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("names a file, and this scenario has no folder in which that could be")
    return tuple(value)


_ASK: Mapping[str, Check] = {
    "at": number(),
    "times": count(1),
    "every": number(),
    "together": count(1),
    "rate": number(above=True),
    "question": text,
    "options": _table,
    "labels": labels,
    "tokens": count(1),
    "stream": truth,
    "conversation": truth,
    "leave-after": count(1),
    "beside": truth,
    "log": _log,
}

_EXCLUDES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("rate", ("every",), "arrivals come by chance, not in a rhythm"),
    ("rate", ("conversation",), "a turn of a conversation waits for the answer before it"),
    (
        "log",
        ("times", "every", "together", "rate", "question", "tokens", "stream", "conversation",
         "leave_after"),
        "a log says all that itself",
    ),
)  # fmt: skip

_PLAIN = Ask()


def ask_of(entry: Any, where: str) -> Ask:
    """One line of a workload. Raises ``ValueError``."""
    settings = {
        key.replace("-", "_"): value for key, value in read(entry, _ASK, where, where).items()
    }
    log = tuple(
        _recorded(line, f"{where}.log[{n}]") for n, line in enumerate(settings.get("log", ()))
    )
    ask = Ask(**{**settings, "log": log})
    said = _said(ask)
    for key, others, why in _EXCLUDES:
        if key in said and (clash := [spelled(one) for one in others if one in said]):
            raise ValueError(f"{where}: {key} and {clash[0]} exclude each other: {why}")
    if ask.leave_after is not None and ask.stream is False:
        raise ValueError(
            f"{where}.leave-after: nobody leaves in the middle of what is not streamed"
        )
    return ask


_RECORDED = ("at", "tokens", "stream", "question", "options", "labels", "leave_after")


def _recorded(entry: Any, where: str) -> Ask:
    ask = ask_of(entry, where)
    for key in _said(ask):
        if key not in _RECORDED:
            raise Unknown(f"key of {where}", spelled(key), map(spelled, _RECORDED))
    if ask.at is None:
        raise ValueError(f"{where}: a recorded call needs its time (at)")
    return ask


def _said(ask: Ask) -> list[str]:
    """The fields that say anything but what is taken for granted."""
    names = (field.name for field in fields(ask))
    return [name for name in names if getattr(ask, name) != getattr(_PLAIN, name)]


# -- incidents


def _as_it_is(value: Any) -> Any:
    return value


def _window(value: Any) -> tuple[float, float]:
    match value:
        case [int() | float() as start, int() | float() as end] if start < end:
            return (float(start), float(end))
        case _:
            raise ValueError("is not [start, end] with start before end")


def _chance(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError("is not above 0 and at most 1")
    return float(value)


_INCIDENT: Mapping[str, Check] = {"fault": _as_it_is, "at": _as_it_is, "when": _table}

_WHEN: Mapping[str, Check] = {
    **dict.fromkeys(("first", "nth", "every"), count(1)),
    "after": count(0),
    "between": _window,
    "chance": _chance,
}


def incident_of(
    entry: Any, where: str, roles: Mapping[str, Sequence[str]]
) -> tuple[Incident, tuple[Place, ...]]:
    """An incident with its roles filled in, at no place where all of them are nobody's, and its places
    as they are written. Raises ``ValueError``."""
    settings = read(entry, _INCIDENT, "an incident", where)
    fault, at = settings.get("fault"), settings.get("at", "*")
    if isinstance(fault, str):
        fault = {"name": fault}
    with _within(f"{where}.fault"):
        if not isinstance(fault, Mapping):
            raise ValueError("an incident needs a fault: its name, or a table with its name")
        made = make(fault)
    with _within(f"{where}.at"):
        names = [at] if isinstance(at, str) else at
        if not (isinstance(names, list | tuple) and names):
            raise ValueError(f"{at!r} is not a place or a list of places")
        written = tuple(map(Place.parse, names))
        places = [Place.parse(one) for name in names for one in _filled(name, roles)]
    when = When(**read(settings.get("when", {}), _WHEN, "when", f"{where}.when"))
    return Incident(made, tuple(places), when), written


def _filled(name: str, roles: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The places of a role; a place is its own. A role with a question mark may be nobody's."""
    role = name.removesuffix("?")
    return roles.get(role, ()) if role in ROLES and role != name else roles.get(name, (name,))


@contextmanager
def _within(path: str) -> Iterator[None]:
    """Let an error say which key it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
