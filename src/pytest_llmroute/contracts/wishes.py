"""Wishes: what a call itself asks of the choice among targets, by tags and by sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Call, History
from pytest_llmroute.contracts import Observation, Target
from pytest_llmroute.contracts.picks import picks
from pytest_llmroute.contracts.reading import (
    INSTANT,
    made,
    owned,
    seconds,
    surely,
)

__all__ = ("Sticky", "Tagged")


@dataclass(frozen=True, slots=True)
class Tagged:
    """A call with tags (its option ``tags``) asks only targets that carry one of them; one without
    tags only those that carry ``default``, if there are such. Of targets that carry no tag, which are
    of another group, nothing is said. Nothing is judged unless some call has tags."""

    id: ClassVar[str] = "balance.tags"
    about: ClassVar[str] = "a call with a tag asks only targets that carry it"

    by: tuple[tuple[str, tuple[Target, ...]], ...]
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that asked one of the targets."""
        carriers = dict(self.by)
        calls = [call for call in history.calls if self.group in (None, call.group)]
        if not any(_tags(call) for call in calls):
            return
        for call in calls:
            wanted = _tags(call) or ("default",)
            allowed = {target for tag in wanted for target in carriers.get(tag, ())}
            if not allowed:
                continue
            asked = [
                (attempt, target)
                for attempt in made(history, call)
                for _, listed in self.by
                for target in listed
                if surely(target, attempt)
            ]
            tag = "no tag" if not _tags(call) else " or ".join(wanted)
            wrong = [(attempt, target) for attempt, target in asked if not owned(allowed, attempt)]
            if wrong:
                attempt, target = wrong[0]
                says = f"{call.id} wanted {tag} and asked {target.name} ({attempt.id})"
                yield Observation(False, attempt.id, says, (call.id, attempt.id))
            elif asked:
                says = f"{call.id} wanted {tag} and asked {asked[0][1].name} ({asked[0][0].id})"
                evidence = (call.id, *dict.fromkeys(attempt.id for attempt, _ in asked))
                yield Observation(True, asked[0][0].id, says, evidence)


def _tags(call: Call) -> tuple[str, ...]:
    """The tags that a call asks for; none where some of them exclude or demand."""
    tags = call.options.get("tags") or ()
    plain = tuple(str(tag) for tag in tags) if isinstance(tags, list | tuple) else ()
    return () if any(tag[:1] in "!&" for tag in plain) else plain


@dataclass(frozen=True, slots=True)
class Sticky:
    """Calls of one session (their option ``session``) go to the same target, while they come within
    ``idle`` seconds of each other. Judged between two calls of a session that follow each other."""

    id: ClassVar[str] = "balance.sticky"
    about: ClassVar[str] = "the calls of a session go to the same target"

    targets: tuple[Target, ...]
    idle: float = 3600.0
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that followed another of its session in time."""
        sent = {pick.call.id: pick for pick in picks(history, self.targets, self.group)}
        last: dict[str, Call] = {}
        for call in history.calls:
            session = call.options.get("session")
            if not isinstance(session, str) or self.group not in (None, call.group):
                continue
            before, last[session] = last.get(session), call
            if before is None or before.id not in sent or call.id not in sent:
                continue
            over = before.ended is not None and before.ended <= call.started
            if not over or call.started - before.started >= self.idle - INSTANT:
                continue
            one, other = sent[before.id], sent[call.id]
            kept = one.target == other.target
            says = (
                f"{other.attempt.id} went to {self.targets[other.target].name}, like"
                if kept
                else f"{other.attempt.id} went to {self.targets[other.target].name}, unlike"
            ) + f" {one.attempt.id} of its session {seconds(call.started - before.started)} before"
            evidence = (before.id, one.attempt.id, call.id, other.attempt.id)
            yield Observation(kept, other.attempt.id, says, evidence)
