"""Scenarios: incidents on a timeline, a workload of calls, a seed.

A scenario file is TOML. One that names real places is a scenario as it stands; a shipped one names
roles (``target``, ``next``) and numbers (``"= cooldown - 1"``), which each promise fills in with
what its configuration says.
"""

from __future__ import annotations

import ast
import operator
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from llmroute_sim.incidents import Incident
from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Usage

__all__ = ("Ask", "Scenario", "Template", "load", "shipped")


@dataclass(frozen=True, slots=True)
class Ask:
    """One line of a workload.

    ``times`` calls, the first at ``at`` (virtual seconds; None: when what came before is answered),
    then one every ``every`` seconds or, if 0, one after the other; with ``together`` so many at the
    same moment. Calls with the same ``question`` ask the same; without one each asks something new.
    ``options`` go into the request (``temperature``, ``max_tokens``, ``system``...), ``tokens`` is
    about how long the prompt is, ``stream`` None leaves the choice to who runs the scenario.
    """

    at: float | None = None
    times: int = 1
    every: float = 0.0
    together: int = 1
    question: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tokens: int | None = None
    stream: bool | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done to the world, and what is asked of it meanwhile.

    ``good`` says in a line what a good router does, ``tests`` names the contracts that it can try,
    ``modes`` (json, stream) and ``entries`` (chat, embeddings) in which it makes sense. ``bills`` is
    what every answer is charged for, if not for what it really has. ``stimulus`` names what makes
    the scenario one: without its ``incidents``, its ``repeats`` (equal questions) or its ``spend``
    (stated bills) it must prove nothing.
    """

    name: str
    title: str = ""
    good: str = ""
    source: str = ""
    tests: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("json", "stream")
    entries: tuple[str, ...] = ("chat", "embeddings")
    stimulus: str = "incidents"
    incidents: tuple[Incident, ...] = ()
    asks: tuple[Ask, ...] = (Ask(),)
    bills: Usage | None = None
    first_token: float = 0.4
    per_token: float = 0.02
    seed: int = 0

    def calmed(self) -> Scenario:
        """The same without its stimulus."""
        match self.stimulus:
            case "incidents":
                return replace(self, incidents=())
            case "repeats":
                return replace(self, asks=tuple(replace(ask, question=None) for ask in self.asks))
            case _:
                return replace(self, bills=None)


@dataclass(frozen=True, slots=True)
class Template:
    """A scenario with roles and numbers still open."""

    name: str
    entry: Mapping[str, Any]

    @property
    def tests(self) -> tuple[str, ...]:
        """The contracts that it can try."""
        return tuple(self.entry.get("tests", ()))

    @property
    def title(self) -> str:
        """What happens, in a line."""
        return str(self.entry.get("title", ""))

    @property
    def good(self) -> str:
        """What a good router does, in a line."""
        return str(self.entry.get("good", ""))

    @property
    def needs(self) -> frozenset[str]:
        """The roles and numbers that have to be filled in."""
        return frozenset(_names(self.entry))

    def bind(
        self,
        roles: Mapping[str, Sequence[str]] | None = None,
        numbers: Mapping[str, float] | None = None,
    ) -> Scenario:
        """Fill in places and numbers. Raises ``ValueError`` with the key that is wrong."""
        entry = _filled(self.entry, numbers or {})
        try:
            return _read(self.name, entry, roles or {})
        except Unknown:
            raise
        except (TypeError, KeyError) as error:
            raise ValueError(str(error)) from error


def load(name: str, text: str) -> Template:
    """Read a scenario file. Raises ``ValueError`` (``Unknown``, ``TOMLDecodeError``) with what is
    wrong; incidents are only known to be right when the template is bound."""
    entry = tomllib.loads(text)
    for key in entry:
        if key not in _KEYS:
            raise Unknown("key of a scenario", key, _KEYS)
    return Template(name, entry)


@cache
def shipped() -> Mapping[str, Template]:
    """Every shipped scenario by its name."""
    folder = files("llmroute_data").joinpath("scenarios")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): load(
            name.removesuffix(".toml"), folder.joinpath(name).read_text("utf-8")
        )
        for name in names
    }


_KEYS = (
    "title", "good", "source", "tests", "modes", "entries", "stimulus", "incident", "ask", "bills",
    "first-token", "per-token", "seed",
)  # fmt: skip
_ASK_KEYS = (
    "at",
    "times",
    "every",
    "together",
    "question",
    "options",
    "labels",
    "tokens",
    "stream",
)
_ROLES = frozenset({"target", "next", "others"})
_MODES = ("json", "stream")
_ENTRIES = ("chat", "embeddings")
_BILLS = ("input", "output")
_STIMULI = ("incidents", "repeats", "spend")


def _read(name: str, entry: Mapping[str, Any], roles: Mapping[str, Sequence[str]]) -> Scenario:
    stimulus = entry.get("stimulus", "incidents")
    if stimulus not in _STIMULI:
        raise Unknown("stimulus", str(stimulus), _STIMULI)
    incidents = tuple(
        _placed(number, incident, roles)
        for number, incident in enumerate(entry.get("incident", ()))
    )
    asks = tuple(_ask(number, ask) for number, ask in enumerate(entry.get("ask", ({},))))
    bills = entry.get("bills")
    for key, allowed in (("modes", _MODES), ("entries", _ENTRIES), ("bills", _BILLS)):
        for value in entry.get(key) or ():
            if value not in allowed:
                raise Unknown(f"one of {key}", str(value), allowed)
    return Scenario(
        name,
        entry.get("title", ""),
        entry.get("good", ""),
        entry.get("source", ""),
        tuple(entry.get("tests", ())),
        tuple(entry.get("modes", ("json", "stream"))),
        tuple(entry.get("entries", ("chat", "embeddings"))),
        stimulus,
        incidents,
        asks,
        None if bills is None else Usage(int(bills.get("input", 0)), int(bills.get("output", 0))),
        float(entry.get("first-token", 0.4)),
        float(entry.get("per-token", 0.02)),
        int(entry.get("seed", 0)),
    )


def _placed(number: int, entry: Mapping[str, Any], roles: Mapping[str, Sequence[str]]) -> Incident:
    at = entry.get("at", "*")
    places = [at] if isinstance(at, str) else list(at)
    filled = [place for name in places for place in roles.get(name, [name])]
    try:
        return Incident.read({**entry, "at": filled})
    except ValueError as error:
        raise ValueError(f"incident[{number}]: {error}") from error


def _ask(number: int, entry: Mapping[str, Any]) -> Ask:
    for key in entry:
        if key not in _ASK_KEYS:
            raise Unknown(f"key of ask[{number}]", key, _ASK_KEYS)
    settings = dict(entry)
    for key in ("times", "together", "tokens"):
        if key in settings:
            settings[key] = int(settings[key])
            if settings[key] < 1:
                raise ValueError(f"ask[{number}]: {key} = {settings[key]} asks nothing")
    for key in ("at", "every"):
        if key in settings:
            settings[key] = float(settings[key])
    return Ask(**settings)


# -- numbers that a promise fills in: "= cooldown - 1"

_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _names(value: Any) -> set[str]:
    """The roles and the names of numbers in a template."""
    match value:
        case str() if value.startswith("="):
            return {
                node.id
                for node in ast.walk(ast.parse(value[1:].strip(), mode="eval"))
                if isinstance(node, ast.Name)
            }
        case Mapping():
            roles = value.get("at")
            found = (
                {roles}
                if isinstance(roles, str)
                else set(roles or ())
                if isinstance(roles, list)
                else set()
            )
            return (found & _ROLES).union(*map(_names, value.values()))
        case list():
            return set().union(*map(_names, value))
        case _:
            return set()


def _filled(value: Any, numbers: Mapping[str, float]) -> Any:
    match value:
        case str() if value.startswith("="):
            result = _value(ast.parse(value[1:].strip(), mode="eval").body, numbers)
            return int(result) if float(result).is_integer() else float(result)
        case Mapping():
            return {key: _filled(inner, numbers) for key, inner in value.items()}
        case list():
            return [_filled(inner, numbers) for inner in value]
        case _:
            return value


def _value(node: ast.expr, numbers: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in numbers:
            return numbers[name]
        case ast.Name(id=name):
            raise Unknown("number", name, numbers)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value(left, numbers), _value(right, numbers))
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not a sum of numbers and names")
