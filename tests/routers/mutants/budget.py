"""Routers that do not know what they have spent, or what to tell of it."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal

from llmroute_sim.faults import Outage
from llmroute_sim.incidents import Incident
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, budget

from ..formats import Answer, Asked
from ..reference import Health, Knobs, Reference
from ..scenes import CACHED, FIRST, PAID, WINDOW, repeated, scene, spending, target, targets
from ..upstreams import MISTRAL, OPENAI, Upstream, alone
from .declared import Mutant, mutant

_HEARD = 0.4
"""The part of a stream's price that the reference router can tell at least of one that was left."""


def promised(knobs: Knobs) -> list[Contract]:
    found: list[Contract] = [budget.Ledger()]
    if knobs.ttl is not None:
        found.append(budget.Free())
    if knobs.budget is not None:
        aborted = _HEARD if knobs.estimates else 0.0
        added = tuple((target(alone(one)),) for _, one in knobs.joins)
        for spenders in (targets(knobs.chain[:1]), targets(knobs.embedders[:1]), *added):
            found.append(budget.Cutoff(spenders, knobs.budget, knobs.window, aborted))
        found.append(budget.Returns(targets(knobs.chain[:1]), knobs.budget, knobs.window))
    return found


# -- what has cost its limit gets nothing more


@mutant(
    "budget.cutoff",
    spending(Ask(times=6, every=2)),
    PAID,
    when="streams only",
    only="stream",
)
class StreamsForFree(Reference):
    """What streams cost is not counted."""

    def pay(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        before = self.health[upstream.name].spent
        super().pay(upstream, answer, began, asked)
        if asked.stream:
            self.health[upstream.name].spent = before


@mutant(
    "budget.cutoff",
    scene(asks=(Ask(times=12, leave_after=14), Ask(times=3)), stimulus="load", per_token=0.1),
    Knobs(budget=Decimal("0.0008"), window=WINDOW, estimates=True),
    when="after aborted streams",
    only="stream",
)
class AbortsForFree(Reference):
    """What a stream cost that its caller left is not counted."""

    def pay_aborted(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        """Nobody has said what that cost."""


@mutant(
    "budget.cutoff",
    spending(Ask(times=3), Ask(at=20, times=10)),
    replace(PAID, chain=(alone(OPENAI),), joins=((10.0, MISTRAL),)),
    when="deployments added at run time",
)
class NewcomersForFree(Reference):
    """What is spent at a deployment that was added later is not counted."""

    def in_service(self, upstream: Upstream, asked: Asked) -> bool:
        if any(upstream is one for _, one in self.knobs.joins):
            self.health[upstream.name].spent = Decimal(0)
        return super().in_service(upstream, asked)


@mutant(
    "budget.cutoff",
    scene(
        asks=(Ask(times=6, every=2),),
        stimulus="spend",
        bills=Usage(80_000, 1),
        entries=("chat", "embeddings"),
        modes=("json",),
    ),
    Knobs(budget=Decimal("0.004"), window=WINDOW),
    when="embeddings only",
)
class EmbedsForFree(Reference):
    """What embeddings cost is not counted."""

    def pay(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        super().pay(upstream, answer, began, asked)
        if asked.embeds:
            self.health[upstream.name].spent = Decimal(0)


@mutant(
    "budget.cutoff",
    spending(Ask(times=4, every=2), Ask(at=WINDOW + 10, times=6, every=2)),
    PAID,
    when="from the second window on",
)
class LimitsTheFirstWindow(Reference):
    """The limit is kept in the first window only."""

    def window_over(self, health: Health, now: float) -> bool:
        over = super().window_over(health, now)
        return over or now >= self.began + self.knobs.window


@mutant(
    "budget.cutoff",
    spending(Ask(at=86_000, times=4, every=2), Ask(at=86_410, times=3, every=2)),
    PAID,
    when="across midnight",
)
class ForgivesAtMidnight(Reference):
    """At midnight all that was spent is forgotten."""

    def window_over(self, health: Health, now: float) -> bool:
        day = time.time() % 86_400
        new = health.window_began is not None and now - health.window_began > day
        return new or super().window_over(health, now)


@mutant(
    "budget.window",
    spending(Ask(times=5, every=2), Ask(at=WINDOW - 1), Ask(at=WINDOW + 5, times=2)),
    PAID,
    when="a budget that was reached",
)
class NeverForgives(Reference):
    """A budget that was reached stays so after its window."""

    def window_over(self, health: Health, now: float) -> bool:
        reached = self.knobs.budget is not None and health.spent >= self.knobs.budget
        return not reached and super().window_over(health, now)


# -- what a caller is told was charged


@mutant("budget.ledger", spending(Ask(times=2)), Knobs(), when="streams only", only="stream")
class TellsHalfOfStreams(Reference):
    """Of a stream only the prompt is in the cost that its caller is told."""

    def pay(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        super().pay(upstream, answer, began, asked)
        if asked.stream:
            answer.cost = upstream.price[0] * answer.tokens[0]


@mutant(
    "budget.ledger",
    scene(Incident(Outage(500), (FIRST,)), stimulus="spend", bills=Usage(80_000, 20_000)),
    Knobs(retries=0),
    when="after a fallback",
)
class TellsThePriceOfTheFirst(Reference):
    """What a fallback cost is told at the price of the deployment that was asked first."""

    def pay(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        super().pay(upstream, answer, began, asked)
        answer.cost = self.price(self.chain(asked)[0].deployments[0], answer)


@mutant(
    "budget.ledger",
    scene(Incident(Outage(500), (FIRST,)), stimulus="spend", bills=Usage(80_000, 20_000)),
    Knobs(retries=1),
    when="after two failures",
)
class AddsUpTheTries(Reference):
    """The tokens of an answer are told once for every attempt of the call."""

    def body(self, upstream, asked, failures):  # type: ignore[no-untyped-def]  # as the reference has it
        self.tries = 1 + len(failures)
        return super().body(upstream, asked, failures)

    def pay(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        super().pay(upstream, answer, began, asked)
        into, out = answer.tokens
        answer.tokens = into * self.tries, out * self.tries


# -- a cache hit costs nothing


@mutant(
    "budget.free",
    repeated(Ask(question="A"), Ask(), Ask(question="A", times=2, every=5)),
    CACHED,
    when="the second repeat",
)
class ChargesForTheSecondHit(Reference):
    """From the second time on an answer from the cache is told to cost what it once cost."""

    def served_again(self, found: Answer) -> Answer:
        self.served: set[int] = getattr(self, "served", set())
        again = id(found) in self.served
        self.served.add(id(found))
        return found if again else super().served_again(found)


@mutant(
    "budget.free",
    repeated(Ask(question="A"), Ask(), Ask(question="A", times=2, every=5)),
    CACHED,
    when="streams only",
    only="stream",
)
class ChargesForStreamedHits(Reference):
    """A stream from the cache is told to cost what it once cost."""

    streamed = False

    def look_up(self, key: str, asked: Asked) -> Answer | None:
        self.streamed = asked.stream
        return super().look_up(key, asked)

    def served_again(self, found: Answer) -> Answer:
        return found if self.streamed else super().served_again(found)


MUTANTS: tuple[Mutant, ...] = (
    StreamsForFree,
    AbortsForFree,
    NewcomersForFree,
    EmbedsForFree,
    LimitsTheFirstWindow,
    ForgivesAtMidnight,
    NeverForgives,
    TellsHalfOfStreams,
    TellsThePriceOfTheFirst,
    AddsUpTheTries,
    ChargesForTheSecondHit,
    ChargesForStreamedHits,
)
