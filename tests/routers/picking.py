"""Which deployment of a group the reference router asks: by weight, price, load or speed, within the
limits of each, by tags and by sessions. Each decision is a method of its own, for mutants to get
wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .formats import Answer, Asked
from .upstreams import Group, Upstream

MINUTE = 60.0


@dataclass(frozen=True)
class Picks:
    """How deployments are picked; what is None or empty is switched off.

    ``strategy`` is ``order`` (as listed), ``weights``, ``cheapest``, ``least-busy`` or ``fastest``.
    ``weights`` and ``tags`` are by the name of a deployment. ``parallel`` are requests in flight,
    ``requests`` and ``tokens`` are per clock minute, all for each deployment; ``sticky`` is how long a
    session stays where it was (idle seconds).
    """

    strategy: str = "order"
    weights: tuple[tuple[str, float], ...] = ()
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    parallel: int | None = None
    requests: int | None = None
    tokens: int | None = None
    sticky: float | None = None
    seed: int = 0

    @property
    def limited(self) -> bool:
        """Whether a deployment may get no more than so much."""
        return any(limit is not None for limit in (self.parallel, self.requests, self.tokens))


@dataclass(eq=False)
class Ticket:
    """An attempt under way."""

    upstream: Upstream
    asked: Asked
    began: float
    speaks: bool = False


@dataclass
class Meter:
    """What went to a deployment in a minute."""

    minute: int = -1
    requests: int = 0
    tokens: int = 0


@dataclass
class Desk:
    """What is known of a deployment: what is in flight, the minute's meter, its last times."""

    flying: list[Ticket] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)
    times: list[float] = field(default_factory=list)


class Picking:
    """Who is asked among those that may be, and who must not be asked now."""

    def __init__(self, knobs: Any) -> None:
        self.picks: Picks = knobs.picks
        self.chance = Random(self.picks.seed)
        self.weights = dict(self.picks.weights)
        self.tags = dict(self.picks.tags)
        self.desks: dict[str, Desk] = {}
        self.tickets: dict[int, Ticket] = {}
        self.pins: dict[str, tuple[str, float]] = {}

    def desk(self, upstream: Upstream) -> Desk:
        return self.desks.setdefault(upstream.name, Desk())

    # -- who

    def choose(self, free: Sequence[Upstream], group: Group, asked: Asked) -> Upstream:
        """One of those that may be asked; there is at least one."""
        session = self.session(asked)
        if session is None or self.picks.sticky is None:
            return self.pick(free, asked)
        name, until = self.pins.get(session, ("", 0.0))
        pinned = [one for one in free if one.name == name and time.monotonic() < until]
        chosen = pinned[0] if pinned else self.pick(free, asked)
        self.pin(session, chosen)
        return chosen

    def pick(self, free: Sequence[Upstream], asked: Asked) -> Upstream:
        match self.picks.strategy:
            case "weights":
                weights = [self.weight(one, free, asked) for one in free]
                return self.chance.choices(free, weights)[0]
            case "cheapest":
                return min(free, key=lambda one: self.price(one, asked))
            case "least-busy":
                return min(free, key=lambda one: self.busy(one, asked))
            case "fastest":
                times = [self.time(one, asked) for one in free]
                best = [one for one, time in zip(free, times, strict=True) if time == min(times)]
                return self.chance.choice(best)
            case _:
                return free[0]

    def weight(self, upstream: Upstream, free: Sequence[Upstream], asked: Asked) -> float:
        return self.weights.get(upstream.name, 1.0)

    def price(self, upstream: Upstream, asked: Asked) -> float:
        return float(sum(upstream.price))

    def busy(self, upstream: Upstream, asked: Asked) -> int:
        return len(self.desk(upstream).flying)

    def time(self, upstream: Upstream, asked: Asked) -> float:
        times = self.desk(upstream).times[-10:]
        return sum(times) / len(times) if times else 0.0

    def session(self, asked: Asked) -> str | None:
        return asked.orders.get("session")

    def pin(self, session: str, upstream: Upstream) -> None:
        self.pins[session] = (upstream.name, time.monotonic() + (self.picks.sticky or 0.0))

    # -- who not

    def admits(self, upstream: Upstream, asked: Asked) -> bool:
        """Whether it may be asked now: it carries a tag that is asked for, and its limits leave room
        for one more."""
        return self.tagged(upstream, asked) and self.has_room(upstream, asked)

    def tagged(self, upstream: Upstream, asked: Asked) -> bool:
        carried = set(self.tags.get(upstream.name, ()))
        return not self.tags or bool(carried & set(asked.orders.get("tags") or ("default",)))

    def has_room(self, upstream: Upstream, asked: Asked) -> bool:
        picks, meter = self.picks, self.meter(upstream)
        return (
            (picks.parallel is None or self.busy(upstream, asked) < picks.parallel)
            and (picks.requests is None or meter.requests < picks.requests)
            and (picks.tokens is None or meter.tokens < picks.tokens)
        )

    def minute(self) -> int:
        return int(time.time() // MINUTE)

    def meter(self, upstream: Upstream) -> Meter:
        desk = self.desk(upstream)
        if self.renews(desk.meter.minute, self.minute()):
            desk.meter = Meter(self.minute())
        return desk.meter

    def renews(self, last: int, now: int) -> bool:
        return now != last

    # -- what becomes of it

    def opens(self, upstream: Upstream, asked: Asked) -> None:
        """An attempt begins."""
        ticket = self.tickets[id(asked)] = Ticket(upstream, asked, time.monotonic())
        self.desk(upstream).flying.append(ticket)
        self.count(ticket)

    def count(self, ticket: Ticket) -> None:
        self.meter(ticket.upstream).requests += 1

    def speaks(self, asked: Asked) -> None:
        """The head of its answer came."""
        self.tickets[id(asked)].speaks = True

    def closes(self, upstream: Upstream, asked: Asked, answer: Answer, began: float) -> None:
        """An attempt is over, however it ended; it ``began`` then on the monotonic clock."""
        ticket = self.tickets.pop(id(asked))
        if answer.done:
            self.free(ticket)
            self.meter(upstream).tokens += self.tokens(ticket, sum(answer.tokens))
            self.learn(ticket, time.monotonic() - began)
        elif isinstance(sys.exception(), GeneratorExit):
            self.left(ticket)
        else:
            self.failed(ticket)

    def left(self, ticket: Ticket) -> None:
        """Its caller went away."""
        self.free(ticket)

    def failed(self, ticket: Ticket) -> None:
        """It came to nothing."""
        self.free(ticket)

    def free(self, ticket: Ticket) -> None:
        flying = self.desk(ticket.upstream).flying
        if ticket in flying:
            flying.remove(ticket)

    def tokens(self, ticket: Ticket, tokens: int) -> int:
        return tokens

    def learn(self, ticket: Ticket, took: float) -> None:
        self.desk(ticket.upstream).times.append(took)
