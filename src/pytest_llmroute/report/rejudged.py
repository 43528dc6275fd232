"""Saved reports and histories, judged again: no router is needed, and no simulated world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmroute_sim.history import Attempt, Call, History, Stray
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


def contract_of(name: str, settings: Mapping[str, Any], where: str = "contract") -> Contract:
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
    cells = {
        cell["id"]: cell for cell in _objects(saved, "cells", ("id", "config", "scenario", "seed"))
    }
    played = {name: _played(cell) for name, cell in cells.items()}
    verdicts = _objects(saved, "verdicts", ("config", "cell", "promise", "verdict"))
    sheets = []
    for number, config in enumerate(_objects(saved, "configs", ("path", "kind", "promises"))):
        promises = _promises(config, f"configs[{number}]")
        mine = [entry for entry in verdicts if entry["config"] == config["path"]]
        sheets.append(
            Sheet(
                config["path"],
                config["kind"],
                tuple(promises.values()),
                tuple(
                    typed(NotJudged, entry, f"configs[{number}].not_judged")
                    for entry in config.get("not_judged", ())
                ),
                tuple(
                    played[name] for name, cell in cells.items() if cell["config"] == config["path"]
                ),
                findings(promises.values(), _again(mine, promises, played)),
            )
        )
    versions = typed(Mapping[str, str], saved.get("versions", {}), "versions")
    return Report(versions, tuple(sheets))


def _objects(saved: Mapping[str, Any], key: str, needs: Iterable[str]) -> list[dict[str, Any]]:
    found = saved.get(key)
    if not isinstance(found, list):
        raise ValueError(f"{key}: missing, or not an array")
    for number, entry in enumerate(found):
        if not isinstance(entry, dict):
            raise ValueError(f"{key}[{number}]: not an object")
        for name in needs:
            if name not in entry:
                raise ValueError(f"{key}[{number}]: {name!r} is missing")
    return found


def _played(cell: Mapping[str, Any]) -> Played:
    where, calm = f"cell {cell['id']!r}", cell.get("calm")
    return Played(
        cell["id"],
        cell["scenario"],
        cell.get("title", ""),
        cell.get("group", ""),
        cell.get("entry", ""),
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
    clock = typed(str, entry.get("clock", "virtual"), f"{where}.clock")
    return History(list(calls), list(attempts), list(strays), clock)


def _promises(config: Mapping[str, Any], where: str) -> dict[str, Promise]:
    needs = ("id", "contract", "because", "text", "group")
    found = {}
    for number, entry in enumerate(_objects(config, "promises", needs)):
        place = f"{where}.promises[{number}]"
        contract = typed(Mapping[str, Any], entry["contract"], f"{place}.contract")
        if not isinstance(contract.get("id"), str):
            raise ValueError(f"{place}.contract: 'id' is missing")
        found[entry["id"]] = Promise(
            contract_of(contract["id"], contract.get("parameters", {}), f"{place}.parameters"),
            typed(Because, entry["because"], f"{place}.because"),
            entry["text"],
            entry["group"],
            typed(tuple[str, ...], entry.get("entries", []), f"{place}.entries"),
            typed(Mapping[str, tuple[str, ...]], entry.get("roles", {}), f"{place}.roles"),
            typed(Mapping[str, float], entry.get("numbers", {}), f"{place}.numbers"),
            typed(Mapping[str, str], entry.get("avoid", {}), f"{place}.avoid"),
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
            yield None, Verdict(promise, "untested", (), entry.get("reason", ""))
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
