"""Playing: one scenario, one router, one way in, in a world of its own."""

from __future__ import annotations

import asyncio
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
from llmroute_sim.scenario import Ask, Scenario
from llmroute_sim.simulator import Pace, Simulator
from pytest_llmroute.ask import CALL_HORIZON, Pen
from pytest_llmroute.routers import Entry, Question, Router, RoutingConfig

__all__ = ("Cell", "play")

_SETTLE = 1.0
"""Virtual seconds that a router has for what it does behind its caller's back."""

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
        """Depends on the scenario's seed and on what the cell is, on nothing around it."""
        text = f"{self.scenario.seed}\x1f{self.id}".encode()
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
        stack.enter_context(in_memory(simulator, clock))
        asyncio.run(stage.workload())
    simulator.history.clock = clock.description
    return simulator.history


class _Stage:
    """A cell's workload while it runs."""

    def __init__(self, cell: Cell, history: History, clock: Clock) -> None:
        self._cell = cell
        self._clock = clock
        self._pen = Pen(history, clock)
        self._horizons: dict[str, Horizon] = {}
        self._number = 0

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
        async with self._cell.config.open() as router:
            with ThreadPoolExecutor(max_workers=64) as pool:
                for line, ask in enumerate(self._cell.scenario.asks):
                    await self._asked(router, pool, line, ask)
            await asyncio.sleep(_SETTLE)

    async def _asked(self, router: Router, pool: ThreadPoolExecutor, line: int, ask: Ask) -> None:
        clock, due = self._clock, ask.at
        for _ in range(ask.times):
            if due is not None and due > clock.now():
                await asyncio.sleep(due - clock.now())
            due = clock.now() + ask.every
            calls = []
            for _ in range(ask.together):
                name = ask.question or f"{line}.{self._number}"
                self._number += 1
                calls.append(self._call(router, pool, _question(self._cell, ask, name), ask.labels))
            await asyncio.gather(*calls)

    async def _call(
        self,
        router: Router,
        pool: ThreadPoolExecutor,
        question: Question,
        labels: Mapping[str, str],
    ) -> None:
        """One call. What it raises is in the history; the workload goes on."""
        about = self._pen.about(question, labels)

        def blocking() -> None:
            try:
                with self._pen.writing(**about) as (call, reply), self._bound(call.id):
                    router.ask(question, reply)
            except (Exception, Stuck):
                return

        if question.entry.sync:
            await asyncio.get_running_loop().run_in_executor(pool, blocking)
            return
        try:
            with self._pen.writing(**about) as (call, reply), self._bound(call.id):
                await router.aask(question, reply)
        except (Exception, Stuck):
            return

    @contextmanager
    def _bound(self, call: str) -> Iterator[None]:
        """No call may wait for ever."""
        with self._clock.horizon_at(CALL_HORIZON) as horizon:
            self._horizons[call] = horizon
            try:
                yield
            finally:
                del self._horizons[call]


def _question(cell: Cell, ask: Ask, name: str) -> Question:
    entry = cell.entry
    if ask.stream is not None and entry.api == "chat":
        entry = replace(entry, stream=ask.stream)
    text = f"Question {name}: say something in one line."
    if ask.tokens is not None:
        text += " word" * max(0, ask.tokens - 12)
    return Question(entry, cell.group, text, ask.options)


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
