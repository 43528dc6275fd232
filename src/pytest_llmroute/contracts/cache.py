"""Caches: which repeats are answered without asking, and which must not be.

Where an answer came from is told by the coined words that it carries; a call that made no attempt
of its own was not answered by a provider.
"""

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
    made,
    seconds,
    shadowed,
    whole,
)

__all__ = ("CONTRACTS", "Apart", "Clean", "Expires", "Hit")


@dataclass(frozen=True, slots=True)
class Hit:
    """An equal repeat of a call that was answered whole, within ``ttl`` seconds of when that was
    asked (None: at any time later), asks no provider."""

    id: ClassVar[str] = "cache.hit"
    about: ClassVar[str] = "an equal repeat asks no provider"

    ttl: float | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per repeat that should have been a hit."""
        for repeat in history.calls:
            first = next(
                (
                    call
                    for call in _before(history, repeat)
                    if _equal(call, repeat) and made(history, call)
                ),
                None,
            )
            if (
                first is None
                or not _clean(history, first)
                or first.started == repeat.started
                or (self.ttl is not None and repeat.started >= first.started + self.ttl - INSTANT)
                or shadowed(history, repeat)
            ):
                continue
            attempts = made(history, repeat)
            late = seconds(repeat.started - first.started)
            evidence = (first.id, repeat.id, *(attempt.id for attempt in attempts))
            if attempts:
                says = f"{repeat.id} repeated {first.id} {late} later and made {attempts[0].id}"
                yield Observation(False, repeat.id, says, evidence)
            elif answered(repeat):
                says = f"{repeat.id} repeated {first.id} {late} later and asked nobody"
                yield Observation(True, repeat.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Expires:
    """An answer older than ``ttl`` seconds is not what a repeat gets."""

    id: ClassVar[str] = "cache.expires"
    about: ClassVar[str] = "an answer older than its time to live is not served"

    ttl: float

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per repeat of a call whose answer was too old by then."""
        for repeat in history.calls:
            old = [
                call
                for call in _before(history, repeat)
                if _equal(call, repeat) and _clean(history, call)
            ]
            if not old or not answered(repeat) or shadowed(history, repeat):
                continue
            age = repeat.started - (old[0].ended or old[0].started)
            attempts = made(history, repeat)
            sources = history.sources(repeat)
            if attempts:
                if age > self.ttl:
                    says = (
                        f"{repeat.id} repeated {old[0].id} {seconds(age)} after its answer"
                        f" and asked anew ({attempts[0].id})"
                    )
                    evidence = (old[0].id, repeat.id, attempts[0].id)
                    yield Observation(True, repeat.id, says, evidence)
                continue
            teller = self._teller(history, repeat, sources)
            if teller is not None and (age := repeat.started - teller) > self.ttl + INSTANT:
                says = (
                    f"{repeat.id} was given the words of {sources[0].id}, {seconds(age)} old;"
                    f" they live {seconds(self.ttl)}"
                )
                yield Observation(False, repeat.id, says, (repeat.id, sources[0].id))

    def _teller(self, history: History, repeat: Call, sources: tuple[Attempt, ...]) -> float | None:
        """When the words that a repeat was given had come, None if it was given none."""
        if not sources:
            return None
        first = sources[0]
        back = [call.ended for call in history.calls if call.id == first.call]
        return max([ended(first), *(moment for moment in back if moment is not None)])


@dataclass(frozen=True, slots=True)
class Apart:
    """Calls that ask the same text in different ways never get each other's answers: with another
    temperature, system prompt, tool, format, number of answers, user, or of another model."""

    id: ClassVar[str] = "cache.apart"
    about: ClassVar[str] = "calls that differ in anything never share an answer"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call whose text was asked before in another way."""
        for call in history.calls:
            others = [
                other
                for other in _earlier(history, call)
                if (other.entry, other.stream) == (call.entry, call.stream)
                and other.question
                and other.question == call.question
                and (other.request, other.group) != (call.request, call.group)
            ]
            sources = history.sources(call)
            if not others or not sources or not answered(call):
                continue
            strangers = {other.id: other for other in others}
            foreign = [source for source in sources if source.call in strangers]
            if foreign:
                says = (
                    f"{call.id} was given the words of {foreign[0].id}, which {foreign[0].call}"
                    " had asked for in another way"
                )
                evidence = (call.id, str(foreign[0].call), foreign[0].id)
                yield Observation(False, call.id, says, evidence)
            else:
                says = (
                    f"{call.id} asked the text of {others[0].id} in another way and got other words"
                )
                yield Observation(True, call.id, says, (others[0].id, call.id, sources[0].id))


@dataclass(frozen=True, slots=True)
class Clean:
    """A failed or broken answer is never what an equal repeat gets."""

    id: ClassVar[str] = "cache.clean"
    about: ClassVar[str] = "a failed or broken answer is never what a repeat gets"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per repeat of a call that failed or whose answer broke off."""
        for repeat in history.calls:
            spoiled = next(
                (
                    call
                    for call in _before(history, repeat)
                    if _equal(call, repeat) and _spoiled(history, call)
                ),
                None,
            )
            if spoiled is None or shadowed(history, repeat):
                continue
            attempts = made(history, repeat)
            sources = history.sources(repeat)
            evidence = (spoiled.id, repeat.id, *(attempt.id for attempt in attempts or sources))
            if attempts:
                says = f"{repeat.id} repeated {spoiled.id}, which was spoiled, and asked anew"
                yield Observation(True, repeat.id, says, evidence)
            elif sources and not flawed(sources[-1]):
                kept = whole(sources[-1])
                says = f"{repeat.id} repeated {spoiled.id} and was given the words of {sources[-1].id}, which got {sources[-1].outcome}"
                yield Observation(kept, repeat.id, says, evidence)
            elif repeat.outcome == "failed" and (proof := _in_service(history, spoiled, repeat)):
                says = (
                    f"{repeat.id} failed like {spoiled.id} without asking anybody,"
                    f" though {became(proof)} meanwhile"
                )
                yield Observation(False, repeat.id, says, (*evidence, proof.id))


# -- which calls are repeats


def _earlier(history: History, call: Call) -> list[Call]:
    """The calls that began before another, the latest first."""
    return history.calls[: history.calls.index(call)][::-1]


def _before(history: History, call: Call) -> list[Call]:
    """The calls that were over when another began, the latest first."""
    return [
        other
        for other in _earlier(history, call)
        if other.ended is not None and other.ended <= call.started
    ]


def _same_way(one: Call, other: Call) -> bool:
    return (one.entry, one.group, one.stream) == (other.entry, other.group, other.stream)


def _equal(one: Call, other: Call) -> bool:
    return bool(one.request) and one.request == other.request and _same_way(one, other)


# -- what the first of them came to


def _clean(history: History, call: Call) -> bool:
    """Whether a call went upstream and got a whole answer without any failure."""
    attempts = made(history, call)
    return answered(call) and bool(attempts) and all(map(whole, attempts))


def _spoiled(history: History, call: Call) -> bool:
    """Whether a call failed, or what it was shown had broken off or was left half way."""
    attempts = made(history, call)
    if call.outcome == "failed":
        return any(map(failed, attempts))
    sources = [source for source in history.sources(call) if source.call == call.id]
    return any(not (whole(source) or flawed(source)) for source in sources[-1:])


def _in_service(history: History, spoiled: Call, repeat: Call) -> Attempt | None:
    """A whole answer of whom the spoiled call had asked, to somebody else between the two, with
    nothing gone wrong there since: then the router had no reason to keep away."""
    asked = made(history, spoiled)
    between = [
        attempt
        for attempt in history.attempts
        if attempt.call != spoiled.id
        and not attempt.aside
        and attempt.started >= (spoiled.ended or 0.0)
        and ended(attempt) <= repeat.started
        and any(attempt.deployment == one.deployment for one in asked)
    ]
    if any(map(failed, between)):
        return None
    return next((attempt for attempt in between if whole(attempt)), None)


CONTRACTS = (Hit, Expires, Apart, Clean)
