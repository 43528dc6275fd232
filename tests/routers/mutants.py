"""One mutant per contract: the reference router with one decision wrong, mostly under a condition.
Each was written from the contract's rule, and says which decision it gets wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from .reference import MISTRAL, Answer, Failed, Health, Knobs, Reference, Upstream

__all__ = ("MUTANTS",)


class GivesUpOnStreams(Reference):
    """A stream that fails before its first word is not taken elsewhere."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Upstream], stream: bool
    ) -> list[Upstream]:
        return [] if stream else visits


class TakesTheLastFirst(Reference):
    """After a rate limit the rest of the chain is walked backwards."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Upstream], stream: bool
    ) -> list[Upstream]:
        return visits[::-1] if failure.status == 429 else visits


class KnowsSomebodyElse(Reference):
    """When the chain is at its end, somebody is asked who is not in it."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Upstream], stream: bool
    ) -> list[Upstream]:
        return visits or ([] if "mistral" in failure.why else [MISTRAL])


class ComesBack(Reference):
    """After a second rate limit in a call, the first of the chain gets another chance."""

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Upstream], stream: bool
    ) -> list[Upstream]:
        limited = [one for one in failures if one.status == 429]
        return [self.knobs.chain[0], *visits] if len(limited) == 2 else visits


class TriesStreamsOnceMore(Reference):
    """The count of retries is off by one, for streams only."""

    def tries_again(self, failure: Failed, tries: int, stream: bool) -> bool:
        return super().tries_again(failure, tries - stream, stream)


class GivesUpAtTheSecond(Reference):
    """A retry that fails is the last, however many are left."""

    def tries_again(self, failure: Failed, tries: int, stream: bool) -> bool:
        return tries < 2 and super().tries_again(failure, tries, stream)


class KnowsNoMilliseconds(Reference):
    """Hints are read in seconds only."""

    def hint(self, headers: httpx.Headers) -> float | None:
        return None if "retry-after-ms" in headers else super().hint(headers)


class HopesForModels(Reference):
    """A model that does not exist is asked for again."""

    def tries_again(self, failure: Failed, tries: int, stream: bool) -> bool:
        hopes = failure.status == 404 and tries <= self.knobs.retries
        return hopes or super().tries_again(failure, tries, stream)


class SpeaksWithTwoVoices(Reference):
    """A stream that was reset goes on with another answer's words."""

    def speaks_on(self, failure: Failed) -> bool:
        return "ReadError" in failure.why or "RemoteProtocolError" in failure.why


class TakesAnyEnd(Reference):
    """A stream that ended in proper HTTP counts as finished, whatever it said last."""

    def finished(self, answer: Answer) -> bool:
        return bool(answer.text)


class WaitsLongerForRetries(Reference):
    """A stream that is tried again is given three times the patience."""

    def patience(self, tries: int, stream: bool) -> float:
        return super().patience(tries, stream) * (3 if stream and tries > 1 else 1)


class StreamsForFree(Reference):
    """What streams cost is not counted."""

    def pay(self, upstream: Upstream, answer: Answer, began: float, stream: bool) -> None:
        if not stream:
            super().pay(upstream, answer, began, stream)


class NeverForgives(Reference):
    """A budget that was reached stays so after its window."""

    def window_over(self, health: Health, now: float) -> bool:
        reached = self.knobs.budget is not None and health.spent >= self.knobs.budget
        return not reached and super().window_over(health, now)


class RemembersNoStreams(Reference):
    """Streamed answers are not kept."""

    def store(self, key: str, answer: Answer, stream: bool) -> None:
        if not stream:
            super().store(key, answer, stream)


class RenewsWhatIsAskedFor(Reference):
    """An answer that is served from the cache lives anew from then on."""

    def look_up(self, key: str) -> Answer | None:
        found = super().look_up(key)
        if found is not None:
            self.store(key, found, stream=False)
        return found


class ForgetsTheSystemPrompt(Reference):
    """The key of the cache leaves out the system prompt."""

    def cache_key(self, text: str, options: dict[str, Any], stream: bool) -> str:
        rest = {name: value for name, value in options.items() if name != "system"}
        return super().cache_key(text, rest, stream)


class KeepsHalves(Reference):
    """The words of a stream that broke off are kept."""

    def spoil(self, key: str, answer: Answer) -> None:
        self.store(key, answer, stream=True)


class RestsBrieflyInACrowd(Reference):
    """A cooldown that begins while another call runs is half as long."""

    def rest(self, health: Health, now: float) -> None:
        half = self.knobs.cooldown / (2 if self.running > 1 else 1)
        health.rests_until = max(health.rests_until, time.monotonic() + half)


MUTANTS: dict[str, Callable[[Knobs], Reference]] = {
    "fallback.answers": GivesUpOnStreams,
    "fallback.order": TakesTheLastFirst,
    "fallback.elsewhere": KnowsSomebodyElse,
    "fallback.once": ComesBack,
    "retry.bounded": TriesStreamsOnceMore,
    "retry.tried": GivesUpAtTheSecond,
    "retry.hint": KnowsNoMilliseconds,
    "retry.hopeless": HopesForModels,
    "stream.one-voice": SpeaksWithTwoVoices,
    "stream.whole": TakesAnyEnd,
    "stream.stall": WaitsLongerForRetries,
    "budget.cutoff": StreamsForFree,
    "budget.window": NeverForgives,
    "cache.hit": RemembersNoStreams,
    "cache.expires": RenewsWhatIsAskedFor,
    "cache.apart": ForgetsTheSystemPrompt,
    "cache.clean": KeepsHalves,
    "health.cooldown": RestsBrieflyInACrowd,
}
"""The mutants by the contract that each breaks."""
