from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from llmroute_sim.names import Unknown
from llmroute_sim.scenario import shipped
from llmroute_sim.variants import split, variants, varied
from pytest_llmroute.configs import read
from pytest_llmroute.contracts import contracts
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.routers import Entry
from pytest_llmroute.run import Trial, judged, trials
from pytest_llmroute.sweep import choose

from .routers.driven import ENTRIES, Routed
from .routers.mutants import promised
from .routers.trials import EVERYTHING, played
from .test_library import ALONE, NUMBERS, ROLES

pytestmark = pytest.mark.once

CONFIG = Path(str(files("llmroute_data").joinpath("configs/priorities.yaml")))
FAULTS = [name for name in ALONE if name != "faults/tls-failure"]
EVERYWHERE = [one for name in FAULTS for one in (f"{name}@target:every", *variants(name))]


def scenario_of(name: str):
    return replace(shipped()[name].bind(ROLES, NUMBERS), seed=1)


def ways(name: str):
    modes, entries = scenario_of(name).modes, scenario_of(name).entries
    return [
        entry
        for entry in (ENTRIES[0], ENTRIES[3])
        if ("stream" if entry.stream else "json") in modes and entry.api in entries
    ]


@cache
def history(name: str, entry: Entry):
    return played(Routed(EVERYTHING), scenario_of(name), entry)


def wrong(name: str):
    return [
        one
        for entry in ways(name)
        for contract in promised(EVERYTHING)
        for one in contract.check(history(name, entry))
        if not one.kept
    ]


# -- what a variant is


def test_a_scenario_of_one_fault_has_eight_variants():
    found = list(variants("faults/cut"))
    assert len(found) == len(set(found)) == 8
    assert "faults/cut@next:later" in found
    assert "faults/cut@target:every" not in found


def test_a_variant_is_found_by_its_name_and_keeps_what_the_scenario_says():
    plain, found = shipped()["faults/cut"], shipped()["cut@others:first"]
    assert found.name == "faults/cut@others:first"
    assert found.tests == plain.tests
    assert found.title.startswith(plain.title)
    assert found.needs == {"target", "next", "others"}


def test_who_comes_before_is_down():
    *before, incident = shipped()["faults/cut@others"].bind(ROLES, NUMBERS).incidents
    assert [[str(place) for place in one.at] for one in before] == [["openai"], ["anthropic"]]
    assert [str(place) for place in incident.at] == ["groq"]


def test_a_later_attempt_is_the_second():
    scenario = shipped()["faults/cut@target:later"].bind(ROLES, NUMBERS)
    assert [one.when.nth for one in scenario.incidents] == [2]


def test_variants_are_not_listed():
    assert not [name for name in shipped() if split(name)]


@pytest.mark.parametrize(
    ("name", "said"),
    [("cut@nxt", "position 'nxt'.*'next'"), ("cut@next:latter", "attempts 'latter'.*'later'")],
)
def test_a_variant_that_there_is_not_is_told_from_those_that_there_are(name, said):
    with pytest.raises(Unknown, match=said):
        choose([name], [])


def test_only_one_fault_at_the_target_can_be_moved():
    with pytest.raises(ConfigError, match="one incident, at the target"):
        choose(["blackout@next"], [])
    with pytest.raises(ValueError, match="one incident"):
        varied({"incident": [{}, {}]}, "next", "every")


def test_what_a_scenario_cannot_try_its_variants_cannot_either():
    config = read(CONFIG)
    assert config is not None
    [promise, *_] = [one for one in config.promises if "faults/moderated" in one.avoid]
    choice = choose(["faults/moderated@next"], [promise.contract.id])
    found, _ = trials(config, choice)
    assert promise.text not in {one.text for trial in found for one in trial.promises}


# -- every fault, streamed and not, at each position of the chain, on the first, a later, every attempt


@pytest.mark.parametrize("name", EVERYWHERE[::17])
def test_the_reference_router_breaks_nothing_wherever_the_fault_is(name):
    assert wrong(name) == []


@pytest.mark.wide
@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_reference_router_breaks_nothing_at_any_place_and_attempt(name):
    assert wrong(name) == []


@pytest.mark.wide
def test_a_fault_acts_at_every_position():
    silent = [
        name
        for name in EVERYWHERE
        if name.endswith(":every")
        and not any(
            fault.startswith(name.split("@")[0].removeprefix("faults/"))
            for entry in ways(name)
            for attempt in history(name, entry).attempts
            for fault in attempt.faults
        )
    ]
    assert silent == []


@pytest.mark.wide
def test_every_contract_about_a_chain_has_something_to_say_at_every_position():
    chain = (
        "fallback.answers",
        "fallback.order",
        "fallback.elsewhere",
        "fallback.once",
        "retry.bounded",
    )
    for position in ("target", "next", "others"):
        met = {
            contract.id
            for name in EVERYWHERE
            if f"@{position}" in name
            for entry in ways(name)
            for contract in promised(EVERYTHING)
            if contract.id in chain and any(contract.check(history(name, entry)))
        }
        assert met == set(chain)


@pytest.mark.wide
@pytest.mark.parametrize("name", EVERYWHERE[::5])
def test_litellm_is_judged_wherever_the_fault_is(name):
    pytest.importorskip("litellm")
    config = read(CONFIG)
    assert config is not None
    found, _ = trials(config, choose([name], []))
    asynchronous = [
        trial
        for trial in found
        if trial.cell.entry.api == "chat" and not trial.cell.entry.sync and _once(trial)
    ]
    assert asynchronous
    for trial in asynchronous:
        result = judged(trial)
        assert {verdict.promise.contract.id for verdict in result.verdicts} <= set(contracts())
        assert result.history.calls


def _once(trial: Trial) -> bool:
    return trial.cell.group == "translate"
