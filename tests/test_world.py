from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

import pytest_llmroute
from llmroute_sim.calling import current_call
from pytest_llmroute import Call, Stuck, Unknown, When, World, faults
from pytest_llmroute.answers import hear

CHAT = "https://api.openai.com/v1/chat/completions"
GROQ = "https://api.groq.com/openai/v1/chat/completions"


@pytest.fixture
def world() -> Iterator[World]:
    with pytest_llmroute.world(seed=1) as found:
        yield found


def chat(url: str = CHAT, model: str = "gpt-4o", **options: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": options.pop("text", "hello")}]
    headers = {"authorization": "Bearer sk-test"}
    body = {"model": model, "messages": said, **options}
    return {"url": url, "headers": headers, "json": body}


def ask(**options: Any) -> Any:
    return httpx.post(**chat(**options)).raise_for_status().json()


def streamed() -> Iterator[str]:
    with httpx.stream("POST", **chat(stream=True)) as answer:
        yield from answer.iter_lines()


async def aask(**options: Any) -> Any:
    async with httpx.AsyncClient() as client:
        return (await client.post(**chat(**options))).raise_for_status().json()


async def astreamed() -> AsyncIterator[str]:
    async with httpx.AsyncClient() as client, client.stream("POST", **chat(stream=True)) as answer:
        async for line in answer.aiter_lines():
            yield line


def only(world: World) -> Call:
    (call,) = world.history.calls
    return call


# -- incidents


def test_an_incident_that_is_healed_acts_no_more(world: World) -> None:
    live = world.inject(faults.Outage(), at="openai")
    with pytest.raises(httpx.HTTPStatusError):
        ask()
    live.heal()
    ask()
    assert world.path == ["openai:503", "openai:200"]
    assert live.met == 1


def test_heal_ends_everything(world: World) -> None:
    world.inject("outage", at="openai")
    world.inject("rate-limit", at="openai")
    world.heal()
    ask()
    assert world.path == ["openai:200"]


def test_the_time_of_an_incident_is_said_in_either_way(world: World) -> None:
    world.inject("outage", at="openai", nth=2, status=500)
    world.inject(faults.RateLimit(), at="openai", when=When(between=(60, 120)))
    for _ in range(3):
        httpx.post(**chat())
    time.sleep(60)
    httpx.post(**chat())
    time.sleep(60)
    httpx.post(**chat())
    assert world.path == ["openai:200", "openai:500", "openai:200", "openai:429", "openai:200"]


def test_a_field_that_fault_and_time_both_have_is_the_faults(world: World) -> None:
    assert world.inject("cut", at="openai", after=5).incident.fault == faults.Cut(after=5)
    assert world.inject(faults.Cut(), at="openai", after=5).incident.when == When(after=5)


def test_one_incident_may_have_several_places(world: World) -> None:
    live = world.inject("outage", at=["openai/gpt-4o", "groq"])
    httpx.post(**chat())
    httpx.post(**chat(model="gpt-4o-mini"))
    httpx.post(**chat(GROQ, "llama-3.3-70b-versatile"))
    assert world.path == ["openai:503", "openai:200", "groq:503"]
    assert live.met == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda w: w.inject("outtage"), "unknown fault 'outtage'; did you mean 'outage'?"),
        (lambda w: w.inject("outage", at="opnai"), "did you mean 'openai'?"),
        (lambda w: w.inject("outage", frist=2), "unknown key of the fault outage 'frist'"),
        (lambda w: w.inject(faults.Outage(), frist=2), "did you mean 'first'?"),
        (lambda w: w.inject(faults.Outage(), first=0), "first = 0 is not a count"),
        (lambda w: w.inject("outage", when=When(), first=2), "say the time once"),
        (lambda w: w.inject("outage", at=[]), "no place"),
        (lambda w: w.limit("opnai", requests=1), "did you mean 'openai'?"),
        (lambda w: w.serve("x.example.com", provider="opnai"), "did you mean 'openai'?"),
        (lambda w: w.serve(""), "names no host"),
        (lambda w: w.target("opnai"), "did you mean 'openai'?"),
        (lambda w: w.holds(), "no contract"),
    ],
)
def test_whatever_is_misspelled_is_refused_with_what_was_meant(
    world: World, wrong: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        wrong(world)
    assert not list(world.simulator.incidents)


# -- the scene


def test_a_limit_refuses_what_is_above_it_until_it_refills(world: World) -> None:
    world.limit("openai", requests=2)
    statuses = [httpx.post(**chat()).status_code for _ in range(3)]
    time.sleep(30)
    assert [*statuses, httpx.post(**chat()).status_code] == [200, 200, 429, 200]


def test_a_host_of_ones_own_answers_as_its_provider_does(world: World) -> None:
    world.serve("https://llm.corp.example/v1", models=["ours"])
    ask(url="https://llm.corp.example/v1/chat/completions", model="ours")
    world.inject("outage", at="llm/ours")
    assert httpx.post(**chat("https://llm.corp.example/v1/chat/completions", "ours")).is_error
    assert world.path == ["llm:200", "llm:503"]


def test_what_happens_to_a_provider_does_not_happen_to_a_host_that_speaks_like_it(
    world: World,
) -> None:
    world.serve("eu.llm.example", models=["m"], place="ours")
    world.serve("us.llm.example", models=["m"], place="ours")
    world.inject("outage", at="openai", when=When())
    statuses = [
        httpx.post(**chat(f"https://{host}/v1/chat/completions", "m")).status_code
        for host in ("eu.llm.example", "us.llm.example")
    ]
    assert statuses == [200, 200]
    world.inject("outage", at="ours", every=1)
    assert httpx.post(**chat("https://us.llm.example/v1/chat/completions", "m")).is_error
    assert world.path == ["ours:200", "ours:200", "ours:503"]


def test_two_hosts_never_share_a_place_by_accident(world: World) -> None:
    world.serve("llm.one.example", models=["m"])
    world.serve("llm.two.example", models=["m"])
    world.serve("x.three.example", models=["m"], place="third")
    for host in ("llm.one.example", "llm.two.example", "x.three.example"):
        ask(url=f"https://{host}/v1/chat/completions", model="m")
    assert world.path == ["llm:200", "llm.two.example:200", "third:200"]


def test_a_stated_bill_is_what_every_answer_is_charged(world: World) -> None:
    world.bill(input=1000, output=500)
    answer = ask()
    (attempt,) = world.history.attempts
    assert (answer["usage"]["prompt_tokens"], attempt.tokens_out) == (1000, 500)
    assert attempt.billed_as_stated
    assert attempt.spent > 0


def test_the_pace_is_what_a_caller_waits(world: World) -> None:
    world.pace(first_token=2.0)
    ask()
    assert world.clock.now() == 2.0


# -- asking


def test_ask_returns_what_the_application_returns_and_knows_where_it_came_from(
    world: World,
) -> None:
    world.inject("outage", at="openai")

    def router(text: str) -> str:
        try:
            answer = ask(text=text)
        except httpx.HTTPStatusError:
            answer = ask(url=GROQ, model="llama-3.3-70b-versatile", text=text)
        return str(answer["choices"][0]["message"]["content"])

    said = world.ask(router, "hello", labels={"tenant": "a"}, group="chat")
    call = only(world)
    assert isinstance(said, str)
    assert (call.outcome, call.labels, call.group) == ("answered", {"tenant": "a"}, "chat")
    assert [attempt.place for attempt in world.sources(call)] == ["groq"]
    assert [attempt.call for attempt in world.history.attempts] == [call.id, call.id]


def test_ask_raises_what_the_application_raises(world: World) -> None:
    world.inject("outage", at="openai")
    with pytest.raises(httpx.HTTPStatusError):
        world.ask(ask)
    call = only(world)
    assert call.outcome == "failed"
    assert call.failure is not None
    assert call.failure.kinds[0] == "HTTPStatusError"


def test_a_stream_is_run_to_its_end_and_timed(world: World) -> None:
    world.pace(first_token=1.0, token=0.5)
    pieces = world.ask(streamed)
    call = only(world)
    assert pieces[-2:] == ["data: [DONE]", ""] or pieces[-1] == "data: [DONE]"
    assert call.stream
    assert call.first_token is not None
    assert call.ended is not None
    assert 1.0 <= call.first_token < call.ended
    assert world.sources(call)


def test_a_stream_that_breaks_keeps_what_came_before(world: World) -> None:
    world.inject("reset", at="openai")
    with pytest.raises(httpx.TransportError):
        world.ask(streamed)
    call = only(world)
    assert call.outcome == "failed"
    assert call.marks
    assert world.path == ["openai:200-reset"]


def test_what_is_asked_is_compared_by_question_and_by_request(world: World) -> None:
    world.ask(ask, text="a")
    world.ask(ask, text="a")
    world.ask(ask, text="a", temperature=1)
    world.ask(ask, text="b")
    first, same, near, other = world.history.calls
    assert first.request == same.request != near.request
    assert first.question == same.question == near.question != other.question


def test_the_argument_stream_reaches_an_application_that_takes_it(world: World) -> None:
    seen = []
    world.ask(lambda stream: seen.append(stream), stream=True)
    world.ask(lambda: seen.append(None), stream=True)
    assert seen == [True, None]
    assert [call.stream for call in world.history.calls] == [True, True]


def test_async_applications_are_awaited(world: World) -> None:
    async def main() -> None:
        answer = await world.ask(aask, text="one")
        pieces = await world.ask(astreamed)
        later = await world.ask(lambda: aask(text="three"))
        assert answer["choices"]
        assert later["choices"]
        assert "data: [DONE]" in pieces

    asyncio.run(main())
    calls = world.history.calls
    assert [call.outcome for call in calls] == ["answered"] * 3
    assert [call.sync for call in calls] == [False] * 3
    assert [call.stream for call in calls] == [False, True, False]
    assert [attempt.call for attempt in world.history.attempts] == ["c1", "c2", "c3"]
    assert all(world.sources(call) for call in calls)


def test_concurrent_calls_keep_their_attempts_apart(world: World) -> None:
    world.inject(faults.LatencySpike(3), at="openai", every=2)

    async def router(number: int) -> Any:
        await aask(text=f"{number} first")
        return await aask(text=f"{number} second")

    async def main() -> None:
        await asyncio.gather(*(world.ask(router, number) for number in range(8)))

    asyncio.run(main())
    for call in world.history.calls:
        attempts = world.history.of(call)
        assert [attempt.ordinal for attempt in attempts] == [1, 2]
        assert world.sources(call) == (attempts[1],)


def test_calls_from_threads_are_calls(world: World) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: world.ask(ask, text=str(number)), range(6)))
    assert [call.outcome for call in world.history.calls] == ["answered"] * 6
    assert {attempt.call for attempt in world.history.attempts} == {f"c{n}" for n in range(1, 7)}


class Both:
    """A stream that can be read in either way, as LiteLLM's can."""

    def __init__(self) -> None:
        self.left = ["a", "b"]

    def __iter__(self) -> Both:
        return self

    def __next__(self) -> str:
        if not self.left:
            raise StopIteration
        return self.left.pop(0)

    def __aiter__(self) -> Both:
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0) + "!"


def test_a_stream_of_both_kinds_is_read_in_the_way_it_was_asked_for(world: World) -> None:
    async def abothways() -> Both:
        return Both()

    assert world.ask(Both) == ["a", "b"]
    assert asyncio.run(world.ask(abothways)) == ["a!", "b!"]


def test_a_coroutine_begins_its_call_when_it_is_awaited(world: World) -> None:
    async def main() -> None:
        coroutines = [world.ask(aask) for _ in range(2)]
        for coroutine in coroutines:
            await asyncio.sleep(10)
            await coroutine

    asyncio.run(main())
    assert [call.started for call in world.history.calls] == [10, 20]


def test_a_call_that_is_cancelled_was_left(world: World) -> None:
    world.inject("silence", at="openai")

    async def main() -> None:
        async with asyncio.timeout(3):
            await world.ask(aask)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert only(world).outcome == "left"
    assert only(world).ended == 3
    assert world.path == ["openai:silence"]


def test_a_call_that_hangs_is_ended_and_said_to_hang(world: World) -> None:
    event = threading.Event()
    with pytest.raises(Stuck):
        world.ask(event.wait)
    assert only(world).outcome == "hung"
    ask()
    assert world.path == ["openai:200"]


def test_a_call_that_waits_beside_a_ticking_timer_hangs_too(world: World) -> None:
    async def main() -> None:
        async def tick() -> None:
            for _ in itertools.count():
                await asyncio.sleep(20)

        ticking = asyncio.create_task(tick())
        with pytest.raises(Stuck):
            await world.ask(asyncio.Event().wait)
        ticking.cancel()

    asyncio.run(main())
    assert only(world).outcome == "hung"


def test_a_block_is_a_call(world: World) -> None:
    with world.call("chat", tenant="a") as call:
        call.answer(ask())
    assert (only(world).entry, only(world).labels) == ("chat", {"tenant": "a"})
    assert [attempt.call for attempt in world.sources(call)] == ["c1"]
    assert current_call() is None
    with pytest.raises(KeyError), world.call("other"):
        raise KeyError
    assert world.history.calls[1].outcome == "failed"


# -- judging


def test_contracts_take_places_for_targets(world: World) -> None:
    from pytest_llmroute.contracts import retry

    world.inject("outage", at="openai/gpt-4o", first=1)

    def router() -> Any:
        try:
            return ask()
        except httpx.HTTPStatusError:
            return ask()

    world.ask(router)
    target: Any = "openai/gpt-4o"
    assert world.holds(retry.Bounded(target, 1))
    with pytest.raises(AssertionError, match=r"retry\.bounded") as raised:
        world.holds(retry.Bounded(world.target("openai"), 0))
    assert "#2" in world.timeline() + str(raised.value)
    assert world.marks
    assert "✗ retry.bounded" in world.timeline(width=120)


def test_a_contract_without_any_call_says_that_none_was_recorded(world: World) -> None:
    from pytest_llmroute.contracts import stream

    ask()
    with pytest.raises(AssertionError, match="no call was recorded"):
        world.holds(stream.Whole())


def test_a_target_owns_what_was_asked_at_its_place(world: World) -> None:
    ask()
    ask(model="gpt-4o-mini")
    mini = world.target("openai/gpt-4o-mini")
    assert [mini.owns(attempt) for attempt in world.history.attempts] == [False, True]


def test_a_target_in_a_region_owns_nothing_elsewhere(world: World) -> None:
    for region in ("eu", "us"):
        world.serve(f"{region}.llm.example", models=["m"], place="ours", region=region)
        ask(url=f"https://{region}.llm.example/v1/chat/completions", model="m")
    owned = [world.target("ours@eu").owns(attempt) for attempt in world.history.attempts]
    assert owned == [True, False]


# -- worlds


def test_the_same_seed_gives_the_same_history_and_another_seed_another() -> None:
    def digest(seed: int) -> str:
        with pytest_llmroute.world(seed=seed) as world:
            world.inject("outage", at="openai", chance=0.5)
            for _ in range(20):
                httpx.post(**chat())
                time.sleep(random.random())
            return world.history.digest()

    assert digest(1) == digest(1) != digest(2)


def test_a_world_opens_in_a_running_loop_and_gives_it_back() -> None:
    async def main() -> None:
        before = time.perf_counter()
        with pytest_llmroute.world() as world:
            await asyncio.sleep(3600)
            await world.ask(aask)
            assert world.path == ["openai:200"]
        assert time.perf_counter() - before < 5
        before = time.perf_counter()
        await asyncio.sleep(0.02)
        assert time.perf_counter() - before >= 0.015

    asyncio.run(main())


def test_a_second_world_does_not_disturb_the_first(world: World) -> None:
    with pytest_llmroute.world() as second:
        second.inject("outage", at="openai")
    ask()
    assert world.path == ["openai:200"]


def test_chance_is_seeded_in_a_world() -> None:
    with pytest_llmroute.world(seed=3):
        assert random.random() == random.Random(3).random()


def test_the_history_outlives_its_world() -> None:
    state = random.getstate()
    with pytest_llmroute.world() as world:
        world.ask(ask)
    assert world.path == ["openai:200"]
    assert world.history.clock == "virtual"
    assert "#1" in world.timeline()
    assert random.getstate() == state


# -- what was answered


@dataclass
class Thing:
    """An answer of some framework."""

    value: Any

    def __getattr__(self, name: str) -> Any:
        if name in self.value:
            found = self.value[name]
            return Thing(found) if isinstance(found, dict) else found
        raise AttributeError(name)


BLOCKS = [{"type": "text", "text": "hi "}, {"type": "tool_use", "name": "f", "input": {"a": "yo"}}]


@pytest.mark.parametrize(
    ("answer", "text", "finish"),
    [
        ("hi", "hi", None),
        (b"hi", "hi", None),
        (None, "", None),
        (["hi", " yo"], "hi yo", None),
        ({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}, "hi", "stop"),
        ({"choices": [{"delta": {"content": "hi"}, "finish_reason": None}]}, "hi", None),
        ({"choices": [{"text": "hi", "finish_reason": "length"}]}, "hi", "length"),
        ({"choices": []}, "", None),
        (
            {"choices": [{"message": {"content": None, "tool_calls": [
                {"function": {"name": "f", "arguments": '{"a": "hi"}'}}]}}]},
            '{"a": "hi"}',
            None,
        ),
        ({"type": "message", "content": BLOCKS, "stop_reason": "end_turn"}, "hi {'a': 'yo'}", "end_turn"),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}, "hi", None),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, "", "end_turn"),
        ({"type": "message_start", "message": {"content": []}}, "", None),
        ({"type": "text", "text": "hi", "snapshot": "oh hi"}, "", None),
        ({"type": "response.output_text.delta", "delta": "hi"}, "hi", None),
        ({"type": "response.completed", "response": {"output_text": "hi"}}, "", "completed"),
        ({"type": "response.incomplete", "response": {"status": "incomplete"}}, "", "incomplete"),
        ({"object": "response", "status": "completed", "output": [{"content": BLOCKS[:1]}]}, "hi ", "completed"),
        ({"type": "error", "error": {"type": "overloaded_error"}}, "", "error"),
        ({"output_text": "hi"}, "hi", None),
        ({"content": "hi", "response_metadata": {"finish_reason": "stop"}}, "hi", "stop"),
        ({"output": {"answer": "hi"}}, "hi", None),
        ({"reply": "hi"}, None, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["mapping", "object"])
def test_answers_of_every_shape_are_read(
    answer: Any, text: str | None, finish: str | None, kind: str
) -> None:
    value = Thing(answer) if kind == "object" and isinstance(answer, dict) else answer
    heard = hear(value)
    assert (heard.text, heard.finish) == (repr(value) if text is None else text, finish)


def test_embeddings_are_heard_as_vectors(world: World) -> None:
    headers = {"authorization": "Bearer sk-test"}
    body = {"model": "text-embedding-3-small", "input": ["a", "b"]}
    with world.call("embed") as call:
        answer = httpx.post("https://api.openai.com/v1/embeddings", headers=headers, json=body)
        call.answer(answer.json())
    (source,) = world.sources(call)
    assert source.operation == "embeddings"


def test_unknown_is_a_value_error() -> None:
    assert issubclass(Unknown, ValueError)


def test_a_job_of_a_pool_is_of_the_call_that_submitted_it(world: World) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        with world.call("first"):
            pool.submit(ask).result()
        with world.call("second"):
            pool.submit(ask).result()
        pool.submit(ask).result()
    assert [attempt.call for attempt in world.history.attempts] == ["c1", "c2", None]
