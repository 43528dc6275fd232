"""Figures in a few characters each, as the columns of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

from pytest_llmroute.report.figures import Figures, Times

__all__ = ("COLUMNS", "LEGEND", "SPELLED", "money", "percent", "span")

_FEW = 100
"""Of fewer calls a share is given as a fraction, which says itself how little it proves."""

_NONE = "-"

_Cell: TypeAlias = Callable[[Figures], str]


def span(seconds: float) -> str:
    """Seconds, or hours and days where those would be too many."""
    if seconds < 10:
        return f"{seconds:.2f}" if seconds else "0"
    if seconds < 100:
        return f"{seconds:.1f}"
    if seconds < 10_000:
        return f"{seconds:.0f}"
    return f"{seconds / 3600:.0f}h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f}d"


def _errors(figures: Figures) -> str:
    if figures.error_rate is None:
        return _NONE
    if figures.valid < _FEW:
        return f"{figures.errors}/{figures.valid}"
    return percent(math.ceil(figures.error_rate * 1000) / 10)


def _uptime(figures: Figures) -> str:
    # Never rounded up: 100 % is said only of what was never seen down.
    return _NONE if figures.uptime is None else percent(math.floor(figures.uptime * 1000) / 10)


def percent(value: float) -> str:
    """``12.5%``."""
    return f"{value:g}%"


def money(amount: Decimal | None) -> str:
    """Two significant digits, never fewer than cents."""
    if amount is None:
        return _NONE
    if not amount:
        return "0"
    return f"{round(amount, max(2, 1 - amount.adjusted())).normalize():f}"


def _rank(which: str, of: Callable[[Figures], Times | None]) -> _Cell:
    def cell(figures: Figures) -> str:
        times = of(figures)
        return _NONE if times is None else span(getattr(times, which))

    return cell


def _recovery(figures: Figures) -> str:
    """The 95th percentile, those that never came to it included."""
    never, times = figures.never_recovered, figures.recovery
    if never and never * 20 >= never + (times.count if times else 0):
        return "never"
    return _NONE if times is None else span(times.p95)


def _tries(figures: Figures) -> str:
    mean = figures.attempts_per_call
    return _NONE if mean is None else f"{mean:.2f}"


COLUMNS: Mapping[str, _Cell] = {
    "calls": lambda figures: str(figures.calls),
    "err": _errors,
    "up": _uptime,
    "p50": _rank("p50", lambda figures: figures.latency),
    "p95": _rank("p95", lambda figures: figures.latency),
    "p99": _rank("p99", lambda figures: figures.latency),
    "first": _rank("p95", lambda figures: figures.first_token),
    "tries": _tries,
    "over": _rank("p95", lambda figures: figures.failover),
    "back": _recovery,
    "$/1K": lambda figures: money(figures.cost_per_1k),
}
"""The columns of a terminal by their heads."""

LEGEND = "first token, failover (over) and recovery (back): p95; tries: attempts a call"

SPELLED = {
    "err": "errors",
    "up": "uptime",
    "first": "first token (p95)",
    "tries": "attempts per call",
    "over": "failover (p95)",
    "back": "recovery (p95)",
    "$/1K": "$ per 1K tokens",
}
"""The same heads where there is room."""
