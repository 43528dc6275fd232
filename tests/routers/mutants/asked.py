"""Routers that forget, on the way to a fallback, what their caller asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmroute_sim.faults import Outage, RateLimit
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, Target, fallback

from ..formats import Answer, Asked, Failed
from ..reference import Knobs, Reference
from ..scenes import (
    FIRST,
    FIRST_VECTORS,
    GROUP,
    NO_RETRIES,
    SECOND,
    SECOND_VECTORS,
    THIRD,
    VECTORS,
    scene,
    target,
    targets,
)
from ..upstreams import ANTHROPIC, OPENAI, Group, Upstream, alone
from .declared import Mutant, mutant

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4096}

SHORT, LONG = 4_000, 30_000
"""Tokens: the window of the first, and that of whoever can do more."""

LADDER = Knobs(
    chain=(alone(replace(OPENAI, window=SHORT)), alone(replace(ANTHROPIC, window=LONG))),
    retries=0,
)
THINKERS = Knobs(chain=(alone(ANTHROPIC), alone(OPENAI)), retries=2)


def promised(knobs: Knobs) -> list[Contract]:
    chain, embedders = targets(knobs.chain), targets(knobs.embedders)
    found: list[Contract] = [
        fallback.Disabled(chain),
        fallback.Disabled(embedders),
        fallback.Chosen(chain[0], by_name(chain), GROUP),
        fallback.Chosen(embedders[0], by_name(embedders), VECTORS),
        fallback.Capable(chain),
        fallback.Dimension(),
        fallback.Named(chain),
        fallback.Named(embedders),
    ]
    for group in knobs.chain:
        [upstream, *_] = group.deployments
        if upstream.window is not None:
            found.append(fallback.Fits(target(group), upstream.window))
    return found


def by_name(known: tuple[Target, ...]) -> tuple[tuple[str, tuple[Target, ...]], ...]:
    return tuple((one.name, (one,)) for one in known)


def asking(*options: Mapping[str, Any]) -> tuple[Ask, ...]:
    return tuple(Ask(options=each) for each in options)


@mutant(
    "fallback.disabled",
    scene(
        Incident(Outage(500), (FIRST,)),
        asks=asking({"disable_fallbacks": True}),
        stimulus="options",
        entries=("chat", "messages", "responses"),
    ),
    NO_RETRIES,
    when="streams",
    only="stream",
)
class HearsNothingInStreams(Reference):
    """A stream falls back though its caller said that it must not."""

    def chain(self, asked: Asked) -> Sequence[Group]:
        return super().chain(replace(asked, orders={}) if asked.stream else asked)


@mutant(
    "fallback.disabled",
    scene(
        Incident(RateLimit(), (FIRST,)),
        asks=asking({"disable_fallbacks": True}),
        stimulus="options",
    ),
    NO_RETRIES,
    when="after a 429",
)
class MakesAnExceptionForLimits(Reference):
    """Fallbacks that are disabled are used all the same after a rate limit."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        if failure.status == 429 and asked.orders.get("disable_fallbacks") and len(failures) == 1:
            return list(self.knobs.chain[1:])
        return visits


@mutant(
    "fallback.chosen",
    scene(
        Incident(Outage(500), (FIRST,)),
        asks=asking({"fallbacks": ["groq"]}),
        stimulus="options",
        entries=("chat", "messages", "responses"),
    ),
    NO_RETRIES,
    when="streams",
    only="stream",
)
class StreamsToTheUsual(Reference):
    """A stream falls back as usual, whomever its caller named."""

    def chain(self, asked: Asked) -> Sequence[Group]:
        return super().chain(replace(asked, orders={}) if asked.stream else asked)


@mutant(
    "fallback.chosen",
    scene(
        Incident(Outage(503), (FIRST, THIRD)),
        asks=asking({"fallbacks": ["groq", "anthropic"]}),
        stimulus="options",
    ),
    NO_RETRIES,
    when="two are named, and the first of them fails",
)
class TakesTheFirstForAll(Reference):
    """Of the fallbacks that a caller names only the first is asked."""

    def chain(self, asked: Asked) -> Sequence[Group]:
        return super().chain(asked)[:2] if "fallbacks" in asked.orders else super().chain(asked)


@mutant(
    "fallback.chosen",
    scene(
        Incident(RateLimit(), (FIRST, THIRD)),
        asks=asking({"fallbacks": ["groq"]}),
        stimulus="options",
    ),
    NO_RETRIES,
    when="all that were named have failed",
)
class KnowsBetterInTheEnd(Reference):
    """When all have failed that a caller named, the usual ones are asked too."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        if "fallbacks" in asked.orders and not visits and len(failures) == 2:
            return list(self.knobs.chain[1:2])
        return visits


@mutant(
    "fallback.chosen",
    scene(
        Incident(Outage(500), (FIRST,)),
        asks=(Ask(together=2, options={"fallbacks": ["groq", "anthropic"]}),),
        stimulus="options",
    ),
    NO_RETRIES,
    when="two calls at a time",
)
class SortsWhatWasNamed(Reference):
    """While others are asked, fallbacks are taken in the usual order, not in the caller's."""

    def chain(self, asked: Asked) -> Sequence[Group]:
        named = super().chain(asked)
        usual = self.knobs.embedders if asked.embeds else self.knobs.chain
        return sorted(named, key=list(usual).index) if self.running > 1 else named


@mutant(
    "fallback.capable",
    scene(
        Incident(Outage(500), (FIRST,)),
        asks=asking({"tools": TOOLS}),
        stimulus="features",
    ),
    NO_RETRIES,
    when="at a fallback",
)
class DropsTheTools(Reference):
    """What goes to a fallback has no tools any more."""

    def body(self, upstream: Upstream, asked: Asked, failures: list[Failed]) -> dict[str, Any]:
        sent = super().body(upstream, asked, failures)
        return {k: v for k, v in sent.items() if k != "tools"} if failures else sent


@mutant(
    "fallback.capable",
    scene(
        Incident(Outage(500), (FIRST, SECOND)),
        asks=asking({"response_format": FORM, "system": "Answer in JSON."}),
        stimulus="features",
    ),
    NO_RETRIES,
    when="at the second fallback",
)
class TakesAnyJson(Reference):
    """The second fallback is asked for some JSON where JSON of a schema was wanted."""

    def body(self, upstream: Upstream, asked: Asked, failures: list[Failed]) -> dict[str, Any]:
        sent = super().body(upstream, asked, failures)
        if len(failures) > 1 and "response_format" in sent:
            sent["response_format"] = {"type": "json_object"}
        return sent


@mutant(
    "fallback.capable",
    scene(
        Incident(Outage(500), (SECOND,), When(first=1)),
        asks=asking(THINKING),
        stimulus="features",
    ),
    THINKERS,
    when="at a retry",
)
class ThinksOnlyOnce(Reference):
    """What is tried again is to be answered without thinking."""

    def body(self, upstream: Upstream, asked: Asked, failures: list[Failed]) -> dict[str, Any]:
        sent = super().body(upstream, asked, failures)
        return {k: v for k, v in sent.items() if k != "thinking"} if failures else sent


@mutant(
    "fallback.dimension",
    scene(
        Incident(Outage(500), (FIRST_VECTORS,), When(first=1)),
        asks=(Ask(times=2),),
        entries=("embeddings",),
    ),
    NO_RETRIES,
    when="at a fallback",
)
class ForgetsTheSize(Reference):
    """A fallback is not told how long the vectors are to be."""

    def body(self, upstream: Upstream, asked: Asked, failures: list[Failed]) -> dict[str, Any]:
        sent = super().body(upstream, asked, failures)
        return {k: v for k, v in sent.items() if k != "dimensions"} if failures else sent


@mutant(
    "fallback.dimension",
    scene(
        Incident(RateLimit(30), (FIRST_VECTORS,), When(first=1)),
        Incident(Outage(500), (SECOND_VECTORS,), When(first=1)),
        asks=(Ask(), Ask(at=10, times=2), Ask(at=60)),
        entries=("embeddings",),
    ),
    NO_RETRIES,
    when="blocking calls, while the first of the chain rests",
    only="sync",
)
class SizesOnlyTheFirst(Reference):
    """A blocking call whose first choice is out of service says nothing of the size."""

    def body(self, upstream: Upstream, asked: Asked, failures: list[Failed]) -> dict[str, Any]:
        sent = super().body(upstream, asked, failures)
        first = self.knobs.embedders[0].deployments
        if asked.sync and not failures and upstream not in first:
            sent.pop("dimensions", None)
        return sent


@mutant(
    "fallback.named",
    scene(Incident(Outage(500), (FIRST,)), entries=("chat", "messages", "responses")),
    NO_RETRIES,
    when="after a fallback",
)
class NamesWhoWasAsked(Reference):
    """The answer of a fallback carries the name of who was asked first."""

    def store(self, key: str, answer: Answer, asked: Asked) -> None:
        answer.model = (
            (self.knobs.embedders if asked.embeds else self.knobs.chain)[0].deployments[0].model
        )
        super().store(key, answer, asked)


@mutant(
    "fallback.named",
    scene(Incident(Outage(500), (FIRST,), When(nth=1)), asks=(Ask(together=2),)),
    NO_RETRIES,
    when="two calls at a time",
)
class SharesAName(Reference):
    """Who answers is noted for the router, not for the call: another call's note may stand there."""

    name: str | None = None

    def opens(self, upstream: Upstream, asked: Asked) -> None:
        if self.name is None or self.running < 2:
            self.name = upstream.model
        super().opens(upstream, asked)

    def store(self, key: str, answer: Answer, asked: Asked) -> None:
        answer.model = self.name
        super().store(key, answer, asked)


@mutant(
    "fallback.fits",
    scene(asks=(Ask(tokens=3_000, times=3, conversation=True),), stimulus="length"),
    LADDER,
    when="conversations",
)
class MeasuresTheLastWord(Reference):
    """Only what was said last is measured, not the conversation before it."""

    def fits(self, upstream: Upstream, asked: Asked) -> bool:
        return super().fits(upstream, replace(asked, past=()))


@mutant(
    "fallback.fits",
    scene(asks=(Ask(tokens=8_000),), stimulus="length"),
    LADDER,
    when="streams",
    only="stream",
)
class StreamsUnmeasured(Reference):
    """A stream is sent out whatever its length."""

    def fits(self, upstream: Upstream, asked: Asked) -> bool:
        return asked.stream or super().fits(upstream, asked)


MUTANTS: tuple[Mutant, ...] = (
    HearsNothingInStreams,
    MakesAnExceptionForLimits,
    StreamsToTheUsual,
    TakesTheFirstForAll,
    KnowsBetterInTheEnd,
    SortsWhatWasNamed,
    DropsTheTools,
    TakesAnyJson,
    ThinksOnlyOnce,
    ForgetsTheSize,
    SizesOnlyTheFirst,
    NamesWhoWasAsked,
    SharesAName,
    MeasuresTheLastWord,
    StreamsUnmeasured,
)
