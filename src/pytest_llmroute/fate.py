"""What becomes of a case in a test run: whether it passes, fails, is skipped, or is accepted for a
while by the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeAlias

from pytest_llmroute import cases
from pytest_llmroute.baseline import Accepted, Baseline
from pytest_llmroute.cases import Case
from pytest_llmroute.guest import Remembering
from pytest_llmroute.report import failure
from pytest_llmroute.report.findings import Finding, Report, Sheet, sheet
from pytest_llmroute.report.terminal import Page
from pytest_llmroute.routers import RoutingConfig
from pytest_llmroute.run import Choice
from pytest_llmroute.standing import Standing, Terms
from pytest_llmroute.verdicts import Outcome

__all__ = ("Fate", "Rules")

End: TypeAlias = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a case, and why. What broke has a drawing, and a test that would have caught
    it. ``accepted`` is why a failure is expected, if the baseline says so."""

    end: End
    outcome: Outcome
    text: str = ""
    timeline: str = ""
    test: str = ""
    accepted: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run asks for, with the run's ``seed``. ``allowed`` are the contracts that may be untested
    (``*``: all). ``told`` are the entries of the baseline that were found to be wrong."""

    choices: tuple[Choice, ...]
    seed: int = 0
    allowed: frozenset[str] = frozenset()
    baseline: Baseline | None = None
    today: date = field(default_factory=date.today)
    player: Remembering = field(default_factory=Remembering)
    told: set[Accepted] = field(default_factory=set)

    def stale(self, config: RoutingConfig) -> Iterable[str]:
        """What the baseline says of a configuration, or of one that is gone, and is wrong without
        anything being played; each of it once.

        Raises ``ConfigError`` for entries that mean several promises, or the same one twice.
        """
        if self.baseline is None:
            return ()
        self.baseline.check([config])
        report = Report({}, (sheet(config, ()),))
        terms = Terms(baseline=self.baseline, today=self.today, extent="some")
        standing = Standing(report, terms)
        new = [stale for stale in standing.stale if stale.entry not in self.told]
        self.told.update(stale.entry for stale in new)
        return [stale.remark for stale in new]

    def fate(
        self, case: Case, siblings: Sequence[Case], page: Page, again: Iterable[str] = ()
    ) -> Fate:
        """Play a case and say what becomes of it. ``siblings`` are all cases of its promise, in their
        order, ``again`` commands that show it again."""
        whole, found = self._found(case)
        entry = self._accepted(case, found.outcome)
        begun = f"{entry.says}\n\n" if entry is not None and entry.expired else ""
        accepted = entry.says if entry is not None and not entry.expired else ""
        match found.outcome:
            case "broken":
                told = failure.broken(whole, found, page, again)
                said = (begun + told.text, told.timeline, told.test)
                return Fate("failed", "broken", *said, accepted)
            case "untested":
                if entry is None and (why := self._excused(case, siblings, found)):
                    return Fate("skipped", "untested", why)
                advice = f"To let it pass: llmroute_allow_untested = {case.promise.contract.id}"
                text = begun + failure.untested(found, page, advice)
                return Fate("failed", "untested", text, accepted=accepted)
            case "kept":
                if outlived := self._outlived(case, siblings):
                    return Fate("failed", "kept", outlived)
                return Fate("passed", "kept")

    def _found(self, case: Case) -> tuple[Sheet, Finding]:
        whole = cases.found(case.config, [case], self.player)
        return whole, next(one for one in whole.findings if one.id == case.name)

    def _accepted(self, case: Case, outcome: Outcome) -> Accepted | None:
        if self.baseline is None or outcome == "kept":
            return None
        return self.baseline.accepted(case.config, case.promise, self.today, case.scenario, outcome)

    def _excused(self, case: Case, siblings: Sequence[Case], found: Finding) -> str:
        """Why a promise that is untested here does not fail here, or nothing."""
        why = "; ".join(found.reasons)
        if self.allowed & {"*", case.promise.contract.id}:
            return f"untested, which is allowed: {why}"
        for other in () if case.meant else siblings:
            if other is not case and self._found(other)[1].outcome != "untested":
                return f"not tried in {case.scenario} (as it is in {other.scenario}): {why}"
        return ""

    def _outlived(self, case: Case, siblings: Sequence[Case]) -> str:
        """What of the baseline is not true any more, now that a promise is kept."""
        for outcome in ("broken", "untested"):
            entry = self._accepted(case, outcome)
            if entry is None:
                continue
            if not entry.scenario:
                # About the promise as a whole: said once, and only if it holds everywhere.
                others = {other.scenario: self._found(other)[1].outcome for other in siblings}
                first = next(name for name, one in others.items() if one == "kept")
                if first != case.scenario or (outcome == "broken" and "broken" in others.values()):
                    continue
            where = f" in {case.scenario}" if entry.scenario else ""
            return f"{entry.place}: {entry.promise} is kept{where}, not {outcome}; remove the entry"
        return ""
