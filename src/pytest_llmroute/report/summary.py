"""Reports in Markdown, for the page that a CI system shows of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmroute.promises import Because
from pytest_llmroute.report.findings import Finding, Sheet
from pytest_llmroute.report.github import below
from pytest_llmroute.report.matrix import UNICODE, matrix
from pytest_llmroute.report.tables import markdown as figures
from pytest_llmroute.report.terminal import (
    Page,
    evidence_lines,
    many,
    placed,
    quoted,
    reproduction,
    smallest,
)
from pytest_llmroute.standing import Ruling, Standing

__all__ = ("LIMIT", "Links", "markdown")

LIMIT = 1024 * 1024
"""Bytes that GitHub takes of a step; of more it shows nothing."""

_RESERVED = 512
"""Bytes for saying what was left out."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where the files can be looked at: the repository's root here, and the address that stands for
    it, with the commit."""

    root: Path
    address: str

    def to(self, because: Because) -> str | None:
        """The address of the line that promises."""
        if because.file is None or (file := below(because.file, self.root)) is None:
            return None
        return f"{self.address}/{file}" + (f"#L{because.line}" if because.line else "")


def markdown(
    standing: Standing, page: Page, *, links: Links | None = None, limit: int = LIMIT
) -> str:
    """The text, of at most ``limit`` bytes: what does not fit is left out, and counted."""
    if limit < _RESERVED:
        return ""
    text, room, missing = "", limit - _RESERVED, 0
    for part in _parts(standing, page, links):
        size = len(part.encode())
        if size <= room:
            text, room = text + part, room - size
        else:
            missing += 1
    if missing:
        text += f"\n{many(missing, 'part')} of this report left out: no more fits here.\n"
    return text


def _parts(standing: Standing, page: Page, links: Links | None) -> Iterator[str]:
    """The parts, each of which can be left out."""
    yield _head(standing)
    for sheet in standing.report.sheets:
        yield _table(standing, sheet, links)
        if lines := matrix(sheet.findings, width=page.width):
            table = "\n".join(_fenced([*lines, UNICODE.legend], "text"))
            yield _folded("every promise and scenario", table)
        if table := figures(sheet):
            yield _folded("figures", table)
        for found in sheet.those("broken"):
            yield _broken(sheet, found, standing.terms.ruling(sheet, found), page, links)
    if standing.stale:
        lines = [f"- {_escaped(stale.remark)}" for stale in standing.stale]
        yield "\n".join(("### No longer true in the baseline", "", *lines, "", ""))
    versions = ", ".join(f"{name} {release}" for name, release in standing.report.versions.items())
    clock = "; ".join(standing.report.clocks) or "none, nothing was played"
    yield f"{_escaped(f'clock: {clock}; {versions}')}\n"


def _head(standing: Standing) -> str:
    report = standing.report
    total = sum(report.counts.values())
    broken = [ruling for _, _, ruling in standing.those("broken")]
    untested = [ruling for _, _, ruling in standing.those("untested")]
    failing = sum(ruling.fails for ruling in broken)
    accepted = sum(bool(one.entries) and not one.fails for one in (*broken, *untested))
    title = f"{failing} of {many(total, 'promise')} broken" if failing else "no promise broken"
    if not total:
        title = "nothing was judged"
    elif len(untested) == total:
        title = "no promise could be tested"
    elif not failing and any(ruling.fails for ruling in untested):
        title = f"{sum(ruling.fails for ruling in untested)} of {many(total, 'promise')} untested"
    rows = [
        [_code(sheet.path), *(str(len(sheet.those(outcome))) for outcome in ("kept", "broken", "untested")), str(len(sheet.played))]
        for sheet in report.sheets
    ]  # fmt: skip
    said = [f"{accepted} of them accepted by the baseline."] if accepted else []
    if standing.stale:
        entries = many(len(standing.stale), "entry", "entries")
        said.append(f"{entries} of the baseline no longer true.")
    if report.interrupted:
        said.append("The run was interrupted.")
    lines = [f"## llmroute: {title}", ""]
    lines += _rows(("configuration", "kept", "broken", "untested", "cells"), rows)
    lines += ["", *said, ""] if said else [""]
    return "\n".join(lines) + "\n"


def _table(standing: Standing, sheet: Sheet, links: Links | None) -> str:
    rows = []
    for found in sheet.findings:
        promise = found.promise
        ruling = standing.terms.ruling(sheet, found)
        said = [ruling.remark] if ruling.remark else []
        said += found.reasons if found.outcome == "untested" else ()
        scenarios = found.by_scenario()
        tried = [name for name, outcome in scenarios.items() if outcome == found.outcome]
        rows.append(
            [
                str(found.number),
                f"{UNICODE.of(found.outcome)} {found.outcome}",
                _code(promise.contract.id),
                _code(promise.group) if promise.group else "",
                _where(promise.because, links),
                _escaped("; ".join(said)) or _counted(found.outcome, tried, len(scenarios)),
            ]
        )
    head = ("", "outcome", "contract", "group", "promised by", "")
    return "\n".join((f"### {_code(sheet.path)}", "", *_rows(head, rows), "", ""))


def _counted(outcome: str, those: Sequence[str], count: int) -> str:
    return f"{outcome} in {len(those)} of {many(count, 'scenario')}"


def _broken(sheet: Sheet, found: Finding, ruling: Ruling, page: Page, links: Links | None) -> str:
    promise = found.promise
    broken = [name for name, outcome in found.by_scenario().items() if outcome == "broken"]
    first = smallest(found.those("broken"))
    assert first.played is not None  # a promise is broken in a cell
    lines = [
        f"#### {UNICODE.broken} {found.number} {_code(promise.contract.id)}: {_escaped(promise.text)}",
        "",
        _where(promise.because, links),
        *(f"<br>{address}" for address in promise.because.addresses),
    ]
    if promise.because.note:
        lines += ["", _escaped(promise.because.note)]
    if ruling.remark:
        lines += ["", f"**{_escaped(ruling.remark)}**"]
    if source := list(quoted(promise.because, page)):
        lines += ["", *_fenced(source)]
    lines += ["", f"Broken in {', '.join(map(_code, broken))}.", ""]
    shown = f"the proof: {first.played.scenario}, {first.played.entry}".rstrip(", ")
    proof = _folded(shown, "\n".join(_fenced(list(evidence_lines(first, page)), "text")))
    command = "\n".join(_fenced([reproduction(sheet, found, first, page)], "sh"))
    return "\n".join(lines) + f"\n{proof}To see it again:\n\n{command}\n\n"


def _where(because: Because, links: Links | None) -> str:
    place = _code(placed(because))
    address = None if links is None else links.to(because)
    return f"[{place}]({address})" if address else place


# -- Markdown


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _folded(title: str, inner: str) -> str:
    text = inner.strip("\n")
    return f"<details><summary>{_html(title)}</summary>\n\n{text}\n\n</details>\n\n"


def _fenced(lines: Sequence[str], language: str = "") -> list[str]:
    """A block of code, behind a fence that nothing in it ends."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]


def _code(text: str) -> str:
    """Words as they are, in a table too."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if longest else ""
    said = " ".join(text.split()).replace("|", "\\|")
    return f"{ticks}{space}{said}{space}{ticks}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|<>#~&])", r"\\\1", " ".join(text.split()))


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
