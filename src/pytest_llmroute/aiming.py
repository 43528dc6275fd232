"""Places as contracts want them: the deployments that a place means in a world."""

from __future__ import annotations

import dataclasses
from typing import Any

from llmroute_sim.incidents import Place
from llmroute_sim.simulator import Simulator
from pytest_llmroute.contracts import Contract, Target

__all__ = ("aimed", "target_at")


def target_at(simulator: Simulator, place: str) -> Target:
    """The deployments at a place, ``provider/model@region#key``.

    Raises ``Unknown`` for a place that does not exist.
    """
    wanted = Place.parse(place)
    simulator.check(wanted)
    return Target(
        place,
        tuple(
            (host, wanted.model, wanted.key)
            for host, found in simulator.deployments.items()
            if found.within(wanted)
        ),
    )


def aimed(simulator: Simulator, contract: Contract) -> Contract:
    """A contract whose targets may have been given as places, with the deployments they mean."""
    changes: dict[str, object] = {}
    given: Any = contract
    for field in dataclasses.fields(given) if dataclasses.is_dataclass(given) else ():
        if "Target" not in str(field.type):
            continue
        match getattr(given, field.name):
            case str() as place:
                changes[field.name] = target_at(simulator, place)
            case list() | tuple() as several:
                changes[field.name] = tuple(
                    target_at(simulator, one) if isinstance(one, str) else one for one in several
                )
    found: Contract = dataclasses.replace(given, **changes) if changes else contract
    return found
