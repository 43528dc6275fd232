"""Reports as lines of text: the matrix, a line for each promise, and what broke the broken ones."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from llmroute_sim.history import History
from pytest_llmroute.promises import Because
from pytest_llmroute.report.findings import HISTORY, Finding, Report, Seen, Sheet, relative
from pytest_llmroute.report.matrix import ASCII, UNICODE, Signs, matrix
from pytest_llmroute.report.reproduction import test_text
from pytest_llmroute.report.tables import figure_lines
from pytest_llmroute.report.timeline import Numbers, draw

__all__ = (
    "Page",
    "addressed",
    "evidence_lines",
    "many",
    "placed",
    "quoted",
    "reproduction",
    "sheet_lines",
    "smallest",
    "summary_lines",
    "violation_lines",
    "worded",
)

_VIOLATIONS = 3
"""So many are put in words; the timeline marks all."""

_INDENT = "  "

_SECRET = re.compile(
    r"""((?:api_?key|token|secret|password)["']?\s*[:=]\s*["']?)(?!os\.environ)[^\s,"'}]+""", re.I
)
_ATTEMPT = re.compile(r"\ba\d+\b")


@dataclass(frozen=True, slots=True)
class Page:
    """What is written on: ``width`` columns, with or without characters beyond ASCII. ``detail``
    shows what is otherwise only counted; ``python`` is the interpreter that was asked for, to be
    named in reproductions."""

    width: int = 80
    plain: bool = False
    detail: bool = False
    python: str | None = None

    @property
    def signs(self) -> Signs:
        """The characters to draw with."""
        return ASCII if self.plain else UNICODE

    def wrapped(self, text: str, indent: str = "  ", first: str | None = None) -> list[str]:
        """A text in lines that fit; words too long for one, such as addresses, stay whole."""
        return wrap(
            text,
            self.width,
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def headed(self, text: str) -> str:
        """A heading across the page."""
        rule = self.signs.rule
        return f"{rule * 2} {text} ".ljust(self.width, rule)


def sheet_lines(
    sheet: Sheet,
    page: Page,
    remarks: Mapping[str, str] | None = None,
    known: Collection[str] = (),
) -> Iterator[str]:
    """What was found of one configuration. ``remarks`` are to be made on findings, by their ids; the
    evidence against those that are ``known`` is left out unless detail is asked for."""
    yield page.headed(f"{sheet.path} ({sheet.kind})")
    yield ""
    lines = matrix(sheet.findings, width=page.width, signs=page.signs)
    if lines:
        yield from lines
        yield page.signs.legend
        yield ""
    yield from _promise_lines(sheet, page, remarks or {})
    if sheet.not_judged:
        keys = many(len(sheet.not_judged), "key")
        yield f"{keys} not judged; why: {shlex.join(['llmroute', 'promises', sheet.path])}"
    if page.detail:
        for found, seen in sheet.silent:
            place = seen.played.id if seen.played else ""
            yield from page.wrapped(f"did not try {found.id}: {place}: {seen.verdict.reason}")
    if figures := list(figure_lines(sheet, page)):
        yield ""
        yield from figures
    for found in sheet.those("broken"):
        if page.detail or found.id not in known:
            yield ""
            yield from _broken_lines(sheet, found, page)
    yield ""


def _promise_lines(sheet: Sheet, page: Page, remarks: Mapping[str, str]) -> Iterator[str]:
    contract = max((len(found.promise.contract.id) for found in sheet.findings), default=0)
    group = max((len(found.promise.group) for found in sheet.findings), default=0)
    for found in sheet.findings:
        promise = found.promise
        names = f"{promise.contract.id:<{contract}}  {promise.group:<{group}}"
        line = (
            f"{page.signs.of(found.outcome)} {found.number:>3} {names}  {placed(promise.because)}"
        )
        yield line.rstrip()
        if found.outcome == "untested":
            for reason in found.reasons:
                yield from page.wrapped(f"untested: {reason}", "      ")
        if found.id in remarks:
            yield from page.wrapped(remarks[found.id], "      ")


def placed(because: Because) -> str:
    """Where a promise stands, or what makes it if no line does."""
    file = None if because.file is None else relative(because.file)
    at = f"{file}:{because.line}" if file and because.line else file or ""
    where = " ".join(part for part in (at, ".".join(because.key)) if part)
    return where if because.kind == "config" and where else f"{where} ({because.kind})".lstrip()


# -- a broken promise


def _broken_lines(sheet: Sheet, found: Finding, page: Page) -> Iterator[str]:
    promise = found.promise
    yield from page.wrapped(
        f"{found.number} {promise.contract.id}: {promise.text}",
        "    ",
        f"{page.signs.broken} ",
    )
    yield f"  {placed(promise.because)}"
    yield from quoted(promise.because, page)
    yield from addressed(promise.because, page)
    first = smallest(found.those("broken"))
    yield ""
    yield from evidence_lines(first, page)
    yield ""
    if others := [seen for seen in found.those("broken") if seen is not first]:
        yield from page.wrapped(f"also broken in {_named(others)}", "    ", "  ")
    yield f"  {reproduction(sheet, found, first, page)}"
    yield from _test_lines(sheet, found, first, page)


def _test_lines(sheet: Sheet, found: Finding, seen: Seen, page: Page) -> Iterator[str]:
    """The pytest test that would have caught it; a bare history names no configuration to test."""
    played = seen.played
    if played is None or sheet.kind == HISTORY:
        return
    text = test_text(
        sheet.path,
        found.id,
        played.scenario,
        played.entry,
        played.seed,
        found.promise.text,
        width=page.width - len(_INDENT),
    )
    if page.plain:
        text = text.encode("ascii", "replace").decode()
    yield ""
    yield from (f"{_INDENT}{line}".rstrip() for line in text.splitlines())


def smallest(seen: Iterable[Seen]) -> Seen:
    """Of several cells the one with the least in it, which shows most plainly what happened."""
    return min(seen, key=_size)


def evidence_lines(seen: Seen, page: Page) -> Iterator[str]:
    """What broke a promise in a cell: what was done there, the observations, the picture."""
    assert seen.played is not None  # a promise is broken in a cell
    yield from violation_lines(seen, page)
    yield ""
    yield from _picture(seen.played.history, seen, page)


def violation_lines(seen: Seen, page: Page) -> Iterator[str]:
    """What was done in a cell, and the observations that broke a promise there."""
    played = seen.played
    assert played is not None  # a promise is broken in a cell
    title = played.title and f": {played.title}"
    way = played.entry and f", {played.entry}"
    yield from page.wrapped(f"{played.scenario}{way}{title}")
    violations = worded(seen)
    for words in violations[:_VIOLATIONS]:
        yield from page.wrapped(words, "    ", f"  {page.signs.broken} ")
    if len(violations) > _VIOLATIONS:
        yield f"    and {len(violations) - _VIOLATIONS} more, marked on the timeline"


def worded(seen: Seen) -> list[str]:
    """What broke a promise in a cell, each observation with the number of its attempt."""
    numbers = Numbers(seen.played.history if seen.played else History())
    found = []
    for one in seen.verdict.violations:
        words = _ATTEMPT.sub(lambda match: numbers(match[0]), one.says)
        found.append(words if numbers(one.at) in words else f"{numbers(one.at)}: {words}")
    return found


def _size(seen: Seen) -> int:
    history = seen.played.history if seen.played else History()
    return len(history.calls) + len(history.attempts)


def _picture(history: History, seen: Seen, page: Page) -> Iterator[str]:
    marks = {one.at: seen.verdict.promise.contract.id for one in seen.verdict.violations}
    text = draw(history, width=page.width - 2, marks=marks, ascii=page.plain)
    yield from (f"  {line}".rstrip() for line in text.splitlines())


def _named(others: Sequence[Seen]) -> str:
    """Cells by scenario, with the ways in."""
    ways: dict[str, list[str]] = {}
    for seen in others:
        if seen.played is not None:
            ways.setdefault(seen.played.scenario, []).append(seen.played.entry)
    return ", ".join(
        f"{name} ({', '.join(dict.fromkeys(entries))})" for name, entries in ways.items()
    )


def quoted(because: Because, page: Page) -> Iterator[str]:
    """The line that promises, as it stands in the file, without anything like a key; of a table of
    TOML also what is in it."""
    if because.file is None or because.line is None:
        return
    try:
        lines = Path(because.file).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return  # saved elsewhere
    for number, line in enumerate(lines[because.line - 1 :], because.line):
        text = f"  {number:>6} | {_SECRET.sub(_hidden, line.expandtabs(4).rstrip())}"
        if page.plain:
            text = text.encode("ascii", "replace").decode()
        yield text if len(text) <= page.width else f"{text[: page.width - 3]}..."
        following = lines[number] if number < len(lines) else ""
        table = lines[because.line - 1].startswith("[")
        if not table or not following.strip() or following.startswith("["):
            return


def _hidden(match: re.Match[str]) -> str:
    return f"{match[1]}[key]"


def addressed(because: Because, page: Page) -> Iterator[str]:
    """The pages that explain the line, and what is judged where they contradict each other."""
    for address in because.addresses:
        yield f"  {address}"
    if because.note:
        yield from page.wrapped(because.note)


def reproduction(sheet: Sheet, found: Finding, seen: Seen, page: Page) -> str:
    """The command that plays a cell again."""
    played = seen.played
    assert played is not None  # only what was played can be played again
    if sheet.kind == HISTORY:
        return shlex.join(["llmroute", "judge", sheet.path])
    words = ["llmroute", "run", sheet.path, "--scenario", played.scenario]
    words += ["--contract", found.promise.contract.id, "--seed", str(played.seed)]
    if page.python:
        words += ["--python", page.python]
    return shlex.join(words)


# -- everything together


def summary_lines(report: Report, page: Page) -> Iterator[str]:
    """Counts, clocks, versions, and what is worth knowing before the verdicts are believed."""
    counts, histories = report.counts, report.histories
    total = sum(counts.values())
    verdicts = ", ".join(
        f"{counts.get(outcome, 0)} {outcome}" for outcome in ("kept", "broken", "untested")
    )
    yield page.headed("summary")
    yield from page.wrapped(
        f"{many(total, 'promise')}: {verdicts} "
        f"({many(len(report.sheets), 'config')}, {many(len(histories), 'cell')})",
        first="",
    )
    calls = sum(len(history.calls) for history in histories)
    attempts = sum(len(history.attempts) for history in histories)
    strays = sum(len(history.strays) for history in histories)
    untied = sum(len(history.untied) for history in histories)
    yield from page.wrapped(
        f"{many(calls, 'call')}, {many(attempts, 'attempt')}, {many(strays, 'stray')}, "
        f"${report.unspent.normalize():f} not spent"
        + (f", {many(untied, 'attempt')} tied to no call" if untied else ""),
        first="",
    )
    versions = ", ".join(f"{name} {release}" for name, release in report.versions.items())
    clock = "; ".join(report.clocks) or "none, nothing was played"
    yield from page.wrapped(f"clock: {clock}", first="")
    if versions:
        yield from page.wrapped(versions, first="")
    for note in _notes(report, page):
        yield from page.wrapped(f"note: {note}", "      ", "")


def _notes(report: Report, page: Page) -> Iterator[str]:
    if report.interrupted:
        yield "interrupted; this is what was found so far"
    degraded = [clock for clock in report.clocks if clock not in ("virtual", "real")]
    if degraded:
        yield f"the clock was not exact in some cells ({'; '.join(degraded)}): times there are approximate"
    if not sum(report.counts.values()):
        yield "nothing was judged: no promise of these configurations is tried by what was asked for"
    elif set(report.counts) == {"untested"}:
        yield "no promise could be tested: this run proves nothing"
    silent = [(sheet, found) for sheet in report.sheets for found, _ in sheet.silent]
    if silent:
        promises = len({(sheet.path, found.id) for sheet, found in silent})
        more = "" if page.detail else " (-v lists them)"
        yield (
            f"{many(len(silent), 'cell')} did not try what {'it was' if len(silent) == 1 else 'they were'} "
            f"meant to try, of {many(promises, 'promise')} that others tried{more}"
        )


def many(count: int, noun: str, nouns: str | None = None) -> str:
    """``1 cell``, ``2 cells``; ``nouns`` is the plural where an ``s`` does not make it."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or f'{noun}s'}"
