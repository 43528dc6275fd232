"""Variants of a scenario: its fault at another position of the chain, and at other attempts.

A scenario about one fault at the ``target`` is also one about the same fault at ``next`` or at
``others`` (who comes before is down then), and on the ``first`` attempt alone, on a ``later`` one (the
second) or on ``every`` one. A variant is named after the scenario: ``faults/cut@next:later``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmroute_sim.names import Unknown

__all__ = ("ATTEMPTS", "POSITIONS", "split", "variants", "varied")

POSITIONS = ("target", "next", "others")

ATTEMPTS: Mapping[str, Mapping[str, int]] = {
    "first": {"first": 1},
    "later": {"nth": 2},
    "every": {},
}

_DOWN = {"fault": {"name": "outage", "status": 503}}


def split(name: str) -> tuple[str, str, str] | None:
    """A variant's scenario, position and attempts, or None for the name of no variant.

    Raises ``Unknown`` for a position and for attempts that there are not.
    """
    plain, sign, rest = name.partition("@")
    if not sign:
        return None
    position, _, attempts = rest.partition(":")
    if position not in POSITIONS:
        raise Unknown("position", position, POSITIONS)
    if (attempts := attempts or "every") not in ATTEMPTS:
        raise Unknown("attempts", attempts, ATTEMPTS)
    return plain, position, attempts


def variants(name: str) -> Iterator[str]:
    """The names of a scenario's variants, the scenario's own meaning (the target, on every attempt)
    left out."""
    for position in POSITIONS:
        for attempts in ATTEMPTS:
            if (position, attempts) != (POSITIONS[0], "every"):
                yield f"{name}@{position}:{attempts}"


def varied(entry: Mapping[str, Any], position: str, attempts: str) -> dict[str, Any]:
    """A scenario's table with its only incident elsewhere. Raises ``ValueError`` if it has others, or
    one that is not at the target."""
    incidents = entry.get("incident", ())
    if len(incidents) != 1 or incidents[0].get("at") != POSITIONS[0]:
        raise ValueError("only a scenario of one incident, at the target, has variants")
    [incident] = incidents
    moved = {
        **incident,
        "at": position,
        "when": {**incident.get("when", {}), **ATTEMPTS[attempts]},
    }
    before = [{**_DOWN, "at": earlier} for earlier in POSITIONS[: POSITIONS.index(position)]]
    where = (
        "" if position == POSITIONS[0] else f", {position} in the chain (who comes before is down)"
    )
    which = {"first": ", on the first attempt alone", "later": ", on the second attempt alone"}
    return {
        **entry,
        "title": f"{entry.get('title', '')}{where}{which.get(attempts, '')}",
        "incident": [*before, moved],
    }
