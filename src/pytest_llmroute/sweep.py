"""A sweep: every trial of every configuration, planned whole before anything runs, then played."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from llmroute_sim.carriers.network import LACKING
from llmroute_sim.deployments import check_place
from llmroute_sim.history import History
from llmroute_sim.names import Unknown
from llmroute_sim.reading import ROLES
from llmroute_sim.scenario import Template, load, shipped
from llmroute_sim.simulator import NoForm, Simulator
from pytest_llmroute.contracts import contracts
from pytest_llmroute.errors import CannotPlay, ConfigError
from pytest_llmroute.play import Cell, play
from pytest_llmroute.report.findings import Sheet, relative, sheet
from pytest_llmroute.routers import PACKAGES, MissingPackage, RoutingConfig, present
from pytest_llmroute.run import Choice, Player, Result, Trial, judged, trials
from pytest_llmroute.verdicts import Verdict

__all__ = ("Plan", "Sweep", "Watcher", "aloud", "choose", "plan", "quietly")


class _Dawn:
    """The beginning of time, for a simulator that is only asked what there is."""

    def now(self) -> float:
        """Nothing has happened yet."""
        return 0.0

    def wall(self) -> datetime:
        """Some midnight."""
        return datetime(2027, 1, 1, tzinfo=UTC)


class Watcher(Protocol):
    """Who is told how a sweep goes."""

    def begin(self, plan: Plan) -> None:
        """A configuration's cells begin."""
        ...

    def played(self, result: Result) -> None:
        """A cell was played and judged."""
        ...

    def done(self, found: Sheet) -> None:
        """A configuration's cells are all played."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration's trials, and the promises that nothing can try."""

    config: RoutingConfig
    trials: tuple[Trial, ...]
    untried: tuple[Verdict, ...]


def choose(
    scenarios: Iterable[str],
    names: Iterable[str],
    *,
    policy: bool = False,
    seed: int = 0,
    full: bool = False,
) -> Choice:
    """What is asked for, every name checked. A scenario is a shipped name or the path of a file;
    ``full`` means the whole library besides.

    Raises ``Unknown`` for a name that does not exist, ``ConfigError`` for a scenario file with
    something wrong in it.
    """
    known, own = [], []
    for name in scenarios:
        if name in shipped():
            known.append(_shipped(name))
        elif name.endswith((".toml", ".json")) or Path(name).exists():
            own.append(_own(name))
        else:
            raise Unknown("scenario", name, shipped())
    for name in names:
        if name not in contracts():
            raise Unknown("contract", name, contracts())
    return Choice(tuple(known), tuple(names), policy, seed, tuple(own), full)


def _shipped(name: str) -> str:
    """The full name of a shipped scenario, or of a variant that it has."""
    try:
        return shipped()[name].name
    except Unknown:
        raise
    except ValueError as error:
        raise ConfigError(str(error), path=name) from error


def _own(name: str) -> Template:
    """A scenario of the user's own, tried out with stand-ins for what promises fill in."""
    path = Path(name)
    if not path.exists():
        raise ConfigError("no such scenario file", path=path)
    try:
        template = load(relative(path), path.read_text("utf-8"), path.parent)
        template.tried()
        for contract in template.tests:
            if contract not in contracts():
                raise Unknown("contract", contract, contracts())
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text ({error.reason})", path=path) from error
    except ValueError as error:
        raise ConfigError(str(error), path=path) from error
    return template


def plan(
    configs: Iterable[RoutingConfig],
    choice: Choice,
    installed: Callable[[str], bool] = present,
) -> list[Plan]:
    """What is to be played, everything checked that can be checked before. ``installed`` says
    whether the interpreter that will play has a package.

    Raises ``ConfigError`` for a scenario that does not fit a configuration, ``MissingPackage`` for a
    router that is not installed.
    """
    found = []
    for config in configs:
        try:
            ready, untried = trials(config, choice)
        except ValueError as error:
            raise ConfigError(str(error), path=relative(config.path)) from error
        _check_incidents(config, ready)
        package = PACKAGES.get(config.kind)
        if ready and package and not installed(package):
            raise MissingPackage(
                f"{relative(config.path)}: {config.kind} is not installed in the interpreter that "
                f"is to run it (pip install {package}, or name one that has it with --python; "
                "`llmroute promises` works without)"
            )
        found.append(Plan(config, tuple(ready), tuple(untried)))
    return found


def _check_incidents(config: RoutingConfig, ready: Sequence[Trial]) -> None:
    """Raises ``ConfigError`` for an incident at a place that there is not, and for one that cannot be
    performed in memory."""
    simulator = Simulator(_Dawn())
    simulator.lack(LACKING)
    for deployment in config.deployments:
        simulator.serve(deployment)
    there = simulator.deployments.values()
    for scenario in {trial.cell.scenario.name: trial.cell.scenario for trial in ready}.values():
        for number, incident in enumerate(scenario.incidents):
            for place in incident.at:
                try:
                    check_place(place, there, *ROLES)
                except Unknown as error:
                    message = f"incident[{number}].at: {error} in {relative(config.path)}"
                    raise ConfigError(message, path=scenario.name) from error
            try:
                simulator.inject(incident)
            except NoForm as error:
                message = f"incident[{number}].fault: {error}"
                raise ConfigError(message, path=scenario.name) from error


# -- playing


class Sweep:
    """Plays plans one after the other and keeps what was found, so that it can be shown even when
    the user has seen enough before the end. ``hands`` is how many cells the player can play at once."""

    def __init__(
        self, plans: Iterable[Plan], player: Player, watcher: Watcher, hands: int = 1
    ) -> None:
        self.found: list[Sheet] = []
        self._hands = hands
        self._plans = plans
        self._player = player
        self._watcher = watcher

    def sheets(self) -> Iterator[Sheet]:
        """What is found of each configuration. Raises ``CannotPlay``, ``ConfigError`` and
        ``MissingPackage``; on ``KeyboardInterrupt`` what was found so far is in ``found``."""
        for plan in self._plans:
            results: list[Result] = []
            if plan.untried:
                results.append(Result(plan.config, None, History(), plan.untried))
            self._watcher.begin(plan)
            try:
                for result in self._results(plan):
                    results.append(result)
                    self._watcher.played(result)
            except KeyboardInterrupt:
                self.found.append(sheet(plan.config, results))
                raise
            self.found.append(sheet(plan.config, results))
            self._watcher.done(self.found[-1])
            yield self.found[-1]

    def _results(self, plan: Plan) -> Iterator[Result]:
        """What comes of each trial, in their order however many are played at once."""
        if self._hands == 1:
            for trial in plan.trials:
                yield judged(trial, player=self._player)
            return
        with ThreadPoolExecutor(self._hands) as pool:
            try:
                yield from pool.map(partial(judged, player=self._player), plan.trials)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def quietly(cell: Cell) -> History:
    """Play a cell in this process; what the router prints is not heard."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), _blamed(cell):
        return play(cell)


def aloud(cell: Cell) -> History:
    """Play a cell in this process; what the router prints goes to standard error."""
    with redirect_stdout(sys.stderr), _blamed(cell):
        return play(cell)


@contextmanager
def _blamed(cell: Cell) -> Iterator[None]:
    """Let an error that no call raised say which cell it was."""
    try:
        yield
    except (ConfigError, MissingPackage):
        raise
    except Exception as error:
        place = f"{relative(cell.config.path)}, {cell.scenario.name} {cell.entry}"
        raise CannotPlay(
            f"{place}: the router could not be run: {type(error).__name__}: {error}"
        ) from error
