"""Names with stars: which names a pattern of the model list means, and what is asked upstream for
one (https://docs.litellm.ai/docs/wildcard_routing)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmroute_sim.providers import catalogue, provider
from pytest_llmroute.routers.litellm.keys import data

__all__ = ("filled", "is_pattern", "listed_names", "parts", "samples")

_LISTS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


def is_pattern(name: object) -> bool:
    """Whether a name stands for many."""
    return isinstance(name, str) and "*" in name


def parts(pattern: str, name: str) -> tuple[str, ...] | None:
    """What the stars of a pattern stand for in a name, None if the name is not meant."""
    literal = "(.*)".join(map(re.escape, pattern.split("*")))
    found = re.fullmatch(literal, name)
    return None if found is None else found.groups()


def filled(pattern: str, stars: tuple[str, ...]) -> str:
    """A pattern with its stars filled in, as it is where it has another number of them."""
    pieces = pattern.split("*")
    if len(pieces) != len(stars) + 1:
        return pattern
    return pieces[0] + "".join(star + piece for star, piece in zip(stars, pieces[1:], strict=True))


def samples(name: str, model: str) -> Iterator[str]:
    """Names that a caller may ask a pattern for, the most usual first: those whose model its provider
    is known to sell."""
    if not is_pattern(model):
        yield filled(name, ("any",) * name.count("*"))
        return
    prefix, slash, rest = model.partition("/")
    simulated: Mapping[str, Any] = data("providers")["simulated"]
    if not slash:
        prefix, rest = name.partition("/")[0], model
        sold = [f"{maker}/{one}" for maker in (prefix, "openai") for one in _sold(maker)]
    else:
        sold = _sold(prefix) if prefix in simulated else []
    for one in sold:
        stars = parts(rest, one)
        if stars is None:
            continue
        asked = filled(name, stars)
        if "*" not in asked:
            yield asked


def _sold(prefix: str) -> list[str]:
    known = data("providers")["simulated"].get(prefix)
    if known is None:
        return []
    return [*known.get("samples", ()), *catalogue(provider(known["provider"]))]


def listed_names(values: Mapping[str, Any]) -> Iterable[str]:
    """The names that a file's lists of fallbacks and aliases use, in their order."""
    found: dict[str, None] = {}
    for section in ("router_settings", "litellm_settings"):
        table = values.get(section)
        if isinstance(table, Mapping):
            found |= dict.fromkeys(_names(table))
    return found


def _names(table: Mapping[str, Any]) -> Iterator[str]:
    for setting in _LISTS:
        for entry in _listed(table.get(setting)):
            if isinstance(entry, Mapping):
                for name, targets in entry.items():
                    yield str(name)
                    yield from _targets(targets)
    yield from _targets(table.get("default_fallbacks"))
    aliases = table.get("model_group_alias")
    if isinstance(aliases, Mapping):
        yield from _targets(list(aliases.values()))


def _targets(targets: object) -> Iterator[str]:
    for target in _listed(targets):
        name = target.get("model") if isinstance(target, Mapping) else target
        if isinstance(name, str):
            yield name


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
