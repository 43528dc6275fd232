"""Reports under a baseline, in lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmroute.report.findings import Sheet, relative
from pytest_llmroute.report.terminal import Page, many, sheet_lines, summary_lines
from pytest_llmroute.standing import Standing, Terms

__all__ = ("closing_lines", "ruled_lines")


def ruled_lines(sheet: Sheet, page: Page, terms: Terms) -> Iterator[str]:
    """What was found of one configuration, and what is accepted of it."""
    rulings = {found.id: terms.ruling(sheet, found) for found in sheet.findings}
    remarks = {name: ruling.remark for name, ruling in rulings.items() if ruling.remark}
    known = [name for name, ruling in rulings.items() if not ruling.fails]
    return sheet_lines(sheet, page, remarks, known)


def closing_lines(standing: Standing, page: Page) -> Iterator[str]:
    """The summary, and what is no longer true in the baseline."""
    yield from summary_lines(standing.report, page)
    baseline = standing.terms.baseline
    if baseline is None:
        return
    rulings = [
        ruling
        for outcome in ("broken", "untested")
        for _, _, ruling in standing.those(outcome)
        if ruling.entries
    ]
    expired = sum(any(entry.expired for entry in ruling.entries) for ruling in rulings)
    counts = [f"{many(sum(not ruling.fails for ruling in rulings), 'promise')} accepted"]
    if expired:
        counts.append(f"{expired} no longer")
    if standing.stale:
        counts.append(f"{many(len(standing.stale), 'entry', 'entries')} no longer true")
    yield from page.wrapped(f"baseline {relative(baseline.path)}: {', '.join(counts)}", first="")
    for stale in standing.stale:
        yield from page.wrapped(stale.remark, "    ", f"{page.signs.broken} ")
