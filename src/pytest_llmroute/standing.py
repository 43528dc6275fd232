"""What a report comes to: which promises that are broken or untested make the run fail, which are
accepted by a baseline, and which entries of the baseline are no longer true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Literal, TypeAlias

from pytest_llmroute.baseline import Accepted, Baseline
from pytest_llmroute.identity import closest, meant
from pytest_llmroute.report.findings import Finding, Report, Sheet
from pytest_llmroute.verdicts import Outcome

__all__ = ("Extent", "Ruling", "Stale", "Standing", "Terms")

Extent: TypeAlias = Literal["all", "some", "other"]
"""What was played: all that is played unless told otherwise, some of it, or the same with another
seed. A promise that was kept in some of it may still be broken elsewhere, and one that was kept with
another seed tells nothing of what was accepted."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a finding makes the run fail, and the entries that say something of it. ``new`` are
    the scenarios that broke it and that no entry names."""

    fails: bool
    entries: tuple[Accepted, ...] = ()
    new: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """What a report adds to the finding, or nothing."""
        said = "; ".join(dict.fromkeys(entry.says for entry in self.entries))
        if self.entries and self.new:
            return f"{said}; but not in {', '.join(self.new)}"
        return said


@dataclass(frozen=True, slots=True)
class Stale:
    """An entry that is no longer true, and why."""

    entry: Accepted
    reason: str

    @property
    def remark(self) -> str:
        """Which, why, and what to do."""
        return f"{self.entry.place}: {self.entry.promise}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What reports are held to: the contracts that may be untested (``*``: all), what is accepted,
    the day, and how much was played."""

    allowed: frozenset[str] = frozenset()
    baseline: Baseline | None = None
    today: date = field(default_factory=date.today)
    extent: Extent = "all"

    def ruling(self, sheet: Sheet, found: Finding) -> Ruling:
        """What a finding comes to."""
        match found.outcome:
            case "kept":
                return Ruling(fails=False)
            case "untested":
                scenarios = [
                    name for name, said in found.by_scenario().items() if said == "untested"
                ]
                entries, new = self._entries(sheet, found, scenarios or [None], "untested")
                allowed = bool(self.allowed & {"*", found.promise.contract.id})
                expired = any(entry.expired for entry in entries)
                return Ruling(not allowed and (bool(new) or expired), entries, ())
            case "broken":
                scenarios = [name for name, said in found.by_scenario().items() if said == "broken"]
                entries, new = self._entries(sheet, found, scenarios, "broken")
                return Ruling(bool(new) or any(one.expired for one in entries), entries, new)

    def accepted(
        self, sheet: Sheet, found: Finding, scenario: str | None, outcome: Outcome
    ) -> Accepted | None:
        """The entry about an outcome of a promise in a scenario, or None."""
        if self.baseline is None or outcome == "kept":
            return None
        return self.baseline.accepted(sheet, found.promise, self.today, scenario, outcome)

    def _entries(
        self, sheet: Sheet, found: Finding, scenarios: Sequence[str | None], outcome: Outcome
    ) -> tuple[tuple[Accepted, ...], tuple[str, ...]]:
        """The entries about these scenarios, and the scenarios without one."""
        given = {name: self.accepted(sheet, found, name, outcome) for name in scenarios}
        entries = dict.fromkeys(entry for entry in given.values() if entry is not None)
        return tuple(entries), tuple(name or "" for name, entry in given.items() if entry is None)


class Standing:
    """A report and its terms."""

    def __init__(self, report: Report, terms: Terms | None = None) -> None:
        self.report = report
        self.terms = Terms() if terms is None else terms

    def those(self, outcome: Outcome) -> Iterator[tuple[Sheet, Finding, Ruling]]:
        """The findings that came out so, with what they come to."""
        for sheet in self.report.sheets:
            for found in sheet.those(outcome):
                yield sheet, found, self.terms.ruling(sheet, found)

    @cached_property
    def stale(self) -> tuple[Stale, ...]:
        """The entries that are no longer true, in the order of their file."""
        baseline = self.terms.baseline
        if baseline is None:
            return ()
        sheets = {entry: sheet for sheet in self.report.sheets for entry in baseline.about(sheet)}
        found = (
            (entry, self._untrue(entry, baseline, sheets.get(entry))) for entry in baseline.entries
        )
        return tuple(Stale(entry, reason) for entry, reason in found if reason)

    def _untrue(self, entry: Accepted, baseline: Baseline, sheet: Sheet | None) -> str:
        """Why an entry is no longer true, or nothing."""
        if sheet is None:
            there = (baseline.folder / entry.config).exists()
            return "" if there else f"there is no {entry.config} any more; remove the entry"
        held = baseline.held(sheet)
        name = next(iter(meant(entry.promise, held.names)), None)
        if name is None:
            close = closest(entry.promise, held.names)
            hint = f" (the closest is {close!r})" if close else ""
            return f"{sheet.path} makes no such promise any more{hint}; remove the entry"
        promise = held.promises[held.names.index(name)]
        found = next((one for one in sheet.findings if one.promise == promise), None)
        return "" if found is None else self._outlived(entry, found)

    def _outlived(self, entry: Accepted, found: Finding) -> str:
        if self.terms.extent == "other":
            return ""
        gone: tuple[Outcome, ...] = ("kept",) if entry.outcome == "broken" else ("kept", "broken")
        if entry.scenario:
            said = found.by_scenario()
            over = [name for name in entry.scenario if said.get(name) in gone]
            if not over:
                return ""
            ways = ", ".join(f"{said[name]} in {name}" for name in over)
            it = "it" if len(over) == 1 else "them"
            what = "the entry" if len(over) == len(entry.scenario) else f"{it} from the entry"
            return f"{ways}, not {entry.outcome}; remove {what}"
        sure = self.terms.extent == "all" or entry.outcome == "untested"
        over_all = found.outcome in gone and sure
        return f"{found.outcome}, not {entry.outcome}; remove the entry" if over_all else ""

    @property
    def status(self) -> int:
        """The exit status: 1 if a promise is broken that is not accepted, or an entry of the
        baseline is no longer true; else 3 if one is untested that is neither accepted nor allowed,
        or if there was none at all; else 0."""
        broken = any(ruling.fails for _, _, ruling in self.those("broken"))
        if broken or self.stale:
            return 1
        if "*" in self.terms.allowed:
            return 0
        untested = any(ruling.fails for _, _, ruling in self.those("untested"))
        return 3 if untested or not sum(self.report.counts.values()) else 0
