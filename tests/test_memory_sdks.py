from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock
from llmroute_sim.wire import (
    FOREVER,
    Abort,
    Address,
    Event,
    Request,
    Wait,
)
from scripted import (
    CHUNKS,
    COMPLETION,
    MESSAGE,
    Script,
    json_answer,
    stream_answer,
)

# -- the SDKs, at the hosts that they have built in

ASKED = [{"role": "user", "content": "hi"}]


@pytest.fixture
def providers(door: Script) -> Script:
    def answer(request: Request) -> list[Event]:
        if b'"stream":true' in request.body.replace(b" ", b""):
            return stream_answer(CHUNKS)
        anthropic = request.address.host == "api.anthropic.com"
        return json_answer(MESSAGE if anthropic else COMPLETION)

    door.answer = answer
    return door


def test_openai_blocking(providers, clock):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(api_key="k") as client:
        made = client.chat.completions.create(model="m", messages=ASKED)
        assert made.choices[0].message.content == "hello"
        pieces = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        said = [(chunk.choices[0].delta.content, clock.now()) for chunk in pieces]
    assert said == [("a", 2.0), ("b", 3.0), ("c", 4.0)]
    assert {request.address for request in providers.requests} == {Address("api.openai.com", 443)}


def test_openai_async(providers, clock):
    openai = pytest.importorskip("openai")

    async def main() -> list[tuple[str | None, float]]:
        async with openai.AsyncOpenAI(api_key="k") as client:
            made = await client.chat.completions.create(model="m", messages=ASKED)
            assert made.choices[0].message.content == "hello"
            pieces = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
            return [(chunk.choices[0].delta.content, clock.now()) async for chunk in pieces]

    assert asyncio.run(main()) == [("a", 2.0), ("b", 3.0), ("c", 4.0)]
    assert clock.description == "virtual"


def test_anthropic_both_ways(providers, clock):
    anthropic = pytest.importorskip("anthropic")
    with anthropic.Anthropic(api_key="k") as client:
        made = client.messages.create(model="m", max_tokens=9, messages=ASKED)
        assert made.content[0].text == "hello"

    async def main() -> str:
        async with anthropic.AsyncAnthropic(api_key="k") as client:
            made = await client.messages.create(model="m", max_tokens=9, messages=ASKED)
            return made.content[0].text

    assert asyncio.run(main()) == "hello"
    assert clock.now() == 2.0


def test_an_sdk_retries_and_times_out_on_the_virtual_clock(providers, clock):
    openai = pytest.importorskip("openai")
    providers.answer = lambda request: [Wait(FOREVER)]
    with (
        openai.OpenAI(api_key="k", timeout=30, max_retries=1) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(model="m", messages=ASKED)
    assert len(providers.requests) == 2
    assert 60 < clock.now() < 70


def test_litellm_both_ways(providers, clock, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm = pytest.importorskip("litellm")
    options = {"model": "openai/gpt-4o", "messages": ASKED, "api_key": "k"}
    assert litellm.completion(**options).choices[0].message.content == "hello"

    async def main() -> str:
        return (await litellm.acompletion(**options)).choices[0].message.content

    assert asyncio.run(main()) == "hello"
    assert clock.now() == 2.0
    assert clock.description == "virtual"
    assert providers.strays == []


def test_threads_and_tasks_of_an_sdk_share_one_digest(providers):
    openai = pytest.importorskip("openai")

    def told(request: Request) -> list[Event]:
        number = json.loads(request.body)["n"]
        return json_answer(COMPLETION, 1 + number * 0.37) if number % 3 else [Abort("reset")]

    def in_threads() -> list[tuple[float, str]]:
        clock, seen = Clock(), []
        with (
            in_memory(Script(told), clock),
            openai.OpenAI(api_key="k", max_retries=0) as client,
            ThreadPoolExecutor(8) as pool,
        ):

            def one(number: int) -> None:
                try:
                    client.chat.completions.create(model="m", messages=ASKED, n=number)
                    seen.append((clock.now(), f"{number} ok"))
                except openai.APIConnectionError:
                    seen.append((clock.now(), f"{number} lost"))

            for number in range(8):
                pool.submit(one, number)
        return seen

    def in_tasks() -> list[tuple[float, str]]:
        clock, seen = Clock(), []

        async def main() -> None:
            async with openai.AsyncOpenAI(api_key="k", max_retries=0) as client:

                async def one(number: int) -> None:
                    try:
                        await client.chat.completions.create(model="m", messages=ASKED, n=number)
                        seen.append((clock.now(), f"{number} ok"))
                    except openai.APIConnectionError:
                        seen.append((clock.now(), f"{number} lost"))

                await asyncio.gather(*map(one, range(8)))

        with in_memory(Script(told), clock):
            asyncio.run(main())
        return seen

    threads = [in_threads() for _ in range(10)]
    tasks = [in_tasks() for _ in range(10)]
    assert all(run == threads[0] for run in threads)
    assert all(run == tasks[0] for run in tasks)
    assert sorted(threads[0]) == sorted(tasks[0])
