"""Counting figures: from histories and nothing else, so that a saved report gives the same."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.report.figures import EXACT, Figures, Row, Times
from pytest_llmroute.report.findings import Sheet
from pytest_llmroute.report.outages import Outages
from pytest_llmroute.report.quantiles import wilson
from pytest_llmroute.report.readings import Reading

__all__ = ("Label", "measure", "rows")

Label: TypeAlias = tuple[str, str]
"""The name of a label and its value."""


def measure(*histories: History, label: Label | None = None) -> Figures:
    """The figures of histories taken together; with ``label``, a name and its value, only of the
    calls that carry it."""
    return _tallied(map(_Seen.of, histories), label)


def rows(sheet: Sheet) -> tuple[Row, ...]:
    """The figures of a configuration: of all its cells, then of each scenario's, each followed by the
    same for every label that its calls carry."""
    cells: dict[str | None, list[_Seen]] = {None: []}
    for played in sheet.played:
        seen = _Seen.of(played.history)
        cells[None].append(seen)
        cells.setdefault(played.scenario, []).append(seen)
    return tuple(
        Row(sheet.path, scenario, label, _tallied(found, label))
        for scenario, found in cells.items()
        for label in (None, *_labels(found))
    )


def _labels(cells: Iterable[_Seen]) -> list[Label]:
    return sorted({label for seen in cells for label in seen.reading.labelled}, key=_natural)


def _natural(label: Label) -> tuple[str, float, str]:
    """Numbers by their size, before words."""
    name, value = label
    return name, int(value) if value.isdecimal() else math.inf, value


def _tallied(cells: Iterable[_Seen], label: Label | None) -> Figures:
    tally = _Tally()
    for seen in cells:
        tally.add(seen, label)
    return tally.figures()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A history that was read."""

    reading: Reading
    outages: Outages

    @classmethod
    def of(cls, history: History) -> _Seen:
        """Read it."""
        reading = Reading(history)
        return cls(reading, Outages(reading))


@dataclass(slots=True)
class _Tally:
    """Single values, before they become figures. The order in which they came does not matter."""

    cells: int = 0
    clocks: set[str] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    up: list[float] = field(default_factory=list)
    observed: list[float] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    per_call: list[int] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    wasted: Decimal = Decimal(0)
    answers: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    asked: Counter[str] = field(default_factory=Counter)

    def add(self, seen: _Seen, label: Label | None) -> None:
        """Take the calls of a history, or those with a label."""
        reading = seen.reading
        calls = reading.history.calls if label is None else reading.labelled.get(label, [])
        if label is not None and not calls:
            return
        self.cells += 1
        self.clocks.add(reading.history.clock)
        for call in calls:
            self._call(reading, call)
        attempts = [attempt for call in calls for attempt in reading.attempts(call)]
        if label is None:
            attempts += reading.untied
            self.seen["untied"] += len(reading.untied)
        for attempt in attempts:
            self._attempt(reading, attempt)
        up, observed = reading.uptime(calls)
        self.up.append(up)
        self.observed.append(observed)
        self.times["ejection"] += seen.outages.ejections(calls)
        self.times["recovery"] += seen.outages.recoveries(calls)

    def _call(self, reading: Reading, call: Call) -> None:
        end, faulted = reading.end(call), reading.faulted(call)
        self.ends[end] += 1
        self.seen["faulted"] += faulted
        if end == "answered":
            self.seen["cached"] += reading.cached(call)
            self._share(reading, call)
            if call.ended is not None:
                self._timed("latency", call.ended - call.started, faulted)
        if call.stream and call.first_token is not None:
            self._timed("first_token", call.first_token - call.started, faulted)
        if end != "open" and not reading.shadowed(call):
            self.per_call.append(len(reading.made(call)))
        if (moved := reading.failover(call)) is not None:
            self.times["failover"].append(moved)

    def _timed(self, name: str, span: float, faulted: bool) -> None:
        self.times[name].append(span)
        if faulted:
            self.times[f"{name}_faulted"].append(span)

    def _share(self, reading: Reading, call: Call) -> None:
        sources = reading.sources(call) or reading.answering(call)
        for source in sources:
            self.answers[source.provider] += Fraction(1, len(sources))

    def _attempt(self, reading: Reading, attempt: Attempt) -> None:
        self.seen["attempts"] += attempt.via is None
        if attempt.via is None:
            self.asked[attempt.provider] += 1
        if not attempt.spent or attempt.billed_as_stated:
            return
        self.spent += attempt.spent
        self.seen["tokens_in"] += attempt.tokens_in
        self.seen["tokens_out"] += attempt.tokens_out
        if reading.wasted(attempt):
            self.wasted += attempt.spent

    def figures(self) -> Figures:
        """What it comes to."""
        ends, seen, calls = self.ends, self.seen, sum(self.ends.values())
        errors = ends["partial"] + ends["failed"] + ends["hung"]
        valid = ends["answered"] + errors
        observed = math.fsum(self.observed)
        tokens = seen["tokens_in"] + seen["tokens_out"]
        times = {name: _split(values) for name, values in self.times.items()}
        never = {name: times.get(name, ([], 0))[1] for name in ("ejection", "recovery")}
        found = {name: Times.of(values) for name, (values, _) in times.items()}
        return Figures(
            cells=self.cells,
            clock="; ".join(sorted(self.clocks)),
            calls=calls,
            answered=ends["answered"],
            partial=ends["partial"],
            failed=ends["failed"],
            rejected=ends["rejected"],
            hung=ends["hung"],
            left=ends["left"],
            open=ends["open"],
            faulted=seen["faulted"],
            cached=seen["cached"],
            errors=errors,
            error_rate=round(errors / valid, EXACT) if valid else None,
            error_rate_interval=_interval(errors, valid),
            uptime=round(math.fsum(self.up) / observed, EXACT) if observed else None,
            observed=round(observed, EXACT),
            latency=found.get("latency"),
            latency_faulted=found.get("latency_faulted"),
            first_token=found.get("first_token"),
            first_token_faulted=found.get("first_token_faulted"),
            attempts=seen["attempts"],
            untied=seen["untied"],
            attempts_per_call=_mean(self.per_call),
            most_attempts=max(self.per_call, default=None),
            failover=found.get("failover"),
            ejection=found.get("ejection"),
            never_ejected=never["ejection"],
            recovery=found.get("recovery"),
            never_recovered=never["recovery"],
            spent=self.spent,
            wasted=self.wasted if calls else None,
            tokens_in=seen["tokens_in"],
            tokens_out=seen["tokens_out"],
            cost_per_1k=_per_1k(self.spent, tokens),
            share_of_answers=_shares(self.answers),
            share_of_attempts=_shares(self.asked),
        )


def _split(values: Sequence[float]) -> tuple[list[float], int]:
    """The times that came to an end, and how many did not."""
    finite = [value for value in values if math.isfinite(value)]
    return finite, len(values) - len(finite)


def _interval(part: int, whole: int) -> tuple[float, float] | None:
    if not whole:
        return None
    low, high = wilson(part, whole)
    return round(low, EXACT), round(high, EXACT)


def _mean(counts: Sequence[int]) -> float | None:
    return round(sum(counts) / len(counts), EXACT) if counts else None


def _per_1k(spent: Decimal, tokens: int) -> Decimal | None:
    if not tokens:
        return None
    return (spent * 1000 / tokens).quantize(Decimal("1E-9")).normalize() + 0


def _shares(counts: Mapping[str, Fraction | int]) -> dict[str, float]:
    """The greatest first, equal ones by name."""
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return {name: round(float(count / total), EXACT) for name, count in ordered if count}
