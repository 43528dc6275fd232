"""Figures: what the users of a router would have seen of it, as values.

``docs/figures.md`` says what each one means, what it leaves out, and when it is not measured (None)
rather than 0. Times are seconds on the histories' clock, money is USD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pytest_llmroute.report.quantiles import nearest_rank
from pytest_llmroute.report.values import plain

__all__ = ("EXACT", "Figures", "Row", "Times", "saved")

EXACT = 6
"""Decimals that are kept of seconds and shares."""


@dataclass(frozen=True, slots=True)
class Times:
    """Some durations, in seconds: how many there are, and the values that 50, 95, 99 and 100 % of them
    do not exceed (nearest rank)."""

    count: int
    p50: float
    p95: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Times | None:
        """None of none."""
        ordered = sorted(round(value, EXACT) for value in values)
        if not ordered:
            return None
        ranks = (nearest_rank(ordered, percent) for percent in (50, 95, 99, 100))
        return cls(len(ordered), *ranks)


@dataclass(frozen=True, slots=True)
class Figures:
    """What some calls came to. A figure that is None was not measured.

    ``calls`` is the sum of ``answered``, ``partial``, ``failed``, ``rejected``, ``hung``, ``left``
    and ``open``. ``faulted`` of them met a fault, ``cached`` were given another call's answer.
    """

    cells: int
    clock: str
    calls: int
    answered: int
    partial: int
    failed: int
    rejected: int
    hung: int
    left: int
    open: int
    faulted: int
    cached: int
    errors: int
    error_rate: float | None
    error_rate_interval: tuple[float, float] | None
    uptime: float | None
    observed: float
    latency: Times | None
    latency_faulted: Times | None
    first_token: Times | None
    first_token_faulted: Times | None
    attempts: int
    untied: int
    attempts_per_call: float | None
    most_attempts: int | None
    failover: Times | None
    ejection: Times | None
    never_ejected: int
    recovery: Times | None
    never_recovered: int
    spent: Decimal
    wasted: Decimal | None
    tokens_in: int
    tokens_out: int
    cost_per_1k: Decimal | None
    share_of_answers: Mapping[str, float]
    share_of_attempts: Mapping[str, float]

    @property
    def valid(self) -> int:
        """The calls that an error rate is of: those that came to an end and asked for something
        possible."""
        return self.answered + self.errors


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of a configuration: of one scenario or of all (None), of the calls with one label or of
    all (None)."""

    config: str
    scenario: str | None
    label: tuple[str, str] | None
    figures: Figures


def saved(row: Row) -> dict[str, Any]:
    """A row as JSON holds it."""
    label = None if row.label is None else dict([row.label])
    figures: dict[str, Any] = plain(row.figures)
    return {"config": row.config, "scenario": row.scenario, "label": label, **figures}
