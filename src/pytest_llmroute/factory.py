"""Worlds opened within a test, one after the other, as Hypothesis wants them."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from llmroute_sim.carriers.memory import in_memory, new_clock
from llmroute_sim.simulator import Simulator
from pytest_llmroute.judging import loose_ends
from pytest_llmroute.library import Library, Playable
from pytest_llmroute.worlds import World, world

__all__ = ("WorldFactory", "unhurried", "warm_up")


class WorldFactory:
    """Opens worlds: ``with llmroute_factory() as world``. Handed out by the fixture of this name.

    It serves a whole session. What a test's markers say, its seed, and whether its worlds are strict
    is set before each test.
    """

    def __init__(self) -> None:
        self.library = Library()
        self.seed = 0
        self.strict = True
        self.hosts: tuple[str, ...] = ()
        self.last: World | None = None
        """The world that was opened last: of a test that failed, the one in which it did."""

    def __repr__(self) -> str:
        return "llmroute_factory"

    def __call__(
        self,
        scenario: Playable | None = None,
        *,
        seed: int | None = None,
        strict: bool | None = None,
        hosts: Iterable[str] = (),
        **said: str | Iterable[str] | float,
    ) -> AbstractContextManager[World]:
        """Open a world around a block. It has the seed of the test unless told.

        With a ``scenario`` the scene is set already, for :meth:`World.play` to play; ``said`` is what
        it leaves open. A block that passed fails nevertheless, as with the fixture ``llmroute``, if
        hosts were tried that nothing simulates (but for ``hosts``, names or patterns) or, unless it
        was opened with a scenario, if what was injected was never met; not with ``strict=False``.
        """
        return _Opened(
            self,
            self.seed if seed is None else seed,
            None if scenario is None else (scenario, said),
            self.strict if strict is None else strict,
            (*self.hosts, *hosts),
        )


class _Opened:
    """A world around a block, judged when the block has passed."""

    def __init__(
        self,
        factory: WorldFactory,
        seed: int,
        scenario: tuple[Playable, dict[str, Any]] | None,
        strict: bool,
        hosts: tuple[str, ...],
    ) -> None:
        self._factory = factory
        self._opening = world(seed=seed)
        self._scenario = scenario
        self._strict = strict
        self._hosts = hosts
        self._world: World

    def __enter__(self) -> World:
        self._world = self._factory.last = self._opening.__enter__()
        self._world.library = self._factory.library
        if self._scenario is not None:
            scenario, said = self._scenario
            try:
                self._world.stage(scenario, **said)
            except BaseException:
                self._opening.__exit__(*sys.exc_info())
                raise
        return self._world

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        self._opening.__exit__(kind, error, trace)
        if error is None and self._strict:
            said = loose_ends(self._world, self._hosts, unmet=self._scenario is None)
            if said is not None:
                raise AssertionError(said)


def unhurried(test: object) -> None:
    """Take the deadline that Hypothesis has unless told from a test: it counts real time, most of it
    that of the SDKs, and says nothing of a world in virtual time."""
    hypothesis = sys.modules.get("hypothesis")
    test = getattr(test, "__func__", test)
    # Settings of a test that has been decorated can be changed in no other way.
    name = "_hypothesis_internal_use_settings"
    given = getattr(test, name, None)
    if hypothesis is None or given is None:
        return
    if given.deadline == hypothesis.settings.default.deadline:
        setattr(test, name, hypothesis.settings(given, deadline=None))


def warm_up() -> None:
    """Do once what the first answer of a process does, so that no example of Hypothesis is blamed
    for it: imports, the vocabulary, prices."""
    clock = new_clock()
    with in_memory(Simulator(clock), clock):
        for host, path, model in _FIRST:
            asked = http.client.HTTPConnection(host)
            body = {"model": model, "max_tokens": 9, "messages": _SAID}
            headers = {"authorization": "Bearer sk", "x-api-key": "sk"}
            asked.request("POST", path, json.dumps(body), headers)
            asked.getresponse().read()
            asked.close()
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(asyncio.sleep(1))


_SAID = [{"role": "user", "content": "hello"}]
_FIRST = (
    ("api.openai.com", "/v1/chat/completions", "gpt-4o"),
    ("api.anthropic.com", "/v1/messages", "claude-sonnet-4-5"),
)
