"""Streams and broken answers: what a caller may be shown of an answer that did not come whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, answered
from pytest_llmroute.contracts.reading import (
    INSTANT,
    became,
    ended,
    failed,
    flawed,
    forsaken,
    made,
    seconds,
    spoke,
    where,
    whole,
)

__all__ = ("CONTRACTS", "SLACK", "OneVoice", "Stall", "Whole")

SLACK = 1.0
"""Seconds that a router may need beyond its patience to leave a silent attempt."""

_UNFINISHED = frozenset(
    ("", "error", "incomplete", "length", "max_tokens", "cancelled", "failed", "in_progress", "queued",
     "pause_turn", "model_context_window_exceeded")
)  # fmt: skip
"""Finish reasons that say the answer is not all there; the empty one is for an answer that has a
place for a finish reason and shows none."""


@dataclass(frozen=True, slots=True)
class OneVoice:
    """The words of one answer come from one attempt: a stream that broke off is not continued with
    another answer's words."""

    id: ClassVar[str] = "stream.one-voice"
    about: ClassVar[str] = "the words of an answer come from one attempt"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that got words and whose stream broke off after the first."""
        for call in history.calls:
            broken = [
                a for a in history.of(call) if failed(a) and spoke(a) and not forsaken(call, a)
            ]
            sources = history.sources(call)
            if not broken or not sources:
                continue
            names = " and ".join(source.id for source in sources)
            says = f"the answer of {call.id} has words of {names}; {became(broken[0])}"
            evidence = (call.id, broken[0].id, *(source.id for source in sources))
            yield Observation(len(sources) == 1, call.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that broke off is not presented as finished: the caller gets another one, an
    exception, or a finish reason that says so."""

    id: ClassVar[str] = "stream.whole"
    about: ClassVar[str] = "an answer that broke off is never presented as finished"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call one of whose answers broke off after its head."""
        for call in history.calls:
            broken = [a for a in made(history, call) if a.status == 200 and failed(a)]
            if not broken:
                continue
            evidence = (call.id, *(attempt.id for attempt in broken))
            if call.outcome == "failed":
                what = call.failure.kinds[0] if call.failure and call.failure.kinds else "an error"
                says = f"{call.id} raised {what} after {became(broken[-1])}"
                yield Observation(True, call.id, says, evidence)
            elif answered(call):
                seen = self._presented(history, call, broken[-1], evidence)
                if seen is not None:
                    yield seen

    def _presented(
        self, history: History, call: Call, last: Attempt, evidence: tuple[str, ...]
    ) -> Observation | None:
        """What the caller was shown. The last source tells whether the answer ended as it should."""
        sources = history.sources(call)
        shown = "without an error" if call.finish is None else f"with finish reason {call.finish!r}"
        if call.finish in _UNFINISHED:
            says = f"{call.id} ended {shown} after {became(last)}"
            return Observation(True, call.id, says, evidence)
        if sources:
            source = sources[-1]
            if flawed(source) and not _stopped_short(call, source):
                return None  # it came to its end
            says = f"{call.id} ended {shown} on words of {source.id}, which got {source.outcome}"
            kept = not (failed(source) and source.status == 200)
            return Observation(kept, call.id, says, (*evidence, source.id))
        if flawed(last) and call.finish is None:
            return None  # what came may have been handed on as it was
        if call.first_token is None and not any(map(whole, made(history, call))):
            says = f"{call.id} ended {shown} and without a word after {became(last)}"
            return Observation(False, call.id, says, evidence)
        return None


def _stopped_short(call: Call, source: Attempt) -> bool:
    """Whether a call that names a finish reason has none of the last words of an answer that came to
    its end: more than the one event that could not be read is missing."""
    return (
        call.finish is not None
        and len(source.marks) > 2
        and not set(source.marks[-2:]) & set(call.marks)
    )


@dataclass(frozen=True, slots=True)
class Stall:
    """An attempt that falls silent is left within ``seconds`` of its last sign of life, and a second
    of slack, or as late as a call's own options let it be (``timeout``, ``stream_timeout``); a call that
    waits on it for ever is broken."""

    id: ClassVar[str] = "stream.stall"
    about: ClassVar[str] = "a provider that fell silent is left in time"

    seconds: float

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per attempt that a fault made silent."""
        calls = {call.id: call for call in history.calls}
        for attempt in history.attempts:
            call = None if attempt.call is None else calls.get(attempt.call)
            # An attempt that told no model was never connected: other patience applies.
            if attempt.via is not None or attempt.model is None or attempt.aside:
                continue
            patience = max(self.seconds, *_own_patience(call))
            silence = self._silence(attempt, call, patience)
            if silence is None:
                continue
            evidence = (attempt.id,) if call is None else (call.id, attempt.id)
            says = (
                f"{attempt.id} stayed with {where(attempt)} through {seconds(silence)} of silence;"
                f" {seconds(patience)} allowed"
            )
            if call is not None and _hangs(call, attempt):
                yield Observation(False, call.id, f"{call.id} hung: {says}", evidence)
            elif silence > patience + SLACK:
                yield Observation(False, attempt.id, says, evidence)
            elif call is None or call.outcome in ("answered", "failed"):
                yield Observation(True, attempt.id, says, evidence)

    def _silence(self, attempt: Attempt, call: Call | None, patience: float) -> float | None:
        """How long a fault silenced it while its caller was there, None if none did."""
        if not attempt.faults:
            return None
        late = (attempt.head or attempt.started) - attempt.started
        if late > patience + SLACK:
            return late
        if not attempt.left or whole(attempt) or attempt.ended is None:
            return None
        life = max(attempt.started, attempt.head or 0.0, attempt.last or 0.0)
        until = attempt.ended
        if call is not None and call.ended is not None and forsaken(call, attempt):
            until = call.ended
        silence = until - life
        endless = attempt.outcome in ("silence", "200-stall")
        return silence if endless or silence >= patience - INSTANT else None


def _own_patience(call: Call | None) -> tuple[float, ...]:
    """How long a call says itself that it waits (seconds)."""
    options = {} if call is None else call.options
    said = (value for name, value in options.items() if "timeout" in name)
    return (0.0, *(float(one) for one in said if isinstance(one, int | float)))


def _hangs(call: Call, attempt: Attempt) -> bool:
    """Whether the call never came back and was waiting for the attempt."""
    return (
        call.outcome == "hung"
        and attempt.left
        and (call.ended is None or ended(attempt) >= call.ended)
    )


CONTRACTS = (OneVoice, Whole, Stall)
