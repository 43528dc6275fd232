import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from llmroute_sim.carriers import inside
from pytest_llmroute import world

URL = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
HEADERS = {"authorization": "Bearer sk-test"}


def chat(client=None):
    return (client or httpx).post(URL, headers=HEADERS, json=BODY).status_code


async def achat(client):
    return (await client.post(URL, headers=HEADERS, json=BODY)).status_code


@pytest.mark.asyncio
async def test_worlds_in_tasks_do_not_mix():
    met = asyncio.Barrier(8)

    async def one(number):
        with world(seed=number) as mine:
            if number % 2:
                mine.inject("outage", at="openai", status=500 + number)
            await met.wait()
            async with httpx.AsyncClient() as client:
                for _ in range(3):
                    await mine.ask(achat, client)
                    await asyncio.sleep(number)
            return mine

    for number, mine in enumerate(await asyncio.gather(*map(one, range(8)))):
        status = 500 + number if number % 2 else 200
        assert mine.path == [f"openai:{status}"] * 3
        assert [call.id for call in mine.history.calls] == ["c1", "c2", "c3"]
        assert [attempt.call for attempt in mine.history.attempts] == ["c1", "c2", "c3"]
        assert [call.started for call in mine.history.calls] == [0, number, 2 * number]
        assert not mine.history.strays


def test_worlds_in_threads_that_know_nothing_of_each_other_take_turns():
    ready = threading.Barrier(6)

    def one(number):
        ready.wait()
        with world() as mine:
            if number % 2:
                mine.inject("outage", at="openai")
            chat()
            mine.clock.sleep(3600)
            chat()
            return mine

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(6)))
    for number, mine in enumerate(found):
        assert mine.path == ["openai:503" if number % 2 else "openai:200"] * 2
        assert mine.clock.now() == 3600


def test_worlds_in_threads_of_a_world_run_side_by_side(llmroute):
    together = threading.Barrier(4)
    found = {}

    def one(number):
        with world() as mine:
            mine.inject("outage", at="openai", first=number)
            together.wait()
            for _ in range(4):
                mine.ask(chat)
            found[number] = mine

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not llmroute.path
    for number, mine in found.items():
        assert mine.path.count("openai:503") == number


def test_a_world_in_a_world_has_its_own_providers_history_and_zero(llmroute):
    llmroute.inject("outage", at="openai")
    client = httpx.Client()
    chat(client)
    llmroute.clock.sleep(10)
    with world() as inner:
        inner.serve("llm.corp.example")
        chat(client)
        assert inner.clock.now() == 0
        inner.clock.sleep(5)
        httpx.post("https://llm.corp.example/v1/chat/completions", headers=HEADERS, json=BODY)
    assert llmroute.clock.now() == 15
    chat(client)
    assert inner.path == ["openai:200", "llm:200"]
    assert llmroute.path == ["openai:503", "openai:503"]


def test_what_an_inner_world_does_not_know_is_its_own_stray(llmroute):
    with world() as inner, pytest.raises(httpx.ConnectError):
        httpx.get("https://elsewhere.example")
    assert [stray.host for stray in inner.history.strays] == ["elsewhere.example"]
    assert not llmroute.history.strays


def test_threads_and_jobs_belong_to_the_world_that_starts_them(llmroute):
    with ThreadPoolExecutor(2) as pool, world() as inner:
        thread = threading.Thread(target=chat)
        thread.start()
        thread.join()
        assert inner.ask(lambda: pool.submit(chat).result()) == 200
        pool.submit(contextvars.copy_context().run, chat).result()
    assert inner.path == ["openai:200"] * 3
    assert [attempt.call for attempt in inner.history.attempts] == [None, "c1", None]
    assert not llmroute.path


def test_a_call_of_the_outer_world_has_no_part_in_an_inner_one(llmroute):
    with llmroute.call("outer"), world() as inner:
        chat()
    assert inner.history.attempts[0].call is None


def test_the_same_seed_gives_the_same_world_alone_and_beside_others(llmroute):
    def digest():
        with world(seed=7) as mine:
            mine.inject("outage", at="openai", chance=0.5)
            for _ in range(6):
                mine.ask(chat)
            return mine.history.digest()

    first = digest()
    llmroute.clock.sleep(100)
    assert digest() == first


def test_a_thread_that_waits_too_long_for_its_turn_is_told_why(monkeypatch):
    monkeypatch.setattr(inside, "TURN", 0.05)
    errors = []

    def other():
        try:
            with world():
                pass
        except RuntimeError as error:
            errors.append(str(error))

    go = threading.Event()
    thread = threading.Thread(target=lambda: go.wait() and other())
    thread.start()
    with world():
        go.set()
        while thread.is_alive():
            thread.join()
    assert "in another thread" in errors[0]
