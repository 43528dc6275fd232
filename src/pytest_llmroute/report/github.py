"""Annotations as GitHub Actions reads them from what a step prints: a broken promise on the line of
the configuration that made it, an untested one as a warning.

The commands are described at
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_llmroute.report.findings import Finding, Sheet
from pytest_llmroute.report.terminal import Page, many, placed, reproduction, smallest, worded
from pytest_llmroute.standing import Standing

__all__ = ("SHOWN", "below", "commands")

SHOWN = 10
"""Annotations of a kind that GitHub shows of a step; it drops the others without a word."""

_SOURCES = ("user", "config", "format", "policy")
"""Whose promises come first."""

Kind: TypeAlias = Literal["error", "warning", "notice"]


@dataclass(frozen=True, slots=True)
class _Annotation:
    file: str | None
    line: int | None
    title: str
    message: str
    rank: tuple[int, int] = (0, 0)
    """What is told first has the lower one."""


def commands(standing: Standing, page: Page, root: Path) -> Iterator[str]:
    """Commands, each a line, with paths as seen from the root of the repository. Of each kind so
    many as are shown, the most telling first, and how many more there are."""
    broken = [
        _broken(sheet, found, ruling.remark, page, root)
        for sheet, found, ruling in standing.those("broken")
        if ruling.fails
    ]
    stale = [
        _Annotation(
            below(standing.terms.baseline.path, root),
            int(one.entry.place.rpartition(":")[2]),
            f"{one.entry.promise} is no longer {one.entry.outcome}",
            one.remark,
            (len(_SOURCES), 0),
        )
        for one in standing.stale
        if standing.terms.baseline is not None
    ]
    untested = [
        _untested(sheet, found, ruling.remark, page, root)
        for sheet, found, ruling in standing.those("untested")
        if ruling.fails
    ]
    yield from _told("error", [*broken, *stale])
    yield from _told("warning", untested)


def below(path: Path | str, root: Path) -> str | None:
    """A path as seen from the root, None if it is not below it."""
    try:
        return Path(path).resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return None


def _broken(sheet: Sheet, found: Finding, remark: str, page: Page, root: Path) -> _Annotation:
    promise = found.promise
    broken = [name for name, outcome in found.by_scenario().items() if outcome == "broken"]
    first = smallest(found.those("broken"))
    assert first.played is not None  # a promise is broken in a cell
    words = worded(first)
    lines = [
        promise.text,
        f"in {first.played.scenario}, {first.played.entry}".rstrip(", ") + f": {words[0]}",
    ]
    if others := [name for name in broken if name != first.played.scenario]:
        lines.append(f"broken in {', '.join(others)} too")
    if remark:
        lines.append(remark)
    lines += [*promise.because.addresses, reproduction(sheet, found, first, page)]
    return _annotated(found, "broken", lines, len(broken), root)


def _untested(sheet: Sheet, found: Finding, remark: str, page: Page, root: Path) -> _Annotation:
    lines = [found.promise.text, *found.reasons]
    if remark:
        lines.append(remark)
    return _annotated(found, "untested", lines, 0, root)


def _annotated(
    found: Finding, outcome: str, lines: Sequence[str], weight: int, root: Path
) -> _Annotation:
    promise = found.promise
    because = promise.because
    file = None if because.file is None else below(because.file, root)
    place = [] if file else [placed(because)]
    return _Annotation(
        file,
        because.line if file else None,
        f"{promise.contract.id}[{promise.group}] is {outcome}",
        "\n".join((*lines[:1], *place, *lines[1:])),
        (_SOURCES.index(because.kind), -weight),
    )


def _told(kind: Kind, found: Sequence[_Annotation]) -> Iterator[str]:
    """The first of each line of a file before the second of any."""
    seen: list[tuple[str | None, int | None]] = []
    ranked: list[tuple[int, _Annotation]] = []
    for one in sorted(found, key=lambda one: one.rank):
        ranked.append((seen.count((one.file, one.line)), one))
        seen.append((one.file, one.line))
    ranked.sort(key=lambda pair: pair[0])
    for _, one in ranked[:SHOWN]:
        yield _command(kind, one)
    if left := [one for _, one in ranked[SHOWN:]]:
        title = f"{many(len(left), kind)} not shown here"
        yield _command(
            "notice", _Annotation(None, None, title, "\n".join(one.title for one in left))
        )


def _command(kind: Kind, one: _Annotation) -> str:
    places = {"file": one.file, "line": one.line, "title": one.title}
    properties = ",".join(
        f"{name}={_property(str(value))}" for name, value in places.items() if value is not None
    )
    return f"::{kind} {properties}::{_data(one.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
