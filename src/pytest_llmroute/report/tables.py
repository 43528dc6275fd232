"""Figures as tables: lines for a terminal, Markdown for a page.

Not every row is shown unless detail is asked for: that of all calls, and the most telling ones of
scenarios and labels, in which most went wrong or took longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_llmroute.report.columns import COLUMNS, LEGEND, SPELLED, money, percent, span
from pytest_llmroute.report.figures import Figures, Row
from pytest_llmroute.report.tally import rows

if TYPE_CHECKING:
    from pytest_llmroute.report.findings import Sheet
    from pytest_llmroute.report.terminal import Page

__all__ = ("figure_lines", "markdown")

_TELLING = 5
"""So many rows are shown beside that of all calls."""

_SHORTEST = 12
"""Characters of a name that are left on a narrow page, before columns are."""

_EXPENDABLE = ("p50", "first", "up", "$/1K")
"""Columns that a narrow page goes without, the first first."""


# -- which rows


def _chosen(found: Sequence[Row], detail: bool) -> list[Row]:
    """The rows to show, in their order. One scenario alone is not said twice."""
    scenarios = dict.fromkeys(row.scenario for row in found if row.scenario is not None)
    if len(scenarios) == 1:
        found = [row for row in found if row.scenario is not None]
    if detail:
        return list(found)
    first, *others = found
    kept = {_name(first)}
    for row in sorted(others, key=lambda row: _telling(row.figures), reverse=True):
        # A label is shown below its scenario.
        wanted = kept | {_name(row), (row.scenario, None)}
        if len(wanted) <= 1 + _TELLING:
            kept = wanted
    return [row for row in found if _name(row) in kept]


def _name(row: Row) -> tuple[str | None, tuple[str, str] | None]:
    return row.scenario, row.label


def _telling(figures: Figures) -> tuple[float, float, float]:
    return (
        figures.error_rate or 0.0,
        1 - (1.0 if figures.uptime is None else figures.uptime),
        figures.latency.p95 if figures.latency else 0.0,
    )


def _titled(row: Row) -> str:
    if row.label is not None:
        return f"  {' '.join('='.join(row.label).split())}"
    return row.scenario or "all scenarios"


# -- on a terminal


def figure_lines(sheet: Sheet, page: Page) -> Iterator[str]:
    """What the users of a configuration would have seen, in all that was played; nothing if nothing
    was."""
    found = rows(sheet)
    figures = found[0].figures
    if not figures.calls:
        return
    yield from page.wrapped(f"figures: {_headline(figures)}", first="")
    chosen = _chosen(found, page.detail)
    yield from _table(chosen, page)
    if hidden := len(_chosen(found, True)) - len(chosen):
        yield f"{hidden} more {'row' if hidden == 1 else 'rows'}: -v"
    yield from page.wrapped(LEGEND, first="")
    yield from page.wrapped(_shares(figures), first="")
    yield from page.wrapped(_money_said(figures), first="")


def _table(chosen: Sequence[Row], page: Page) -> Iterator[str]:
    """A head and a line for each row, with as much space between as there is. On a narrow page names
    are cut, and columns left out."""
    names = ["", *map(_titled, chosen)]
    if page.plain:
        names = [name.encode("ascii", "replace").decode() for name in names]
    columns = {head: [head, *(of(row.figures) for row in chosen)] for head, of in COLUMNS.items()}
    widths = {head: max(map(len, column)) for head, column in columns.items()}
    longest = max(map(len, names))
    room = page.width - sum(widths.values()) - len(widths)
    for head in _EXPENDABLE:
        if room < min(longest, _SHORTEST):
            del columns[head]
            room += widths.pop(head) + 1
    gap = 2 if longest + len(widths) <= room else 1
    room = min(longest, room)
    for number, name in enumerate(names):
        values = (f"{column[number]:>{widths[head] + gap}}" for head, column in columns.items())
        yield f"{_fitted(name, room, page.plain):<{room}}{''.join(values)}"


def _fitted(text: str, room: int, plain: bool) -> str:
    cut = "..." if plain else "…"
    return text if len(text) <= room else text[: room - len(cut)] + cut


def _headline(figures: Figures) -> str:
    calls = f"{figures.calls} {'call' if figures.calls == 1 else 'calls'}"
    text = f"{calls}, {figures.faulted} met a fault"
    if figures.error_rate is not None and figures.error_rate_interval is not None:
        low, high = figures.error_rate_interval
        text += f", errors {100 * figures.error_rate:.1f}% ({100 * low:.1f}-{100 * high:.1f})"
    return f"{text}; {figures.clock} seconds"


def _shares(figures: Figures) -> str:
    parts = [
        f"{what}: {', '.join(f'{name} {percent(round(100 * share, 1))}' for name, share in of.items())}"
        for what, of in (
            ("answers", figures.share_of_answers),
            ("attempts", figures.share_of_attempts),
        )
        if of
    ]
    return "; ".join(parts)


def _money_said(figures: Figures) -> str:
    text = f"charged ${money(figures.spent)}"
    if figures.wasted is not None:
        text += f", ${money(figures.wasted)} of it for words that reached nobody"
    if figures.ejection or figures.never_ejected:
        times, never = figures.ejection, figures.never_ejected
        left = f"after {span(times.p95)} s (p95)" if times else "never"
        text += f"; sick places left out {left}"
        if times and never:
            text += f", in {never} of {never + times.count} incidents never"
    return text


# -- on a page


def markdown(sheet: Sheet, *, detail: bool = False) -> str:
    """The same table in Markdown; with ``detail`` all rows. Nothing if nothing was played."""
    found = rows(sheet)
    if not found[0].figures.calls:
        return ""
    heads = ["", *(SPELLED.get(head, head) for head in COLUMNS)]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    for row in _chosen(found, detail):
        name = _titled(row).strip().replace("|", "\\|").replace("`", "'")
        values = [of(row.figures) for of in COLUMNS.values()]
        said = f"`{name}`" if row.scenario or row.label else name
        lines.append(f"| {' | '.join([said, *values])} |")
    figures = found[0].figures
    notes = [_headline(figures), _shares(figures), _money_said(figures)]
    return "\n".join([*lines, "", *(f"{text}.  " for text in notes if text)]).rstrip() + "\n"
