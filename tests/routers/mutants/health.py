"""Routers that rest their deployments too little, too much, or not at all."""

from __future__ import annotations

import time

from llmroute_sim.faults import Cut, Outage, RateLimit, Refused
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, health

from ..formats import Asked, Failed
from ..reference import Health, Knobs, Reference
from ..scenes import COOLDOWN, FIRST, NO_RETRIES, RESTING, scene, targets
from ..upstreams import Upstream
from .declared import Mutant, mutant

SOON = 10.0
"""Seconds within which one that left is not back."""

PATIENT = Knobs(retries=0, failures=3, cooldown=COOLDOWN)


def promised(knobs: Knobs) -> list[Contract]:
    chain = targets(knobs.chain)
    if knobs.failures is None:
        return [health.Stays(chain)]
    found: list[Contract] = [
        health.Cooldown(chain[0], knobs.cooldown, knobs.failures),
        health.Leaves(chain[0], knobs.failures, SOON),
    ]
    return [*found, health.Transient(chain)] if knobs.failures > 1 else found


@mutant(
    "health.cooldown",
    scene(
        Incident(Outage(500), (FIRST,), When(first=2)),
        asks=(Ask(together=2), Ask(at=COOLDOWN - 1), Ask(at=COOLDOWN + 3, times=2)),
    ),
    RESTING,
    when="two calls at a time",
)
class RestsBrieflyInACrowd(Reference):
    """A cooldown that begins while another call runs is half as long."""

    def rest(self, health: Health, now: float) -> None:
        half = self.knobs.cooldown / (2 if self.running > 1 else 1)
        health.rests_until = max(health.rests_until, time.monotonic() + half)


@mutant(
    "health.cooldown",
    scene(
        Incident(Outage(500), (FIRST,), When(between=(0, 30))),
        Incident(Outage(500), (FIRST,), When(between=(100, 130))),
        asks=(Ask(times=3, every=2), Ask(at=100, times=3, every=2), Ask(at=140, times=2, every=2)),
    ),
    RESTING,
    when="after a cooldown",
)
class RestsOnce(Reference):
    """The second cooldown of a deployment is half as long."""

    def rest(self, health: Health, now: float) -> None:
        again = health.rests_until > 0
        health.rests_until = now + self.knobs.cooldown / (2 if again else 1)


@mutant(
    "health.rotation",
    scene(
        Incident(Outage(500), (FIRST,), When(first=1)),
        Incident(Cut(3), (FIRST,)),
        asks=(Ask(times=8, every=2),),
        modes=("stream",),
    ),
    RESTING,
    when="streams that broke off after their first words",
)
class ForgivesBrokenStreams(Reference):
    """A stream that breaks off after its first words is no failure of who sent it."""

    def counts(self, failure: Failed) -> bool:
        return not failure.spoken and super().counts(failure)


@mutant(
    "health.rotation",
    scene(
        Incident(RateLimit(None), (FIRST,)),
        asks=(Ask(times=6, every=2),),
        entries=("chat", "messages"),
    ),
    RESTING,
    when="after 429s",
    also={"health.cooldown": "who never leaves does not rest either"},
)
class ForgivesLimits(Reference):
    """A rate limit is no failure."""

    def counts(self, failure: Failed) -> bool:
        return failure.status != 429 and super().counts(failure)


@mutant(
    "health.rotation",
    scene(Incident(Refused(), (FIRST,)), asks=(Ask(times=4, every=2),)),
    RESTING,
    when="blocking calls",
    only="sync",
    also={"health.cooldown": "who never leaves does not rest either"},
)
class CountsOnlyOnTheLoop(Reference):
    """The failures of blocking calls are not counted."""

    def count_failure(self, upstream: Upstream, failure: Failed, asked: Asked) -> None:
        if not asked.sync:
            super().count_failure(upstream, failure, asked)


@mutant(
    "health.transient",
    scene(
        Incident(Outage(503), (FIRST,), When(nth=2)),
        Incident(Outage(500), (FIRST,), When(nth=4)),
        asks=(Ask(times=6, every=5),),
    ),
    PATIENT,
    when="after a 503",
)
class PanicsAtUnavailable(Reference):
    """A single 503 takes a deployment out."""

    def count_failure(self, upstream: Upstream, failure: Failed, asked: Asked) -> None:
        super().count_failure(upstream, failure, asked)
        if failure.status == 503:
            self.rest(self.health[upstream.name], time.monotonic())


@mutant(
    "health.transient",
    scene(Incident(Outage(500), (FIRST,), When(nth=2)), asks=(Ask(times=4, every=5),)),
    PATIENT,
    when="streams",
    only="stream",
)
class PanicsInStreams(Reference):
    """A single failure of a stream takes a deployment out."""

    def count_failure(self, upstream: Upstream, failure: Failed, asked: Asked) -> None:
        super().count_failure(upstream, failure, asked)
        if asked.stream:
            self.rest(self.health[upstream.name], time.monotonic())


@mutant(
    "health.never",
    scene(
        Incident(Refused(), (FIRST,), When(nth=2)),
        Incident(Outage(500), (FIRST,), When(nth=3)),
        asks=(Ask(times=6, every=5),),
    ),
    NO_RETRIES,
    when="after a refused connection",
)
class RestsWhoRefuses(Reference):
    """Who refuses a connection is left alone, though nobody ever should be."""

    def count_failure(self, upstream: Upstream, failure: Failed, asked: Asked) -> None:
        super().count_failure(upstream, failure, asked)
        if failure.status is None:
            self.rest(self.health[upstream.name], time.monotonic())


@mutant(
    "health.never",
    scene(
        Incident(Outage(500), (FIRST,), When(between=(0, 30))),
        asks=(Ask(times=5, every=5), Ask(at=40)),
    ),
    NO_RETRIES,
    when="after the third failure in a row",
)
class LosesHeart(Reference):
    """After three failures in a row a deployment is left alone, though nobody ever should be."""

    def count_failure(self, upstream: Upstream, failure: Failed, asked: Asked) -> None:
        super().count_failure(upstream, failure, asked)
        if self.health[upstream.name].failures == 3:
            self.rest(self.health[upstream.name], time.monotonic())


MUTANTS: tuple[Mutant, ...] = (
    RestsBrieflyInACrowd,
    RestsOnce,
    ForgivesBrokenStreams,
    ForgivesLimits,
    CountsOnlyOnTheLoop,
    PanicsAtUnavailable,
    PanicsInStreams,
    RestsWhoRefuses,
    LosesHeart,
)
