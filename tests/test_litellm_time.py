from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import contextmanager

import pytest

from llmroute_sim import faults
from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock, Stuck
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.prompt import Usage
from llmroute_sim.providers import provider
from llmroute_sim.simulator import Deployment, Pace, Simulator
from pytest_llmroute.routers.litellm.process import restored

litellm = pytest.importorskip("litellm")

ONE, TWO = "one.llm.example", "two.llm.example"
ASK = {"messages": [{"role": "user", "content": "hello"}]}


def deployment(host: str, **params: object) -> dict[str, object]:
    return {
        "model_name": "chat",
        "litellm_params": {
            "model": "openai/gpt-4o",
            "api_base": f"https://{host}/v1",
            "api_key": f"sk-{host}",
            **params,
        },
    }


@contextmanager
def world(*incidents: Incident):
    clock = Clock()
    simulator = Simulator(clock, pace=Pace(0.25))
    for host in (ONE, TWO):
        simulator.serve(Deployment(host, provider("openai"), host.partition(".")[0]))
    for incident in incidents:
        simulator.inject(incident)
    with in_memory(simulator, clock):
        yield simulator, clock


def run(main: Coroutine[object, object, None]) -> None:
    async def contained() -> None:
        async with restored(litellm):
            await main

    asyncio.run(contained())


async def until(clock: Clock, moment: float) -> None:
    await asyncio.sleep(moment - clock.now())


def places(simulator: Simulator, since: int) -> set[str]:
    return {attempt.place for attempt in simulator.history.attempts[since:]}


def test_a_cooldown_of_a_minute_holds_at_59_seconds_and_has_ended_by_61():
    once = Incident(faults.RateLimit(), (Place("one"),), When(first=1))

    async def main(simulator: Simulator, clock: Clock) -> None:
        router = litellm.Router(
            model_list=[deployment(ONE), deployment(TWO)], cooldown_time=60, num_retries=2
        )
        while not any(a.outcome == "429" for a in simulator.history.attempts):
            await router.acompletion("chat", **ASK)
        tripped = next(a for a in simulator.history.attempts if a.outcome == "429").ended
        await until(clock, tripped + 59)
        seen = len(simulator.history.attempts)
        await asyncio.gather(*(router.acompletion("chat", **ASK) for _ in range(20)))
        assert places(simulator, seen) == {"two"}
        await until(clock, tripped + 61)
        seen = len(simulator.history.attempts)
        await asyncio.gather(*(router.acompletion("chat", **ASK) for _ in range(20)))
        assert places(simulator, seen) == {"one", "two"}
        router.discard()

    with world(once) as (simulator, clock):
        run(main(simulator, clock))


def test_a_budget_of_a_day_refuses_a_second_before_its_window_ends_and_serves_a_second_after():
    async def main(simulator: Simulator, clock: Clock) -> None:
        router = litellm.Router(
            model_list=[deployment(ONE, input_cost_per_token=1e-4, output_cost_per_token=1e-4)],
            provider_budget_config={"openai": {"budget_limit": 1.0, "time_period": "1d"}},
            num_retries=0,
        )
        began = clock.now()
        await router.acompletion("chat", **ASK)
        spent = clock.now()
        await asyncio.sleep(5)
        with pytest.raises(Exception, match="budget"):
            await router.acompletion("chat", **ASK)
        await until(clock, began + 86400 - 1)
        with pytest.raises(Exception, match="budget"):
            await router.acompletion("chat", **ASK)
        await until(clock, spent + 86400 + 1)
        await router.acompletion("chat", **ASK)
        assert simulator.history.path == ["one:200", "one:200"]
        router.discard()

    with world() as (simulator, clock):
        simulator.stated_usage = Usage(10_000, 2_000)
        run(main(simulator, clock))


def test_a_cached_answer_lives_as_long_as_it_was_given():
    async def main(simulator: Simulator, clock: Clock) -> None:
        litellm.cache = litellm.Cache(type="local", ttl=600)
        router = litellm.Router(model_list=[deployment(ONE)], cache_responses=True)
        try:
            await router.acompletion("chat", **ASK)
            stored = clock.now()
            await until(clock, stored + 599)
            await router.acompletion("chat", **ASK)
            assert simulator.history.path == ["one:200"]
            await until(clock, stored + 601)
            await router.acompletion("chat", **ASK)
            assert simulator.history.path == ["one:200", "one:200"]
        finally:
            litellm.cache = None
            router.discard()

    with world() as (simulator, clock):
        run(main(simulator, clock))


def test_a_call_that_would_hang_for_ever_ends_at_the_horizon_and_says_so():
    garbled = Incident(faults.MalformedChunk(after=2), (Place("one"),))

    async def main(clock: Clock) -> None:
        router = litellm.Router(model_list=[deployment(ONE)], num_retries=0, timeout=30)
        with clock.horizon_at(3600):
            stream = await router.acompletion("chat", **ASK, stream=True)
            async for _ in stream:
                pass

    with world(garbled) as (_, clock):
        with pytest.raises(Stuck, match="for ever"):
            run(main(clock))
        assert clock.now() <= 3700
