"""Budgets: nothing is asked of targets that have cost as much as they may, until the window ends; and
the costs that a caller is told are those that were charged.

What counts as spent is what whole answers were charged, streamed or not, whoever was asked. Whether
a router also counts answers that broke off is not for these rules to say, unless they are told which
part of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, TypeAlias

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target, answered
from pytest_llmroute.contracts.reading import (
    INSTANT,
    down,
    ended,
    forsaken,
    made,
    money,
    owned,
    routed,
    seconds,
    shadowed,
    spoke,
    surely,
    where,
    whole,
)

__all__ = ("CONTRACTS", "Cutoff", "Free", "Ledger", "Returns", "Share")

Share: TypeAlias = float
"""A part of the whole, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Once whole answers of the targets have cost ``limit`` USD, nothing more is asked of them until
    ``window`` seconds after the first of these answers was asked for. Attempts that began before the
    crossing answer had ended were in flight and are allowed: a limit may be overspent by what was
    under way, and by no more.

    ``aborted`` is the part of its price for which a stream counts that its caller left after its first
    token; nothing, unless told.
    """

    id: ClassVar[str] = "budget.cutoff"
    about: ClassVar[str] = "targets that have cost their limit get nothing more in the window"

    targets: tuple[Target, ...]
    limit: Decimal
    window: float
    aborted: Share = 0.0

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per window whose limit was reached and whose targets were, or could have
        been, asked after that."""
        for spree in _sprees(history, self.targets, self.limit, self.window, self.aborted):
            reached, end = spree.reached, spree.began + self.window
            late = [
                attempt
                for attempt in _asked(history, self.targets)
                if reached < attempt.started < end - INSTANT
            ]
            says = (
                f"{money(spree.spent)} of {money(self.limit)} were spent at {seconds(reached)}"
                f" ({spree.paid[-1].id})"
            )
            evidence = tuple(attempt.id for attempt in spree.paid)
            sure = [a for a in late if any(surely(target, a) for target in self.targets)]
            if sure:
                first = sure[0]
                says = f"{first.id} asked {where(first)} {seconds(first.started - reached)} after {says}"
                yield Observation(False, first.id, says, (*evidence, first.id))
            if late:
                # What may have been meant for somebody else proves nothing either way.
                continue
            chances = [
                call
                for call in _of_groups(history, spree.groups)
                if reached < call.started < end - INSTANT
                and routed(history, call)
                and not shadowed(history, call)
            ]
            if chances:
                says = (
                    f"{says}, and {_count(len(chances))} asked nothing of them until {seconds(end)}"
                )
                evidence = (*evidence, *(call.id for call in chances))
                yield Observation(True, spree.paid[-1].id, says, evidence)


@dataclass(frozen=True, slots=True)
class Returns:
    """After a window whose limit was reached the targets are asked again.

    The first call after the window decides, if those before the limit all began at the targets. Where
    calls are ``spread`` over others too, nobody is blamed for a choice: any later call may show it.
    """

    id: ClassVar[str] = "budget.window"
    about: ClassVar[str] = "after the window the targets are asked again"

    targets: tuple[Target, ...]
    limit: Decimal
    window: float
    spread: bool = False

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per window whose limit was reached and after which somebody asked."""
        for spree in _sprees(history, self.targets, self.limit, self.window):
            # The latest moment from which a router may count: when the first answer had come.
            end = ended(spree.paid[0]) + self.window + INSTANT
            after = [
                call
                for call in _of_groups(history, spree.groups)
                if call.started > end and routed(history, call)
            ]
            if not after:
                continue
            preferred = not self.spread and self._preferred(history, spree)
            deciding = after[:1] if preferred else after
            again = ((c, a) for c in deciding for a in made(history, c) if owned(self.targets, a))
            call, asked = next(again, (after[0], None))
            evidence = (*(attempt.id for attempt in spree.paid), call.id)
            late = f"{seconds(call.started - end)} after the window"
            if asked is not None:
                says = f"{asked.id} asked {where(asked)} again {late}"
                yield Observation(True, asked.id, says, (*evidence, asked.id))
            elif (
                preferred
                and not shadowed(history, call)
                and not any(down(history, target, call.started) for target in self.targets)
            ):
                attempts = made(history, call)
                instead = f"went to {where(attempts[0])}" if attempts else "asked nobody"
                says = f"{call.id} {instead} {late} (it {call.outcome})"
                yield Observation(False, call.id, says, evidence)

    def _preferred(self, history: History, spree: _Spree) -> bool:
        """Whether every call until the limit began at the targets."""
        until = [
            made(history, call)
            for call in _of_groups(history, spree.groups)
            if call.started < spree.reached
        ]
        return all(attempts and owned(self.targets, attempts[0]) for attempts in until)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The usage and the cost that a caller is told are those of the answer that he got: every token,
    and ``within`` so many USD. Where other attempts of the call were charged too, the cost may be
    that of all. Judged where an answer cost at least so much that it would show."""

    id: ClassVar[str] = "budget.ledger"
    about: ClassVar[str] = (
        "the usage and the cost that a caller is told are those that were charged"
    )

    within: Decimal = Decimal("0.01")

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per answered call that was told its usage or its cost."""
        for call in history.calls:
            told_nothing = call.cost is None and call.tokens_in is None and call.tokens_out is None
            if told_nothing or not answered(call):
                continue
            sources = history.sources(call)
            if (
                len(sources) != 1
                or sources[0].call != call.id
                or not whole(sources[0])
                or sources[0].spent < self.within
            ):
                continue
            source = sources[0]
            charged = [attempt.spent for attempt in made(history, call)]
            told = (("tokens in", call.tokens_in, source.tokens_in),
                    ("tokens out", call.tokens_out, source.tokens_out))  # fmt: skip
            wrong = [
                f"{said} {what} instead of {true}"
                for what, said, true in told
                if said is not None and said != true
            ]
            if call.cost is not None and not any(
                abs(call.cost - cost) <= self.within for cost in (source.spent, sum(charged))
            ):
                wrong.append(f"{money(call.cost)} instead of {money(source.spent)}")
            evidence = (call.id, *(attempt.id for attempt in made(history, call)))
            if wrong:
                says = f"{call.id} was told {', '.join(wrong)} for {source.id}"
                yield Observation(False, call.id, says, evidence)
            else:
                says = (
                    f"{call.id} was told what {source.id} was charged for ({money(source.spent)})"
                )
                yield Observation(True, call.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Free:
    """An answer for which nobody was asked costs its caller nothing: what he is told of its cost is
    0."""

    id: ClassVar[str] = "budget.free"
    about: ClassVar[str] = "an answer for which nobody was asked costs nothing"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per answer of which the router tells the cost and which no attempt of its own
        call gave."""
        for call in history.calls:
            if not answered(call) or call.cost is None or made(history, call):
                continue
            sources = history.sources(call)
            if not sources or shadowed(history, call):
                continue
            says = f"{call.id} was given the words of {sources[0].id} again for {money(call.cost)}"
            yield Observation(call.cost == 0, call.id, says, (call.id, sources[0].id))


@dataclass(frozen=True, slots=True)
class _Spree:
    """A window whose limit was reached: when it began and when that was, the answers that cost so
    much, their price, and the groups of the calls that asked for them."""

    began: float
    reached: float
    paid: tuple[Attempt, ...]
    spent: Decimal
    groups: frozenset[str | None]


def _sprees(
    history: History,
    targets: tuple[Target, ...],
    limit: Decimal,
    window: float,
    aborted: Share = 0.0,
) -> Iterator[_Spree]:
    if window <= 0:
        return
    calls = {call.id: call for call in history.calls}
    price = {
        attempt.id: price
        for attempt in _asked(history, targets)
        if (price := _price(attempt, calls.get(attempt.call or ""), aborted)) > 0
    }
    paid = sorted(
        (attempt for attempt in history.attempts if attempt.id in price),
        key=lambda attempt: (ended(attempt), attempt.started),
    )
    while paid:
        began = min(attempt.started for attempt in paid)
        inside = [attempt for attempt in paid if attempt.started < began + window]
        paid = [attempt for attempt in paid if attempt.started >= began + window]
        total = Decimal(0)
        for number, attempt in enumerate(inside, start=1):
            total += price[attempt.id]
            if total >= limit:
                spenders = inside[:number]
                groups = {calls[a.call].group for a in spenders if a.call in calls}
                yield _Spree(began, ended(attempt), tuple(spenders), total, frozenset(groups))
                break


def _price(attempt: Attempt, call: Call | None, aborted: Share) -> Decimal:
    """What every router has to count for an attempt."""
    if whole(attempt):
        return attempt.spent
    left = call is not None and spoke(attempt) and forsaken(call, attempt)
    return attempt.spent * Decimal(str(aborted)) if left else Decimal(0)


def _asked(history: History, targets: tuple[Target, ...]) -> list[Attempt]:
    """What the router asked of the targets, or may have asked, for all that is known of it."""
    return [
        attempt
        for attempt in history.attempts
        if attempt.via is None and not attempt.aside and owned(targets, attempt)
    ]


def _of_groups(history: History, groups: frozenset[str | None]) -> list[Call]:
    return [call for call in history.calls if call.group in groups]


def _count(calls: int) -> str:
    return "a later call" if calls == 1 else f"{calls} later calls"


CONTRACTS = (Cutoff, Returns, Ledger, Free)
