"""The front door: a simulated world with its clock, what can be done to it, and what it shows."""

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
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

# What the first answer needs, so that no test pays for it.
import faker.providers.lorem.en_US  # noqa: F401
import genai_prices  # noqa: F401

from llmroute_sim.carriers.memory import in_memory, new_clock
from llmroute_sim.clock import Clock
from llmroute_sim.faults import FAULTS, AdmitFault, ConnectFault, Fault, StreamFault, make
from llmroute_sim.history import Attempt, Call, History
from llmroute_sim.incidents import Incident, Live, Place, When
from llmroute_sim.lap import Lap
from llmroute_sim.prompt import Usage
from llmroute_sim.providers import provider as provider_named
from llmroute_sim.quotas import Quota
from llmroute_sim.simulator import Deployment, Pace, Simulator
from pytest_llmroute import asking
from pytest_llmroute.aiming import aimed, target_at
from pytest_llmroute.ask import Pen, digest
from pytest_llmroute.asking import Recorded
from pytest_llmroute.contracts import Contract, Target
from pytest_llmroute.judging import complaint
from pytest_llmroute.path import Path
from pytest_llmroute.report.timeline import draw

__all__ = ("World", "world")

T = TypeVar("T")
P = TypeVar("P")

_WHEN = tuple(field.name for field in dataclasses.fields(When))


class World:
    """Providers that answer, break and mend as a test says, on a virtual clock.

    Made by :func:`world` or handed out by the fixture ``llmroute``. Every request that code of this
    process sends while the world is open is an attempt in its :attr:`history`.
    """

    def __init__(self, simulator: Simulator, clock: Clock | Lap) -> None:
        self.simulator = simulator
        self.clock = clock
        self.marks: dict[str, str] = {}
        """What attempts and calls broke, by their ids, for the drawing."""
        self._pen = Pen(simulator.history, clock)

    def __repr__(self) -> str:
        return f"<World at {self.clock.now():g} s: {', '.join(self.path) or 'no attempt yet'}>"

    # -- setting the scene

    def inject(
        self,
        fault: Fault | str,
        *,
        at: str | Iterable[str] = "*",
        when: When | None = None,
        **settings: Any,
    ) -> Live:
        """Let something go wrong, and return it live: ``heal()`` ends it.

        ``at`` is a place, ``provider/model@region#key``, every part but the first optional, or
        several. ``fault`` is a fault, or its name (``"rate-limit"``) with its fields as further
        arguments (``retry_after=2``). The fields of :class:`When` may be given here as well
        (``first=2``, ``between=(60, 120)``); one that a named fault has too is the fault's.

        Raises ``Unknown`` (a ``ValueError``) for a place, fault or argument that does not exist.
        """
        if isinstance(fault, str):
            timing = {key: settings.pop(key) for key in _WHEN if _is_timing(key, fault, settings)}
            fault = make({"name": fault, **settings})
        elif isinstance(fault, ConnectFault | AdmitFault | StreamFault):
            timing = settings
        else:
            raise TypeError(f"inject() wants a fault or its name, not {fault!r}: faults.Outage()")
        if when is not None and timing:
            raise ValueError(
                f"inject() got when={when} and {', '.join(timing)} beside it: say the time once"
            )
        places = [at] if isinstance(at, str) else list(at)
        if not places:
            raise ValueError("inject() got no place: at='*' is everywhere")
        incident = Incident(
            fault, tuple(map(Place.parse, places)), When.read(timing) if when is None else when
        )
        return self.simulator.inject(incident)

    def heal(self) -> None:
        """End every incident."""
        for live in self.simulator.incidents:
            live.heal()

    def limit(self, who: str, *, requests: int | None = None, tokens: int | None = None) -> None:
        """Limit requests and tokens per minute, for each key and model of a provider, deployment or
        host. Raises ``Unknown`` for one that does not exist."""
        self.simulator.limit(who, Quota(requests, tokens))

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

    def bill(self, *, input: int, output: int) -> None:  # noqa: A002 - as prices call it
        """Bill every answer from now on for so many tokens, whatever it has, so that a budget is
        reached in a few calls. The history marks it."""
        self.simulator.stated_usage = Usage(input, output)

    def pace(self, *, first_token: float = 0.0, token: float = 0.0) -> None:
        """How fast models answer: seconds to the first token, and for each token after it."""
        self.simulator.pace = Pace(first_token, token)

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
        seen |= {"labels": _labels(labels or {}), "stream": bool(stream)}
        if group is not None:
            seen["group"] = group
        return asking.ask(lambda: Recorded(self._pen, self.clock, seen), app, args, kwargs)

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
        asked = digest([name, group, repr(question) if question is not None else None])
        seen = {
            "entry": name,
            "group": name if group is None else group,
            "stream": stream,
            "labels": _labels(labels),
            "question": asked,
            "request": asked,
        }
        return asking.recorded(self._pen, self.clock, seen)

    # -- what happened

    @property
    def history(self) -> History:
        """Every call and attempt so far."""
        return self.simulator.history

    @property
    def path(self) -> Path:
        """``place:outcome`` of every attempt so far, in order."""
        return Path(self.history.path)

    @property
    def seed(self) -> int:
        """What chance is drawn from."""
        return self.simulator.seed

    def sources(self, call: Call | Recorded) -> tuple[Attempt, ...]:
        """The attempts whose words are in the answer of a call, in order of appearance."""
        return self.history.sources(call.record if isinstance(call, Recorded) else call)

    def timeline(self, *, width: int = 80, ascii: bool = False) -> str:  # noqa: A002 - as draw()
        """A drawing of what happened, with what :meth:`holds` found marked."""
        self.history.clock = self.clock.description
        return draw(self.history, width=width, marks=self.marks, ascii=ascii)

    # -- judging

    def target(self, place: str) -> Target:
        """The deployments at a place, as contracts want them: ``provider/model@region#key``.
        Raises ``Unknown`` for a place that does not exist."""
        return target_at(self.simulator, place)

    def targets(self, *places: str) -> tuple[Target, ...]:
        """:meth:`target` for several."""
        return tuple(map(self.target, places))

    def holds(self, *contracts: Contract) -> bool:
        """Judge the history so far. True if every contract was tried and kept.

        Where a contract wants targets, places do: ``fallback.Order(["openai", "anthropic"])``.
        Raises ``AssertionError`` with what was broken (the first violation of each contract; the
        others are marked on the timeline) and with what nothing tried, and why.
        """
        __tracebackhide__ = True
        if not contracts:
            raise ValueError("holds() got no contract: it would be true of anything")
        said = complaint(self, [aimed(self.simulator, contract) for contract in contracts])
        if said is not None:
            raise AssertionError(said)
        return True


def _is_timing(key: str, fault: str, settings: Mapping[str, Any]) -> bool:
    kind = FAULTS.get(fault)
    own = {field.name for field in dataclasses.fields(kind)} if kind else set()
    return key in settings and key not in own


def _labels(labels: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in labels.items()}


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
    finally:
        random.setstate(chance)
        simulator.history.clock = clock.description
