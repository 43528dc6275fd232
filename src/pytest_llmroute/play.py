"""Playing: one scenario, one router, one way in, in a world of its own."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock, Stuck
from llmroute_sim.history import Attempt, History
from llmroute_sim.horizon import Horizon
from llmroute_sim.scenario import Scenario
from llmroute_sim.simulator import Pace, Simulator
from llmroute_sim.workload import Turn, perform
from pytest_llmroute.ask import CALL_HORIZON, Pen
from pytest_llmroute.routers import Entry, Question, Router, RoutingConfig
from pytest_llmroute.vocabulary import sayable

__all__ = ("Cell", "play")

_SETTLE = 1.0
"""Virtual seconds that a router has for what it does behind its caller's back."""

_CROWD = 512
"""Blocking calls that may be under way at the same time."""

_RUNAWAY = 60
"""Attempts after which a call counts as one that never ends."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario played against one configuration through one way in."""

    config: RoutingConfig
    scenario: Scenario
    group: str
    entry: Entry

    @property
    def id(self) -> str:
        """Readable and stable."""
        path = self.config.path.absolute()
        name = f"{path.parent.name}/{path.name}"
        return f"{name}::{self.scenario.name}::{self.group}::{self.entry}"

    @property
    def seed(self) -> int:
        """Depends on the scenario's seed and on what the cell is, on nothing around it: wherever a
        project is checked out, it is the same."""
        text = f"{self.scenario.seed}\x1f{self.id.partition('/')[2]}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest())


def play(cell: Cell) -> History:
    """Play a cell in a world of its own, on a virtual clock, and return what happened."""
    clock, scenario = Clock(), cell.scenario
    pace = Pace(scenario.first_token, scenario.per_token)
    simulator = Simulator(clock, seed=cell.seed, pace=pace)
    for deployment in cell.config.deployments:
        simulator.serve(deployment)
    simulator.stated_usage = scenario.bills
    for incident in scenario.incidents:
        simulator.inject(incident)
    stage = _Stage(cell, simulator.history, clock)
    simulator.on_attempt.append(stage.count)
    with ExitStack() as stack:
        stack.enter_context(_variables(cell.config.environment))
        stack.enter_context(_chance(cell.seed))
        stack.enter_context(_swept())
        stack.enter_context(in_memory(simulator, clock))
        # Not whatever loop is the fashion of this process.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(stage.workload())
    if simulator.crashes:
        raise simulator.crashes[0]
    simulator.history.clock = clock.description
    return simulator.history


class _Stage:
    """A cell's workload while it runs."""

    def __init__(self, cell: Cell, history: History, clock: Clock) -> None:
        self._cell = cell
        self._clock = clock
        self._pen = Pen(history, clock, cell.config.keys)
        self._horizons: dict[str, Horizon] = {}

    def count(self, attempt: Attempt) -> None:
        """End a call that has made so many attempts that it would go on for ever."""
        horizon = self._horizons.get(attempt.call or "")
        if horizon is None or attempt.ordinal <= _RUNAWAY:
            return
        why = f"{attempt.ordinal - 1} attempts and no end"
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            horizon.reached(why)
        else:
            loop.call_soon(horizon.reached, why)

    async def workload(self) -> None:
        """Make the router and ask it all that the scenario asks."""
        cell = self._cell
        async with cell.config.open() as router:
            with ThreadPoolExecutor(max_workers=_CROWD) as pool:
                await perform(
                    cell.scenario.asks,
                    self._clock,
                    cell.scenario.seed,
                    lambda turn: self._call(router, pool, turn),
                )
            await asyncio.sleep(_SETTLE)

    async def _call(self, router: Router, pool: ThreadPoolExecutor, turn: Turn) -> str | None:
        """One call, and what was answered. What it raises is in the history; the workload goes on."""
        try:
            return await self._asked(router, pool, turn)
        finally:
            gc.collect(1)

    async def _asked(self, router: Router, pool: ThreadPoolExecutor, turn: Turn) -> str | None:
        question = _question(self._cell, turn)
        about = self._pen.about(question, turn.labels)

        def blocking() -> str | None:
            try:
                with self._pen.writing(**about) as (call, reply), self._bound(call.id):
                    router.ask(question, reply)
            except (Exception, Stuck):
                return None
            return None if reply.left else reply.text

        if question.entry.sync:
            return await asyncio.get_running_loop().run_in_executor(pool, blocking)
        try:
            with self._pen.writing(**about) as (call, reply), self._bound(call.id):
                await router.aask(question, reply)
        except (Exception, Stuck):
            return None
        return None if reply.left else reply.text

    @contextmanager
    def _bound(self, call: str) -> Iterator[None]:
        """No call may wait for ever."""
        with self._clock.horizon_at(CALL_HORIZON) as horizon:
            self._horizons[call] = horizon
            try:
                yield
            finally:
                del self._horizons[call]


def _question(cell: Cell, turn: Turn) -> Question:
    entry = cell.entry
    if turn.stream is not None and entry.api != "embeddings":
        entry = replace(entry, stream=turn.stream)
    options = sayable(entry.api, turn.options, stream=entry.stream)
    return Question(entry, cell.group, turn.text, options, turn.past, turn.leave_after)


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _chance(seed: int) -> Iterator[None]:
    """Routers draw from the global source: back-off jitter, weighted picks."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _swept() -> Iterator[None]:
    """Garbage is collected after each call and at no other time.

    A router that drops a stream instead of closing it has it closed by the collector: in the middle
    of another request, say, whose connection pool waits for itself from then on. When that would
    happen depends on all that the process has ever allocated, which no seed decides.
    """
    was = gc.isenabled()
    fresh = not gc.get_freeze_count()
    gc.disable()
    if fresh:
        # What was there before is not looked through again and again.
        gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        if fresh:
            gc.unfreeze()
        if was:
            gc.enable()
