from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from llmroute_sim.scenario import shipped
from llmroute_sim.sums import NUMBERS
from pytest_llmroute.contracts import contracts

from .routers.driven import WAYS, Routed
from .routers.mutants import promised
from .routers.trials import EVERYTHING, played
from .test_library import NUMBERS as FEW

pytestmark = pytest.mark.once

CHATS = {"target": ("openai",), "next": ("anthropic",), "others": ("groq",)}
VECTORS = {"target": ("one",), "next": ("two",)}
SMALL = {**NUMBERS, **FEW, "parallel": 2, "rpm": 3, "tpm": 2_000, "load": 20, "context": 500}

ONLY_SAID = {"latency.answer"}
"""Contracts of what no configuration of a router says by itself: a user's file tries them with any."""


def scenario_of(name: str, *, embedding: bool):
    template = shipped()[name]
    return replace(template.bind(VECTORS if embedding else CHATS, SMALL), seed=1)


def way(name: str):
    template = shipped()[name]
    modes = template.entry.get("modes", ("json", "stream"))
    return next(
        one
        for one in reversed(WAYS)
        if one.api in template.entries and ("stream" if one.stream else "json") in modes
        if one.api != "embeddings" or template.entries == ("embeddings",)
    )


@cache
def history(name: str, time: int):
    entry = way(name)
    scenario = scenario_of(name, embedding=entry.api == "embeddings")
    return played(Routed(EVERYTHING), scenario, entry)


@pytest.mark.parametrize("name", shipped().default)
def test_a_scenario_says_what_happens_and_what_a_good_router_does(name):
    template = shipped()[name]
    assert template.title
    assert template.good
    assert template.tests
    assert set(template.tests) <= set(contracts())


def test_every_contract_is_tried_by_default():
    tried = {contract for name in shipped().default for contract in shipped()[name].tests}
    assert set(contracts()) - tried <= ONLY_SAID


@pytest.mark.parametrize("name", shipped().default)
def test_a_scenario_played_again_has_the_same_history(name):
    assert history(name, 1).digest() == history(name, 2).digest()


@pytest.mark.parametrize("name", shipped().default)
def test_a_router_that_does_everything_right_breaks_nothing(name):
    wrong = [
        (contract.id, one.says)
        for contract in promised(EVERYTHING)
        for one in contract.check(history(name, 1))
        if not one.kept
    ]
    assert wrong == []
