"""What contracts say of the reference router and of its mutants, in the scenarios in which that can
be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from llmroute_sim.faults import (
    Cut,
    Drip,
    ErrorInStream,
    LatencySpike,
    Outage,
    RateLimit,
    Refused,
    Reset,
    Silence,
    Stall,
    Unauthorized,
)
from llmroute_sim.history import History
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask, Scenario
from pytest_llmroute.contracts import Observation
from pytest_llmroute.play import Cell, play
from pytest_llmroute.routers import Entry

from .driven import Routed
from .mutants import MUTANTS, promised
from .mutants.declared import ways
from .reference import Knobs, Reference
from .scenes import (
    ALL,
    BUDGET,
    COOLDOWN,
    FIRST,
    GROUP,
    PLAIN,
    SECOND,
    TTL,
    VECTORS,
    WINDOW,
    scene,
    spending,
)

__all__ = ("BUSY", "EVERYTHING", "MORE", "REFERENCE", "Seen", "broken", "history", "played", "seen")

REFERENCE = "the reference router"

EVERYTHING = Knobs(retries=1, budget=BUDGET, window=WINDOW, ttl=TTL, failures=2, cooldown=COOLDOWN)
BUSY = (Ask(together=6), Ask(at=2, times=20, every=7), Ask(at=200, together=6, question="A"))

MORE: Mapping[str, tuple[Scenario, Knobs]] = {
    "stall after words": (scene(Incident(Stall(3), (FIRST,))), PLAIN),
    "bad key": (scene(Incident(Unauthorized(), (FIRST,))), PLAIN),
    "error at once": (scene(Incident(ErrorInStream(0), (FIRST,))), PLAIN),
    "reset early": (scene(Incident(Reset(-1), ALL)), PLAIN),
    "now and then": (
        scene(Incident(Outage(503), (FIRST,), When(every=2)), asks=BUSY),
        EVERYTHING,
    ),
    "chance": (
        scene(
            Incident(Outage(500), ALL, When(chance=0.3)),
            Incident(RateLimit(15), (FIRST, SECOND), When(chance=0.2)),
            Incident(Cut(2), ALL, When(chance=0.2)),
            asks=BUSY,
        ),
        EVERYTHING,
    ),
    "flapping": (
        scene(
            Incident(Refused(), (FIRST,), When(between=(0, 50))),
            Incident(Silence(), (FIRST,), When(between=(100, 170))),
            Incident(Outage(500), (SECOND,), When(between=(40, 120))),
            asks=BUSY,
        ),
        EVERYTHING,
    ),
    "dear": (spending(*BUSY, Ask(at=WINDOW + 60, times=5, every=3)), EVERYTHING),
    "slow": (scene(Incident(LatencySpike(11), (FIRST,)), asks=BUSY), EVERYTHING),
    "dripping": (scene(Incident(Drip(4), (FIRST,)), asks=BUSY), EVERYTHING),
}
"""Further scenarios in which a good router must look good."""


@dataclass(frozen=True)
class Seen:
    """What a contract says of a router in a scenario, over all the ways in."""

    outcome: str
    observations: tuple[Observation, ...]


@cache
def history(router: str, trial: str, entry: Entry, *, calm: bool = False) -> History:
    """What happened. ``router`` is the name of a mutant or the reference, ``trial`` the name of the
    mutant whose scenario it is, or of a further one."""
    scenario, knobs = _trial(trial)
    kind = Reference if router == REFERENCE else MUTANTS[router].router
    return played(Routed(knobs, kind), scenario.calmed() if calm else scenario, entry)


def played(routed: Routed, scenario: Scenario, entry: Entry) -> History:
    """What happened when a router was asked through a way in."""
    return play(Cell(routed, scenario, VECTORS if entry.api == "embeddings" else GROUP, entry))


def seen(router: str, trial: str, *, calm: bool = False) -> dict[str, Seen]:
    """What every contract that is promised says of a router in a scenario."""
    scenario, knobs = _trial(trial)
    found: dict[str, list[Observation]] = {}
    for entry in ways(scenario):
        happened = history(router, trial, entry, calm=calm)
        for contract in promised(knobs):
            found.setdefault(contract.id, []).extend(contract.check(happened))
    return {name: Seen(_outcome(said), tuple(said)) for name, said in found.items()}


def broken(found: Mapping[str, Seen]) -> list[str]:
    """The contracts that are broken."""
    return [name for name, one in found.items() if one.outcome == "broken"]


def _outcome(observations: list[Observation]) -> str:
    if not observations:
        return "untested"
    return "kept" if all(one.kept for one in observations) else "broken"


def _trial(name: str) -> tuple[Scenario, Knobs]:
    if name in MUTANTS:
        return MUTANTS[name].scenario, MUTANTS[name].knobs
    return MORE[name]
