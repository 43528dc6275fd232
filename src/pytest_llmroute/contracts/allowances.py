"""How many attempts a call may make in all, and how many after each kind of failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target, answered
from pytest_llmroute.contracts.reading import (
    became,
    down,
    failed,
    fruitless,
    made,
    owned,
    retries_of,
    settled,
    shadowed,
    spoke,
    surely,
    transient,
)

__all__ = ("KINDS", "Classed", "Total")

KINDS = (
    "bad_request",
    "authentication",
    "not_found",
    "timeout",
    "rate_limit",
    "content_policy",
    "internal",
    "unavailable",
)
"""What can go wrong, where retries are counted by that: 400, 401, 404, no answer in time, 429, a refusal
of what was asked, 500, 503."""

_STATUSES = {
    400: "bad_request",
    401: "authentication",
    404: "not_found",
    408: "timeout",
    429: "rate_limit",
    500: "internal",
    503: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Total:
    """A call makes at most ``groups x (1 + retries)`` attempts in all, wherever they go; one that says
    itself how often it may be retried (``num_retries``), so many."""

    id: ClassVar[str] = "retry.total"
    about: ClassVar[str] = "a call makes at most groups x (1 + retries) attempts in all"

    groups: tuple[Target, ...]
    retries: int

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that met a failure at one of the groups."""
        for call in history.calls:
            attempts = made(history, call)
            if not any(failed(attempt) and owned(self.groups, attempt) for attempt in attempts):
                continue
            most = len(self.groups) * (1 + retries_of(call, self.retries)[1])
            says = f"{call.id} made {len(attempts)} attempts; at most {most} allowed"
            evidence = (call.id, *(attempt.id for attempt in attempts))
            if len(attempts) > most:
                yield Observation(False, attempts[most].id, says, evidence)
            elif settled(history, call):
                yield Observation(True, call.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Classed:
    """Retries by what went wrong: a call whose failures at the target are all of one of these ``kinds``
    (see ``KINDS``) is tried there once more than that kind has retries, not oftener; and, where
    another try may mend the failure, not less often, unless so many failures are ``enough`` to leave
    nobody there in rotation."""

    id: ClassVar[str] = "retry.class"
    about: ClassVar[str] = "retries are as many as the kind of failure has"

    target: Target
    kinds: tuple[tuple[str, int], ...]
    enough: int | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call whose failures at the target were all of one kind."""
        allowed = dict(self.kinds)
        for call in history.calls:
            if {"num_retries", "max_retries"} & set(call.options):
                continue
            attempts = made(history, call)
            tries = [attempt for attempt in attempts if surely(self.target, attempt)]
            failures = [attempt for attempt in tries if failed(attempt)]
            kinds = {_kind(attempt) for attempt in failures}
            if len(kinds) != 1 or shadowed(history, call):
                continue
            [kind] = kinds
            if kind is None or kind not in allowed:
                continue
            most = 1 + allowed[kind]
            says = f"{call.id} asked {self.target.name} {len(tries)} times after {kind}; {most} allowed"
            evidence = (call.id, *(attempt.id for attempt in tries))
            if len(tries) > most:
                yield Observation(False, tries[most].id, says, evidence)
            elif len(tries) == most or not failed(tries[-1]):
                if answered(call) or fruitless(call):
                    yield Observation(True, call.id, says, evidence)
            elif self.enough is not None and len(tries) >= self.enough:
                continue
            elif self._gave_up(history, call, attempts, tries[-1]):
                says = f"{call.id} gave up after {became(tries[-1])}: {says}"
                yield Observation(False, call.id, says, evidence)

    def _gave_up(
        self, history: History, call: Call, attempts: list[Attempt], last: Attempt
    ) -> bool:
        """Whether another try was due at the target: it may have mended the failure, nobody had asked
        for patience, and other calls' failures had not put the target out of rotation."""
        if not transient(last) or last.retry_after is not None or (call.stream and spoke(last)):
            return False
        then = next(iter(attempts[attempts.index(last) + 1 :]), None)
        if then is None:
            now = last.started if call.ended is None else call.ended
            return fruitless(call) and not down(history, self.target, now, leave_out=call)
        return not self.target.owns(then) and not down(
            history, self.target, then.started, before=then, leave_out=call
        )


def _kind(attempt: Attempt) -> str | None:
    """What an attempt failed of, None where that can be called more than one thing."""
    if attempt.error in ("moderation", "context_length"):
        return "content_policy" if attempt.error == "moderation" else None
    if attempt.status is None:
        # Who was never connected told no model; that may be called a failed connection too.
        waited = attempt.outcome in ("silence", "left") and attempt.model is not None
        return "timeout" if waited else None
    return _STATUSES.get(attempt.status)
