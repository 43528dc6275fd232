"""Places as contracts want them: the deployments that a place means in a world."""

from __future__ import annotations

from llmroute_sim.incidents import Place
from llmroute_sim.simulator import Simulator
from pytest_llmroute.contracts import Contract, Target
from pytest_llmroute.promises import retargeted

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

    def target(given: Target | str) -> Target:
        return target_at(simulator, given) if isinstance(given, str) else given

    return retargeted(contract, target)
