"""Running: which scenarios try which promises of a configuration, and what came of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from llmroute_sim.history import History
from llmroute_sim.scenario import Scenario, Template, shipped
from pytest_llmroute.play import Cell, play
from pytest_llmroute.promises import Promise
from pytest_llmroute.routers import Entry, RoutingConfig
from pytest_llmroute.verdicts import Verdict, confirmed, judge

__all__ = ("Choice", "Player", "Result", "Trial", "judged", "trials")


@dataclass(frozen=True, slots=True)
class Choice:
    """What part of the whole is asked for: scenarios and contracts by name (empty: all, of the
    scenarios those that are played by default), policy promises too or not, and the seed. ``own``
    are scenarios that are not shipped; one that names no contracts tries all. ``full`` means every
    scenario of the library."""

    scenarios: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()
    policy: bool = False
    seed: int = 0
    own: tuple[Template, ...] = ()
    full: bool = False

    @property
    def templates(self) -> tuple[Template, ...]:
        """The scenarios that are asked for."""
        library = shipped()
        asked = {library.full_name(name) for name in self.scenarios}
        if self.full:
            asked = set(library)
        elif not (self.scenarios or self.own):
            asked = set(library.default)
        return (*(library[name] for name in library if name in asked), *self.own)

    def wants(self, promise: Promise) -> bool:
        """Whether a promise is to be judged."""
        if self.contracts:
            return promise.contract.id in self.contracts
        return self.policy or promise.because.kind != "policy"


@dataclass(slots=True)
class Trial:
    """A cell, and the promises that it tries."""

    cell: Cell
    promises: list[Promise] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a trial. ``untried`` promises of a configuration come in a result without a cell.
    ``calm`` is what happened without the stimulus, where a promise seemed broken."""

    config: RoutingConfig
    cell: Cell | None
    history: History
    verdicts: tuple[Verdict, ...]
    calm: History | None = None


Player: TypeAlias = Callable[[Cell], History]
"""Plays a cell and returns what happened."""


def trials(config: RoutingConfig, choice: Choice) -> tuple[list[Trial], list[Verdict]]:
    """Which cells try which promises, and the promises that nothing can try, each with the reason."""
    found: dict[str, Trial] = {}
    untried: list[Verdict] = []
    for promise in config.promises:
        if not choice.wants(promise):
            continue
        count, reasons = 0, dict[str, str]()
        for template in choice.templates:
            if not template.tries(promise.contract.id):
                continue
            if reason := _unfit(template, promise):
                reasons[template.name] = reason
                continue
            bound = template.bind(promise.roles, promise.numbers)
            scenario = replace(bound, seed=choice.seed or bound.seed)
            ways = [
                entry
                for entry in config.entries(promise.group)
                if _serves(promise, scenario, entry)
            ]
            for entry in ways[:1] if scenario.one_way else ways:
                count += 1
                cell = Cell(config, scenario, promise.group, entry)
                trial = found.setdefault(f"{cell.id}\x1f{scenario!r}", Trial(cell))
                trial.promises.append(promise)
        if not count and not (choice.scenarios or choice.own):
            said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            untried.append(Verdict(promise, "untested", (), said or "no scenario tries this"))
    return list(found.values()), untried


def _unfit(template: Template, promise: Promise) -> str:
    """Why a scenario cannot try a promise, or nothing."""
    if template.name in promise.avoid:
        return promise.avoid[template.name]
    given = {role for role, places in promise.roles.items() if places} | set(promise.numbers)
    missing = template.needs - given
    return f"needs {', '.join(sorted(missing))}" if missing else ""


def _serves(promise: Promise, scenario: Scenario, entry: Entry) -> bool:
    mode = "stream" if entry.stream else "json"
    return (
        mode in scenario.modes
        and entry.api in scenario.entries
        and (not promise.entries or str(entry) in promise.entries or entry.api in promise.entries)
    )


def judged(trial: Trial, *, calmed: bool = True, player: Player | None = None) -> Result:
    """Play a trial and judge its promises. Before a promise is called broken, the trial is played
    again without its stimulus: what is still observed then was no proof of anything. ``player``
    plays a cell in another process, say."""
    cell, perform = trial.cell, player or play
    history, calm = perform(cell), None
    verdicts = [judge(promise, history) for promise in trial.promises]
    if calmed and any(verdict.outcome == "broken" for verdict in verdicts):
        calm = perform(replace(cell, scenario=cell.scenario.calmed()))
        verdicts = [confirmed(verdict, calm) for verdict in verdicts]
    return Result(cell.config, cell, history, tuple(verdicts), calm)
