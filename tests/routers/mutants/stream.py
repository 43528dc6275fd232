"""Routers that get streams wrong."""

from __future__ import annotations

from llmroute_sim.faults import ErrorInStream, MissingTerminal, Reset, Silence, Stall
from llmroute_sim.incidents import Incident, When
from llmroute_sim.scenario import Ask
from pytest_llmroute.contracts import Contract, stream

from ..formats import Answer, Asked, Failed
from ..reference import Knobs, Reference
from ..scenes import FIRST, NO_RETRIES, PLAIN, scene
from ..upstreams import Upstream
from .declared import Mutant, mutant


def promised(knobs: Knobs) -> list[Contract]:
    return [stream.OneVoice(), stream.Whole(), stream.Stall(knobs.patience)]


@mutant(
    "stream.one-voice",
    scene(Incident(Reset(3), (FIRST,)), modes=("stream",)),
    PLAIN,
    when="after a reset",
)
class SpeaksWithTwoVoices(Reference):
    """A stream that was reset goes on with another answer's words."""

    def speaks_on(self, failure: Failed) -> bool:
        return "ReadError" in failure.why or "RemoteProtocolError" in failure.why


@mutant(
    "stream.one-voice",
    scene(
        Incident(ErrorInStream(5), (FIRST,), When(after=1)),
        asks=(Ask(), Ask(), Ask(together=2)),
        modes=("stream",),
        entries=("chat", "responses"),
    ),
    NO_RETRIES,
    when="two calls at a time",
)
class HelpsOutInACrowd(Reference):
    """An error in a stream is glossed over with another's words while a second call runs."""

    def speaks_on(self, failure: Failed) -> bool:
        return self.running > 1


@mutant(
    "stream.whole",
    scene(Incident(MissingTerminal(3), (FIRST,)), modes=("stream",)),
    PLAIN,
    when="streams that end in proper HTTP",
)
class TakesAnyEnd(Reference):
    """A stream that ended in proper HTTP counts as finished, whatever it said last."""

    def finished(self, answer: Answer) -> bool:
        return bool(answer.text)


@mutant(
    "stream.whole",
    scene(
        Incident(Stall(4), (FIRST,), When(after=1)),
        asks=(Ask(), Ask()),
        modes=("stream",),
        entries=("chat", "messages", "responses", "text"),
    ),
    NO_RETRIES,
    when="messages",
    only="messages",
)
class BowsOut(Reference):
    """A stream of Anthropic's messages that fell silent is closed as if all had been said."""

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        spoken = failures and failures[-1].spoken
        return None if spoken and asked.api == "messages" else super().told(failures, asked)


@mutant(
    "stream.stall",
    scene(Incident(Silence(), (FIRST,))),
    PLAIN,
    when="the second try of a stream",
    only="stream",
)
class WaitsLongerForRetries(Reference):
    """A stream that is tried again is given three times the patience."""

    def patience(self, upstream: Upstream, tries: int, asked: Asked) -> float:
        return super().patience(upstream, tries, asked) * (3 if asked.stream and tries > 1 else 1)


@mutant(
    "stream.stall",
    scene(Incident(Stall(3), (FIRST,)), entries=("chat", "responses")),
    NO_RETRIES,
    when="blocking calls",
    only="sync",
)
class WaitsLongerInThreads(Reference):
    """A blocking call waits twice as long."""

    def patience(self, upstream: Upstream, tries: int, asked: Asked) -> float:
        return super().patience(upstream, tries, asked) * (2 if asked.sync else 1)


MUTANTS: tuple[Mutant, ...] = (
    SpeaksWithTwoVoices,
    HelpsOutInACrowd,
    TakesAnyEnd,
    BowsOut,
    WaitsLongerForRetries,
    WaitsLongerInThreads,
)
