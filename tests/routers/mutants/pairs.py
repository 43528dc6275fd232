"""Two deployments that stand in for each other, and how a mutant is declared that picks among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmroute_sim.faults import LatencySpike
from llmroute_sim.incidents import Incident
from llmroute_sim.scenario import Ask, Scenario

from ..picking import Picking, Picks
from ..reference import Knobs, Reference
from ..scenes import FIRST, GROUP, scene
from ..upstreams import GROQ, OPENAI, Group
from .declared import Mutant, Only, mutant

PAIR = (Group(GROUP, (OPENAI, GROQ)),)


def picker(
    breaks: str,
    scenario: Scenario,
    knobs: Knobs,
    *,
    when: str = "",
    only: Only | None = None,
    also: Mapping[str, str] | None = None,
) -> Callable[[type[Picking]], Mutant]:
    """Declare a mutant above the class that picks for it."""

    def declared(picking: type[Picking]) -> Mutant:
        router = type(
            picking.__name__, (Reference,), {"__doc__": picking.__doc__, "picks": picking}
        )
        return mutant(breaks, scenario, knobs, when=when, only=only, also=also)(router)

    return declared


def load(*asks: Ask, incidents: tuple[Incident, ...] = (), **more: Any) -> Scenario:
    """Many calls."""
    return scene(*incidents, asks=asks, stimulus="load", **more)


def crowd(*asks: Ask, incidents: tuple[Incident, ...] = (), **more: Any) -> Scenario:
    """Calls at the same time."""
    return scene(*incidents, asks=asks, stimulus="concurrency", **more)


def picked(strategy: str, chain: tuple[Group, ...] = PAIR, **more: Any) -> Knobs:
    return Knobs(chain=chain, picks=Picks(strategy, **more))


def limited(retries: int = 0, **limits: Any) -> Knobs:
    return Knobs(chain=PAIR, retries=retries, picks=Picks(**limits))


MOST = (("openai", 19.0), ("groq", 1.0))
SLOW = Incident(LatencySpike(5), (FIRST,))
