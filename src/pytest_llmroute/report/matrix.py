"""Promise by scenario: what was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmroute.report.findings import Finding
from pytest_llmroute.verdicts import Outcome

__all__ = ("ASCII", "UNICODE", "Signs", "matrix", "table")


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters that a report is drawn with."""

    kept: str
    broken: str
    untested: str
    none: str
    rule: str

    def of(self, outcome: Outcome | None) -> str:
        """The sign of an outcome; None is a scenario that does not try the promise."""
        match outcome:
            case "kept":
                return self.kept
            case "broken":
                return self.broken
            case "untested":
                return self.untested
            case None:
                return self.none

    @property
    def legend(self) -> str:
        """What the signs mean."""
        return (
            f"{self.kept} kept   {self.broken} broken   {self.untested} untested   "
            f"{self.none} not tried"
        )


UNICODE = Signs("✓", "✗", "?", "·", "─")
ASCII = Signs("+", "x", "?", ".", "-")

_GAP = 2


def matrix(findings: Sequence[Finding], *, width: int = 80, signs: Signs = UNICODE) -> list[str]:
    """Lines of at most ``width`` columns: promises by scenario, or turned round if the scenarios'
    names do not fit beside each other, in as many blocks as it takes. Promises are named by number
    where they are columns."""
    scenarios = sorted({name for found in findings for name in found.by_scenario()})
    if not scenarios:
        return []
    outcomes = {
        (found.number, name): outcome
        for found in findings
        for name, outcome in found.by_scenario().items()
    }
    rows = {found.number: f"{found.number:>3} {found.promise.contract.id}" for found in findings}
    straight = table(
        rows,
        {name: name for name in scenarios},
        {key: signs.of(outcome) for key, outcome in outcomes.items()},
        signs,
    )
    if max(map(len, straight)) <= width:
        return straight
    turned = {(name, number): signs.of(outcome) for (number, name), outcome in outcomes.items()}
    columns = {found.number: str(found.number) for found in findings}
    return table({name: name for name in scenarios}, columns, turned, signs, width)


def table(
    rows: Mapping[Any, str],
    columns: Mapping[Any, str],
    cells: Mapping[tuple[Any, Any], str],
    signs: Signs,
    width: int | None = None,
    label: int = 0,
) -> list[str]:
    """A head and a line for each row, ``label`` columns or more for the names of rows to the left and
    cells under their heads' ends. What does not fit into ``width`` goes into further blocks, of the
    rows that have something there."""
    label = max(label, *map(len, rows.values())) if rows else label
    lines: list[str] = []
    for block in _blocks(columns, label, width):
        here = {
            row: name
            for row, name in rows.items()
            if width is None or any((row, column) in cells for column in block)
        }
        if here:
            lines += [""] * bool(lines)
            lines += _block(here, block, cells, signs, label)
    return lines


def _blocks(
    columns: Mapping[Any, str], label: int, width: int | None
) -> Iterator[Mapping[Any, str]]:
    block: dict[Any, str] = {}
    for column, head in columns.items():
        taken = label + sum(len(one) + _GAP for one in block.values())
        if block and width is not None and taken + len(head) + _GAP > width:
            yield block
            block = {}
        block[column] = head
    if block:
        yield block


def _block(
    rows: Mapping[Any, str],
    columns: Mapping[Any, str],
    cells: Mapping[tuple[Any, Any], str],
    signs: Signs,
    label: int,
) -> list[str]:
    lines = [" " * label + "".join(f"{'':{_GAP}}{head}" for head in columns.values())]
    for row, name in rows.items():
        line = "".join(
            f"{cells.get((row, column), signs.none):>{len(head) + _GAP}}"
            for column, head in columns.items()
        )
        lines.append(f"{name:<{label}}{line}")
    return lines
