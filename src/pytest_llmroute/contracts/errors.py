"""Errors: what a caller is told when there is no answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target
from pytest_llmroute.contracts.reading import (
    became,
    ended,
    failed,
    made,
    owned,
    seconds,
    shadowed,
    where,
)

__all__ = ("CONTRACTS", "Own", "Secrets", "Told")

_CLASSES = (
    frozenset({401, 403}),
    frozenset({400, 413, 415, 422, 431}),
    frozenset({402, 429}),
    frozenset({408, 504}),
)
"""Statuses that say the same kind of thing, beside those of failing servers."""

_BUSY = (429, 503)
"""What a router says itself while it has nobody to ask."""


@dataclass(frozen=True, slots=True)
class Own:
    """With nobody left to ask, the caller sees a provider's own kind of error, told by its status: a
    rate limit as a rate limit, a bad key as a bad key, an outage as an outage. Judged where every
    attempt was refused with a status, and where all ``targets`` were asked; where some were not, the
    router may also say that it has nobody to ask."""

    id: ClassVar[str] = "errors.own"
    about: ClassVar[str] = "the caller sees the provider's own kind of error"

    targets: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that failed after providers had refused it."""
        for call in history.calls:
            attempts = made(history, call)
            if (
                call.outcome != "failed"
                or call.failure is None
                or not attempts
                or shadowed(history, call)
                or not all(owned(self.targets, a) for a in attempts)
                or not all((a.status or 0) >= 400 and failed(a) for a in attempts)
            ):
                continue
            said = {attempt.status for attempt in attempts if attempt.status is not None}
            if not all(any(map(target.owns, attempts)) for target in self.targets):
                said |= set(_BUSY)
            told = call.failure.status
            kept = told is not None and any(_same_kind(told, status) for status in said)
            shown = "no status" if told is None else str(told)
            met = " and ".join(map(became, attempts))
            says = f"{call.id} was shown {shown} after {met}"
            yield Observation(kept, call.id, says, (call.id, *(a.id for a in attempts)))


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is raised holds no key."""

    id: ClassVar[str] = "errors.secrets"
    about: ClassVar[str] = "an error gives no key away"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that failed after a request with a key."""
        for call in history.calls:
            keyed = [
                attempt
                for attempt in made(history, call)
                if attempt.key is not None and failed(attempt)
            ]
            if call.outcome != "failed" or call.failure is None or not keyed:
                continue
            leaked = call.failure.leaked
            kind = call.failure.kinds[0] if call.failure.kinds else "an error"
            says = (
                f"{call.id} raised {kind}, which "
                + (f"shows the key {leaked[0]}" if leaked else "shows no key")
                + f", after {became(keyed[-1])}"
            )
            yield Observation(not leaked, call.id, says, (call.id, *(a.id for a in keyed)))


@dataclass(frozen=True, slots=True)
class Told:
    """A call that is refused without anybody having been asked, because all rest, is told when to come
    back."""

    id: ClassVar[str] = "errors.hint"
    about: ClassVar[str] = "a refusal while all rest says when to come back"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that was refused so."""
        for call in history.calls:
            if (
                call.outcome != "failed"
                or call.failure is None
                or call.failure.status not in _BUSY
                or made(history, call)
                or shadowed(history, call)
            ):
                continue
            resting = _resting(history, call)
            if not resting:
                continue
            hint = call.failure.retry_after
            told = "was not told when to come back" if hint is None else f"was told {seconds(hint)}"
            says = f"{call.id} was refused while {' and '.join(map(where, resting))} rested, and {told}"
            yield Observation(hint is not None, call.id, says, (call.id, *(a.id for a in resting)))


def _resting(history: History, call: Call) -> list[Attempt]:
    """The last that was heard, before a call, of each whom its group had asked; nothing unless all of
    that were failures."""
    group = {one.id for one in history.calls if one.group == call.group}
    last: dict[tuple[str, str | None, str | None], Attempt] = {}
    for attempt in sorted(history.attempts, key=ended):
        if attempt.call in group and attempt.via is None and ended(attempt) <= call.started:
            last[attempt.deployment, attempt.model, attempt.key] = attempt
    found = list(last.values())
    return found if found and all(map(failed, found)) else []


def _same_kind(one: int, other: int) -> bool:
    if one >= 500 and other >= 500:
        return True
    return one == other or any({one, other} <= kind for kind in _CLASSES)


CONTRACTS = (Own, Secrets, Told)
