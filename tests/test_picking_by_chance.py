# The reference router picks and limits in every way there is, in scenarios that chance makes: nothing that
# it promises may be called broken.

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmroute_sim.faults import Filler, LatencySpike, Outage, RateLimit, Silence
from llmroute_sim.incidents import Incident, When
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask, Scenario
from pytest_llmroute.contracts import balance
from pytest_llmroute.play import Cell, play

from .balance_cases import spread
from .routers.driven import ENTRIES, Routed
from .routers.mutants import promised
from .routers.mutants.wishes import TAGS
from .routers.picking import Picks
from .routers.reference import Knobs
from .routers.scenes import ALL, FIRST, GROUP, SECOND
from .routers.upstreams import ANTHROPIC, GROQ, OPENAI, Group
from .stories import A, B, story, verdict

pytestmark = pytest.mark.once


def knobs_by(chance: Random) -> Knobs:
    members = chance.sample((OPENAI, GROQ, ANTHROPIC), 3)
    strategy = chance.choice(("weights", "cheapest", "least-busy", "fastest", "order"))
    weights = tuple((one.name, chance.choice((1.0, 30.0))) for one in members)
    picks = Picks(strategy, weights, seed=chance.randrange(1000))
    limited = Picks(
        strategy,
        weights,
        tags=(*TAGS, ("anthropic", ("free", "paid"))) if chance.random() < 0.3 else (),
        parallel=chance.choice((None, None, 1, 3)),
        requests=chance.choice((None, None, 4, 20)),
        tokens=chance.choice((None, None, 300)),
        sticky=chance.choice((None, 30.0)),
        seed=chance.randrange(1000),
    )
    return Knobs(
        chain=(Group(GROUP, tuple(members)),),
        picks=chance.choice((picks, limited)),
        retries=chance.randint(0, 2),
        failures=chance.choice((None, 2)),
        first_token=chance.choice((None, 4.0)),
        whole=chance.choice((None, 6.0)),
    )


def scenario_by(chance: Random) -> Scenario:
    faults = (Outage(500), RateLimit(10), LatencySpike(3), Silence(), Filler(20, every=0.5))
    incidents = [
        Incident(fault, chance.choice(((FIRST,), (SECOND,), ALL)), When(chance=0.15))
        for fault in chance.sample(faults, chance.randint(0, 2))
    ]
    asks, at = [], 0.0
    for _ in range(chance.randint(2, 5)):
        options = chance.choice(
            ({}, {"metadata": {"tags": ["free"]}}, {"metadata": {"session_id": "s"}})
        )
        asks.append(
            Ask(
                at=at,
                times=chance.choice((1, 3, 24)),
                every=chance.choice((0.0, 0.0, 7.0)),
                together=chance.choice((1, 1, 4)),
                leave_after=chance.choice((None, None, 3)),
                beside=chance.random() < 0.4,
                options=options,
            )
        )
        at += chance.uniform(0.2, 90)
    return Scenario(
        "chance",
        incidents=tuple(incidents),
        asks=tuple(asks),
        bills=chance.choice((None, Usage(80_000, 20_000))),
        per_token=chance.choice((0.02, 0.2)),
        seed=chance.randrange(1000),
    )


SEEDS = [
    pytest.param(seed, marks=[pytest.mark.wide] if seed > 12 else []) for seed in range(1, 101)
]
LOAD = ("balance", "latency", "budget", "cache")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_router_breaks_nothing_in_what_chance_makes(seed):
    chance = Random(seed)
    knobs, scenario, entry = knobs_by(chance), scenario_by(chance), chance.choice(ENTRIES)
    history = play(Cell(Routed(knobs), scenario, GROUP, entry))
    broken = [
        (rule.id, seen.says)
        for rule in promised(knobs)
        if rule.id.startswith(LOAD)
        for seen in rule.check(history)
        if not seen.kept
    ]
    assert broken == []


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 10**6), st.integers(20, 300))
def test_a_router_that_draws_by_its_shares_is_never_blamed(weight, seed, calls):
    chance = Random(seed)
    places = "".join(chance.choices("AB", (weight, 1), k=calls))
    split = balance.Split(((A, float(weight)), (B, 1.0)))
    assert verdict(split, story(*spread(places))) != "broken"
