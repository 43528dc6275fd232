# The shipped scenarios of load and of time, played to the reference router: each tries what it says that
# it tries, and a good router keeps that. Without its stimulus nothing comes of it.

from __future__ import annotations

from dataclasses import replace

import pytest

from llmroute_sim.scenario import shipped
from pytest_llmroute.play import Cell, play

from .routers.driven import Routed
from .routers.mutants import promised
from .routers.mutants.declared import ways
from .routers.mutants.pairs import MOST, PAIR
from .routers.mutants.wishes import TAGS
from .routers.picking import Picks
from .routers.reference import Knobs
from .routers.scenes import GROUP
from .routers.upstreams import OPENAI, alone

pytestmark = pytest.mark.once

ROLES = {"target": ("openai",), "next": ("groq",)}
NUMBERS = {
    "load": 40, "rpm": 5, "parallel": 2, "tpm": 1000, "patience": 8, "timeout": 8,
    "bill_input": 80_000, "bill_output": 20_000,
}  # fmt: skip


def pair(**picks: object) -> Knobs:
    return Knobs(chain=PAIR, retries=1, failures=2, cooldown=600.0, picks=Picks(**picks))  # type: ignore[arg-type]  # fields of Picks


TRIED = {
    "even-load": (pair(strategy="weights", weights=MOST), "balance.split"),
    "a-dozen-calls": (pair(strategy="cheapest"), "balance.cheapest"),
    "slow-sibling": (pair(strategy="fastest"), "balance.fastest"),
    "held-open": (pair(strategy="least-busy"), "balance.least-busy"),
    "crowd": (pair(parallel=2), "balance.in-flight"),
    "crowd-with-room": (pair(parallel=2), "balance.room"),
    "rate-window": (pair(requests=5), "balance.rate"),
    "full-minute": (pair(requests=5), "balance.room"),
    "token-window": (pair(tokens=1000), "balance.rate"),
    "sessions": (pair(strategy="weights", sticky=60.0), "balance.sticky"),
    "pings-before-words": (Knobs(first_token=8.0), "latency.first-token"),
    "drop-by-drop": (Knobs(whole=8.0), "latency.attempt"),
    "silence": (Knobs(chain=(alone(OPENAI),), retries=0, deadline=20.0), "latency.answer"),
    "spend": (Knobs(), "budget.ledger"),
    "repeat": (Knobs(ttl=600.0), "budget.free"),
}


@pytest.mark.parametrize("name", TRIED)
def test_a_good_router_keeps_what_a_scenario_of_load_or_time_tries(name):
    knobs, contract = TRIED[name]
    scenario = shipped()[name].bind(ROLES, NUMBERS)
    assert contract in scenario.tests
    scenario = replace(scenario, entries=("chat",))
    for entry in ways(scenario):
        history = play(Cell(Routed(knobs), scenario, GROUP, entry))
        seen = [
            (rule.id, observation)
            for rule in promised(knobs)
            for observation in rule.check(history)
        ]
        assert [one for one in seen if not one[1].kept] == []
        assert contract in {rule for rule, _ in seen}, entry


@pytest.mark.parametrize("name", TRIED)
def test_without_its_stimulus_a_scenario_of_load_or_time_shows_nothing(name):
    knobs, contract = TRIED[name]
    scenario = shipped()[name].bind(ROLES, NUMBERS).calmed()
    [entry, *_] = ways(replace(scenario, entries=("chat",)))
    history = play(Cell(Routed(knobs), scenario, GROUP, entry))
    rules = [rule for rule in promised(knobs) if rule.id == contract]
    assert rules
    assert [list(rule.check(history)) for rule in rules] == [[] for _ in rules]


@pytest.mark.parametrize("tag", ["free", "paid"])
def test_a_good_router_keeps_to_the_tag_that_a_promise_brings(tag):
    knobs = pair(tags=TAGS)
    bound = shipped()["tagged"].bind(ROLES, NUMBERS)
    asks = (
        replace(ask, options={"metadata": {"tags": [tag]}, **ask.options}) for ask in bound.asks
    )
    scenario = replace(bound, asks=tuple(asks), entries=("chat",))
    for entry in ways(scenario):
        history = play(Cell(Routed(knobs), scenario, GROUP, entry))
        seen = [
            observation
            for rule in promised(knobs)
            if rule.id == "balance.tags"
            for observation in rule.check(history)
        ]
        assert seen
        assert all(observation.kept for observation in seen)
        assert len(seen) == len(history.calls)
