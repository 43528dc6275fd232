"""Playing a scenario in a world: its scene is set, and its workload asked of an application."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from queue import Queue
from typing import Any, Protocol, Self, TypeAlias

from llmroute_sim.clock import Stuck
from llmroute_sim.history import Call
from llmroute_sim.incidents import Incident, Live
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Scenario
from llmroute_sim.simulator import Pace, Simulator
from llmroute_sim.workload import Turn, perform
from pytest_llmroute import asking
from pytest_llmroute.asking import Recorded

__all__ = ("Part", "Stage", "Unplayable", "blocking", "on_asyncio")

_CROWD = 512
"""Blocking calls that may be under way at the same time."""


class Unplayable(ValueError):
    """A scenario is about something that an application does not do."""


class Ticking(Protocol):
    """What is asked of a clock."""

    def now(self) -> float:
        """Seconds since the world began."""
        ...


@dataclass(slots=True)
class Stage:
    """A scenario's scene in a world. Its times count from when it was set."""

    scenario: Scenario
    simulator: Simulator
    clock: Ticking
    began: float
    before: tuple[Usage | None, Pace]
    live: list[Live] = field(default_factory=list)
    playing: bool = False
    over: bool = False

    def __enter__(self) -> Self:
        if self.playing:
            raise RuntimeError("a scenario is being played in this world: one after the other")
        self.playing = True
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    @classmethod
    def set(cls, scenario: Scenario, simulator: Simulator, clock: Ticking) -> Stage:
        """Let the incidents loose; bill and pace answers as the scenario says. Raises ``Unknown``
        for a place that does not exist, and then changes nothing."""
        for incident in scenario.incidents:
            for place in incident.at:
                simulator.check(place)
        before = (simulator.stated_usage, simulator.pace)
        stage = cls(scenario, simulator, clock, clock.now(), before)
        simulator.pace = Pace(scenario.first_token, scenario.per_token)
        simulator.stated_usage = scenario.bills or simulator.stated_usage
        for number, incident in enumerate(scenario.incidents):
            live = simulator.inject(_moved(incident, stage.began))
            if scenario.seed:
                # A scenario with a seed of its own gives the same in any world.
                live.number, live.seed = number, scenario.seed
            stage.live.append(live)
        return stage

    def clear(self) -> None:
        """End what it set."""
        if self.over:
            return
        self.playing, self.over = False, True
        for live in self.live:
            live.heal()
        self.simulator.stated_usage, self.simulator.pace = self.before

    def now(self) -> float:
        """Seconds since it was set."""
        return self.clock.now() - self.began

    async def performed(self, call: Callable[[Turn], Awaitable[str | None]]) -> None:
        """Ask all that the scenario asks."""
        await perform(self.scenario.asks, self, self.scenario.seed or self.simulator.seed, call)


def _moved(incident: Incident, seconds: float) -> Incident:
    between = incident.when.between
    if between is None or not seconds:
        return incident
    moved = (between[0] + seconds, between[1] + seconds)
    return replace(incident, when=replace(incident.when, between=moved))


Opened: TypeAlias = Callable[[dict[str, Any], "int | None"], Recorded]
"""Opens a call of which so much is known, left after so many tokens."""


@dataclass(frozen=True, slots=True)
class Part:
    """An application in a play: how it is asked what the workload wants.

    It is given the text, and as far as it takes them the options of the request, ``stream``, and as
    ``history`` what a conversation has behind it. ``stream`` says how, where the workload does not.
    """

    app: Callable[..., Any]
    stream: bool | None
    open_call: Opened

    @classmethod
    def of(
        cls,
        app: Callable[..., Any],
        scenario: Scenario,
        stream: bool | None,
        open_call: Opened,
    ) -> Part:
        """The part of an application in a scenario, which may be one of streams only.

        Raises ``TypeError`` for an application that cannot be asked a text, :class:`Unplayable` for
        one that takes none of the options that the scenario is about.
        """
        if stream is None and len(scenario.modes) == 1:
            stream = scenario.modes == ("stream",)
        name = _name(app)
        try:
            inspect.signature(app).bind("text")
        except TypeError as error:
            raise TypeError(f"play() calls {name}(text), which it does not take: {error}") from None
        except ValueError:
            pass  # it has no signature, as some builtins
        options = {key for ask in scenario.asks for key in ask.options}
        if options and not any(asking.takes(app, key) for key in options):
            raise Unplayable(
                f"the scenario {scenario.name} asks with {', '.join(sorted(options))}, and "
                f"{name} takes none of them"
            )
        return cls(app, stream, open_call)

    def check(self, scenario: Scenario, calls: Sequence[Call]) -> None:
        """Raises :class:`Unplayable` if a scenario of streams met none, or one of whole answers only
        streams."""
        streams = scenario.modes == ("stream",)
        if len(scenario.modes) == 1 and calls and all(call.stream != streams for call in calls):
            what, did = ("streams", "did not") if streams else ("whole answers", "did")
            raise Unplayable(
                f"the scenario {scenario.name} is about {what}, and {_name(self.app)} {did} stream"
            )

    def ask(self, turn: Turn, app: Callable[..., Any] | None = None) -> tuple[list[Recorded], Any]:
        """Begin a call, of ``app`` in the name of the application: where it is recorded as soon as it
        has begun, and what comes back, or a coroutine for it."""
        text, said = self._request(turn)
        seen = asking.seen_in(self.app, (text,), said)
        seen |= {"labels": dict(turn.labels), "stream": bool(said.get("stream"))}
        calls: list[Recorded] = []

        def opened() -> Recorded:
            calls.append(self.open_call(seen, turn.leave_after))
            return calls[0]

        return calls, asking.ask(opened, app or self.app, (text,), said)

    def _request(self, turn: Turn) -> tuple[str, dict[str, Any]]:
        said = {name: one for name, one in turn.options.items() if asking.takes(self.app, name)}
        stream = self.stream if turn.stream is None else turn.stream
        if stream is not None and asking.takes(self.app, "stream"):
            said["stream"] = stream
        if not turn.past:
            return turn.text, said
        if "history" in inspect.signature(self.app).parameters:
            said["history"] = [{"role": role, "content": text} for role, text in turn.past]
            return turn.text, said
        # As whoever has a function of one text holds a conversation with it.
        spoken = (*turn.past, ("user", turn.text))
        return "\n\n".join(f"{role}: {text}" for role, text in spoken), said


def _name(app: Callable[..., Any]) -> str:
    return str(getattr(app, "__name__", None) or repr(app))


async def on_asyncio(stage: Stage, part: Part) -> None:
    """Perform with an application that is awaited. What a call raises is in the history."""

    async def call(turn: Turn) -> str | None:
        calls: list[Recorded] = []
        try:
            calls, answer = part.ask(turn)
            await answer
        except (Exception, Stuck):
            return None
        return calls[0].text

    await stage.performed(call)


def blocking(stage: Stage, part: Part) -> None:
    """Perform with an application that blocks. What a call raises is in the history.

    The calls are made in the running thread; those that come while it is busy, in threads of their
    own beside it.
    """

    def call(turn: Turn) -> str | None:
        try:
            calls, _ = part.ask(turn, _present(part.app))
        except _Later:
            raise
        except (Exception, Stuck):
            return None
        return calls[0].text

    with ThreadPoolExecutor(_CROWD, "llmroute-play") as pool:
        desk = _Desk(pool, call)
        playing = pool.submit(copy_context().run, desk.perform, stage)
        desk.serve()
        playing.result()


class _Later(TypeError):
    """An application that seemed to block gives something to await."""


def _present(app: Callable[..., Any]) -> Callable[..., Any]:
    """An application whose answers are there when it returns."""

    def asked(*args: Any, **kwargs: Any) -> Any:
        answer = app(*args, **kwargs)
        later = isinstance(answer, AsyncIterator) and not isinstance(answer, Iterator)
        if not later and not inspect.isawaitable(answer):
            return answer
        getattr(answer, "close", lambda: None)()
        name = _name(app)
        raise _Later(
            f"{name} gives something to await, but is no async function, so that play() was not "
            f"awaited either: give it 'async def app(text): return await {name}(text)'"
        )

    return asked


class _Desk:
    """Where calls that block wait for the thread that makes them."""

    def __init__(self, pool: ThreadPoolExecutor, call: Callable[[Turn], str | None]) -> None:
        self._pool = pool
        self._call = call
        self._context = copy_context()
        self._waiting: Queue[tuple[Turn, Future[str | None]] | None] = Queue()
        self._free = True

    def perform(self, stage: Stage) -> None:
        """Perform the workload, in a thread of its own."""
        try:
            # Not whatever loop is the fashion of this process, and not the one of this thread.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(stage.performed(self._ask))
        finally:
            self._waiting.put(None)

    def serve(self) -> None:
        """Make calls, until none will come any more."""
        while (waiting := self._waiting.get()) is not None:
            turn, answer = waiting
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(self._call(turn))
                except BaseException as error:
                    answer.set_exception(error)

    async def _ask(self, turn: Turn) -> str | None:
        if not self._free:
            loop, context = asyncio.get_running_loop(), self._context.copy()
            return await loop.run_in_executor(self._pool, context.run, self._call, turn)
        self._free = False
        answer: Future[str | None] = Future()
        self._waiting.put((turn, answer))
        try:
            return await asyncio.wrap_future(answer)
        finally:
            self._free = True
