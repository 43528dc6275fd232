"""Routers that try again too often, too seldom, or too soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import httpx

from llmroute_sim.faults import InvalidRequest, ModelGone, Outage, RateLimit, Refused, Silence
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, retry

from ..formats import Asked, Failed
from ..reference import Knobs, Reference, Try
from ..scenes import ALL, FIRST, FIRST_VECTORS, PLAIN, scene, targets
from ..upstreams import Group, Upstream
from .declared import Mutant, mutant

CLASSED = Knobs(classes=(("timeout", 0), ("internal", 1), ("unavailable", 3)))


def promised(knobs: Knobs) -> list[Contract]:
    found: list[Contract] = []
    for chain in (targets(knobs.chain), targets(knobs.embedders)):
        found += [retry.Hint(chain), retry.Hopeless(chain)]
        if knobs.classes:
            found.append(retry.Classed(chain[0], knobs.classes))
            continue
        found += [retry.Bounded(chain[0], knobs.retries), retry.Total(chain, knobs.retries)]
        # A call's own failures must not take a deployment out before its retries are used.
        if knobs.failures is None or knobs.failures > knobs.retries:
            found.append(retry.Tried(chain[0], knobs.retries))
    return found


@mutant(
    "retry.bounded",
    scene(Incident(Silence(), (FIRST,))),
    PLAIN,
    when="streams",
    only="stream",
)
class TriesStreamsOnceMore(Reference):
    """The count of retries is off by one, for streams only."""

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return super().tries_again(failure, group, trail[asked.stream :], asked)


@mutant(
    "retry.bounded",
    scene(Incident(Outage(500), (FIRST,)), asks=(Ask(), Ask(together=2))),
    PLAIN,
    when="two calls at a time",
)
class LosesCountInACrowd(Reference):
    """Of two calls that run at the same time each counts the other's first try as none."""

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return super().tries_again(failure, group, trail[self.running - 1 :], asked)


@mutant(
    "retry.bounded",
    scene(
        Incident(Outage(502), (FIRST,), When(first=2)),
        asks=(Ask(options={"num_retries": 0}), Ask(at=30)),
    ),
    PLAIN,
    when="calls that say how often",
)
class KnowsBetterThanItsCaller(Reference):
    """The number of retries that a call asks for is not listened to."""

    def retries(self, asked: Asked, failure: Failed) -> int:
        return super().retries(replace(asked, orders={}), failure)


@mutant("retry.tried", scene(Incident(Refused(), (FIRST,))), PLAIN, when="at the second failure")
class GivesUpAtTheSecond(Reference):
    """A retry that fails is the last, however many are left."""

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return len(trail) < 2 and super().tries_again(failure, group, trail, asked)


@mutant(
    "retry.tried",
    scene(
        Incident(Outage(503), (FIRST, FIRST_VECTORS), When(nth=1)),
        entries=("chat", "responses", "embeddings"),
    ),
    PLAIN,
    when="after a 503",
)
class TakesUnavailableForGone(Reference):
    """Who says 503 is not tried again."""

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return failure.status != 503 and super().tries_again(failure, group, trail, asked)


@mutant(
    "retry.hint",
    scene(
        Incident(RateLimit(20, hint="milliseconds"), (FIRST,), When(between=(0, 20))),
        asks=(Ask(times=3, every=5), Ask(at=25)),
    ),
    PLAIN,
    when="hints in milliseconds",
)
class KnowsNoMilliseconds(Reference):
    """Hints in milliseconds are not read."""

    def hint(self, headers: httpx.Headers) -> float | None:
        return None if "retry-after-ms" in headers else super().hint(headers)


@mutant(
    "retry.hint",
    scene(
        Incident(RateLimit(20, hint="date"), (FIRST,), When(between=(0, 15))),
        asks=(Ask(), Ask(at=10)),
        entries=("chat", "messages"),
    ),
    Knobs(retries=0),
    when="hints that are dates",
)
class KnowsNoDates(Reference):
    """Hints that are dates are not read."""

    def hint(self, headers: httpx.Headers) -> float | None:
        return None if "GMT" in headers.get("retry-after", "") else super().hint(headers)


@mutant("retry.hopeless", scene(Incident(ModelGone(), (FIRST,))), PLAIN, when="after a 404")
class HopesForModels(Reference):
    """A model that does not exist is asked for again."""

    def pick(self, group: Group, asked: Asked, trail: Sequence[Try]) -> Upstream | None:
        kept = [one for one in trail if one.failure.status != 404]
        return super().pick(group, asked, kept)

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        hopes = failure.status == 404 and len(trail) <= self.knobs.retries
        return hopes or super().tries_again(failure, group, trail, asked)


@mutant(
    "retry.hopeless",
    scene(Incident(InvalidRequest(), (FIRST, FIRST_VECTORS)), entries=("chat", "embeddings")),
    PLAIN,
    when="blocking calls",
    only="sync",
)
class Insists(Reference):
    """A blocking call that was refused as wrong is sent a second time."""

    def pick(self, group: Group, asked: Asked, trail: Sequence[Try]) -> Upstream | None:
        insists = asked.sync and len(trail) == 1 and trail[0].failure.status == 400
        return super().pick(group, asked, [] if insists else trail)

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        insists = asked.sync and len(trail) == 1 and failure.status == 400
        return insists or super().tries_again(failure, group, trail, asked)


@mutant(
    "retry.total",
    scene(Incident(Outage(500), ALL)),
    PLAIN,
    when="at fallbacks",
)
class TriesFallbacksTwiceAsOften(Reference):
    """A fallback is given twice the retries."""

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        spare = 0 if group == self.knobs.chain[0] else self.knobs.retries
        return super().tries_again(failure, group, trail[spare:] or trail, asked)


@mutant(
    "retry.total",
    scene(
        Incident(Outage(500), ALL, When(between=(0, 30))),
        Incident(Silence(), ALL, When(between=(100, 400))),
        asks=(Ask(), Ask(at=100)),
    ),
    Knobs(retries=1),
    when="streams whose fallbacks are silent",
    only="stream",
)
class WaitsForFallbacks(Reference):
    """A stream that got no answer in time from a fallback asks it two times more than it should."""

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        late = asked.stream and failure.status is None and group != self.knobs.chain[0]
        return super().tries_again(failure, group, trail[2:] if late else trail, asked)


@mutant(
    "retry.class",
    scene(
        Incident(Outage(503), (FIRST,), When(between=(0, 50))),
        Incident(Outage(500), (FIRST,), When(between=(100, 150))),
        asks=(Ask(), Ask(at=100)),
    ),
    CLASSED,
    when="after a 500",
)
class KnowsOneKindOfOutage(Reference):
    """A 500 is retried as often as a 503."""

    def kind(self, failure: Failed) -> str | None:
        found = super().kind(failure)
        return "unavailable" if found == "internal" else found


@mutant(
    "retry.class",
    scene(Incident(Silence(), (FIRST,)), entries=("chat", "text")),
    CLASSED,
    when="streams that time out",
    only="stream",
)
class HasNoClassForStreams(Reference):
    """A stream that timed out is retried, which no timeout should be."""

    def retries(self, asked: Asked, failure: Failed) -> int:
        return self.knobs.retries if asked.stream else super().retries(asked, failure)


MUTANTS: tuple[Mutant, ...] = (
    TriesStreamsOnceMore,
    LosesCountInACrowd,
    KnowsBetterThanItsCaller,
    GivesUpAtTheSecond,
    TakesUnavailableForGone,
    KnowsNoMilliseconds,
    KnowsNoDates,
    HopesForModels,
    Insists,
    TriesFallbacksTwiceAsOften,
    WaitsForFallbacks,
    KnowsOneKindOfOutage,
    HasNoClassForStreams,
)
