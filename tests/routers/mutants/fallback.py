"""Routers that fall back badly."""

from __future__ import annotations

import time

from llmroute_sim.faults import Outage, RateLimit, Refused
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, fallback

from ..formats import Asked, Failed
from ..reference import Knobs, Reference
from ..scenes import (
    ALL,
    FIRST,
    FIRST_VECTORS,
    GROUP,
    NO_RETRIES,
    PLAIN,
    SECOND,
    VECTORS,
    scene,
    targets,
)
from ..upstreams import MISTRAL, Group, alone
from .declared import Mutant, mutant

DAY = 86_400.0


def promised(knobs: Knobs) -> list[Contract]:
    found: list[Contract] = []
    for name, groups in ((GROUP, knobs.chain), (VECTORS, knobs.embedders)):
        chain = targets(groups)
        found += [fallback.Elsewhere(chain, group=name), fallback.Once(chain)]
        if len(groups) == 1 or not knobs.picks.limited:
            # Who has got as much as he may is passed over.
            found += [fallback.Answers(chain, group=name), fallback.Order(chain, group=name)]
    return found


@mutant(
    "fallback.answers",
    scene(Incident(Outage(500), (FIRST,))),
    PLAIN,
    when="streams",
    only="stream",
)
class GivesUpOnStreams(Reference):
    """A stream that fails before its first word is not taken elsewhere."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return [] if asked.stream else visits


@mutant(
    "fallback.answers",
    scene(Incident(Outage(503), (FIRST, SECOND)), entries=("chat", "messages")),
    NO_RETRIES,
    when="the second failure of a blocking call",
    only="sync",
)
class KnowsOneWayOut(Reference):
    """A blocking call falls back once, whatever else is in the chain."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return [] if asked.sync and len(failures) > 1 else visits


@mutant(
    "fallback.answers",
    scene(Incident(Refused(), (FIRST, FIRST_VECTORS)), entries=("chat", "embeddings")),
    NO_RETRIES,
    when="embeddings whose connection is refused",
    only="embeddings",
)
class LeavesVectorsAlone(Reference):
    """Embeddings are not taken elsewhere when nobody answers the connection."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return [] if asked.embeds and failure.status is None else visits


@mutant("fallback.order", scene(Incident(RateLimit(), (FIRST,))), PLAIN, when="after a 429")
class TakesTheLastFirst(Reference):
    """After a rate limit the rest of the chain is walked backwards."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return visits[::-1] if failure.status == 429 else visits


@mutant(
    "fallback.order",
    scene(Incident(Outage(500), (FIRST,)), asks=(Ask(), Ask(together=2))),
    NO_RETRIES,
    when="two calls at a time",
)
class SpreadsTheCrowd(Reference):
    """While another call runs, the next of the chain is passed over, to spread the load."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return visits[1:] if self.running > 1 and len(visits) > 1 else visits


@mutant(
    "fallback.elsewhere",
    scene(Incident(RateLimit(), ALL)),
    PLAIN,
    when="at the end of the chain",
)
class KnowsSomebodyElse(Reference):
    """When the chain is at its end, somebody is asked who is not in it."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return visits or ([] if "mistral" in failure.why else [alone(MISTRAL)])


@mutant(
    "fallback.elsewhere",
    scene(Incident(RateLimit(), ALL), asks=(Ask(), Ask(at=DAY + 10))),
    PLAIN,
    when="the second day",
)
class GrowsTrusting(Reference):
    """A day after it was made it thinks that somebody else may be asked too."""

    def __init__(self, knobs: Knobs) -> None:
        super().__init__(knobs)
        self.made = time.monotonic()

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        old = time.monotonic() - self.made > DAY
        return visits or ([alone(MISTRAL)] if old and "mistral" not in failure.why else [])


@mutant(
    "fallback.once",
    scene(Incident(RateLimit(), (FIRST, SECOND))),
    PLAIN,
    when="after the second 429 of a call",
)
class ComesBack(Reference):
    """After a second rate limit in a call, the first of the chain gets another chance."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        limited = [one for one in failures if one.status == 429]
        return [self.knobs.chain[0], *visits] if len(limited) == 2 else visits


@mutant(
    "fallback.once",
    scene(
        Incident(Outage(500), (FIRST,), When(nth=1)),
        Incident(Outage(500), (SECOND,), When(nth=1)),
        entries=("chat", "responses"),
    ),
    NO_RETRIES,
    when="streams that failed twice",
    only="stream",
    also={"retry.bounded": "where there are no retries, a second visit is one attempt too many"},
)
class SendsStreamsHome(Reference):
    """A stream that failed at two is sent to the first of them again."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return [self.knobs.chain[0], *visits] if asked.stream and len(failures) == 2 else visits


MUTANTS: tuple[Mutant, ...] = (
    GivesUpOnStreams,
    KnowsOneWayOut,
    LeavesVectorsAlone,
    TakesTheLastFirst,
    SpreadsTheCrowd,
    KnowsSomebodyElse,
    GrowsTrusting,
    ComesBack,
    SendsStreamsHome,
)
