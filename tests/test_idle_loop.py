from __future__ import annotations

import asyncio
import random
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock, Stuck
from llmroute_sim.simulator import Simulator


class Plain:
    """A selector under an ordinary loop whose time is only counted."""

    def __init__(self, loop):
        self.now = 0.0
        self._real = loop._selector
        loop._selector, loop.time = self, lambda: self.now
        loop._clock_resolution = 1e-6

    def select(self, timeout=None):
        self.now = round(self.now + (timeout or 0.0), 9)
        return []

    def __getattr__(self, name):
        return getattr(self._real, name)


def ordinarily(program):
    """What a program notes on asyncio's own loop."""
    loop = asyncio.SelectorEventLoop()
    Plain(loop)
    try:
        return loop.run_until_complete(program(loop.time()))
    finally:
        loop.close()


def virtually(program):
    """What it notes in a world."""
    clock = Clock()
    with in_memory(Simulator(clock), clock):

        async def main():
            return await program(asyncio.get_running_loop().time())

        return asyncio.run(main())


delays = st.sampled_from((0, 0, 0.001, 0.5, 0.5, 1, 1, 2, 7200))
plans = st.lists(
    st.tuples(st.sampled_from(("timer", "soon", "cancelled", "task", "nested")), delays),
    min_size=1,
    max_size=40,
)


def noted(plan):
    """A program that schedules what a plan says, and notes what runs and when."""

    async def program(began):
        loop, seen = asyncio.get_running_loop(), []

        def note(what):
            seen.append((what, round(loop.time() - began, 6)))

        async def sleeps(number, seconds):
            await asyncio.sleep(seconds)
            note(f"{number} slept")

        tasks = []
        for number, (kind, seconds) in enumerate(plan):
            match kind:
                case "timer":
                    loop.call_later(seconds, note, f"{number} timer")
                case "soon":
                    loop.call_soon(note, f"{number} soon")
                case "cancelled":
                    handle = loop.call_later(seconds + 0.25, note, f"{number} never")
                    loop.call_later(seconds, handle.cancel)
                case "task":
                    tasks.append(asyncio.ensure_future(sleeps(number, seconds)))
                case "nested":
                    loop.call_later(
                        seconds, lambda n=number: loop.call_soon(note, f"{n} nested, soon")
                    )
        await asyncio.sleep(8000)
        await asyncio.gather(*tasks)
        note("end")
        return seen

    return program


@settings(max_examples=60)
@given(plans)
def test_a_loop_of_a_world_runs_the_same_in_the_same_order_as_an_ordinary_one(plan):
    assert virtually(noted(plan)) == ordinarily(noted(plan))


def test_many_timers_that_are_cancelled_leave_nothing_behind():
    async def program(_):
        loop = asyncio.get_running_loop()
        for number in range(3000):
            loop.call_later(50 + number, print).cancel()
            if number % 100 == 0:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        return len(loop._scheduled)

    assert virtually(program) < 200


def test_an_idle_day_has_every_second_of_it():
    async def program(began):
        loop, ticks = asyncio.get_running_loop(), []

        async def ticking():
            while True:
                ticks.append(round(loop.time() - began, 6))
                await asyncio.sleep(1)

        task = asyncio.ensure_future(ticking())
        await asyncio.sleep(86_400)
        task.cancel()
        return ticks

    ticks = virtually(program)
    assert len(ticks) in (86_400, 86_401)
    assert {after - before for before, after in pairwise(ticks)} == {1}


def test_a_loop_that_is_stopped_stops_in_that_turn():
    clock = Clock()
    with in_memory(Simulator(clock), clock):
        loop, seen = asyncio.SelectorEventLoop(), []

        def schedule():
            loop.call_later(5, loop.stop)
            loop.call_later(5, seen.append, "the same turn")
            loop.call_later(5.5, seen.append, "later")

        loop.call_soon(schedule)
        loop.run_forever()
        assert (clock.now(), seen) == (5, ["the same turn"])
        loop.call_soon(loop.call_later, 2, loop.stop)
        loop.run_forever()
        assert (clock.now(), seen) == (7, ["the same turn", "later"])
        loop.close()


def test_another_thread_of_the_world_has_its_turn_while_a_loop_idles():
    clock, seen = Clock(), []
    with in_memory(Simulator(clock), clock):

        def other():
            for _ in range(5):
                clock.sleep(3)
                seen.append(("thread", clock.now()))

        async def main():
            thread = threading.Thread(target=other)
            thread.start()
            for _ in range(8):
                await asyncio.sleep(2)
                seen.append(("loop", clock.now()))

        asyncio.run(main())
    assert sorted(seen, key=lambda one: one[1]) == seen
    assert {at for who, at in seen if who == "thread"} == {3, 6, 9, 12, 15}
    assert {at for who, at in seen if who == "loop"} == set(range(2, 17, 2))


def test_a_wait_that_nobody_ends_is_still_found_out():
    async def program(_):
        background = asyncio.ensure_future(for_years())
        try:
            await asyncio.Event().wait()
        finally:
            background.cancel()

    async def for_years():
        for _ in range(1000):
            await asyncio.sleep(3600 * 24)

    with pytest.raises(Stuck, match="beyond the horizon"):
        virtually(program)


def test_chance_is_not_drawn_from_while_time_passes():
    async def program(_):
        random.seed(3)
        before = random.getstate()
        await asyncio.sleep(5000)
        return random.getstate() == before

    assert virtually(program)


def test_a_timer_set_before_a_loop_first_runs_in_a_world_is_due_when_it_says():
    clock, seen = Clock(), []
    with in_memory(Simulator(clock), clock):
        loop = asyncio.SelectorEventLoop()
        clock.sleep(1000)
        loop.call_later(5, lambda: seen.append(clock.now()))
        clock.sleep(2)
        loop.call_at(loop.time() + 6, loop.stop)
        loop.run_forever()
        loop.close()
    assert (seen, clock.now()) == ([1005], 1008)


def test_a_timer_outlives_the_runs_of_a_loop_and_is_due_when_it_says():
    clock, seen = Clock(), []
    with in_memory(Simulator(clock), clock):
        loop = asyncio.SelectorEventLoop()
        loop.run_until_complete(asyncio.sleep(1))
        loop.call_later(5, lambda: seen.append(clock.now()))
        clock.sleep(2)
        loop.run_until_complete(asyncio.sleep(1))
        loop.run_until_complete(asyncio.sleep(3))
        loop.close()
    assert (seen, clock.now()) == ([6], 7)


def test_timers_of_an_older_loop_are_due_as_long_after_it_comes_into_a_world_as_they_said():
    clock, seen = Clock(), []
    loop = asyncio.SelectorEventLoop()
    loop.call_later(3600, lambda: seen.append(("before", round(clock.now()))))
    with in_memory(Simulator(clock), clock):
        clock.sleep(100)
        loop.call_later(5, lambda: seen.append(("inside", clock.now())))
        loop.run_until_complete(asyncio.sleep(4000))
    loop.close()
    assert seen == [("inside", 105), ("before", 3700)]


def test_a_loop_whose_world_has_ended_keeps_real_time_and_its_timers_with_it():
    clock, seen = Clock(), []
    loop = asyncio.SelectorEventLoop()
    with in_memory(Simulator(clock), clock):
        loop.run_until_complete(asyncio.sleep(1000))
        loop.call_later(0.01, seen.append, "soon")
        loop.call_later(1000, seen.append, "later")
    began = time.monotonic()
    loop.run_until_complete(asyncio.sleep(0.02))
    assert time.monotonic() - began < 10
    assert type(loop) is asyncio.SelectorEventLoop
    loop.close()
    assert seen == ["soon"]
