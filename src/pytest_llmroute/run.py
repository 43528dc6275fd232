"""Running: which scenarios try which promises of a configuration, and what came of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from llmroute_sim.history import History
from llmroute_sim.scenario import Scenario, Template, shipped
from pytest_llmroute.play import Cell, play
from pytest_llmroute.promises import Promise
from pytest_llmroute.routers import Entry, RoutingConfig
from pytest_llmroute.verdicts import Verdict, confirmed, judge

__all__ = ("Choice", "Player", "Result", "Trial", "judged", "trials")


_MOST = 1_000
"""Calls that a scenario may take because of what a configuration says: to try a limit of 10,000 requests
a minute would take most of an hour."""

_MANY = 300
"""Calls from which on a scenario is played through one way in, and not through all."""

_LONG = 10
"""Calls from which on a scenario of the whole library is a long story, which is not told again at every
door."""


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
        variants = sorted(asked.difference(library))
        listed = (name for name in (*library, *variants) if name in asked)
        return (*(library[name] for name in listed), *self.own)

    @property
    def sweeping(self) -> bool:
        """Whether what is played by default is asked for, not some scenarios or all."""
        return not (self.scenarios or self.own or self.full)

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
    turns = {template.name: turn for turn, template in enumerate(choice.templates)}
    first: dict[tuple[str, str, tuple[str, ...]], str] = {}
    for promise in config.promises:
        if not choice.wants(promise):
            continue
        fitting, reasons = list[Scenario](), dict[str, str]()
        for template in choice.templates:
            if not template.tries(promise.contract.id):
                continue
            if reason := _unfit(template, promise):
                reasons[template.name] = reason
                continue
            bound = _carrying(template.bind(promise.roles, promise.numbers), promise)
            if bound.calls > _MOST and template.needs & promise.numbers.keys():
                said = f"takes {bound.calls:,} calls, and {_MOST:,} at most are made"
                reasons[template.name] = said
                continue
            fitting.append(replace(bound, seed=choice.seed or bound.seed))
        page = (promise.contract.id, promise.because.kind, promise.because.addresses)
        again = first.setdefault(page, promise.group) != promise.group
        some = turns if again and choice.sweeping else None
        cells = _cells(config, promise, fitting, found, full=choice.full, turns=some)
        for cell in cells:
            found.setdefault(_key(cell), Trial(cell)).promises.append(promise)
        if not cells and not (choice.scenarios or choice.own):
            said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            untried.append(Verdict(promise, "untested", (), said or "no scenario tries this"))
    return list(found.values()), untried


def _unfit(template: Template, promise: Promise) -> str:
    """Why a scenario cannot try a promise, or nothing."""
    for name in (template.name, template.name.partition("@")[0]):
        if name in promise.avoid:
            return promise.avoid[name]
    given = {role for role, places in promise.roles.items() if places} | set(promise.numbers)
    missing = template.needs - given
    return f"needs {', '.join(sorted(missing))}" if missing else ""


def _carrying(scenario: Scenario, promise: Promise) -> Scenario:
    """A scenario whose requests carry the options of a promise; its own come first."""
    if not promise.options:
        return scenario
    asks = (replace(ask, options={**promise.options, **ask.options}) for ask in scenario.asks)
    return replace(scenario, asks=tuple(asks))


def _cells(
    config: RoutingConfig,
    promise: Promise,
    scenarios: Sequence[Scenario],
    planned: Collection[str],
    *,
    full: bool,
    turns: Mapping[str, int] | None,
) -> list[Cell]:
    """Which way in is played in which of the scenarios that can try a promise.

    All ways into the API that the group is for (chats) in every scenario; where ``turns`` are given,
    half of them in each, in turns. The ways into its other APIs are the same router behind another
    door, so only if everything is asked for are they played in every scenario, and then not in long
    ones. What is left out that way everywhere is played once after all (of another API, once streamed
    and once not, on asyncio where it can): in a scenario that is ``planned`` there anyway, else in the
    first that fits.
    """
    ways = config.entries(promise.group)
    cells = [
        Cell(config, scenario, promise.group, entry)
        for scenario in scenarios
        for entry in _ways(ways, promise, scenario)
    ]

    apis = {cell.entry.api for cell in cells}
    own = ways[0].api if len(apis) > 1 else next(iter(apis), "")
    played = Counter(cell.scenario.name for cell in cells if cell.entry.api == own)

    def always(cell: Cell) -> bool:
        entry = cell.entry
        if entry.api != own:
            return full and cell.scenario.calls < _LONG
        if turns is None or played[cell.scenario.name] == 1:
            return True
        return (entry.sync == entry.stream) == turns[cell.scenario.name] % 2

    def door(cell: Cell) -> Entry:
        entry = cell.entry
        return entry if entry.api == own else replace(entry, sync=False)

    kept = [cell for cell in cells if always(cell)]
    tried = {door(cell) for cell in kept}
    chosen: dict[Entry, Cell] = {}
    for cell in cells:
        if (at := door(cell)) in tried:
            continue
        before = chosen.get(at)
        if before is None or _better(cell, before, planned):
            chosen[at] = cell
    picked = {id(cell) for cell in (*kept, *chosen.values())}
    return [cell for cell in cells if id(cell) in picked]


def _ways(ways: Sequence[Entry], promise: Promise, scenario: Scenario) -> Sequence[Entry]:
    found = [entry for entry in ways if _serves(promise, scenario, entry)]
    return found[:1] if scenario.one_way or scenario.calls >= _MANY else found


def _better(cell: Cell, before: Cell, planned: Collection[str]) -> bool:
    """Whether a cell costs less than one through the same door, or is on asyncio as that is not."""
    if cell.entry.sync != before.entry.sync:
        return before.entry.sync
    return _key(cell) in planned and _key(before) not in planned


def _key(cell: Cell) -> str:
    return f"{cell.id}\x1f{cell.scenario!r}"


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
