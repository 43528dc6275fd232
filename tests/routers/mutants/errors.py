"""Routers whose errors say too little or too much."""

from __future__ import annotations

from llmroute_sim.faults import Outage, RateLimit, Unauthorized
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, errors

from ..formats import Asked, Failed
from ..reference import Knobs, NoAnswer, Reference
from ..scenes import ALL, FIRST_VECTORS, NO_RETRIES, RESTING, SECOND_VECTORS, scene, targets
from .declared import Mutant, mutant


def promised(knobs: Knobs) -> list[Contract]:
    chain, embedders = targets(knobs.chain), targets(knobs.embedders)
    return [errors.Own(chain), errors.Own(embedders), errors.Secrets(), errors.Told()]


@mutant(
    "errors.own",
    scene(Incident(RateLimit(None), ALL), entries=("chat", "messages", "responses")),
    NO_RETRIES,
    when="after 429s",
)
class CallsEverythingAnOutage(Reference):
    """Rate limits are told as an outage of its own."""

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        if failures and failures[-1].status == 429:
            return NoAnswer("nobody answered", 500)
        return super().told(failures, asked)


@mutant(
    "errors.own",
    scene(
        Incident(Unauthorized(), (*ALL, FIRST_VECTORS, SECOND_VECTORS)),
        entries=("chat", "embeddings"),
    ),
    NO_RETRIES,
    when="calls on asyncio",
    only="async",
)
class LosesTheStatus(Reference):
    """On asyncio the error has no status."""

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        return super().told(failures, asked) if asked.sync else NoAnswer("nobody answered", None)


@mutant("errors.secrets", scene(Incident(Unauthorized(), ALL)), NO_RETRIES, when="after a 401")
class TellsTheKey(Reference):
    """Where a key is refused, the error says which."""

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        told = super().told(failures, asked)
        if not failures or failures[-1].status != 401:
            return told
        key = self.knobs.chain[-1].deployments[0].key
        return NoAnswer(f"refused: Bearer {key}", 401)


@mutant(
    "errors.secrets",
    scene(Incident(Outage(500), ALL), entries=("chat", "messages")),
    NO_RETRIES,
    when="streams",
    only="stream",
)
class QuotesTheRequest(Reference):
    """The error of a stream quotes the request that failed, with its headers."""

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        key = self.knobs.chain[0].deployments[0].key
        if asked.stream:
            return NoAnswer(f"POST {{'authorization': 'Bearer {key}'}} gave 500", 500)
        return super().told(failures, asked)


@mutant(
    "errors.hint",
    scene(
        Incident(Outage(500), ALL, When(between=(0, 20))),
        asks=(Ask(times=2, every=2), Ask(at=10, times=2)),
    ),
    RESTING,
    when="blocking calls",
    only="sync",
)
class SaysNotNow(Reference):
    """A blocking call that is refused because all rest is not told when to come back."""

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        if not failures and asked.sync:
            return NoAnswer("not now", 503)
        return super().told(failures, asked)


@mutant(
    "errors.hint",
    scene(
        Incident(RateLimit(30), ALL, When(between=(0, 20))),
        asks=(Ask(), Ask(at=10)),
        entries=("chat", "responses"),
    ),
    NO_RETRIES,
    when="where providers have asked for patience",
)
class KeepsHintsToItself(Reference):
    """While all rest because they said so, the caller is not told for how long."""

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        told = super().told(failures, asked)
        hinted = any(health.hinted_until for health in self.health.values())
        return NoAnswer("not now", 429) if hinted and not failures else told


MUTANTS: tuple[Mutant, ...] = (
    CallsEverythingAnOutage,
    LosesTheStatus,
    TellsTheKey,
    QuotesTheRequest,
    SaysNotNow,
    KeepsHintsToItself,
)
