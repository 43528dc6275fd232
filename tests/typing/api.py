"""The public API as a user writes it: type checkers must accept this file, and see these types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import assert_type

import pytest

import pytest_llmroute
from pytest_llmroute import (
    Attempt,
    Call,
    Contract,
    Entry,
    History,
    Incident,
    Live,
    Path,
    Place,
    Recorded,
    Target,
    When,
    World,
    contracts,
    faults,
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
