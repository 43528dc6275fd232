"""Prove that LLM routing works: providers simulated offline, their failures, and a judge.

Everything public is here. Names are imported when they are first used, so that a test run which
uses none of them pays for none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmroute_sim import faults
    from llmroute_sim.clock import Clock, Stuck
    from llmroute_sim.history import Attempt, Call, History
    from llmroute_sim.incidents import Incident, Live, Place, When
    from llmroute_sim.names import Unknown
    from llmroute_sim.scenario import Scenario, Template
    from llmroute_sim.workload import Ask
    from pytest_llmroute import contracts, strategies
    from pytest_llmroute.asking import Recorded
    from pytest_llmroute.checking import check
    from pytest_llmroute.contracts import Contract, Observation, Target
    from pytest_llmroute.factory import WorldFactory
    from pytest_llmroute.loopback import Server
    from pytest_llmroute.path import Path
    from pytest_llmroute.playing import Unplayable
    from pytest_llmroute.report.figures import Figures
    from pytest_llmroute.report.tally import measure
    from pytest_llmroute.routers import Entry
    from pytest_llmroute.worlds import World, world

__all__ = (
    "Ask",
    "Attempt",
    "Call",
    "Clock",
    "Contract",
    "Entry",
    "Figures",
    "History",
    "Incident",
    "Live",
    "Observation",
    "Path",
    "Place",
    "Recorded",
    "Scenario",
    "Server",
    "Stuck",
    "Target",
    "Template",
    "Unknown",
    "Unplayable",
    "When",
    "World",
    "WorldFactory",
    "check",
    "contracts",
    "faults",
    "measure",
    "strategies",
    "world",
)

_HOMES = {
    "llmroute_sim.clock": ("Clock", "Stuck"),
    "llmroute_sim.history": ("Attempt", "Call", "History"),
    "llmroute_sim.incidents": ("Incident", "Live", "Place", "When"),
    "llmroute_sim.names": ("Unknown",),
    "llmroute_sim.scenario": ("Scenario", "Template"),
    "llmroute_sim.workload": ("Ask",),
    "pytest_llmroute.asking": ("Recorded",),
    "pytest_llmroute.checking": ("check",),
    "pytest_llmroute.contracts": ("Contract", "Observation", "Target"),
    "pytest_llmroute.factory": ("WorldFactory",),
    "pytest_llmroute.loopback": ("Server",),
    "pytest_llmroute.path": ("Path",),
    "pytest_llmroute.playing": ("Unplayable",),
    "pytest_llmroute.report.figures": ("Figures",),
    "pytest_llmroute.report.tally": ("measure",),
    "pytest_llmroute.routers": ("Entry",),
    "pytest_llmroute.worlds": ("World", "world"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = {
    "contracts": "pytest_llmroute.contracts",
    "faults": "llmroute_sim.faults",
    "strategies": "pytest_llmroute.strategies",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found: Any = import_module(_MODULES[name])
    elif name in _HOME:
        found = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
