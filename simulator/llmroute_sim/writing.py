"""How a scenario is written down: the TOML that reads back as the same scenario."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tomli_w

from llmroute_sim.faults import Fault
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.names import kebab
from llmroute_sim.prompt import Usage
from llmroute_sim.reading import spelled
from llmroute_sim.scenario import Scenario
from llmroute_sim.workload import Ask

__all__ = ("toml",)

_ANYWHERE = (Place(),)


def toml(scenario: Scenario) -> str:
    """A scenario as a file holds it: without what is so anyway, and without its name, which is that of
    the file.

    Raises ``ValueError`` for what no file can say: a text that would be read as a sum (``"= 2 * 3"``),
    or None where something else is meant unless one is said.
    """
    settings = dict(_changed(scenario, Scenario(scenario.name), leave=("incidents", "asks")))
    if not scenario.asks:
        settings["ask"] = []
    tables = [_table("incident", _incident(incident)) for incident in scenario.incidents]
    if scenario.asks != (Ask(),):
        tables += [_table("ask", _changed(ask, Ask())) for ask in scenario.asks]
    return "\n\n".join(filter(None, ["\n".join(_lines(settings.items())), *tables])) + "\n"


def _table(name: str, pairs: Iterable[tuple[str, Any]]) -> str:
    return "\n".join([f"[[{name}]]", *_lines(pairs)])


def _lines(pairs: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for key, value in pairs:
        yield f"{_key(key)} = {_value(value)}"


def _incident(incident: Incident) -> Iterator[tuple[str, Any]]:
    name = kebab(type(incident.fault).__name__)
    settings = dict(_changed(incident.fault, type(incident.fault)()))
    yield "fault", {"name": name, **settings} if settings else name
    if incident.at != _ANYWHERE:
        places = [str(place) for place in incident.at]
        yield "at", places[0] if len(places) == 1 else places
    if said := dict(_changed(incident.when, When())):
        yield "when", said


def _changed(
    value: Scenario | Ask | Fault | When | Usage, plain: Any, leave: Sequence[str] = ()
) -> Iterator[tuple[str, Any]]:
    """The fields of a value that say anything but what goes without saying, as files spell them."""
    for field in dataclasses.fields(value):
        said = getattr(value, field.name)
        if field.name in leave or said == getattr(plain, field.name):
            continue
        if said is None:
            name = type(value).__name__
            raise ValueError(f"no file can say that {field.name} of {name} is None")
        yield spelled(field.name), _plain(said)


def _plain(said: Any) -> Any:
    """A field in what TOML has; whole seconds without a point."""
    match said:
        case Usage():
            return {"input": said.input, "output": said.output}
        case Ask():
            return dict(_changed(said, Ask()))
        case float() if said.is_integer():
            return int(said)
        case tuple():
            return [_plain(one) for one in said]
        case _:
            return said


def _value(value: Any) -> str:
    """A value on one line."""
    match value:
        case Mapping():
            pairs = ", ".join(_lines(value.items()))
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case str() if value.startswith("="):
            raise ValueError(f"no file can say {value!r}: it would be read as a sum")
        case None:
            raise ValueError("no file can say None")
        case _:
            return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
