# No false alarm: the router that does everything right, in every scenario that there is, through every
# way in, and in scenarios that nobody has thought of.

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from llmroute_sim.scenario import Scenario, shipped
from llmroute_sim.sums import NUMBERS
from pytest_llmroute.routers import Entry
from pytest_llmroute.strategies import scenarios

from .routers.driven import WAYS, Routed
from .routers.mutants import MUTANTS, promised
from .routers.mutants.declared import ways
from .routers.reference import Knobs
from .routers.trials import EVERYTHING, played

pytestmark = pytest.mark.once

SETUPS = {
    "everything": EVERYTHING,
    "no cooldowns": Knobs(),
    "no retries": Knobs(retries=0, failures=3),
    "by class": Knobs(classes=(("timeout", 0), ("internal", 1), ("unavailable", 3)), failures=5),
}
"""How the router is set up."""

EVERY_WAY = [
    *SETUPS.values(),
    *(
        knobs
        for number, knobs in enumerate(one.knobs for one in MUTANTS.values())
        if knobs not in [one.knobs for one in MUTANTS.values()][:number]
        # Nobody promised that these stay in the order of the chain: who has joined is not in it, and who
        # has spent its budget is passed over. Nor does anybody here leave in the middle of a word.
        and not knobs.joins
        and knobs.deadline is None
        and (knobs.budget is None or knobs.budget >= 1)
    ),
]
"""And how it is set up for its mutants."""

PLAYED = [name for name in shipped() if name != "faults/tls-failure"]
"""In memory no TLS is spoken."""

ROLES = {"target": ("openai",), "next": ("anthropic",), "others": ("groq",)}
OF_VECTORS = {
    "target": ("one.vectors.example",),
    "next": ("two.vectors.example",),
    "others": ("two.vectors.example",),
}
PLACES = ("openai", "anthropic", "groq", "one.vectors.example", "two.vectors.example", "*")


def bound(name: str, knobs: Knobs, entry: Entry, seed: int = 0) -> Scenario:
    """A scenario of the library as it is played against the reference router."""
    numbers = {
        **NUMBERS, "retries": knobs.retries, "cooldown": knobs.cooldown, "timeout": knobs.patience,
        "patience": knobs.patience, "window": knobs.window, "ttl": knobs.ttl or 600.0,
        "fails": knobs.failures or 3,
    }  # fmt: skip
    roles = OF_VECTORS if entry.api == "embeddings" else ROLES
    scenario = shipped()[name].bind(roles, numbers)
    return replace(scenario, seed=seed or scenario.seed)


def alarms(knobs: Knobs, scenario: Scenario, entry: Entry) -> list[str]:
    """What contracts have against the router."""
    found = played(Routed(knobs), scenario, entry)
    return [
        f"{contract.id} through {entry}: {seen.says}"
        for contract in promised(knobs)
        for seen in contract.check(found)
        if not seen.kept
    ]


def ways_in(name: str) -> tuple[Entry, ...]:
    scenario = bound(name, EVERYTHING, WAYS[0])
    found = ways(scenario)
    return found[:1] if scenario.one_way else found


@pytest.mark.parametrize("number", range(len(PLAYED)), ids=PLAYED)
def test_it_breaks_nothing_in_the_library(number):
    name, setups = PLAYED[number], list(SETUPS.values())
    entries = ways_in(name)
    # Each scenario through one of the ways in, and all of them are taken.
    entry, knobs = entries[number % len(entries)], setups[number % len(setups)]
    assert alarms(knobs, bound(name, knobs, entry), entry) == []


@pytest.mark.wide
@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("name", PLAYED)
def test_it_breaks_nothing_in_the_library_through_any_way_in(name, setup):
    knobs = SETUPS[setup]
    found = [
        one for entry in ways_in(name) for one in alarms(knobs, bound(name, knobs, entry), entry)
    ]
    assert found == []


@pytest.mark.wide
@pytest.mark.parametrize("seed", range(1, 41))
def test_it_breaks_nothing_in_the_library_whatever_chance_gives(seed):
    found = []
    for number, name in enumerate(PLAYED):
        entries = ways_in(name)
        entry = entries[(seed + number) % len(entries)]
        knobs = EVERY_WAY[(seed + number) % len(EVERY_WAY)]
        found += [f"{name}: {one}" for one in alarms(knobs, bound(name, knobs, entry, seed), entry)]
    assert found == []


# -- chaos

KNOBS = st.builds(
    Knobs,
    retries=st.sampled_from((0, 1, 2)),
    failures=st.sampled_from((None, 2, 3)),
    ttl=st.sampled_from((None, 600.0)),
    cooldown=st.sampled_from((5.0, 60.0)),
)


def chaos(examples: int, seed: int):
    """Scenarios of up to three incidents, of any fault, at any of the places."""

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios(*PLACES), st.sampled_from(WAYS), KNOBS)
    def calm(scenario: Scenario, entry: Entry, knobs: Knobs) -> None:
        assert alarms(knobs, replace(scenario, seed=seed), entry) == []

    return calm


def test_it_breaks_nothing_in_chaos():
    chaos(20, seed=0)()


@pytest.mark.wide
@pytest.mark.parametrize("seed", range(1, 49))
def test_it_breaks_nothing_in_chaos_whatever_chance_gives(seed):
    chaos(40, seed)()
