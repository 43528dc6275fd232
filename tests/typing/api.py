"""The public API as a user writes it: type checkers must accept this file, and see these types."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import assert_type

import pytest
from hypothesis import given

import pytest_llmroute
from pytest_llmroute import (
    Attempt,
    Call,
    Contract,
    Entry,
    Figures,
    History,
    Incident,
    Live,
    Path,
    Place,
    Recorded,
    Scenario,
    Server,
    Target,
    Template,
    When,
    World,
    WorldFactory,
    check,
    contracts,
    faults,
    measure,
    strategies,
)
from pytest_llmroute.contracts import budget, fallback, retry, stream


def ask(text: str) -> str:
    return text


async def aask(text: str) -> int:
    return len(text)


def pieces(text: str) -> Iterator[str]:
    yield text


async def apieces(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


async def opened(text: str) -> AsyncIterator[bytes]:
    return apieces(text)


@pytest.mark.llmroute(strict=False, seed=3, hosts=["*.example.com"])
def test_sync(llmroute: World) -> None:
    live = llmroute.inject(faults.Outage(), at="openai/gpt-4o", when=When(first=2))
    assert_type(live, Live)
    live.heal()
    llmroute.inject("rate-limit", at=["openai", "groq"], retry_after=2, between=(0, 60))
    llmroute.inject(faults.Cut(after=3), nth=1)
    llmroute.limit("openai", requests=3, tokens=1000)
    llmroute.limit("groq", requests_per_day=1000, tokens_per_day=100_000)
    llmroute.credit("openai", "2.50")
    llmroute.serve("llm.example.com", provider="openai", models=["ours"], place="ours")
    llmroute.bill(input=1000, output=1000)
    llmroute.pace(first_token=0.4, token=0.02)

    assert_type(llmroute.ask(ask, "hello", labels={"tenant": "a"}, group="chat"), str)
    assert_type(llmroute.ask(pieces, "hello", stream=True), list[str])
    with llmroute.call("chat", tenant="a") as call:
        assert_type(call, Recorded)
        call.answer("hello")
    assert_type(llmroute.sources(call), tuple[Attempt, ...])

    assert_type(llmroute.path, Path)
    assert llmroute.path == ["openai:503", "anthropic:200"]
    assert_type(llmroute.history, History)
    assert_type(llmroute.history.calls, list[Call])
    llmroute.clock.sleep(60)
    assert_type(llmroute.clock.now(), float)

    chain = llmroute.targets("openai", "anthropic")
    assert_type(chain, tuple[Target, ...])
    llmroute.holds(
        fallback.Order(chain),
        retry.Bounded(llmroute.target("openai/gpt-4o"), 2),
        stream.Whole(),
        budget.Cutoff(chain, Decimal(10), 86400),
    )
    llmroute.heal()


async def test_async(llmroute: World) -> None:
    assert_type(await llmroute.ask(aask, "hello"), int)
    assert_type(await llmroute.ask(apieces, "hello"), list[bytes])
    assert_type(await llmroute.ask(opened, "hello"), list[bytes])


def outside_of_pytest() -> None:
    with pytest_llmroute.world(seed=7) as world:
        assert_type(world, World)
        world.simulator.inject(Incident(faults.Silence(), (Place.parse("groq"),), When(every=2)))
    every: dict[str, type[Contract]] = dict(contracts.contracts())
    entry = Entry("chat", sync=True)
    print(every, entry, world.timeline(width=100))


def test_figures(llmroute: World) -> None:
    figures = measure(llmroute.history, label=("tenant", "acme"))
    assert_type(figures, Figures)
    assert_type(figures.error_rate, float | None)
    assert_type(figures.spent, Decimal)


def test_a_config(tmp_path: pathlib.Path) -> None:
    check(tmp_path / "config.yaml")
    check("config.yaml", promise="fallback.order[chat:3]", scenario="outage-503", seed=1)


def test_played(llmroute: World, llmroute_scenario: Template) -> None:
    assert_type(llmroute.play("outage-503", ask, target="openai"), list[Call])
    llmroute.play(llmroute_scenario, pieces, target="openai", others=["groq"], cooldown=60)
    llmroute.play(pathlib.Path("mine.toml"), ask, stream=True)
    with llmroute.stage(Scenario("mine", incidents=(Incident(faults.Outage()),))):
        llmroute.ask(ask, "hello")


async def test_played_on_asyncio(llmroute: World) -> None:
    assert_type(await llmroute.play("outage-503", aask, target="openai"), list[Call])
    assert_type(await llmroute.play("stream-cut", apieces, target="openai"), list[Call])


@given(
    scenario=strategies.scenarios(
        "openai",
        incident=strategies.incidents("openai", fault=strategies.faults("cut")),
        workload=strategies.workloads(strategies.asks()),
    ),
    text=strategies.prompts(),
    when=strategies.whens(),
)
def test_generated(
    llmroute_factory: WorldFactory, scenario: Scenario, text: str, when: When
) -> None:
    with llmroute_factory(scenario, seed=3, strict=False, hosts=["*.example.com"]) as world:
        assert_type(world, World)
        assert_type(world.play(scenario, ask), list[Call])
        world.inject(faults.Outage(), when=when)
        world.ask(ask, text)


def test_served(llmroute_server: Server) -> None:
    llmroute_server.inject("outage", at="openai").heal()
    assert_type(llmroute_server.base_url("openai"), str)
    assert_type(llmroute_server.environment, dict[str, str])
    with llmroute_server.call("chat", tenant="a") as call:
        assert_type(call, Recorded)
    assert_type(llmroute_server.path, Path)
    llmroute_server.holds(stream.Whole())
