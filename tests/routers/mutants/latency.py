"""Routers that wait too long."""

from __future__ import annotations

import math

from llmroute_sim.faults import Filler, Silence
from llmroute_sim.incidents import Incident
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, latency

from ..formats import Answer, Asked
from ..reference import Knobs, Reference
from ..scenes import ALL, FIRST, scene
from ..upstreams import ANTHROPIC, OPENAI, Upstream, alone
from .declared import Mutant, mutant

CHATTER = Incident(Filler(30, every=0.5), (FIRST,))
"""Signs of life for half a minute, and no word of an answer."""

HASTY = Knobs(chain=(alone(OPENAI), alone(ANTHROPIC)), retries=0, deadline=12.0)
"""Both are asked before the time is over."""


def promised(knobs: Knobs) -> list[Contract]:
    found: list[Contract] = []
    if knobs.first_token is not None:
        found.append(latency.FirstToken(knobs.first_token))
    if knobs.whole is not None:
        found.append(latency.AttemptWithin(knobs.whole))
    if knobs.deadline is not None:
        found.append(latency.AnswerWithin(knobs.deadline))
    return found


@mutant(
    "latency.first-token",
    scene(CHATTER),
    Knobs(first_token=5.0),
    when="pings before the first word of a stream",
    only="stream",
)
class TakesPingsForWords(Reference):
    """Whatever comes of a stream is a sign that its first word will."""

    def minds(self, asked: Asked, answer: Answer, took: float) -> bool:
        return not asked.stream and super().minds(asked, answer, took)


@mutant(
    "latency.first-token",
    scene(Incident(Silence(), (FIRST,))),
    Knobs(first_token=5.0),
    when="the second try of a stream",
    only="stream",
)
class TriesAgainPatiently(Reference):
    """A stream that is tried again has all the time that anything has."""

    def patience(self, upstream: Upstream, tries: int, asked: Asked) -> float:
        self.tries = tries
        return super().patience(upstream, tries, asked)

    def in_time(self, patience: float, asked: Asked) -> float:
        return patience if self.tries > 1 else super().in_time(patience, asked)


@mutant(
    "latency.attempt",
    scene(CHATTER),
    Knobs(whole=5.0),
    when="blocking calls whose bytes drip",
    only="sync",
)
class BlocksWhileBytesDrip(Reference):
    """A blocking call waits for an answer as long as something comes of it."""

    def minds(self, asked: Asked, answer: Answer, took: float) -> bool:
        return not asked.sync and super().minds(asked, answer, took)


@mutant(
    "latency.answer",
    scene(Incident(Silence(), ALL), asks=(Ask(), Ask(together=2))),
    HASTY,
    when="two calls at a time",
)
class HurriesForOne(Reference):
    """While two calls are under way, nobody looks at the clock."""

    def time_left(self, asked: Asked, tries: int) -> float:
        return math.inf if self.running > 1 else super().time_left(asked, tries)


@mutant(
    "latency.answer",
    scene(Incident(Silence(), ALL)),
    HASTY,
    when="streams only",
    only="stream",
)
class StreamsAtLeisure(Reference):
    """A stream may take as long as it takes."""

    def time_left(self, asked: Asked, tries: int) -> float:
        return math.inf if asked.stream else super().time_left(asked, tries)


MUTANTS: tuple[Mutant, ...] = (
    TakesPingsForWords,
    TriesAgainPatiently,
    BlocksWhileBytesDrip,
    HurriesForOne,
    StreamsAtLeisure,
)
