"""What is said of a promise that a test tried and that does not hold, or that nothing tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_llmroute.promises import Promise
from pytest_llmroute.report.findings import Finding, Sheet
from pytest_llmroute.report.reproduction import test_text
from pytest_llmroute.report.terminal import (
    Page,
    addressed,
    placed,
    quoted,
    reproduction,
    smallest,
    violation_lines,
)
from pytest_llmroute.report.timeline import draw

__all__ = ("Failure", "broken", "untested")


@dataclass(frozen=True, slots=True)
class Failure:
    """An explanation, a drawing of what happened, and a test that would have caught it."""

    text: str
    timeline: str
    test: str


def broken(sheet: Sheet, found: Finding, page: Page, again: Iterable[str] = ()) -> Failure:
    """What broke a promise, by the cell with the least in it. ``again`` are commands that show it
    again, besides the one of ``llmroute run``."""
    first = smallest(found.those("broken"))
    played = first.played
    assert played is not None  # a promise is broken in a cell
    also = [
        f"{seen.played.scenario} {seen.played.entry}"
        for seen in found.those("broken")
        if seen is not first and seen.played is not None
    ]
    lines = [
        *_promised("broken", found.promise, page),
        "",
        *violation_lines(first, page),
        *(page.wrapped(f"also broken in {', '.join(also)}", "    ", "  ") if also else ()),
        "",
        *(f"  {command}" for command in again),
        f"  {reproduction(sheet, found, first, page)}",
    ]
    marks = {one.at: found.promise.contract.id for one in first.verdict.violations}
    timeline = draw(played.history, width=page.width, marks=marks, ascii=page.plain)
    says = found.promise.text
    test = test_text(sheet.path, found.id, played.scenario, played.entry, played.seed, says)
    return Failure(_spelled(lines, page), timeline, _spelled(test.splitlines(), page))


def untested(found: Finding, page: Page, advice: str = "") -> str:
    """Why nothing tried a promise, in which scenarios and through which ways in."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for seen in found.seen:
        ways = reasons.setdefault(seen.verdict.reason, {})
        if seen.played is not None:
            ways.setdefault(seen.played.scenario, []).append(seen.played.entry)
    lines = [*_promised("untested", found.promise, page), ""]
    for reason, ways in reasons.items():
        where = "; ".join(f"{name} ({', '.join(entries)})" for name, entries in ways.items())
        lines += page.wrapped(f"{where}: {reason}" if where else reason, "    ", "  ")
    if advice:
        lines += ["", *page.wrapped(advice)]
    return _spelled(lines, page)


def _promised(what: str, promise: Promise, page: Page) -> Iterator[str]:
    yield from page.wrapped(f"{what}: {promise.text}", first="")
    yield f"  {placed(promise.because)}"
    yield from quoted(promise.because, page)
    yield from addressed(promise.because, page)


def _spelled(lines: Iterable[str], page: Page) -> str:
    text = "\n".join(line.rstrip() for line in lines)
    return text.encode("ascii", "backslashreplace").decode() if page.plain else text
