"""Routers that pick the wrong deployment, or more of it than they may."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmroute_sim.faults import LatencySpike, Outage
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask, Scenario
from pytest_llmroute.contracts import Contract, Target, balance

from ..formats import Asked
from ..picking import Meter, Picking, Picks, Ticket
from ..reference import Knobs, Reference
from ..scenes import FIRST, GROUP, scene, target
from ..upstreams import GROQ, LARGE, OPENAI, SMALL, Group, Upstream, alone
from .declared import Mutant, Only, mutant

PAIR = (Group(GROUP, (OPENAI, GROQ)),)


def promised(knobs: Knobs) -> list[Contract]:
    """What a group of several deployments promises."""
    found: list[Contract] = []
    for group in (knobs.chain[0], knobs.embedders[0]):
        members = tuple(target(alone(one)) for one in group.deployments)
        if len(members) > 1:
            found += _chosen(knobs.picks, group, members)
            found += _wished(knobs.picks, members)
            found += _limited(knobs.picks, members)
    return found


def _chosen(picks: Picks, group: Group, members: tuple[Target, ...]) -> list[Contract]:
    """Who is picked, where no limit and no wish of a call leaves somebody out."""
    found: list[Contract] = []
    limited = any(limit is not None for limit in (picks.parallel, picks.requests, picks.tokens))
    if limited or picks.tags or picks.sticky is not None:
        return found
    match picks.strategy:
        case "weights":
            weights = dict(picks.weights)
            shares = tuple((one, weights.get(one.name, 1.0)) for one in members)
            found.append(balance.Split(shares))
        case "cheapest":
            prices = (sum(one.price, start=one.price[0] * 0) for one in group.deployments)
            found.append(balance.Cheapest(tuple(zip(members, prices, strict=True))))
        case "least-busy":
            found.append(balance.LeastBusy(members))
        case "fastest":
            found.append(balance.Fastest(members))
    return found


def _wished(picks: Picks, members: tuple[Target, ...]) -> list[Contract]:
    found: list[Contract] = []
    if picks.tags:
        carried = dict(picks.tags)
        tags = dict.fromkeys(tag for tags in carried.values() for tag in tags)
        by = {tag: tuple(one for one in members if tag in carried[one.name]) for tag in tags}
        found.append(balance.Tagged(tuple(by.items())))
    limited = any(limit is not None for limit in (picks.parallel, picks.requests, picks.tokens))
    if picks.sticky is not None and not limited:
        found.append(balance.Sticky(members, picks.sticky))
    return found


def _limited(picks: Picks, members: tuple[Target, ...]) -> list[Contract]:
    """What limits promise; that nobody is refused, only where one of them is all that keeps calls off."""
    found: list[Contract] = []
    limits = (picks.parallel, picks.requests, picks.tokens)
    only = sum(limit is not None for limit in limits) == 1 and not picks.tags
    if picks.parallel is not None:
        found += [balance.InFlight(one, picks.parallel) for one in members]
        found += [balance.Room(members, picks.parallel, "in-flight")] if only else []
    if picks.requests is not None:
        found += [balance.Rate(one, picks.requests) for one in members]
        found += [balance.Room(members, picks.requests)] if only else []
    if picks.tokens is not None:
        found += [balance.Rate(one, picks.tokens, "tokens") for one in members]
    return found


def picker(
    breaks: str,
    scenario: Scenario,
    knobs: Knobs,
    *,
    when: str = "",
    only: Only | None = None,
    also: Mapping[str, str] | None = None,
) -> Callable[[type[Picking]], Mutant]:
    """Declare a mutant above the class that picks for it."""

    def declared(picking: type[Picking]) -> Mutant:
        router = type(
            picking.__name__, (Reference,), {"__doc__": picking.__doc__, "picks": picking}
        )
        return mutant(breaks, scenario, knobs, when=when, only=only, also=also)(router)

    return declared


def load(*asks: Ask, incidents: tuple[Incident, ...] = (), **more: Any) -> Scenario:
    """Many calls."""
    return scene(*incidents, asks=asks, stimulus="load", **more)


def crowd(*asks: Ask, incidents: tuple[Incident, ...] = (), **more: Any) -> Scenario:
    """Calls at the same time."""
    return scene(*incidents, asks=asks, stimulus="concurrency", **more)


def picked(strategy: str, chain: tuple[Group, ...] = PAIR, **more: Any) -> Knobs:
    return Knobs(chain=chain, picks=Picks(strategy, **more))


def limited(retries: int = 0, **limits: Any) -> Knobs:
    return Knobs(chain=PAIR, retries=retries, picks=Picks(**limits))


MOST = (("openai", 19.0), ("groq", 1.0))
SLOW = Incident(LatencySpike(5), (FIRST,))


# -- declared weights decide the split, whatever the order of the list; equals share alike


@picker(
    "balance.split",
    load(Ask(times=40)),
    picked("weights", weights=MOST),
    when="streams only",
    only="stream",
)
class SplitsStreamsEvenly(Picking):
    """Streamed calls are spread evenly, whatever the weights."""

    def weight(self, upstream: Upstream, free: Sequence[Upstream], asked: Asked) -> float:
        return 1.0 if asked.stream else super().weight(upstream, free, asked)


@picker(
    "balance.split",
    load(Ask(times=40)),
    picked("weights", (Group(GROUP, (GROQ, OPENAI)),), weights=MOST),
    when="the list does not begin with the greatest weight",
)
class WeighsByPlace(Picking):
    """The greatest weight goes to the first of the list."""

    def weight(self, upstream: Upstream, free: Sequence[Upstream], asked: Asked) -> float:
        weights = sorted(self.weights.get(one.name, 1.0) for one in free)
        return weights[::-1][list(free).index(upstream)]


@picker(
    "balance.split",
    load(Ask(times=40)),
    picked("weights", weights=MOST[::-1]),
    when="blocking calls only",
    only="sync",
)
class BlocksAtTheLast(Picking):
    """Blocking calls all go to the last of the list."""

    def weight(self, upstream: Upstream, free: Sequence[Upstream], asked: Asked) -> float:
        weight = super().weight(upstream, free, asked)
        return weight if not asked.sync or upstream is free[-1] else 0.0


@picker(
    "balance.split",
    load(Ask(times=4), Ask(together=40)),
    picked("weights"),
    when="two calls at a time",
)
class FollowsTheCrowd(Picking):
    """While another call is under way, a call goes where that went."""

    def weight(self, upstream: Upstream, free: Sequence[Upstream], asked: Asked) -> float:
        crowded = [one for one in free if self.busy(one, asked)]
        weight = super().weight(upstream, free, asked)
        return weight if not crowded or upstream in crowded else 0.0


@picker(
    "balance.split",
    load(Ask(times=50), incidents=(Incident(Outage(500), (FIRST,), When(first=1)),)),
    picked("weights", weights=MOST),
    when="after a failure",
)
class ForgetsWeightsAfterAFailure(Picking):
    """Once a deployment has failed, weights are forgotten for good."""

    forgot = False

    def failed(self, ticket: Ticket) -> None:
        super().failed(ticket)
        self.forgot = True

    def weight(self, upstream: Upstream, free: Sequence[Upstream], asked: Asked) -> float:
        return 1.0 if self.forgot else super().weight(upstream, free, asked)


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


# -- the cheapest wins, for nothing included

FREE = replace(GROQ, price=(GROQ.price[0] * 0, GROQ.price[1] * 0))


@picker(
    "balance.cheapest",
    load(Ask(times=12)),
    picked("cheapest", (Group(GROUP, (OPENAI, FREE)),)),
    when="a price of nothing",
)
class TakesFreeForUnknown(Picking):
    """A price of nothing counts as no price at all."""

    def price(self, upstream: Upstream, asked: Asked) -> float:
        return super().price(upstream, asked) or math.inf


@picker(
    "balance.cheapest",
    load(Ask(times=12)),
    picked("cheapest"),
    when="blocking calls only",
    only="sync",
)
class KnowsPricesWhenAwaited(Picking):
    """Blocking calls go down the list."""

    def price(self, upstream: Upstream, asked: Asked) -> float:
        return 0.0 if asked.sync else super().price(upstream, asked)


# -- the fewest in flight wins


@picker(
    "balance.least-busy",
    crowd(Ask(beside=True), Ask(at=3), per_token=0.5),
    picked("least-busy"),
    when="streams whose head has come",
    only="stream",
)
class ForgetsStreamsThatSpeak(Picking):
    """A stream whose head has come no longer counts as load."""

    def busy(self, upstream: Upstream, asked: Asked) -> int:
        flying = self.desk(upstream).flying
        return sum(not (one.speaks and one.asked.stream) for one in flying)


@picker(
    "balance.least-busy",
    crowd(
        Ask(beside=True),
        Ask(at=0.1, leave_after=2, beside=True),
        Ask(at=60, beside=True),
        Ask(at=60.1),
        per_token=0.1,
    ),
    picked("least-busy"),
    when="after an aborted stream",
    only="stream",
)
class StaysBusyForTheAborted(Picking):
    """A stream that its client left counts as load for ever."""

    def left(self, ticket: Ticket) -> None:
        """Nothing is freed."""


# -- the fastest wins


@picker(
    "balance.fastest",
    scene(SLOW, asks=(Ask(times=36),)),
    picked("fastest"),
    when="streams only",
    only="stream",
)
class LearnsNothingFromStreams(Picking):
    """How long streams take is not noted."""

    def learn(self, ticket: Ticket, took: float) -> None:
        if not ticket.asked.stream:
            super().learn(ticket, took)


@picker(
    "balance.fastest",
    scene(SLOW, Incident(Outage(500), (FIRST,), When(first=6)), asks=(Ask(times=36),)),
    picked("fastest"),
    when="after failures",
)
class BelievesFailures(Picking):
    """A failure is the fastest answer ever seen, and the best time is what counts."""

    def failed(self, ticket: Ticket) -> None:
        super().failed(ticket)
        self.learn(ticket, 0.0)

    def time(self, upstream: Upstream, asked: Asked) -> float:
        return min(self.desk(upstream).times, default=0.0)


# -- tags decide who may be asked

TAGS = (("openai", ("free", "default")), ("groq", ("paid",)))
WITH_TAGS = (
    Ask(),
    Ask(times=2, options={"metadata": {"tags": ["free"]}}),
    Ask(times=2, options={"metadata": {"tags": ["paid"]}}),
)


@picker(
    "balance.tags",
    scene(Incident(Outage(500), (FIRST,)), asks=WITH_TAGS, stimulus="options"),
    picked("order", tags=TAGS),
    when="after a failure",
)
class ForgetsTagsInRetries(Picking):
    """Once an attempt of a call has failed, its tags no longer count."""

    def failed(self, ticket: Ticket) -> None:
        super().failed(ticket)
        self.lost: dict[int, Asked] = getattr(self, "lost", {})
        self.lost[id(ticket.asked)] = ticket.asked

    def tagged(self, upstream: Upstream, asked: Asked) -> bool:
        return id(asked) in getattr(self, "lost", {}) or super().tagged(upstream, asked)


@picker(
    "balance.tags",
    scene(asks=WITH_TAGS, stimulus="options"),
    picked("order", tags=TAGS),
    when="blocking calls only",
    only="sync",
)
class ReadsTagsWhenAwaited(Picking):
    """The tags of blocking calls are not read."""

    def tagged(self, upstream: Upstream, asked: Asked) -> bool:
        return asked.sync or super().tagged(upstream, asked)


# -- a session stays where it was

IN_SESSIONS = tuple(
    Ask(times=12, every=40, options={"metadata": {"session_id": name}}) for name in ("one", "two")
)


@picker(
    "balance.sticky",
    scene(asks=IN_SESSIONS, stimulus="options"),
    picked("weights", sticky=100.0),
    when="in a session longer than the idle time",
)
class PinsButOnce(Picking):
    """A session's pin is not renewed by its calls."""

    def pin(self, session: str, upstream: Upstream) -> None:
        if session not in self.pins:
            super().pin(session, upstream)


@picker(
    "balance.sticky",
    scene(asks=IN_SESSIONS, stimulus="options"),
    picked("weights", sticky=100.0),
    when="streams only",
    only="stream",
)
class PinsNoStreams(Picking):
    """Streamed calls of a session are picked afresh."""

    def session(self, asked: Asked) -> str | None:
        return None if asked.stream else super().session(asked)


MUTANTS: tuple[Mutant, ...] = (
    SplitsStreamsEvenly,
    WeighsByPlace,
    BlocksAtTheLast,
    FollowsTheCrowd,
    ForgetsWeightsAfterAFailure,
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
    TakesFreeForUnknown,
    KnowsPricesWhenAwaited,
    ForgetsStreamsThatSpeak,
    StaysBusyForTheAborted,
    LearnsNothingFromStreams,
    BelievesFailures,
    ForgetsTagsInRetries,
    ReadsTagsWhenAwaited,
    PinsButOnce,
    PinsNoStreams,
)
