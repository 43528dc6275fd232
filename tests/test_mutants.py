from __future__ import annotations

from dataclasses import replace

import pytest

from llmroute_sim.scenario import shipped
from pytest_llmroute.contracts import contracts
from pytest_llmroute.play import Cell, play

from .routers.driven import ENTRIES, Routed
from .routers.mutants import MUTANTS
from .routers.trials import (
    BUDGET,
    COOLDOWN,
    EVERYTHING,
    GROUP,
    MORE,
    TRIALS,
    TTL,
    WINDOW,
    history,
    promised,
    scenarios,
    seen,
)


def test_there_is_a_mutant_for_every_contract():
    assert set(MUTANTS) == set(TRIALS) == set(contracts())


@pytest.mark.parametrize("scenario", scenarios())
def test_the_reference_router_breaks_nothing(scenario):
    broken = {
        name: [one for one in found.observations if not one.kept]
        for name in TRIALS
        if (found := seen("reference", scenario, name)).outcome == "broken"
    }
    assert broken == {}


@pytest.mark.parametrize("contract", TRIALS)
def test_the_reference_router_is_seen_to_keep(contract):
    assert seen("reference", contract, contract).outcome == "kept"


@pytest.mark.parametrize("contract", MUTANTS)
def test_a_mutant_breaks_its_contract_and_no_other(contract):
    outcomes = {name: seen(contract, contract, name).outcome for name in TRIALS}
    assert [name for name, outcome in outcomes.items() if outcome == "broken"] == [contract]


@pytest.mark.parametrize("contract", MUTANTS)
def test_without_the_stimulus_a_mutant_shows_nothing(contract):
    assert seen(contract, contract, contract, calm=True).observations == ()


@pytest.mark.parametrize("contract", TRIALS)
def test_without_the_stimulus_the_reference_router_shows_nothing(contract):
    assert seen("reference", contract, contract, calm=True).observations == ()


@pytest.mark.parametrize("contract", MUTANTS)
def test_a_mutant_meets_the_same_stimulus_twice_with_the_same_history(contract):
    entry = ENTRIES[-1]
    first = history(contract, contract, entry).digest()
    history.cache_clear()
    assert history(contract, contract, entry).digest() == first


ROLES = {"target": ("openai",), "next": ("anthropic",), "others": ("groq",)}
NUMBERS = {
    "retries": 1, "cooldown": COOLDOWN, "timeout": 10, "patience": 10, "window": WINDOW, "ttl": TTL,
    "fails": 2, "bill_input": 80_000, "bill_output": 20_000,
}  # fmt: skip
NOT_MET = {
    ("context-length", "fallback.answers"): "no answer is promised for prompts that are too long",
    ("cut-json", "stream.one-voice"): "no words were out",
    ("cooldown-window", "health.cooldown"): "one failure is not enough for this router",
}
"""What shipped scenarios name and this router gives no occasion for."""


@pytest.mark.parametrize("name", shipped().default)
def test_the_reference_router_breaks_nothing_in_a_shipped_scenario(name):
    template = shipped()[name]
    if "chat" not in template.entry.get("entries", ["chat"]):
        pytest.skip("the reference router only chats")
    needed = {number: NUMBERS[number] for number in template.needs if number in NUMBERS}
    scenario = template.bind(ROLES, needed)
    met = set()
    for entry in ENTRIES:
        if ("stream" if entry.stream else "json") in scenario.modes:
            found = play(Cell(Routed(EVERYTHING), scenario, GROUP, entry))
            for contract in promised(EVERYTHING).values():
                observations = list(contract.check(found))
                assert [one for one in observations if not one.kept] == []
                met |= {contract.id} if observations else set()
    untested = {one for one in scenario.tests if one not in met and (name, one) not in NOT_MET}
    assert untested == set()


@pytest.mark.wide
@pytest.mark.parametrize("seed", range(1, 41))
def test_the_reference_router_breaks_nothing_by_chance(seed):
    scenario, knobs = MORE["chance"]
    knobs = replace(knobs, retries=seed % 3, failures=(None, 2, 3)[seed % 3])
    found = play(Cell(Routed(knobs), replace(scenario, seed=seed), GROUP, ENTRIES[seed % 4]))
    for contract in promised(knobs).values():
        assert [one for one in contract.check(found) if not one.kept] == []


def test_the_budget_of_the_trials_is_reached_by_three_answers():
    [entry, *_] = ENTRIES
    spent = [one.spent for one in history("reference", "budget.cutoff", entry).attempts[:3]]
    assert sum(spent[:2]) < BUDGET <= sum(spent)
