"""What a test can do to simulated providers, and what it can see of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from llmroute_sim.faults import FAULTS, Fault, make
from llmroute_sim.history import Attempt, Call, History
from llmroute_sim.incidents import Incident, Live, Place, When
from llmroute_sim.prompt import Usage
from llmroute_sim.quotas import Quota
from llmroute_sim.simulator import Pace, Simulator
from pytest_llmroute.aiming import aimed, target_at
from pytest_llmroute.asking import Recorded
from pytest_llmroute.contracts import Contract, Target
from pytest_llmroute.judging import complaint
from pytest_llmroute.path import Path
from pytest_llmroute.report.timeline import draw

__all__ = ("Controls",)

_WHEN = tuple(field.name for field in dataclasses.fields(When))


class Ticking(Protocol):
    """What is asked of a clock."""

    @property
    def description(self) -> str:
        """On what clock things were found: ``virtual``, ``real``..."""
        ...

    def now(self) -> float:
        """Seconds since the world began."""
        ...


class Controls:
    """Providers that answer, break and mend as a test says, and the history of what they were asked."""

    def __init__(self, simulator: Simulator, clock: Ticking) -> None:
        self.simulator = simulator
        self.marks: dict[str, str] = {}
        """What attempts and calls broke, by their ids, for the drawing."""
        self._ticking = clock

    def __repr__(self) -> str:
        path = ", ".join(self.path) or "no attempt yet"
        return f"<{type(self).__name__} at {self._ticking.now():g} s: {path}>"

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
        elif isinstance(fault, Fault):
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

    def limit(
        self,
        who: str,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        requests_per_day: int | None = None,
        tokens_per_day: int | None = None,
    ) -> None:
        """Limit requests and tokens per minute and per day, for each key and model of a provider,
        deployment or host. Without limits there are none. Raises ``Unknown`` for one that does not
        exist."""
        self.simulator.limit(who, Quota(requests, tokens, requests_per_day, tokens_per_day))

    def credit(self, who: str, usd: Decimal | float | str | None) -> None:
        """Let each key spend so many USD at a provider, deployment or host from now on; None is no
        limit. The answer that uses the rest up is still given, after it the provider says in its own
        words that there is no credit left. Raises ``Unknown`` for one that does not exist."""
        try:
            amount = None if usd is None else Decimal(str(usd))
        except InvalidOperation:
            raise ValueError(f"a credit of {usd!r} is no amount in USD: '2.50'") from None
        self.simulator.credit(who, amount)

    def bill(self, *, input: int, output: int) -> None:  # noqa: A002 - as prices call it
        """Bill every answer from now on for so many tokens, whatever it has, so that a budget is
        reached in a few calls. The history marks it."""
        self.simulator.stated_usage = Usage(input, output)

    def pace(self, *, first_token: float = 0.0, token: float = 0.0) -> None:
        """How fast models answer: seconds to the first token, and for each token after it."""
        self.simulator.pace = Pace(first_token, token)

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
        self.history.clock = self._ticking.description
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
