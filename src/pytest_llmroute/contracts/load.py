"""Load: how many requests a target had in flight at a moment, and how many in a minute."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmroute_sim.history import Attempt, History
from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.reading import INSTANT, surely

__all__ = ("Full", "Span", "crowded", "most", "spans")


@dataclass(frozen=True, slots=True)
class Span:
    """An attempt, and from when until when it was in flight. ``asked`` is when its call began: from
    then on a router may have counted it."""

    attempt: Attempt
    asked: float
    start: float
    end: float


def spans(history: History, target: Target) -> list[Span]:
    """What the router had in flight at a target, in order. An attempt is over when its answer is, at
    the latest when its caller has gone or the call has made another attempt."""
    calls = {call.id: call for call in history.calls}
    then: dict[str, float] = {}
    found = []
    for attempt in reversed(history.attempts):
        if attempt.via is not None or attempt.aside:
            continue
        call = calls.get(attempt.call or "")
        until = [attempt.ended, call.ended if call else None, then.get(attempt.call or "")]
        if attempt.call is not None:
            then[attempt.call] = attempt.started
        if surely(target, attempt):
            end = min((moment for moment in until if moment is not None), default=attempt.started)
            asked = min(call.started if call else attempt.started, attempt.started)
            found.append(Span(attempt, asked, attempt.started, max(end, attempt.started)))
    found.reverse()
    return sorted(found, key=lambda span: span.start)


@dataclass(frozen=True, slots=True)
class Full:
    """A time during which at least so many were in flight, and these."""

    start: float
    end: float
    inside: tuple[Span, ...]


def crowded(found: Iterable[Span], least: int) -> Iterator[Full]:
    """The times during which at least so many were in flight, each with those that were when it
    began. What lasted no longer than an instant was not in flight."""
    lasting = [span for span in found if span.end > span.start + INSTANT]
    moments = sorted(
        [(span.end - INSTANT, False, span) for span in lasting]
        + [(span.start, True, span) for span in lasting],
        key=lambda moment: moment[:2],
    )
    flying: list[Span] = []
    full: Full | None = None
    for at, begins, span in moments:
        if begins:
            flying.append(span)
            if full is None and len(flying) >= least:
                full = Full(at, math.inf, tuple(flying))
        else:
            flying.remove(span)
            if full is not None and len(flying) < least:
                yield Full(full.start, at, full.inside)
                full = None


def most(times: Sequence[float], window: float) -> tuple[int, int]:
    """How many of these times (in order) fall into one window, and the number of the first of those,
    in the placing of windows that is kindest: windows follow each other without a gap, and where
    they begin is not known."""
    marks, width = [round(time * 1e6) for time in times], round(window * 1e6)
    best = (len(marks), 0)
    for phase in {mark % width for mark in marks}:
        worst, first, start = 0, 0, 0
        while start < len(marks):
            edge = ((marks[start] - phase) // width + 1) * width + phase
            until = bisect_left(marks, edge, start)
            if until - start > worst:
                worst, first = until - start, start
            start = until
        best = min(best, (worst, first))
    return best
