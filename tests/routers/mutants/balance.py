"""Routers that pick the wrong deployment; what all promise that pick among several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from llmroute_sim.faults import Outage
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, Target, balance

from ..formats import Asked
from ..picking import Picking, Picks, Ticket
from ..reference import Knobs
from ..scenes import FIRST, GROUP, scene, target
from ..upstreams import GROQ, OPENAI, Group, Upstream, alone
from . import limits, wishes
from .declared import Mutant
from .pairs import MOST, SLOW, crowd, load, picked, picker


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
    if picks.limited or picks.tags or picks.sticky is not None:
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
    if picks.sticky is not None and not picks.limited:
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


MUTANTS: tuple[Mutant, ...] = (
    SplitsStreamsEvenly,
    WeighsByPlace,
    BlocksAtTheLast,
    FollowsTheCrowd,
    ForgetsWeightsAfterAFailure,
    *limits.MUTANTS,
    TakesFreeForUnknown,
    KnowsPricesWhenAwaited,
    ForgetsStreamsThatSpeak,
    StaysBusyForTheAborted,
    LearnsNothingFromStreams,
    BelievesFailures,
    *wishes.MUTANTS,
)
