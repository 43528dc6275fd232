"""Workloads: what is asked, and when.

A workload is lines, performed one after the other unless one says that it goes on beside the next.
Each line is a shape: a sequence, a burst, arrivals that wait for nobody, a conversation that grows, a
log that is replayed. What a call is, and who is asked, is the business of whoever performs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from llmroute_sim.prose import seeded

__all__ = ("Ask", "Said", "Turn", "perform")

Said: TypeAlias = tuple[tuple[str, str], ...]
"""What was said before: pairs of a role (``user``, ``assistant``) and a text, in order."""

_PLAIN = 12
"""About how many tokens a question has that says nothing of its length."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One line of a workload.

    ``times`` rounds of calls, the first at ``at`` (virtual seconds; None: when what came before is
    answered), then one every ``every`` seconds or, if 0, one after the other; ``together`` calls make
    a round. With ``rate`` the rounds are arrivals instead: so many a second on average, as chance has
    it, whether earlier calls are answered or not.

    Calls with the same ``question`` ask the same; without one each asks something new. ``options`` go
    into the request (``temperature``, ``max_tokens``, ``system``...), ``tokens`` is about how long the
    prompt is, ``stream`` None leaves the choice to who performs the workload. A label with several
    values gives each call the next of them.

    As a ``conversation`` each call carries all that was asked and answered before on this line; of
    ``together`` conversations each is its own. ``leave_after`` is after how many tokens of a stream
    the client leaves. ``beside`` lets the next line begin before this one is answered. A ``log`` are
    recorded calls, replayed ``at`` their times and all of them ``times`` 1 without waiting for each
    other; nothing but ``at``, ``beside``, ``labels`` and ``options`` of the line itself counts then.
    """

    at: float | None = None
    times: int = 1
    every: float = 0.0
    together: int = 1
    rate: float | None = None
    question: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    tokens: int | None = None
    stream: bool | None = None
    conversation: bool = False
    leave_after: int | None = None
    beside: bool = False
    log: tuple[Ask, ...] = ()

    @property
    def calls(self) -> int:
        """How many calls the line makes."""
        return len(self.log) or self.times * self.together


@dataclass(frozen=True, slots=True)
class Turn:
    """One call that a workload wants.

    ``line`` is the line of the workload, ``number`` counts its calls from 0. ``question`` is the name of
    the question: equal names ask the same ``text``. ``past`` is what a conversation has behind it.
    ``stream`` and ``leave_after`` as :class:`Ask` has them.
    """

    line: int
    number: int
    question: str
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    stream: bool | None = None
    past: Said = ()
    leave_after: int | None = None


class Moment(Protocol):
    """What is asked of a clock."""

    def now(self) -> float:
        """Seconds since the world began."""
        ...


Caller: TypeAlias = Callable[[Turn], Awaitable[str | None]]
"""Makes a call and returns the text of the answer, None where there is none."""


async def perform(asks: Sequence[Ask], clock: Moment, seed: int, call: Caller) -> None:
    """Ask all that a workload asks, at its times. ``seed`` is what chance gives.

    Returns when every call is over. What ``call`` raises ends the workload and is raised.
    """
    stage = _Stage(clock, seed, call)
    beside: list[asyncio.Task[None]] = []
    try:
        for line, ask in enumerate(asks):
            if ask.beside:
                beside.append(asyncio.create_task(stage.perform(line, ask)))
            else:
                await stage.perform(line, ask)
        await asyncio.gather(*beside)
    finally:
        for task in beside:
            task.cancel()


class _Stage:
    """A workload while it runs."""

    def __init__(self, clock: Moment, seed: int, call: Caller) -> None:
        self._clock = clock
        self._seed = seed
        self._call = call
        self._number = 0
        self._asked: dict[int, int] = {}

    async def perform(self, line: int, ask: Ask) -> None:
        """One line."""
        if ask.log:
            await self._replay(line, ask)
        elif ask.rate is not None:
            await self._arrivals(line, ask, ask.rate)
        elif ask.conversation:
            await asyncio.gather(
                *(self._conversation(line, ask, which) for which in range(ask.together))
            )
        else:
            await self._rounds(line, ask)

    async def _rounds(self, line: int, ask: Ask) -> None:
        due = ask.at
        for _ in range(ask.times):
            await self._until(due)
            due = self._clock.now() + ask.every
            turns = [self._turn(line, ask) for _ in range(ask.together)]
            await asyncio.gather(*map(self._call, turns))

    async def _arrivals(self, line: int, ask: Ask, rate: float) -> None:
        chance = seeded(self._seed, "arrivals", line)
        due = max(self._clock.now(), ask.at or 0.0)
        running: list[asyncio.Future[str | None]] = []
        try:
            for _ in range(ask.times):
                due += chance.expovariate(rate)
                await self._until(due)
                turns = [self._turn(line, ask) for _ in range(ask.together)]
                running += [asyncio.ensure_future(self._call(turn)) for turn in turns]
            await asyncio.gather(*running)
        finally:
            for one in running:
                one.cancel()

    async def _conversation(self, line: int, ask: Ask, which: int) -> None:
        due, past = ask.at, Said()
        for number in range(ask.times):
            await self._until(due)
            due = self._clock.now() + ask.every
            name = None if ask.question is None else f"{ask.question}.{number}"
            turn = self._turn(line, ask, name=name, place=which, past=past)
            answer = await self._call(turn)
            if answer:
                past = (*past, ("user", turn.text), ("assistant", answer))

    async def _replay(self, line: int, ask: Ask) -> None:
        began = max(self._clock.now(), ask.at or 0.0)
        running: list[asyncio.Future[str | None]] = []
        try:
            for one in sorted(ask.log, key=lambda one: one.at or 0.0):
                await self._until(began + (one.at or 0.0))
                turn = self._turn(line, one, labels=ask.labels, options=ask.options)
                running.append(asyncio.ensure_future(self._call(turn)))
            await asyncio.gather(*running)
        finally:
            for call in running:
                call.cancel()

    async def _until(self, due: float | None) -> None:
        if due is not None and due > self._clock.now():
            await asyncio.sleep(due - self._clock.now())

    def _turn(
        self,
        line: int,
        ask: Ask,
        *,
        name: str | None = None,
        place: int | None = None,
        past: Said = (),
        labels: Mapping[str, str | tuple[str, ...]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Turn:
        """The next call of a line; ``place`` is whose turn it is among several values of a label."""
        number = self._asked[line] = self._asked.get(line, -1) + 1
        question = name or ask.question or f"{line}.{self._number}"
        self._number += 1
        text = f"Question {question}: say something in one line."
        if ask.tokens is not None:
            text += " word" * max(0, ask.tokens - _PLAIN)
        given = {**(labels or {}), **ask.labels}
        return Turn(
            line,
            number,
            question,
            text,
            {**(options or {}), **ask.options},
            {key: _nth(value, number if place is None else place) for key, value in given.items()},
            ask.stream,
            past,
            ask.leave_after,
        )


def _nth(value: str | tuple[str, ...], number: int) -> str:
    return value if isinstance(value, str) else value[number % len(value)]
