"""Routers that ask a deployment for more than they may, or refuse what they need not."""

from __future__ import annotations

import math

from llmroute_sim.faults import Outage
from llmroute_sim.incidents import Incident
from llmroute_sim.scenario import Ask

from ..formats import Asked
from ..picking import Meter, Picking, Picks, Ticket
from ..reference import Knobs
from ..scenes import FIRST
from ..upstreams import LARGE, SMALL, Group, Upstream
from .declared import Mutant
from .pairs import PAIR, crowd, limited, load, picker

# -- never more than so many in flight; a stream counts until it ends

TWO = limited(parallel=2)
WAVES = crowd(Ask(together=4, beside=True), Ask(at=0.6, together=4), per_token=0.2)


@picker("balance.in-flight", WAVES, TWO, when="streams only", only="stream")
class FreesStreamsAtTheHead(Picking):
    """A stream is counted until its head has come."""

    def speaks(self, asked: Asked) -> None:
        super().speaks(asked)
        if asked.stream:
            self.free(self.tickets[id(asked)])


@picker("balance.in-flight", WAVES, TWO, when="awaited calls at a time", only="async")
class CountsOnceAnswering(Picking):
    """An awaited call is counted only once its answer begins: too late for two at a time."""

    def opens(self, upstream: Upstream, asked: Asked) -> None:
        super().opens(upstream, asked)
        if not asked.sync:
            self.free(self.tickets[id(asked)])

    def speaks(self, asked: Asked) -> None:
        super().speaks(asked)
        if not asked.sync:
            ticket = self.tickets[id(asked)]
            self.desk(ticket.upstream).flying.append(ticket)


@picker(
    "balance.in-flight",
    crowd(
        Ask(beside=True),
        Ask(at=0.0, leave_after=2, beside=True),
        Ask(at=1.2, together=4),
        per_token=0.2,
    ),
    TWO,
    when="after an aborted stream",
    only="stream",
)
class FreesTheAbortedTwice(Picking):
    """A client that leaves a stream frees another's place too."""

    def left(self, ticket: Ticket) -> None:
        super().left(ticket)
        del self.desk(ticket.upstream).flying[:1]


@picker(
    "balance.in-flight",
    crowd(Ask(together=5), incidents=(Incident(Outage(500), (FIRST,)),)),
    limited(retries=1, parallel=2),
    when="after a failure",
)
class CountsFirstTriesOnly(Picking):
    """What a call asks after a failure is not counted."""

    def opens(self, upstream: Upstream, asked: Asked) -> None:
        super().opens(upstream, asked)
        self.tried: dict[int, Asked] = getattr(self, "tried", {})
        if id(asked) in self.tried:
            self.free(self.tickets[id(asked)])
        self.tried[id(asked)] = asked


# -- never more than so many requests, or tokens, a minute

FIVE = limited(requests=5)


@picker(
    "balance.rate",
    load(Ask(times=16), incidents=(Incident(Outage(500), (FIRST,)),)),
    limited(retries=1, requests=5),
    when="after failures",
)
class CountsAnswersOnly(Picking):
    """A request that failed is given back to the minute."""

    def failed(self, ticket: Ticket) -> None:
        super().failed(ticket)
        self.meter(ticket.upstream).requests -= 1


@picker("balance.rate", load(Ask(times=14)), FIVE, when="streams only", only="stream")
class CountsNoStreams(Picking):
    """Streams are not counted in the minute."""

    def count(self, ticket: Ticket) -> None:
        if not ticket.asked.stream:
            super().count(ticket)


@picker(
    "balance.rate",
    load(Ask(times=12), Ask(at=70, times=14)),
    FIVE,
    when="from the second minute on",
)
class LimitsTheFirstMinute(Picking):
    """The limit is kept in the first minute only."""

    def meter(self, upstream: Upstream) -> Meter:
        meter = super().meter(upstream)
        self.first: int = getattr(self, "first", meter.minute)
        return meter if meter.minute == self.first else Meter(meter.minute)


@picker(
    "balance.rate",
    load(Ask(times=16, tokens=200), entries=("chat", "embeddings"), modes=("json",)),
    Knobs(
        chain=PAIR,
        embedders=(Group("embeddings", (SMALL, LARGE)),),
        retries=0,
        picks=Picks(tokens=1000),
    ),
    when="embeddings only",
)
class EmbedsForNothing(Picking):
    """The tokens of embeddings are not counted in the minute."""

    def tokens(self, ticket: Ticket, tokens: int) -> int:
        return 0 if ticket.asked.embeds else tokens


# -- while a sibling has room nobody is refused


@picker(
    "balance.room",
    load(Ask(at=86_390, times=10), Ask(at=86_465, times=3)),
    FIVE,
    when="across midnight",
)
class NeverSeesMidnight(Picking):
    """Minutes are told by the hour and minute of the day, and a new one must be greater."""

    def minute(self) -> int:
        return super().minute() % (24 * 60)

    def renews(self, last: int, now: int) -> bool:
        return now > last


@picker(
    "balance.room",
    load(Ask(times=2, leave_after=2), Ask(together=2)),
    limited(parallel=1),
    when="after an aborted stream",
    only="stream",
)
class KeepsThePlaceOfTheAborted(Picking):
    """A client that leaves a stream keeps its place for ever."""

    def left(self, ticket: Ticket) -> None:
        """Nothing is freed."""


@picker(
    "balance.room", crowd(Ask(together=4)), TWO, when="more calls at a time than the first takes"
)
class TakesOneForAll(Picking):
    """When one deployment is full, all count as full."""

    def has_room(self, upstream: Upstream, asked: Asked) -> bool:
        most = self.picks.parallel or math.inf
        full = any(len(desk.flying) >= most for desk in self.desks.values())
        return not full and super().has_room(upstream, asked)


MUTANTS: tuple[Mutant, ...] = (
    FreesStreamsAtTheHead,
    CountsOnceAnswering,
    FreesTheAbortedTwice,
    CountsFirstTriesOnly,
    CountsAnswersOnly,
    CountsNoStreams,
    LimitsTheFirstMinute,
    EmbedsForNothing,
    NeverSeesMidnight,
    KeepsThePlaceOfTheAborted,
    TakesOneForAll,
)
