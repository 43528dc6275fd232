"""Fallback: who is asked when somebody fails, in which order, and how often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target, answered
from pytest_llmroute.contracts.asked import Capable, Dimension, Disabled, Fits, Named
from pytest_llmroute.contracts.reading import (
    became,
    calls_of,
    down,
    failed,
    follow,
    fruitless,
    made,
    owned,
    settled,
    shadowed,
    spoke,
    where,
    whole,
)

__all__ = (
    "CONTRACTS",
    "REJECTIONS",
    "Answers",
    "Capable",
    "Chosen",
    "Dimension",
    "Disabled",
    "Elsewhere",
    "Fits",
    "Named",
    "Once",
    "Order",
)

REJECTIONS = (
    "invalid_request",
    "moderation",
    "context_length",
    "unprocessable",
    "request_too_large",
    "headers_too_large",
)
"""Kinds of errors that say: this request is wrong, whoever is asked."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A call that met a failure is answered as long as a target of the chain has not failed it.

    ``unless`` are the kinds of error for which that is not promised. Once tokens of a stream were
    out, nothing is promised either. A target that failed earlier and has not answered since may be
    out of rotation, so nobody has to ask it; nor, for a call that wants more than words (tools, JSON),
    one that may not be able to. ``group`` is the name that callers of this chain ask for.
    """

    id: ClassVar[str] = "fallback.answers"
    about: ClassVar[str] = "a call that met a failure is answered while a target is left"

    chain: tuple[Target, ...]
    unless: tuple[str, ...] = REJECTIONS
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that met a failure at the chain."""
        return self.over(history, calls_of(history, self.chain, self.group))

    def over(self, history: History, calls: Iterable[Call]) -> Iterator[Observation]:
        """The same of the calls that are given."""
        for call in calls:
            failures = [attempt for attempt in made(history, call) if self._met(attempt)]
            promised = [
                failure
                for failure in failures
                if failure.error not in self.unless and not (call.stream and spoke(failure))
            ]
            if not promised:
                continue
            evidence = (call.id, *(failure.id for failure in failures))
            met = " and ".join(became(failure) for failure in promised)
            if answered(call):
                if not _handed_on(history, call):
                    says = f"{call.id} was answered after {met}"
                    yield Observation(True, call.id, says, evidence)
            elif (
                fruitless(call)
                and call.options.get("disable_fallbacks") is not True
                and not call.features
                and len(promised) == len(failures)
                and not shadowed(history, call)
                and (left := self._left(history, call, failures))
            ):
                says = f"{call.id} {call.outcome} after {met}, though {left} had not failed it"
                yield Observation(False, call.id, says, evidence)

    def _met(self, attempt: Attempt) -> bool:
        return failed(attempt) and owned(self.chain, attempt)

    def _left(self, history: History, call: Call, failures: list[Attempt]) -> str | None:
        """A target that could still have been asked, however the failures are read."""
        nobody: frozenset[int] = frozenset()
        readings, _ = follow(nobody, failures, self.chain, lambda state, _, one: state | {one})
        now = call.started if call.ended is None else call.ended
        names = [
            next(
                (
                    target.name
                    for number, target in enumerate(self.chain)
                    if number not in reading and not down(history, target, now, leave_out=call)
                ),
                None,
            )
            for reading in readings
        ]
        return None if None in names else sorted(filter(None, names))[0]


@dataclass(frozen=True, slots=True)
class Order:
    """The targets of the chain are first visited in its order. One that failed earlier and has not
    answered since may be skipped (it may be cooling down), and one that may not be able to give what a
    call wants besides words."""

    id: ClassVar[str] = "fallback.order"
    about: ClassVar[str] = "targets are first visited in the chain's order"

    chain: tuple[Target, ...]
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that met a failure at the chain and moved on."""
        return self.over(history, calls_of(history, self.chain, self.group))

    def over(self, history: History, calls: Iterable[Call]) -> Iterator[Observation]:
        """The same of the calls that are given."""

        def step(reached: int, attempt: Attempt, number: int) -> int | None:
            skipped = self.chain[reached + 1 : number]
            if all(down(history, one, attempt.started, before=attempt) for one in skipped):
                return max(reached, number)
            return None

        for call in calls:
            visits = [a for a in made(history, call) if owned(self.chain, a)]
            if not any(map(failed, visits)) or call.features or shadowed(history, call):
                continue
            readings, wrong = follow(-1, visits, self.chain, step)
            evidence = (call.id, *(attempt.id for attempt in visits))
            if wrong is not None:
                before = visits[: visits.index(wrong)]
                known = follow(-1, before, self.chain, step)[0]
                expected = self.chain[min(known) + 1].name
                says = f"{wrong.id} asked {where(wrong)} while {expected} was to be asked first"
                yield Observation(False, wrong.id, says, evidence)
            elif min(readings) > 0 and len({where(visit) for visit in visits}) > 1:
                path = ", then ".join(dict.fromkeys(where(visit) for visit in visits))
                yield Observation(True, call.id, f"{call.id} asked {path}", evidence)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A call that met a failure at one of the allowed targets goes nowhere else with it."""

    id: ClassVar[str] = "fallback.elsewhere"
    about: ClassVar[str] = "a call that met a failure stays among the allowed targets"

    allowed: tuple[Target, ...]
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that met a failure, one per attempt that went outside."""
        return self.over(history, calls_of(history, self.allowed, self.group))

    def over(self, history: History, calls: Iterable[Call]) -> Iterator[Observation]:
        """The same of the calls that are given."""
        for call in calls:
            attempts = made(history, call)
            failures = [
                number
                for number, attempt in enumerate(attempts)
                if failed(attempt) and owned(self.allowed, attempt)
            ]
            if not failures:
                continue
            first = attempts[failures[0]]
            outside = [
                attempt
                for attempt in attempts[failures[0] :]
                if not owned(self.allowed, attempt) and _same_trade(first, attempt)
            ]
            for attempt in outside:
                says = f"{attempt.id} asked {where(attempt)} after {became(first)}"
                yield Observation(False, attempt.id, says, (call.id, first.id, attempt.id))
            if not outside and settled(history, call):
                says = f"{call.id} stayed among the allowed targets after {became(first)}"
                evidence = (call.id, *(attempt.id for attempt in attempts))
                yield Observation(True, call.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Once:
    """A target that a call left after a failure is not visited again by the same call."""

    id: ClassVar[str] = "fallback.once"
    about: ClassVar[str] = "a target once left is not visited again in the same call"

    targets: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that left a target after a failure."""
        nobody: frozenset[int] = frozenset()
        for call in history.calls:
            visits = [a for a in made(history, call) if owned(self.targets, a)]
            if not any(map(failed, visits[:-1])):
                continue
            readings, wrong = follow((-1, nobody), visits, self.targets, _leave)
            evidence = (call.id, *(attempt.id for attempt in visits))
            if wrong is not None:
                says = f"{wrong.id} went back to {where(wrong)}, which {call.id} had left"
                yield Observation(False, wrong.id, says, evidence)
            elif all(len(left) > 1 for _, left in readings) and settled(history, call):
                path = ", then ".join(dict.fromkeys(where(visit) for visit in visits))
                says = f"{call.id} asked {path}, and none of them again later"
                yield Observation(True, call.id, says, evidence)


_LISTS = {
    "context_length": "context_window_fallbacks",
    "moderation": "content_policy_fallbacks",
}
"""Kinds of errors for which a request may name fallbacks of their own."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A call that names its own fallbacks (``fallbacks``, ``context_window_fallbacks``,
    ``content_policy_fallbacks``) is answered by these, in their order, and goes nowhere else.

    ``target`` is whom callers ask for, ``by`` whom each name means. A name that is not among these is
    somebody whom this rule does not know, and nothing is said; nor where a call met failures for which
    it named nobody, or which belong to two of its lists.
    """

    id: ClassVar[str] = "fallback.chosen"
    about: ClassVar[str] = (
        "a call that names its fallbacks goes to these, in order, and to nobody else"
    )

    target: Target
    by: tuple[tuple[str, tuple[Target, ...]], ...]
    group: str | None = None

    def check(self, history: History) -> Iterator[Observation]:
        """What the rules of a chain observe of each call that names its own: whether it was answered,
        in which order it asked, and whether it stayed there."""
        for call in history.calls:
            if (chain := self._chain(history, call)) is not None:
                yield from Answers(chain, ()).over(history, (call,))
                yield from Order(chain).over(history, (call,))
                yield from Elsewhere(chain).over(history, (call,))

    def _chain(self, history: History, call: Call) -> tuple[Target, ...] | None:
        """Whom a call that came to the target is to ask."""
        attempts = made(history, call)
        if call.group != self.group if self.group else not self._begins(attempts):
            return None
        lists = {_list_of(attempt) for attempt in attempts if failed(attempt)}
        names = _chosen(call, lists.pop()) if len(lists) == 1 else ()
        known = dict(self.by)
        if not names or not all(name in known for name in names):
            return None
        others = (
            Target(
                name,
                tuple(each for one in known[name] for each in one.deployments),
                alone=all(one.alone for one in known[name]),
            )
            for name in names
        )
        return (self.target, *others)

    def _begins(self, attempts: list[Attempt]) -> bool:
        return bool(attempts) and self.target.owns(attempts[0])


def _list_of(attempt: Attempt) -> str | None:
    """In which of a request's lists it says who is asked after a failure."""
    if attempt.error in _LISTS:
        return _LISTS[attempt.error]
    return None if attempt.error in REJECTIONS else "fallbacks"


def _chosen(call: Call, name: str | None) -> tuple[str, ...]:
    """Whom a request names in a list: there may be one name, several, or such a list for each group."""
    match call.options.get(name or ""):
        case str(one):
            return (one,)
        case [*names] if all(isinstance(one, str) for one in names):
            return tuple(names)
        case [*tables] if all(isinstance(table, Mapping) for table in tables):
            of = next((t[call.group] for t in tables if call.group in t), ())
            return (of,) if isinstance(of, str) else tuple(map(str, of))
        case _:
            return ()


def _handed_on(history: History, call: Call) -> bool:
    """Whether what the caller was given may be the failure itself, which came with status 200: an
    error in a body, a page, a stream without a word."""
    last = made(history, call)[-1]
    return last.status == 200 and failed(last) and not any(map(whole, history.sources(call)))


def _leave(
    state: tuple[int, frozenset[int]], attempt: Attempt, number: int
) -> tuple[int, frozenset[int]] | None:
    """The target that a call is at and those that it has left, after one more attempt."""
    current, left = state
    if number == current:
        return state
    return None if number in left else (number, left | {current})


def _same_trade(one: Attempt, other: Attempt) -> bool:
    """Whether both asked for the same kind of work; a refused connection does not say."""
    return None in (one.operation, other.operation) or (one.operation == "embeddings") == (
        other.operation == "embeddings"
    )


CONTRACTS = (
    Answers, Order, Elsewhere, Once, Disabled, Chosen, Capable, Dimension, Named, Fits,
)  # fmt: skip
