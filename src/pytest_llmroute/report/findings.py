"""What a run found: plain values that are shown, saved and judged again, and that know no router.

A sheet is what was found of one configuration, a finding what all cells say of one promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from llmroute_sim.history import History
from pytest_llmroute.promises import NotJudged, Promise
from pytest_llmroute.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    from pytest_llmroute.routers import RoutingConfig
    from pytest_llmroute.run import Result

__all__ = ("HISTORY", "Finding", "Played", "Report", "Seen", "Sheet", "relative", "sheet")

HISTORY = "history"
"""The kind of a sheet about a saved history, which no configuration made."""


@dataclass(frozen=True, slots=True)
class Played:
    """A cell that was played. ``title`` says what was done to the world, ``seed`` is what to pass to
    play it again, ``calm`` what happened without the scenario's stimulus, if that was played."""

    id: str
    scenario: str
    title: str
    group: str
    entry: str
    seed: int
    history: History
    calm: History | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A verdict, and the cell that it comes from (None: nothing could try the promise)."""

    played: Played | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """What all cells say of one promise. ``number`` is its place on the sheet, from 1; ``id`` is
    unique there."""

    number: int
    id: str
    promise: Promise
    seen: tuple[Seen, ...]

    @property
    def outcome(self) -> Outcome:
        """Broken if a cell broke it, kept if a cell kept it and none broke it, else untested."""
        return summed(seen.verdict.outcome for seen in self.seen)

    def those(self, outcome: Outcome) -> tuple[Seen, ...]:
        """The cells that came out so."""
        return tuple(
            seen
            for seen in self.seen
            if seen.played is not None and seen.verdict.outcome == outcome
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why nothing can be said, each reason once."""
        given = (seen.verdict.reason for seen in self.seen if seen.verdict.outcome == "untested")
        return tuple(dict.fromkeys(given))

    def by_scenario(self) -> Mapping[str, Outcome]:
        """What each scenario that tried it says."""
        found: dict[str, list[Outcome]] = {}
        for seen in self.seen:
            if seen.played is not None:
                found.setdefault(seen.played.scenario, []).append(seen.verdict.outcome)
        return {name: summed(outcomes) for name, outcomes in found.items()}


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was found of one configuration. ``kind`` is its kind of router, ``path`` as the user
    would write it, from the working directory."""

    path: str
    kind: str
    promises: tuple[Promise, ...]
    not_judged: tuple[NotJudged, ...]
    played: tuple[Played, ...]
    findings: tuple[Finding, ...]

    def those(self, outcome: Outcome) -> tuple[Finding, ...]:
        """The promises that came out so."""
        return tuple(found for found in self.findings if found.outcome == outcome)

    @property
    def silent(self) -> tuple[tuple[Finding, Seen], ...]:
        """Cells that were meant to try a promise and did not, where another did."""
        return tuple(
            (found, seen)
            for found in self.findings
            if found.outcome != "untested"
            for seen in found.those("untested")
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a run found. ``versions`` names the packages and the interpreter under test;
    ``interrupted`` says that the user ended it early."""

    versions: Mapping[str, str]
    sheets: tuple[Sheet, ...]
    interrupted: bool = False

    @property
    def histories(self) -> Sequence[History]:
        """What happened in every cell."""
        return [played.history for sheet in self.sheets for played in sheet.played]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many promises came out how."""
        return Counter(found.outcome for sheet in self.sheets for found in sheet.findings)

    @property
    def clocks(self) -> tuple[str, ...]:
        """The clocks that were used."""
        return tuple(dict.fromkeys(history.clock for history in self.histories))

    @property
    def unspent(self) -> Decimal:
        """What real providers would have charged (USD)."""
        return sum(
            (attempt.spent for history in self.histories for attempt in history.attempts),
            Decimal(0),
        )

    def status(self, allowed: Iterable[str] = ()) -> int:
        """The exit status: 1 if a promise is broken, else 3 if one is untested whose contract is not
        among those ``allowed`` (``*``: all), or if there was none at all; else 0."""
        allowed = set(allowed)
        findings = [found for sheet in self.sheets for found in sheet.findings]
        if any(found.outcome == "broken" for found in findings):
            return 1
        if "*" in allowed:
            return 0
        untested = any(
            found.outcome == "untested" and found.promise.contract.id not in allowed
            for found in findings
        )
        return 3 if untested or not findings else 0


def summed(outcomes: Iterable[Outcome]) -> Outcome:
    """One outcome of many: broken by one, else kept by one, else untested."""
    found = set(outcomes)
    return "broken" if "broken" in found else "kept" if "kept" in found else "untested"


def relative(path: Path | str) -> str:
    """A path as one would write it in the working directory; one outside of it stays as it is."""
    try:
        return Path(path).absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(path).as_posix()


def sheet(config: RoutingConfig, results: Iterable[Result]) -> Sheet:
    """Gather what came of a configuration's trials."""
    played: list[Played] = []
    verdicts: list[tuple[Played | None, Verdict]] = []
    ids = Unique()
    for result in results:
        cell, place = result.cell, None
        if cell is not None:
            scenario = cell.scenario
            place = Played(
                ids(f"{relative(config.path)}::{cell.id.partition('::')[2]}"),
                scenario.name,
                scenario.title,
                cell.group,
                str(cell.entry),
                scenario.seed,
                result.history,
                result.calm,
            )
            played.append(place)
        verdicts.extend((place, verdict) for verdict in result.verdicts)
    promises = config.promises
    return Sheet(
        relative(config.path),
        config.kind,
        promises,
        config.not_judged,
        tuple(played),
        findings(promises, verdicts),
    )


def findings(
    promises: Iterable[Promise], verdicts: Iterable[tuple[Played | None, Verdict]]
) -> tuple[Finding, ...]:
    """Verdicts by promise, in the order of the promises; those without a verdict are left out."""
    given, ids, found = list(verdicts), Unique(), list[Finding]()
    for promise in promises:
        name = ids(promise.id)
        if any(promise == earlier.promise for earlier in found):
            continue  # the same line, promised twice
        seen = {
            at.id if at else "": Seen(at, verdict)
            for at, verdict in given
            if verdict.promise == promise
        }
        if seen:
            found.append(Finding(len(found) + 1, name, promise, tuple(seen.values())))
    return tuple(found)


class Unique:
    """Names that are given once: the second one of a kind gets a number."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def __call__(self, name: str) -> str:
        self._given[name] += 1
        count = self._given[name]
        return name if count == 1 else f"{name}~{count}"
