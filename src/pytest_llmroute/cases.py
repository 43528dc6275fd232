"""Cases: one promise in one scenario, through every way in that tries it there. What a test run
collects of a configuration."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from llmroute_sim.history import History
from pytest_llmroute.play import Cell
from pytest_llmroute.promises import Promise
from pytest_llmroute.report.findings import Sheet, Unique, sheet
from pytest_llmroute.routers import RoutingConfig
from pytest_llmroute.run import Choice, Player, Result, Trial, judged
from pytest_llmroute.sweep import plan
from pytest_llmroute.verdicts import Verdict

__all__ = ("Case", "cases", "found", "named")


@dataclass(frozen=True, slots=True)
class Case:
    """A promise in a scenario. ``name`` is the promise's id, unique in its configuration.

    A promise that nothing can try is a case too, without cells: ``scenario`` is None then, and
    ``reason`` says why. ``meant`` is that the scenario is the user's own and says that it tries this.
    """

    config: RoutingConfig
    name: str
    promise: Promise
    scenario: str | None
    cells: tuple[Cell, ...] = ()
    reason: str = ""
    meant: bool = False


def cases(config: RoutingConfig, *choices: Choice) -> tuple[Case, ...]:
    """What is to be tried of a configuration by what is asked for, in the order of its promises.

    Raises ``ConfigError`` for a scenario that does not fit.
    """
    plans = [plan([config], choice, installed=lambda _: True)[0] for choice in choices]
    trials = [trial for one in plans for trial in one.trials]
    tried: dict[int, dict[str, list[Cell]]] = {}
    for trial in trials:
        for promise in trial.promises:
            scenarios = tried.setdefault(id(promise), {})
            scenarios.setdefault(trial.cell.scenario.name, []).append(trial.cell)
    untried = {id(verdict.promise): verdict.reason for one in plans for verdict in one.untried}
    own = (template for choice in choices for template in choice.own)
    telling = {template.name for template in own if template.tests}
    return tuple(_cases(config, tried, untried, telling))


def _cases(
    config: RoutingConfig,
    tried: Mapping[int, Mapping[str, Sequence[Cell]]],
    untried: Mapping[int, str],
    telling: Container[str],
) -> Iterator[Case]:
    for name, promise in named(config.promises):
        scenarios = tried.get(id(promise), {})
        for scenario, cells in sorted(scenarios.items()):
            meant = scenario in telling
            yield Case(config, name, promise, scenario, tuple(cells), meant=meant)
        if not scenarios and id(promise) in untried:
            yield Case(config, name, promise, None, reason=untried[id(promise)])


def named(promises: Iterable[Promise]) -> Iterator[tuple[str, Promise]]:
    """Promises by their ids; one that is promised twice is there once."""
    ids = Unique()
    same: dict[str, list[Promise]] = {}
    for promise in promises:
        name, earlier = ids(promise.id), same.setdefault(promise.id, [])
        if promise not in earlier:
            earlier.append(promise)
            yield name, promise


def found(config: RoutingConfig, chosen: Iterable[Case], player: Player) -> Sheet:
    """Play cases of a configuration, each cell once, and judge them."""
    trials: dict[str, Trial] = {}
    untried: list[Verdict] = []
    for case in chosen:
        if not case.cells:
            untried.append(Verdict(case.promise, "untested", (), case.reason))
        for cell in case.cells:
            trial = trials.setdefault(f"{cell.id}\x1f{cell.scenario!r}", Trial(cell))
            trial.promises.append(case.promise)
    results = [judged(trial, player=player) for trial in trials.values()]
    if untried:
        results.append(Result(config, None, History(), tuple(untried)))
    return sheet(config, results)
