"""The end of a test run: providers by faults. What was never broken is the news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from textwrap import wrap
from typing import Protocol

from pytest_llmroute.census import Census
from pytest_llmroute.report.matrix import ASCII, UNICODE, Signs, table

__all__ = ("closing_lines", "show", "total")

_NEVER = "never faulted"
_SPARED = 12
"""So many places that met no fault have a row; the others are counted."""


class Terminal(Protocol):
    """What of pytest's terminal is needed."""

    @property
    def verbosity(self) -> int:
        """Below 0 where the run is to be quiet."""
        ...

    def write_sep(self, sep: str, title: str | None = None) -> None:
        """A heading."""
        ...

    def write_line(self, line: str, **markup: bool) -> None:
        """A line."""
        ...


def total(told: Iterable[str]) -> Census:
    """What reports carried, taken together."""
    return Census().join(map(Census.load, told))


def show(terminal: Terminal, told: Iterable[str], width: int, plain: bool) -> None:
    """Write the closing section: one line where the run is to be quiet."""
    census = total(told)
    if census.worlds and terminal.verbosity >= 0:
        terminal.write_sep("=", "llmroute")
        for line in closing_lines(census, width, ASCII if plain else UNICODE):
            terminal.write_line(line, yellow=line.endswith(_NEVER))
    elif census.worlds:
        terminal.write_line(f"llmroute: {_sum(census)}")
    if census.proves_nothing:
        number = census.outcomes["untested"]
        what = "the only item was" if number == 1 else f"all {number} items were"
        terminal.write_line(f"llmroute: no promise could be tested: {what} untested", red=True)


def closing_lines(census: Census, width: int = 80, signs: Signs = UNICODE) -> Iterator[str]:
    """How often each provider met each fault, in as many blocks as it takes, those that never met any,
    and the sum."""
    faults = sum(census.met.values(), Counter[str]())
    faulted = {place: place for place, met in census.met.items() if +met}
    spared = [place for place in census.met if place not in faulted]
    label = max((len(place) for place in census.met), default=0)
    cells = {
        (place, fault): str(count)
        for place, met in census.met.items()
        for fault, count in met.items()
    }
    names = sorted(faults, key=lambda fault: (-faults[fault], fault))
    yield from table(faulted, {name: name for name in names}, cells, signs, width, label)
    for place in spared[:_SPARED]:
        yield f"{place:<{label}}  {_NEVER}"
    if len(spared) > _SPARED:
        yield f"and {len(spared) - _SPARED} more  {_NEVER}"
    yield from wrap(_sum(census), width)


def _sum(census: Census) -> str:
    return (
        f"{_many(census.worlds, 'world')}, {_many(census.attempts, 'attempt')}, "
        f"{census.faulted} met a fault, {_many(census.strays, 'stray')}, "
        f"${_money(census.spent)} not spent"
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _money(amount: Decimal) -> str:
    """Cents, and of less than a dollar what it takes to tell it from nothing."""
    if not amount or amount >= 1:
        return f"{amount:.2f}"
    return f"{amount:.{max(2, 1 - amount.adjusted())}f}"
