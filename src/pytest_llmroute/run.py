"""Running: scenario by scenario, the router that a configuration makes is asked in a broken world."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock, Stuck
from llmroute_sim.history import History
from llmroute_sim.names import Unknown
from llmroute_sim.scenario import Ask, Scenario, Template, shipped
from llmroute_sim.simulator import Pace, Simulator
from pytest_llmroute.ask import CALL_HORIZON, Pen
from pytest_llmroute.contracts import contracts
from pytest_llmroute.promises import Promise
from pytest_llmroute.routers import Entry, Question, Router, RoutingConfig
from pytest_llmroute.verdicts import Verdict, confirmed, judge

__all__ = ("Cell", "Choice", "Player", "Result", "Trial", "judged", "play", "trials")


_SETTLE = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What part of the whole is asked for: scenarios and contracts by name (empty: all), policy
    promises too or not, and the seed. ``own`` are scenarios that are not shipped; one that names no
    contracts tries all."""

    scenarios: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()
    policy: bool = False
    seed: int = 0
    own: tuple[Template, ...] = ()

    @property
    def templates(self) -> tuple[Template, ...]:
        """The scenarios that are asked for."""
        asked = self.scenarios or (() if self.own else tuple(shipped()))
        return (*(found for name, found in shipped().items() if name in asked), *self.own)

    def check(self) -> None:
        """Raises ``Unknown`` for a name that does not exist."""
        for name in self.scenarios:
            if name not in shipped():
                raise Unknown("scenario", name, shipped())
        for name in self.contracts:
            if name not in contracts():
                raise Unknown("contract", name, contracts())

    def wants(self, promise: Promise) -> bool:
        """Whether a promise is to be judged."""
        if self.contracts:
            return promise.contract.id in self.contracts
        return self.policy or promise.because.kind != "policy"


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
        name = f"{self.config.path.parent.name}/{self.config.path.name}"
        return f"{name}::{self.scenario.name}::{self.group}::{self.entry}"

    @property
    def seed(self) -> int:
        """Depends on the scenario's seed and on what the cell is, on nothing around it."""
        text = f"{self.scenario.seed}\x1f{self.id}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest())


@dataclass(slots=True)
class Trial:
    """A cell, and the promises that it tries."""

    cell: Cell
    promises: list[Promise] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a trial. ``untried`` promises of a configuration come in a result without a cell.
    ``calm`` is what happened without the stimulus, where a promise seemed broken."""

    config: RoutingConfig
    cell: Cell | None
    history: History
    verdicts: tuple[Verdict, ...]
    calm: History | None = None


Player: TypeAlias = Callable[[Cell], History]
"""Plays a cell and returns what happened."""


def trials(config: RoutingConfig, choice: Choice) -> tuple[list[Trial], list[Verdict]]:
    """Which cells try which promises, and the promises that nothing can try, each with the reason."""
    found: dict[str, Trial] = {}
    untried: list[Verdict] = []
    for promise in config.promises:
        if not choice.wants(promise):
            continue
        count, reasons = 0, dict[str, str]()
        for template in choice.templates:
            if template.tests and promise.contract.id not in template.tests:
                continue
            if reason := _unfit(template, promise):
                reasons[template.name] = reason
                continue
            bound = template.bind(promise.roles, promise.numbers)
            scenario = replace(bound, seed=choice.seed or bound.seed)
            for entry in config.entries(promise.group):
                if _serves(promise, scenario, entry):
                    count += 1
                    cell = Cell(config, scenario, promise.group, entry)
                    trial = found.setdefault(f"{cell.id}\x1f{scenario!r}", Trial(cell))
                    trial.promises.append(promise)
        if not count and not (choice.scenarios or choice.own):
            said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            untried.append(Verdict(promise, "untested", (), said or "no scenario tries this"))
    return list(found.values()), untried


def _unfit(template: Template, promise: Promise) -> str:
    """Why a scenario cannot try a promise, or nothing."""
    if template.name in promise.avoid:
        return promise.avoid[template.name]
    given = {role for role, places in promise.roles.items() if places} | set(promise.numbers)
    missing = template.needs - given
    return f"needs {', '.join(sorted(missing))}" if missing else ""


def _serves(promise: Promise, scenario: Scenario, entry: Entry) -> bool:
    mode = "stream" if entry.stream else "json"
    return (
        mode in scenario.modes
        and entry.api in scenario.entries
        and (not promise.entries or str(entry) in promise.entries or entry.api in promise.entries)
    )


def judged(trial: Trial, *, calmed: bool = True, player: Player | None = None) -> Result:
    """Play a trial and judge its promises. Before a promise is called broken, the trial is played
    again without its stimulus: what is still observed then was no proof of anything. ``player``
    plays a cell in another process, say."""
    cell, perform = trial.cell, player or play
    history, calm = perform(cell), None
    verdicts = [judge(promise, history) for promise in trial.promises]
    if calmed and any(verdict.outcome == "broken" for verdict in verdicts):
        calm = perform(replace(cell, scenario=cell.scenario.calmed()))
        verdicts = [confirmed(verdict, calm) for verdict in verdicts]
    return Result(cell.config, cell, history, tuple(verdicts), calm)


# -- playing one cell


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
    with ExitStack() as stack:
        stack.enter_context(_variables(cell.config.environment))
        stack.enter_context(_chance(cell.seed))
        stack.enter_context(in_memory(simulator, clock))
        asyncio.run(_workload(cell, simulator.history, clock))
    simulator.history.clock = clock.description
    return simulator.history


async def _workload(cell: Cell, history: History, clock: Clock) -> None:
    pen = Pen(history, clock)
    async with cell.config.open() as router:
        await _asked(router, cell, pen, clock)
        # Routers write their logs and counters behind the caller's back; let them finish.
        await asyncio.sleep(_SETTLE)


async def _asked(router: Router, cell: Cell, pen: Pen, clock: Clock) -> None:
    number = 0
    with ThreadPoolExecutor(max_workers=64) as pool:
        for line, ask in enumerate(cell.scenario.asks):
            due = ask.at
            for _ in range(ask.times):
                if due is not None and due > clock.now():
                    await asyncio.sleep(due - clock.now())
                due = clock.now() + ask.every
                names = [ask.question or f"{line}.{number + n}" for n in range(ask.together)]
                number += ask.together
                await asyncio.gather(
                    *(
                        _call(router, pen, clock, pool, _question(cell, ask, name), ask)
                        for name in names
                    )
                )


def _question(cell: Cell, ask: Ask, name: str) -> Question:
    entry = cell.entry
    if ask.stream is not None and entry.api == "chat":
        entry = replace(entry, stream=ask.stream)
    text = f"Question {name}: say something in one line."
    if ask.tokens is not None:
        text += " word" * max(0, ask.tokens - 12)
    return Question(entry, cell.group, text, ask.options)


async def _call(
    router: Router, pen: Pen, clock: Clock, pool: ThreadPoolExecutor, question: Question, ask: Ask
) -> None:
    about = pen.about(question, ask.labels)
    try:
        if question.entry.sync:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(
                pool, partial(_blocking, router, pen, clock, question, about)
            )
        else:
            with pen.writing(**about) as (_, reply), clock.horizon_at(CALL_HORIZON):
                await router.aask(question, reply)
    except (Exception, Stuck):
        # What a call raises is in the history; the workload goes on.
        return


def _blocking(
    router: Router, pen: Pen, clock: Clock, question: Question, about: Mapping[str, object]
) -> None:
    try:
        with pen.writing(**about) as (_, reply), clock.horizon_at(CALL_HORIZON):
            router.ask(question, reply)
    except (Exception, Stuck):
        return


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
