"""``llmroute accept``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from pytest_llmroute.cli import outputs
from pytest_llmroute.cli.judge import judged
from pytest_llmroute.cli.mistakes import Wrong, mistakes

if TYPE_CHECKING:
    from pytest_llmroute.baseline import Accepted, Baseline, Outcome
    from pytest_llmroute.report.findings import Report, Sheet

    _Open: TypeAlias = tuple[Sheet, str, Outcome, tuple[str, ...]]

__all__ = ("command",)


@click.command("accept")
@click.argument("file", type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--reason", required=True, metavar="TEXT", help="Why it is accepted.")
@click.option("--expires", required=True, type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="The last day on which it is, as 2027-03-01.")  # fmt: skip
@click.option("--promise", "names", multiple=True, metavar="NAME", help="Only this promise. May be repeated.")  # fmt: skip
@click.option("--untested", is_flag=True, help="Accept what is untested, too.")
@click.option("--owner", metavar="NAME", help="Who sees to it.")
@click.option("--link", metavar="ADDRESS", help="Where it is followed up.")
@click.option("--baseline", type=click.Path(path_type=Path), metavar="FILE", help="What to write to; llmroute-baseline.toml unless told.")  # fmt: skip
def command(
    file: Path,
    reason: str,
    expires: datetime,
    names: tuple[str, ...],
    untested: bool,
    owner: str | None,
    link: str | None,
    baseline: Path | None,
) -> None:
    """Accept for a while what a saved report found broken.

    Adds it to a baseline for `llmroute run --baseline`; what the file says already stays as it is.
    """
    from pytest_llmroute.baseline import FILE, Accepted, Baseline, from_folder, written
    from pytest_llmroute.report import console as consoles

    into, until = baseline or Path(FILE), expires.date()
    with mistakes():
        if not reason.strip():
            raise Wrong("--reason: say why it is accepted")
        if until < date.today():
            raise Wrong(f"--expires {until}: this day is over")
        report = judged(file, None)
        outputs.writable("--baseline", into)
        before = Baseline.read(into) if into.exists() else Baseline(into)
        before.check(report.sheets)
        wanted = _wanted(report, names)
        added = [
            Accepted(
                from_folder(sheet.path, into),
                name,
                reason.strip(),
                until,
                scenarios,
                outcome,
                owner,
                link,
            )
            for sheet, name, outcome, scenarios in _open(report, before, untested=untested)
            if name in wanted
        ]
        for entry in added:
            if not (into.absolute().parent / entry.config).exists():
                raise Wrong(f"{entry.config}: not here; accept it where the report was made")
        if added:
            text = into.read_text("utf-8") if into.exists() else ""
            outputs.write("--baseline", into, written(added, text))
    consoles.show(consoles.stdout(), _told(added, into))


def _told(added: Sequence[Accepted], into: Path) -> Iterator[str]:
    for entry in added:
        scenarios = f" in {', '.join(entry.scenario)}" if entry.scenario else ""
        yield f"{entry.config}: {entry.promise}: {entry.outcome}{scenarios}"
    yield f"{into}: {len(added)} {'entry' if len(added) == 1 else 'entries'} added"


def _wanted(report: Report, names: Sequence[str]) -> set[str]:
    """The lasting names that are meant; all, if none is given. Raises ``Wrong``."""
    from pytest_llmroute.identity import closest, lasting_names, meant

    known = {name for sheet in report.sheets for name in lasting_names(sheet.promises)}
    wanted: set[str] = set()
    for name in names:
        found = meant(name, tuple(known))
        if not found:
            close = closest(name, sorted(known))
            hint = f"; did you mean {close!r}?" if close else ""
            raise Wrong(f"--promise {name}: the report has no such promise{hint}")
        wanted |= set(found)
    return wanted if names else known


def _open(report: Report, before: Baseline, *, untested: bool) -> Iterator[_Open]:
    """What the baseline does not name yet: the lasting name, how it came out, and where."""
    from pytest_llmroute.identity import lasting_names
    from pytest_llmroute.report.findings import HISTORY
    from pytest_llmroute.standing import Standing, Terms

    standing = Standing(report, Terms(baseline=before))
    if any(sheet.kind == HISTORY for sheet in report.sheets):
        raise Wrong("a bare history has no promises that can be accepted")
    for sheet, found, ruling in standing.those("broken"):
        if ruling.new:
            name = lasting_names(sheet.promises)[sheet.promises.index(found.promise)]
            yield sheet, name, "broken", ruling.new
    for sheet, found, ruling in standing.those("untested"):
        if untested and not ruling.entries:
            name = lasting_names(sheet.promises)[sheet.promises.index(found.promise)]
            yield sheet, name, "untested", ()
