from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from llmroute_sim.carriers.inside import aside
from llmroute_sim.carriers.memory import StillWaiting, in_memory
from llmroute_sim.clock import Clock, RealClock, Stuck
from llmroute_sim.wire import Address, Exchange, Request


class Silent:
    def knows(self, host: str) -> bool:
        return False

    def stray(self, address: Address, call: str | None) -> None: ...

    def connect(self, address: Address, call: str | None) -> Exchange:
        yield from ()

    def open(self, request: Request) -> Exchange:
        yield from ()

    def keeps(self, address: Address) -> bool:
        return True


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with in_memory(Silent(), clock):
        yield clock


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


# -- the clock by itself


def test_moments_add_up_exactly():
    clock = Clock()
    for seconds in (0, 3, 6):
        clock.sleep(seconds)
    assert clock.now() == 9.0
    for _ in range(1000):
        clock.sleep(0.1)
    assert clock.now() == 109.0


def test_what_is_scheduled_happens_in_order_and_a_cancelled_timer_never():
    clock, seen = Clock(), []
    for name, when in (("c", 3), ("a", 1), ("b", 1), ("x", 2)):
        timer = clock.call_at(when, lambda name=name: seen.append((name, clock.now())))
        if name == "x":
            timer.cancel()
    clock.advance_to(5)
    assert seen == [("a", 1.0), ("b", 1.0), ("c", 3.0)]
    assert clock.now() == 5.0


def test_the_wall_follows_the_clock():
    clock = Clock()
    start = clock.wall()
    clock.sleep(86400.5)
    assert clock.wall() - start == timedelta(days=1, seconds=0.5)


def test_every_world_begins_at_a_later_midnight_and_monotonic_never_runs_back():
    last_wall, last_monotonic = datetime(2026, 12, 31, tzinfo=UTC), 0.0
    for seconds in (10, 3 * 86400, 0):
        clock = Clock()
        with in_memory(Silent(), clock):
            assert clock.wall() > last_wall
            assert (clock.wall().hour, clock.wall().minute, clock.wall().second) == (0, 0, 0)
            assert time.monotonic() >= last_monotonic
            time.sleep(seconds)
            last_wall, last_monotonic = clock.wall(), time.monotonic()
    assert last_monotonic < 1e9


def test_a_wait_for_nothing_is_stuck_and_the_clock_goes_on():
    clock = Clock()
    with pytest.raises(Stuck, match="nothing is left"):
        clock.block(clock.waiter())
    clock.sleep(1)
    assert clock.now() == 1.0


def test_stuck_is_no_exception_that_a_router_would_catch():
    assert not issubclass(Stuck, Exception)


def test_a_recurring_timer_cannot_hide_a_hang_beyond_the_horizon():
    clock = Clock(horizon=1000)

    def again() -> None:
        clock.call_later(20, again)

    again()
    for _ in range(2):
        with pytest.raises(Stuck, match="horizon of 1000 s"):
            clock.block(clock.waiter())
    assert clock.now() == 2000.0


def test_a_real_clock_says_so_and_goes_by_itself():
    clock = RealClock()
    began = clock.now()
    clock.sleep(0)
    assert clock.now() >= began
    assert clock.description == "real"
    assert abs(clock.wall() - datetime.now(UTC)) < timedelta(minutes=1)


# -- threads


def test_threads_sleep_side_by_side(clock):
    seen = []

    def sleeper(seconds: float) -> None:
        time.sleep(seconds)
        seen.append((seconds, clock.now()))

    threads = [threading.Thread(target=sleeper, args=(s,)) for s in (30, 3, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(3, 3.0), (9, 9.0), (30, 30.0)]
    assert clock.description == "virtual"


def test_conditions_events_and_queues_wait_virtually(clock):
    box: queue.Queue[str] = queue.Queue(maxsize=1)
    done = threading.Event()

    def producer() -> None:
        for word in ("one", "two", "three"):
            time.sleep(5)
            box.put(word)
        done.set()

    threading.Thread(target=producer).start()
    assert not done.wait(1)
    assert clock.now() == 1.0
    assert [box.get(timeout=60) for _ in range(3)] == ["one", "two", "three"]
    with pytest.raises(queue.Empty):
        box.get(timeout=10)
    assert done.wait()
    assert clock.now() == 25.0


def test_the_order_of_threads_is_that_of_their_start(clock):
    seen: list[int] = []
    gate = threading.Barrier(8)

    def worker(number: int) -> None:
        gate.wait()
        for _ in range(3):
            seen.append(number)
            time.sleep(1)

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen[:8]) == list(range(8))
    assert seen[:8] == seen[8:16] == seen[16:]


def test_a_pending_job_holds_the_clock():
    for _ in range(20):
        clock = Clock()
        with in_memory(Silent(), clock), ThreadPoolExecutor(4) as pool:
            clock.call_at(1000, lambda: None)
            answer = pool.submit(lambda clock=clock: clock.now())
            time.sleep(5)
            assert answer.result() == 0.0


def test_jobs_in_line_do_not_hold_the_clock_and_shutdown_waits_virtually(clock):
    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(lambda: time.sleep(10) or clock.now()) for _ in range(5)]
    assert clock.now() == 30.0
    assert [end.result() for end in ends] == [10.0, 10.0, 20.0, 20.0, 30.0]


def test_a_job_that_is_cancelled_in_line_leaves_nothing_behind(clock):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 5)
        never = pool.submit(time.sleep, 1000)
        assert never.cancel()
        last = pool.submit(lambda: clock.now())
    assert last.result() == 5.0
    pool = ThreadPoolExecutor(1)
    pool.submit(time.sleep, 5)
    pool.submit(time.sleep, 1000)
    pool.shutdown(wait=True, cancel_futures=True)
    assert clock.now() == 10.0
    assert clock.description == "virtual"


def test_two_loops_in_two_threads_and_work_handed_to_a_thread(clock):
    async def main(seconds: float) -> float:
        await asyncio.to_thread(time.sleep, seconds)
        await asyncio.sleep(seconds)
        return clock.now()

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(lambda s=s: asyncio.run(main(s))) for s in (4, 2)]
    assert [end.result() for end in ends] == [8.0, 4.0]
    assert clock.description == "virtual"


def test_a_coroutine_handed_to_a_loop_in_another_thread(clock):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    slept = asyncio.run_coroutine_threadsafe(asyncio.sleep(7, "slept"), loop)
    assert slept.result(timeout=10) == "slept"
    assert clock.now() == 7.0
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_bare_lock_across_a_sleep_degrades_the_clock_and_is_counted(clock):
    lock = threading.Lock()
    lock.acquire()

    def holder() -> None:
        time.sleep(5)
        lock.release()

    thread = threading.Thread(target=holder)
    thread.start()
    lock.acquire()
    thread.join()
    assert clock.now() == 5.0
    assert clock.description == "virtual, degraded (1)"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmroute_sim.baton.PATIENCE", 0.05)
    monkeypatch.setattr("llmroute_sim.baton.LOOK", 0.005)


def idle_worker() -> tuple[queue.Queue[object], list[BaseException]]:
    """A worker that waits for work; returns its queue and what it raised."""
    work: queue.Queue[object] = queue.Queue()
    raised: list[BaseException] = []

    def worker() -> None:
        try:
            while work.get() is not None:
                pass
        except BaseException as error:
            raised.append(error)

    threading.Thread(target=worker, daemon=True).start()
    return work, raised


def held_outside(clock: Clock, seconds: float) -> threading.Lock:
    """A bare lock that a thread beside the world lets go after so many real seconds."""
    lock = threading.Lock()
    lock.acquire()
    with aside():
        threading.Timer(seconds, lock.release).start()
    return lock


@pytest.mark.usefixtures("impatient")
def test_an_idle_worker_is_not_stuck_while_another_thread_waits_in_c(clock):
    work, raised = idle_worker()
    held_outside(clock, 0.4).acquire()
    time.sleep(1)
    assert raised == []
    work.put(None)
    time.sleep(1)
    assert clock.now() == 2.0


@pytest.mark.usefixtures("impatient")
def test_a_call_is_not_ended_while_its_thread_runs_beside_the_clock(clock):
    work, raised = idle_worker()
    with clock.horizon_at(600):
        held_outside(clock, 0.4).acquire()
        burn(0.2)
        time.sleep(1)
    work.put(None)
    assert raised == []


def burn(seconds: float) -> None:
    """Compute for so many seconds of this thread's own."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "step", [lambda: None, lambda: select.select([], [], [], 0)], ids=["holds", "releases"]
)
def test_a_thread_that_computes_for_long_degrades_nothing(clock, step):
    work, _ = idle_worker()
    ticks = []
    clock.call_later(1, lambda: ticks.append(clock.now()))
    until = time.thread_time() + 0.3
    while time.thread_time() < until:
        step()
    assert ticks == []
    assert clock.description == "virtual"
    work.put(None)


# -- hanging


def test_a_call_that_hangs_ends_in_a_task_and_the_world_goes_on(clock):
    async def ask(seconds: float) -> float:
        with pytest.raises(Stuck, match=f"after {seconds:g} s"), clock.horizon_at(seconds):
            await forever()
        return clock.now()

    async def main() -> list[float]:
        async def ticker() -> None:
            for _ in itertools.count():
                await asyncio.sleep(20)

        ticking = asyncio.create_task(ticker())
        ends = await asyncio.gather(ask(100), ask(50), asyncio.sleep(10, 0.0))
        ticking.cancel()
        return ends

    assert asyncio.run(main()) == [100.0, 50.0, 0.0]
    time.sleep(1)
    assert clock.now() == 101.0


def test_a_call_that_hangs_ends_in_a_thread_and_the_world_goes_on(clock):
    ended = {}

    def ask(seconds: float) -> None:
        with pytest.raises(Stuck), clock.horizon_at(seconds):
            threading.Event().wait()
        ended[seconds] = clock.now()

    threads = [threading.Thread(target=ask, args=(s,)) for s in (100, 50)]
    for thread in threads:
        thread.start()
    time.sleep(200)
    for thread in threads:
        thread.join()
    assert ended == {50: 50.0, 100: 100.0}


def test_a_hang_is_found_at_once_where_nothing_else_can_happen(clock):
    with pytest.raises(Stuck, match="nothing is left"), clock.horizon_at(600):
        threading.Event().wait()
    assert clock.now() == 0.0

    async def ask() -> None:
        with clock.horizon_at(600):
            await forever()

    with pytest.raises(Stuck, match="nothing is left"):
        asyncio.run(ask())
    assert clock.now() == 0.0


@pytest.mark.parametrize("swallowed", [asyncio.CancelledError, BaseException])
def test_a_router_that_swallows_its_cancellation_hangs_all_the_same(clock, swallowed):
    async def stubborn() -> str:
        for _ in range(3):
            with contextlib.suppress(swallowed):
                await forever()
        return "an answer"

    async def ask() -> None:
        with clock.horizon_at(30):
            await stubborn()

    with pytest.raises(Stuck):
        asyncio.run(ask())


def test_a_call_within_its_horizon_notices_nothing(clock):
    async def ask() -> str:
        with clock.horizon_at(30):
            return await asyncio.sleep(29, "answered")

    assert asyncio.run(ask()) == "answered"
    with clock.horizon_at(30):
        time.sleep(29)
    time.sleep(100)
    assert clock.now() == 158.0


def test_a_cancellation_by_somebody_else_stays_one(clock):
    async def main() -> None:
        async def ask() -> None:
            with clock.horizon_at(30):
                await forever()

        task = asyncio.create_task(ask())
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_loop_with_nothing_to_do_is_stuck(clock):
    with pytest.raises(Stuck):
        asyncio.run(forever())
    assert asyncio.run(asyncio.sleep(3, "still here")) == "still here"


# -- ending


def test_what_still_waits_when_the_world_ends_is_woken_and_named():
    told = []

    def waits() -> None:
        try:
            while True:
                time.sleep(1)
        finally:
            told.append("woken")

    thread = threading.Thread(target=waits, name="the lonely one")
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.warns(StillWaiting, match="the lonely one"))
        stack.enter_context(in_memory(Silent(), Clock()))
        thread.start()
        time.sleep(3)
    thread.join(5)
    assert told == ["woken"]
    assert not thread.is_alive()


def test_jobs_still_in_line_when_the_world_ends_never_run():
    ran = []
    pool = ThreadPoolExecutor(1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.warns(StillWaiting, match="a job"))
        stack.enter_context(in_memory(Silent(), Clock()))
        pool.submit(threading.Event().wait, 10_000)
        later = pool.submit(ran.append, "ran")
        time.sleep(1)
    pool.shutdown(wait=True)
    assert later.cancelled()
    assert ran == []


def test_older_threads_keep_real_time():
    asked, answered = threading.Event(), threading.Event()
    seen = {}

    def old() -> None:
        asked.wait(10)
        began = time.perf_counter()
        time.sleep(0.02)
        seen["slept"] = time.perf_counter() - began
        seen["monotonic"] = time.monotonic()
        answered.set()

    thread = threading.Thread(target=old)
    thread.start()
    clock = Clock()
    with in_memory(Silent(), clock):
        time.sleep(1_000_000)
        asked.set()
        thread.join()
        assert answered.is_set()
    assert seen["slept"] >= 0.02
    assert seen["monotonic"] < time.monotonic() + 1
    assert clock.now() == 1_000_000.0
