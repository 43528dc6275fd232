"""Routers that remember too much, too little, or for too long."""

from __future__ import annotations

import time
from dataclasses import replace

from llmroute_sim.faults import Cut
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract
from pytest_llmroute.contracts import cache as caching

from ..formats import Answer, Asked
from ..reference import Knobs, Reference
from ..scenes import ALL, CACHED, TTL, repeated, scene
from ..upstreams import Upstream
from .declared import Mutant, mutant


def promised(knobs: Knobs) -> list[Contract]:
    if knobs.ttl is None:
        return []
    return [caching.Hit(knobs.ttl), caching.Expires(knobs.ttl), caching.Apart(), caching.Clean()]


@mutant(
    "cache.hit",
    repeated(Ask(question="A"), Ask(), Ask(at=5, question="A")),
    CACHED,
    when="streams only",
    only="stream",
)
class RemembersNoStreams(Reference):
    """Streamed answers are not kept."""

    def store(self, key: str, answer: Answer, asked: Asked) -> None:
        if not asked.stream:
            super().store(key, answer, asked)


@mutant(
    "cache.hit",
    repeated(Ask(question="A"), Ask(), Ask(at=5, question="A")),
    CACHED,
    when="awaited calls only",
    only="async",
)
class LooksUpWhileBlocking(Reference):
    """An awaited call does not look whether its answer is there."""

    def look_up(self, key: str, asked: Asked) -> Answer | None:
        return super().look_up(key, asked) if asked.sync else None


@mutant(
    "cache.hit",
    repeated(
        Ask(question="A"),
        Ask(),
        Ask(at=5, question="A"),
        entries=("chat", "embeddings"),
        modes=("json",),
    ),
    CACHED,
    when="embeddings only",
)
class RemembersNoVectors(Reference):
    """Vectors are not kept."""

    def store(self, key: str, answer: Answer, asked: Asked) -> None:
        if not asked.embeds:
            super().store(key, answer, asked)


@mutant(
    "cache.expires",
    repeated(*(Ask(at=at, question="A") for at in (0, TTL - 1, TTL + 2))),
    CACHED,
    when="answers that are asked for again",
)
class RenewsWhatIsAskedFor(Reference):
    """An answer that is served from the cache lives anew from then on."""

    def look_up(self, key: str, asked: Asked) -> Answer | None:
        found = super().look_up(key, asked)
        if found is not None:
            self.store(key, found, asked)
        return found


@mutant(
    "cache.expires",
    repeated(*(Ask(at=at, question="A") for at in (0, TTL - 1, TTL + 2))),
    CACHED,
    when="streams only",
    only="stream",
)
class KeepsStreamsTwiceAsLong(Reference):
    """Streams are served again for twice as long as they live."""

    def store(self, key: str, answer: Answer, asked: Asked) -> None:
        super().store(key, answer, asked)
        if asked.stream:
            self.cache[key] = (time.monotonic() + 2 * TTL, answer)


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "said",
        "schema": {"type": "object", "properties": {"said": {"type": "string"}}},
    },
}
NEAR = repeated(
    Ask(question="A"),
    *(
        Ask(question="A", options=options)
        for options in (
            {"temperature": 0.1},
            {"system": "In French."},
            {"max_tokens": 5},
            {"tools": [TOOL]},
            {"user": "somebody else"},
            {"response_format": FORM},
        )
    ),
)


def without(asked: Asked, option: str) -> Asked:
    """The same call without one of its options."""
    rest = {name: value for name, value in asked.options.items() if name != option}
    return replace(asked, options=rest)


@mutant("cache.apart", NEAR, CACHED, when="requests that differ in their system prompt")
class ForgetsTheSystemPrompt(Reference):
    """The key of the cache leaves out the system prompt."""

    def cache_key(self, asked: Asked) -> str:
        return super().cache_key(without(asked, "system"))


@mutant("cache.apart", NEAR, CACHED, when="requests that differ in their tools")
class ForgetsTheTools(Reference):
    """The key of the cache leaves out the tools."""

    def cache_key(self, asked: Asked) -> str:
        return super().cache_key(without(asked, "tools"))


@mutant("cache.apart", NEAR, CACHED, when="requests of other users")
class ForgetsTheUser(Reference):
    """The key of the cache leaves out for whom the request is."""

    def cache_key(self, asked: Asked) -> str:
        return super().cache_key(without(asked, "user"))


@mutant("cache.apart", NEAR, CACHED, when="streams that differ in their form", only="stream")
class ForgetsTheFormOfStreams(Reference):
    """For streams, the key of the cache leaves out the form that is asked for."""

    def cache_key(self, asked: Asked) -> str:
        return super().cache_key(without(asked, "response_format") if asked.stream else asked)


@mutant(
    "cache.apart",
    repeated(
        Ask(question="A"), Ask(question="A", options={"dimensions": 64}), entries=("embeddings",)
    ),
    CACHED,
    when="embeddings that differ in their dimensions",
)
class ForgetsTheDimensions(Reference):
    """The key of the cache leaves out how long the vectors are to be."""

    def cache_key(self, asked: Asked) -> str:
        return super().cache_key(without(asked, "dimensions"))


@mutant(
    "cache.clean",
    scene(
        Incident(Cut(3), ALL, When(between=(0, 60))),
        asks=(Ask(question="A"), Ask(at=120, question="A")),
    ),
    CACHED,
    when="streams that broke off after their first words",
    only="stream",
)
class KeepsHalves(Reference):
    """The words of a stream that broke off are kept."""

    def spoil(self, key: str, answer: Answer, asked: Asked) -> None:
        self.store(key, answer, asked)


@mutant(
    "cache.clean",
    scene(
        asks=(Ask(question="A", leave_after=3), Ask(at=60, question="A")),
        stimulus="repeats",
        per_token=0.1,
    ),
    CACHED,
    when="after an aborted stream",
    only="stream",
)
class KeepsWhatWasLeft(Reference):
    """The words of a stream that its caller left are kept."""

    def pay_aborted(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        self.store(self.cache_key(asked), answer, asked)


MUTANTS: tuple[Mutant, ...] = (
    RemembersNoStreams,
    LooksUpWhileBlocking,
    RemembersNoVectors,
    RenewsWhatIsAskedFor,
    KeepsStreamsTwiceAsLong,
    ForgetsTheSystemPrompt,
    ForgetsTheTools,
    ForgetsTheUser,
    ForgetsTheFormOfStreams,
    ForgetsTheDimensions,
    KeepsHalves,
    KeepsWhatWasLeft,
)
