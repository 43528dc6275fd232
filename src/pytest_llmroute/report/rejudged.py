"""Saved reports and histories, judged again: no router is needed, and no simulated world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmroute_sim.history import Attempt, Call, Episode, History, Stray
from llmroute_sim.names import Unknown
from pytest_llmroute.contracts import Contract, contracts
from pytest_llmroute.promises import Because, NotJudged, Promise
from pytest_llmroute.report.findings import HISTORY, Played, Report, Sheet, findings, relative
from pytest_llmroute.report.saved import FORMAT
from pytest_llmroute.report.values import typed
from pytest_llmroute.verdicts import Verdict, confirmed, judge

if TYPE_CHECKING:
    from pytest_llmroute.routers import RoutingConfig

__all__ = ("contract_of", "history_of", "judged", "judged_history")


def contract_of(name: str, settings: Any, where: str = "contract") -> Contract:
    """A contract by its id and its fields. Raises ``Unknown`` for an id that does not exist,
    ``ValueError`` for fields that it does not have."""
    kind = contracts().get(name)
    if kind is None:
        raise Unknown("contract", name, contracts())
    found: Contract = typed(kind, settings, where)
    return found


def judged(saved: Mapping[str, Any]) -> Report:
    """Read a report and judge its histories again.

    Raises ``ValueError`` naming the entry that is not of the published form.
    """
    if saved.get("format") != FORMAT:
        raise ValueError(f"format: {saved.get('format')!r} in place of {FORMAT}")
    cells = {cell["id"]: cell for cell in _objects(saved, "cells", _CELL)}
    played = {name: _played(cell) for name, cell in cells.items()}
    verdicts = _objects(saved, "verdicts", _VERDICT)
    sheets = []
    for number, config in enumerate(_objects(saved, "configs", _CONFIG)):
        promises = _promises(config, f"configs[{number}]")
        mine = [entry for entry in verdicts if entry["config"] == config["path"]]
        sheets.append(
            Sheet(
                config["path"],
                config["kind"],
                tuple(promises.values()),
                config["not_judged"],
                tuple(
                    played[name] for name, cell in cells.items() if cell["config"] == config["path"]
                ),
                findings(promises.values(), _again(mine, promises, played)),
            )
        )
    versions = typed(Mapping[str, str], saved.get("versions", {}), "versions")
    return Report(versions, tuple(sheets))


_CELL: Mapping[str, Any] = {
    **dict.fromkeys(("id", "config", "scenario", "title", "group", "entry"), str),
    "seed": int,
}
_VERDICT = {"config": str, "cell": str | None, "promise": str, "reason": str}
_CONFIG = {"path": str, "kind": str, "not_judged": tuple[NotJudged, ...]}
_PROMISE = {
    "id": str,
    "text": str,
    "group": str,
    "contract": Mapping[str, Any],
    "because": Because,
    "entries": tuple[str, ...],
    "roles": Mapping[str, tuple[str, ...]],
    "numbers": Mapping[str, float],
    "avoid": Mapping[str, str],
}


def _objects(saved: Mapping[str, Any], key: str, needs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of an array, the values that they need with their types."""
    found = saved.get(key)
    if not isinstance(found, list):
        raise ValueError(f"{key}: missing, or not an array")
    read = []
    for number, entry in enumerate(found):
        where = f"{key}[{number}]"
        if not isinstance(entry, dict):
            raise ValueError(f"{where}: not an object")
        for name in needs:
            if name not in entry:
                raise ValueError(f"{where}: {name!r} is missing")
        values = {name: typed(kind, entry[name], f"{where}.{name}") for name, kind in needs.items()}
        read.append({**entry, **values})
    return read


def _played(cell: Mapping[str, Any]) -> Played:
    where, calm = f"cell {cell['id']!r}", cell.get("calm")
    return Played(
        cell["id"],
        cell["scenario"],
        cell["title"],
        cell["group"],
        cell["entry"],
        cell["seed"],
        history_of(cell, where),
        None if calm is None else history_of(calm, f"{where}.calm"),
    )


def history_of(saved: Any, where: str = "history") -> History:
    """Read a history, and every value of it with its type. Raises ``ValueError``."""
    entry = typed(Mapping[str, Any], saved, where)
    calls = typed(tuple[Call, ...], entry.get("calls"), f"{where}.calls")
    attempts = typed(tuple[Attempt, ...], entry.get("attempts"), f"{where}.attempts")
    strays = typed(tuple[Stray, ...], entry.get("strays", []), f"{where}.strays")
    incidents = typed(tuple[Episode, ...], entry.get("incidents", []), f"{where}.incidents")
    clock = typed(str, entry.get("clock", "virtual"), f"{where}.clock")
    return History(list(calls), list(attempts), list(strays), clock, list(incidents))


def _promises(config: Mapping[str, Any], where: str) -> dict[str, Promise]:
    found = {}
    for number, entry in enumerate(_objects(config, "promises", _PROMISE)):
        place, contract = f"{where}.promises[{number}]", entry["contract"]
        name = typed(str, contract.get("id"), f"{place}.contract.id")
        settings = contract.get("parameters")
        found[entry["id"]] = Promise(
            contract_of(name, settings, f"{place}.contract.parameters"),
            entry["because"],
            entry["text"],
            entry["group"],
            entry["entries"],
            entry["roles"],
            entry["numbers"],
            entry["avoid"],
        )
    return found


def _again(
    entries: Iterable[Mapping[str, Any]],
    promises: Mapping[str, Promise],
    played: Mapping[str, Played],
) -> Iterable[tuple[Played | None, Verdict]]:
    for entry in entries:
        promise = promises.get(entry["promise"])
        if promise is None:
            raise ValueError(f"verdicts: no promise {entry['promise']!r} in {entry['config']!r}")
        if entry["cell"] is None:
            yield None, Verdict(promise, "untested", (), entry["reason"])
            continue
        cell = played.get(entry["cell"])
        if cell is None:
            raise ValueError(f"verdicts: no cell {entry['cell']!r}")
        verdict = judge(promise, cell.history)
        if cell.calm is not None:
            verdict = confirmed(verdict, cell.calm)
        yield cell, verdict


def judged_history(
    saved: Mapping[str, Any], file: Path, configs: Iterable[RoutingConfig] | None = None
) -> Report:
    """Judge a saved history: by the promises of configurations, or, without any, by every contract
    that needs to be told nothing. Raises ``ValueError``."""
    history = history_of(saved)
    played = Played(relative(file), "history", "", "", "", 0, history)
    if configs is None:
        because = Because("format")
        promises = tuple(
            Promise(kind(), because, kind.about, "")
            for _, kind in sorted(contracts().items())
            if _needs_nothing(kind)
        )
    else:
        promises = tuple(promise for config in configs for promise in config.promises)
    verdicts = [(played, judge(promise, history)) for promise in promises]
    found = findings(promises, verdicts)
    return Report({}, (Sheet(relative(file), HISTORY, promises, (), (played,), found),))


def _needs_nothing(kind: Any) -> bool:
    return all(
        field.default is not MISSING or field.default_factory is not MISSING
        for field in fields(kind)
    )
