"""The front door: a simulated world with its clock, what is asked in it, and what it shows."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import urlsplit

# What the first answer needs, so that no test pays for it.
import faker.providers.lorem.en_US  # noqa: F401
import genai_prices  # noqa: F401

from llmroute_sim.carriers.memory import in_memory, new_clock
from llmroute_sim.clock import Clock
from llmroute_sim.history import Call
from llmroute_sim.lap import Lap
from llmroute_sim.providers import provider as provider_named
from llmroute_sim.scenario import Scenario
from llmroute_sim.simulator import Deployment, Simulator
from pytest_llmroute import asking, census, playing
from pytest_llmroute.ask import Pen
from pytest_llmroute.asking import Recorded
from pytest_llmroute.controls import Controls
from pytest_llmroute.library import Library, Playable

if TYPE_CHECKING:
    import httpx
    import respx

__all__ = ("World", "world")

T = TypeVar("T")
P = TypeVar("P")


class World(Controls):
    """Providers that answer, break and mend as a test says, on a virtual clock.

    Made by :func:`world` or handed out by the fixture ``llmroute``. Every request that code of this
    process sends while the world is open is an attempt in its :attr:`history`.
    """

    def __init__(self, simulator: Simulator, clock: Clock | Lap) -> None:
        super().__init__(simulator, clock)
        self.clock = clock
        self.library = Library()
        """The scenarios that :meth:`play` knows by name."""
        self.unfiled: Scenario | None = None
        """The last scenario that was set and stands in no file."""
        self._stage: playing.Stage | None = None
        self._pen = Pen(simulator.history, clock)

    # -- setting the scene

    def serve(
        self,
        host: str,
        *,
        provider: str = "openai",
        models: Iterable[str] = (),
        place: str | None = None,
        region: str | None = None,
    ) -> None:
        """Let a host of your own answer (its name, or the base URL that a client is given).

        It speaks as ``provider`` does, and sells ``models`` beside those of the provider. ``place``
        is what paths and incidents call it, and several hosts may share one; unless told, it is the
        first part of the host's name, or all of it where another place has that name.
        What happens at ``provider`` does not happen here: it is a host of its own.
        Raises ``Unknown`` for a provider that does not exist.
        """
        name = (urlsplit(host if "//" in host else f"//{host}").hostname or "").lower()
        if not name:
            raise ValueError(f"{host!r} names no host (write 'llm.example.com' or a base URL)")
        if place is None:
            taken = {found.place for found in self.simulator.deployments.values()}
            label = name.partition(".")[0]
            place = name if label in taken else label
        known = dataclasses.replace(provider_named(provider), name=place, hosts=(name,))
        self.simulator.serve(Deployment(name, known, place, region, frozenset(models)))

    def stage(self, scenario: Playable, /, **said: str | Iterable[str] | float) -> playing.Stage:
        """Let a scenario's incidents loose, and bill and pace answers as it says: until it has been
        played, another takes its place, or the block ends (``with llmroute.stage(...):``).

        Its times count from now. Arguments and errors as of :meth:`play`.
        """
        found = self.library.filled(scenario, said)
        if self._stage is None or self._stage.over or self._stage.scenario != found:
            if self._stage is not None:
                self._stage.clear()
            self._stage = playing.Stage.set(found, self.simulator, self.clock)
        if isinstance(scenario, Scenario):
            self.unfiled = scenario
        return self._stage

    # -- asking

    @overload
    def ask(
        self,
        app: Callable[..., Awaitable[AsyncIterator[P]]] | Callable[..., AsyncIterator[P]],
        *args: Any,
        labels: Mapping[str, str] | None = ...,
        group: str | None = ...,
        stream: bool | None = ...,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[P]]: ...
    @overload
    def ask(
        self,
        app: Callable[..., Awaitable[T]],
        *args: Any,
        labels: Mapping[str, str] | None = ...,
        group: str | None = ...,
        stream: bool | None = ...,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def ask(
        self,
        app: Callable[..., Iterator[P]],
        *args: Any,
        labels: Mapping[str, str] | None = ...,
        group: str | None = ...,
        stream: bool | None = ...,
        **kwargs: Any,
    ) -> list[P]: ...
    @overload
    def ask(
        self,
        app: Callable[..., T],
        *args: Any,
        labels: Mapping[str, str] | None = ...,
        group: str | None = ...,
        stream: bool | None = ...,
        **kwargs: Any,
    ) -> T: ...
    def ask(
        self,
        app: Callable[..., Any],
        *args: Any,
        labels: Mapping[str, str] | None = None,
        group: str | None = None,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call an application and record it as a call: return what it returns, raise what it raises.

        An async function gives a coroutine to await. An iterator that comes back is run to its end
        and its pieces are returned as a list, each noted as it came. ``labels`` are kept with the
        call, ``group`` is the model or group that was asked for (else the argument ``model``, else the
        application's name).
        ``stream`` says that the answer is streamed, where what comes back does not; it is handed on
        to an application that takes an argument of this name.
        """
        if stream is not None and asking.takes(app, "stream"):
            kwargs["stream"] = stream
        seen = asking.seen_in(app, args, kwargs)
        seen |= {"labels": asking.spelled(labels or {}), "stream": bool(stream)}
        if group is not None:
            seen["group"] = group
        return asking.ask(lambda: Recorded(self._pen, self.clock, seen), app, args, kwargs)

    @overload
    def play(  # type: ignore[overload-overlap]  # what has to be awaited is told apart first
        self,
        scenario: Playable,
        app: Callable[..., Awaitable[Any]] | Callable[..., AsyncIterator[Any]],
        /,
        *,
        stream: bool | None = ...,
        **said: str | Iterable[str] | float,
    ) -> Coroutine[Any, Any, list[Call]]: ...
    @overload
    def play(
        self,
        scenario: Playable,
        app: Callable[..., object],
        /,
        *,
        stream: bool | None = ...,
        **said: str | Iterable[str] | float,
    ) -> list[Call]: ...
    def play(
        self,
        scenario: Playable,
        app: Callable[..., Any],
        /,
        *,
        stream: bool | None = None,
        **said: str | Iterable[str] | float,
    ) -> Any:
        """Play a scenario against an application, and return the calls that were made.

        ``scenario`` is one, the name of one (``"outage-503"``), or the path of a TOML file. The roles
        and numbers that it leaves open are said by name: ``target="openai"``, ``others=["groq",
        "mistral"]``, ``cooldown=60``; who it has no part for is passed over.

        Each call is made as ``app(text)`` and recorded as :meth:`ask` does, with the options of the
        request, ``stream`` and ``history`` (what a conversation has behind it) if the application
        takes them; ``stream`` decides where the scenario leaves it open. What a call raises is in the
        history, and the workload goes on. An async application gives a coroutine to await.
        Incidents, bills and pace hold until the play is over, and times count from its beginning.

        Raises ``Unknown`` for a scenario, place, role or number that does not exist, ``ValueError``
        for what is left open and (``Unplayable``) where the application does not do what the scenario
        is about, ``TypeError`` for an application that cannot be called with a text.
        """
        calls: list[Call] = []

        def opened(seen: dict[str, Any], leave_after: int | None) -> Recorded:
            call = Recorded(self._pen, self.clock, seen, leave_after)
            calls.append(call.record)
            return call

        part = playing.Part.of(app, self.library.filled(scenario, said), stream, opened)
        stage = self.stage(scenario, **said)
        if asking.is_async(app):
            return self._played(stage, part, calls)
        with stage:
            playing.blocking(stage, part)
        part.check(stage.scenario, calls)
        return calls

    async def _played(
        self, stage: playing.Stage, part: playing.Part, calls: list[Call]
    ) -> list[Call]:
        with stage:
            await playing.on_asyncio(stage, part)
        part.check(stage.scenario, calls)
        return calls

    def call(
        self,
        name: str = "call",
        /,
        *,
        group: str | None = None,
        stream: bool = False,
        question: object = None,
        **labels: str,
    ) -> AbstractContextManager[Recorded]:
        """Record a block as a call: ``with llmroute.call("chat", tenant="a") as call``.

        Hand over what was answered with ``call.answer(value)``, or contracts that judge the answer
        have nothing to go by. Blocks with an equal ``question`` ask the same.
        """
        seen = asking.seen_of(name, group, stream, question, labels)
        return asking.recorded(self._pen, self.clock, seen)

    # -- beside mocks of the user's own

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that answers, for tools that have to be told what is none of their business."""
        return tuple(self.simulator.deployments)

    def reply(self, request: httpx.Request) -> httpx.Response | Awaitable[httpx.Response]:
        """Answer a respx route from this world: ``route.mock(side_effect=llmroute.reply)``.

        Blocking and async clients, streams, failures and virtual time are as without respx, and the
        route counts its calls. Raises what httpx raises where the world fails the request.
        """
        from pytest_llmroute.mocking import reply

        return reply(request)

    def respx_mock(self, **settings: Any) -> respx.MockRouter:
        """respx over httpx and httpx2, with the settings of ``respx.mock``. What no route matches is
        answered by this world if it simulates the host."""
        from pytest_llmroute.mocking import respx_mock

        return respx_mock(**settings)


@contextmanager
def world(*, seed: int = 0) -> Iterator[World]:
    """Open a world around a block, also inside a coroutine: its clock is virtual, its providers are
    simulated, and nothing of it remains afterwards but its history.

    The global ``random`` is seeded meanwhile, since routers draw from it.

    Worlds may be parallel. One that is opened inside of another (in a task, a thread or a block of
    its own) has its own providers, history and zero of time on the same clock; a thread that is in no
    world waits until the open one has ended.

    Raises ``RuntimeError`` if it waited five minutes, or for an event loop that cannot take part.
    """
    clock = new_clock()
    simulator = Simulator(clock, seed=seed)
    found = World(simulator, clock)
    chance = random.getstate()
    try:
        with in_memory(simulator, clock):
            random.seed(seed)
            yield found
        if simulator.crashes:
            raise simulator.crashes[0]
    finally:
        random.setstate(chance)
        simulator.history.clock = clock.description
        census.count(simulator.history)
