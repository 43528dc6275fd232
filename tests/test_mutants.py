from __future__ import annotations

import pytest

from pages import text
from pytest_llmroute.contracts import contracts

from .routers.driven import ENTRIES
from .routers.mutants import MUTANTS, promised
from .routers.page import line, rows
from .routers.scenes import BUDGET
from .routers.trials import MORE, REFERENCE, broken, history, seen

pytestmark = pytest.mark.once

PAGE = text("mutants.md").splitlines()
HOW = "python benchmarks/mutants.py --write"


def test_there_is_a_mutant_for_every_contract():
    assert {mutant.breaks for mutant in MUTANTS.values()} == set(contracts())


def test_half_of_the_mutants_misbehave_only_under_a_condition():
    assert 2 * sum(bool(mutant.when) for mutant in MUTANTS.values()) >= len(MUTANTS)


@pytest.mark.parametrize("trial", [*MUTANTS, *MORE])
def test_the_reference_router_breaks_nothing(trial):
    found = seen(REFERENCE, trial)
    assert {name: found[name].observations for name in broken(found)} == {}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_reference_router_is_seen_to_keep_what_a_mutant_breaks(name):
    assert seen(REFERENCE, name)[MUTANTS[name].breaks].outcome == "kept"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_breaks_its_contract_and_no_other(name):
    mutant = MUTANTS[name]
    assert set(broken(seen(name, name))) == {mutant.breaks, *mutant.also}


@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if mutant.only])
def test_a_mutant_is_sound_through_the_other_ways_in(name):
    mutant = MUTANTS[name]
    other = [entry for entry in mutant.ways if not mutant.misbehaves(entry)]
    assert other
    wrong = [
        observation
        for entry in other
        for contract in promised(mutant.knobs)
        for observation in contract.check(history(name, name, entry))
        if not observation.kept
    ]
    assert wrong == []


@pytest.mark.parametrize("name", MUTANTS)
def test_without_the_stimulus_a_mutant_shows_nothing(name):
    assert seen(name, name, calm=True)[MUTANTS[name].breaks].observations == ()


@pytest.mark.parametrize("name", MUTANTS)
def test_without_the_stimulus_the_reference_router_shows_nothing(name):
    assert seen(REFERENCE, name, calm=True)[MUTANTS[name].breaks].observations == ()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_meets_the_same_stimulus_twice_with_the_same_history(name):
    entry = MUTANTS[name].ways[-1]
    first = history(name, name, entry).digest()
    assert history.__wrapped__(name, name, entry).digest() == first


def test_the_page_lists_the_mutants():
    assert [row for row in PAGE if row.startswith("| ")][2:] == rows(), HOW


@pytest.mark.parametrize("name", MUTANTS)
def test_the_page_shows_what_contracts_say_of_a_mutant(name):
    assert line(name) in PAGE, HOW


def test_the_budget_of_the_trials_is_reached_by_three_answers():
    [entry, *_] = ENTRIES
    attempts = history(REFERENCE, "streams for free", entry).attempts
    spent = [one.spent for one in attempts[:3]]
    assert sum(spent[:2]) < BUDGET <= sum(spent)
