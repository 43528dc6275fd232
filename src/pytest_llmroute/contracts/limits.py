"""Limits: how many requests a target may have in flight, how many requests or tokens it may get in a
minute, and that nobody is refused while there is room."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target, answered
from pytest_llmroute.contracts.load import Span, crowded, most, spans
from pytest_llmroute.contracts.picks import Standing
from pytest_llmroute.contracts.reading import (
    INSTANT,
    ended,
    groups_of,
    made,
    seconds,
    shadowed,
    surely,
    whole,
)

__all__ = ("InFlight", "Rate", "Room", "Scope", "Unit")

Unit: TypeAlias = Literal["requests", "tokens"]
"""What a rate counts."""

Scope: TypeAlias = Literal["requests", "in-flight"]
"""What there is room for: requests in a window, or requests at the same time."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The router never has more than ``limit`` requests in flight at the target. A stream counts until
    it ends; a client that leaves ends it. Kept where the target was full and more was asked for."""

    id: ClassVar[str] = "balance.in-flight"
    about: ClassVar[str] = "never more than so many requests in flight"

    target: Target
    limit: int

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per time that there were too many, else one of all that it was full."""
        load = spans(history, self.target)
        over = list(crowded(load, self.limit + 1))
        for full in over:
            last = full.inside[-1].attempt
            says = (
                f"{last.id} was number {len(full.inside)} in flight at {self.target.name}"
                f" at {seconds(full.start)}; {self.limit} allowed"
            )
            yield Observation(False, last.id, says, tuple(s.attempt.id for s in full.inside))
        if over or self.limit < 1:
            return
        groups = groups_of(history, (span.attempt for span in load))
        for full in crowded(load, self.limit):
            inside = {span.attempt.call for span in full.inside}
            more = [
                call
                for call in history.calls
                if full.start <= call.started < full.end
                and call.group in groups
                and call.id not in inside
                and call.outcome != "left"
                and not shadowed(history, call)
            ]
            if more:
                first = full.inside[-1].attempt
                says = (
                    f"{self.target.name} was full at {seconds(full.start)} with {first.id},"
                    f" and {more[0].id} came"
                )
                evidence = (*(span.attempt.id for span in full.inside), more[0].id)
                yield Observation(True, first.id, says, evidence)
                return


@dataclass(frozen=True, slots=True)
class Rate:
    """The target never gets more than ``limit`` requests in ``window`` seconds, or nothing more once
    its answers had so many tokens.

    Whether a window slides or begins by the clock is not asked: broken is only what is too much
    wherever windows begin. Kept where the target had got as much as it may and a call that came
    then was kept off.
    """

    id: ClassVar[str] = "balance.rate"
    about: ClassVar[str] = "never more than so many requests, or tokens, in a window"

    target: Target
    limit: int
    unit: Unit = "requests"
    window: float = 60.0

    def check(self, history: History) -> Iterator[Observation]:
        """One observation: of the worst window, or of the first that was full."""
        if self.window <= 0:
            return
        asked = sorted(
            (a for a in history.attempts if surely(self.target, a) and a.model is not None),
            key=lambda attempt: attempt.started,
        )
        wrong = self._too_many(asked) if self.unit == "requests" else self._too_much(asked)
        if wrong:
            last = wrong[-1]
            what = (
                f"the {self.limit} requests" if self.unit == "requests" else f"{self.limit} tokens"
            )
            says = (
                f"{last.id} went to {self.target.name} after {what} that it may get"
                f" in {seconds(self.window)} (from {wrong[0].id} on)"
            )
            yield Observation(False, last.id, says, tuple(attempt.id for attempt in wrong))
            return
        yield from self._kept(history, asked)

    def _too_many(self, asked: Sequence[Attempt]) -> Sequence[Attempt]:
        """The requests of a window that are one too many, in the kindest placing of windows."""
        count, first = most([attempt.started for attempt in asked], self.window)
        return asked[first : first + self.limit + 1] if count > self.limit else ()

    def _too_much(self, asked: Sequence[Attempt]) -> Sequence[Attempt]:
        """Answers that had all the tokens of a window, and what was asked after them, in the kindest
        placing of windows."""
        if not asked:
            return ()
        found: Sequence[Attempt] = ()
        for phase in {attempt.started % self.window for attempt in asked}:
            wrong = self._after_enough(asked, phase)
            if not wrong:
                return ()
            found = wrong
        return found

    def _after_enough(self, asked: Sequence[Attempt], phase: float) -> Sequence[Attempt]:
        for number, late in enumerate(asked):
            since = late.started - (late.started - phase) % self.window
            before = [
                a
                for a in asked[:number]
                if a.started >= since and ended(a) < late.started - INSTANT and whole(a)
            ]
            if sum(a.tokens_in + a.tokens_out for a in before) >= self.limit:
                return (*before, late)
        return ()

    def _kept(self, history: History, asked: Sequence[Attempt]) -> Iterator[Observation]:
        """A call that came while the target had got as much as it may, and was kept off."""
        starts = [attempt.started for attempt in asked]
        if self.unit == "requests" and any(
            late - early < self.window - INSTANT
            for early, late in zip(starts, starts[self.limit :], strict=False)
        ):
            # Too many in one placing of windows, not in another: who knows what kept a call off.
            return
        callers = {attempt.call for attempt in asked}
        groups = groups_of(history, asked)
        for call in history.calls:
            if call.group not in groups or call.outcome == "left" or call.id in callers:
                continue
            inside = asked[
                bisect_left(starts, call.started - self.window + INSTANT) : bisect_left(
                    starts, call.started + INSTANT
                )
            ]
            if self._used(inside, call.started) >= self.limit and not shadowed(history, call):
                says = (
                    f"{call.id} was kept off {self.target.name}, which had got what it may"
                    f" in {seconds(self.window)} since {inside[0].id}"
                )
                evidence = (*(attempt.id for attempt in inside), call.id)
                yield Observation(True, call.id, says, evidence)
                return

    def _used(self, inside: Sequence[Attempt], moment: float) -> int:
        if self.unit == "requests":
            return len(inside)
        done = [a for a in inside if whole(a) and ended(a) <= moment]
        return sum(a.tokens_in + a.tokens_out for a in done)


@dataclass(frozen=True, slots=True)
class Room:
    """While one of the targets has room and has not failed, no caller is refused: no call fails
    without having asked anybody. Each has room for ``limit`` requests in ``window`` seconds, or for
    as many in flight; nothing else than this limit may keep a call off. Kept where a call was answered
    while another target was full."""

    id: ClassVar[str] = "balance.room"
    about: ClassVar[str] = "while a sibling has room nobody is refused"

    targets: tuple[Target, ...]
    limit: int
    unit: Scope = "requests"
    window: float = 60.0
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that was refused though there was room, else one per call that
        was answered though a target was full."""
        loads = [spans(history, target) for target in self.targets]
        standing = [Standing(history, target) for target in self.targets]
        came = (span.attempt for load in loads for span in load)
        groups = {self.group} if self.group is not None else groups_of(history, came)
        for call in history.calls:
            if call.group not in groups or call.ended is None or shadowed(history, call):
                continue
            used = [self._used(load, call) for load in loads]
            free = [
                number
                for number, (amount, one) in enumerate(zip(used, standing, strict=True))
                if amount < self.limit and not one.down(call.ended)
            ]
            attempts = made(history, call)
            if call.outcome == "failed" and not attempts and free and any(loads):
                target, amount = self.targets[free[0]].name, used[free[0]]
                says = f"{call.id} was refused while {target} had {amount} of {self.limit}"
                yield Observation(False, call.id, says, (call.id,))
            elif answered(call) and attempts:
                full = [
                    number
                    for number, load in enumerate(loads)
                    if self._full(load, call) and not self.targets[number].owns(attempts[-1])
                ]
                if full:
                    says = (
                        f"{call.id} was answered elsewhere ({attempts[-1].id}) while"
                        f" {self.targets[full[0]].name} was full"
                    )
                    yield Observation(True, call.id, says, (call.id, attempts[-1].id))

    def _used(self, load: Sequence[Span], call: Call) -> int:
        """The most that a router may count at a target when a call came, be it a moment later."""
        until = call.started if call.ended is None else call.ended
        counted = [span for span in load if span.asked <= until]
        if self.unit == "requests":
            return sum(span.start > call.started - self.window - INSTANT for span in counted)
        return sum(span.end > call.started - INSTANT for span in counted)

    def _full(self, load: Sequence[Span], call: Call) -> bool:
        """Whether a target surely had no room when a call came."""
        counted = [
            span for span in load if span.start <= call.started and span.attempt.call != call.id
        ]
        if self.unit == "requests":
            counted = [s for s in counted if s.start > call.started - self.window + INSTANT]
        else:
            counted = [span for span in counted if span.end > call.started + INSTANT]
        return 0 < self.limit <= len(counted)
