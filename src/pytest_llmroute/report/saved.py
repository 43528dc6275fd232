"""Reports as JSON, and back: what was promised and what happened, so that it can be judged again
where neither the router nor the simulated world is.

The form is published in ``llmroute_data/schema/report.schema.json``.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmroute_sim.history import History
from llmroute_sim.names import Unknown
from pytest_llmroute.contracts import Contract, contracts
from pytest_llmroute.promises import Because, NotJudged, Promise
from pytest_llmroute.report.findings import (
    Finding,
    Played,
    Report,
    Seen,
    Sheet,
    Unique,
    findings,
    relative,
)
from pytest_llmroute.report.values import plain, typed
from pytest_llmroute.verdicts import Verdict, confirmed, judge

__all__ = ("FORMAT", "contract_of", "dump", "judged", "parameters", "write")

FORMAT = 1


def dump(report: Report) -> str:
    """The text of a report. The same findings give the same bytes."""
    counts = report.counts
    text = {
        "format": FORMAT,
        "tool": "pytest-llmroute",
        "versions": dict(report.versions),
        "clocks": list(report.clocks),
        "summary": {
            **{outcome: counts.get(outcome, 0) for outcome in ("kept", "broken", "untested")},
            "cells": len(report.histories),
            "calls": sum(len(history.calls) for history in report.histories),
            "attempts": sum(len(history.attempts) for history in report.histories),
            "strays": sum(len(history.strays) for history in report.histories),
            "not_spent": str(report.unspent),
        },
        "configs": [_config(sheet) for sheet in report.sheets],
        "cells": [_cell(sheet, played) for sheet in report.sheets for played in sheet.played],
        "verdicts": [
            _verdict(sheet, found, seen)
            for sheet in report.sheets
            for found in sheet.findings
            for seen in found.seen
        ],
    }
    return json.dumps(text, indent=1) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file at once or not at all. Raises ``OSError``."""
    name = ""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            name = file.name
            file.write(text)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# -- writing


def parameters(contract: Contract) -> dict[str, Any]:
    """A contract's fields."""
    found: dict[str, Any] = plain(contract)
    return found


def _config(sheet: Sheet) -> dict[str, Any]:
    ids = Unique()
    return {
        "path": sheet.path,
        "kind": sheet.kind,
        "promises": [
            {
                "id": ids(promise.id),
                "text": promise.text,
                "contract": {"id": promise.contract.id, "parameters": parameters(promise.contract)},
                "because": _because(promise.because),
                "group": promise.group,
                "entries": list(promise.entries),
                "roles": plain(promise.roles),
                "numbers": plain(promise.numbers),
                "avoid": plain(promise.avoid),
            }
            for promise in sheet.promises
        ],
        "not_judged": plain(sheet.not_judged),
    }


def _because(because: Because) -> dict[str, Any]:
    found: dict[str, Any] = plain(because)
    return {**found, "file": None if because.file is None else relative(because.file)}


def _cell(sheet: Sheet, played: Played) -> dict[str, Any]:
    return {
        "id": played.id,
        "config": sheet.path,
        "scenario": played.scenario,
        "title": played.title,
        "group": played.group,
        "entry": played.entry,
        "seed": played.seed,
        **played.history.to_dict(),
        "calm": None if played.calm is None else played.calm.to_dict(),
    }


def _verdict(sheet: Sheet, found: Finding, seen: Seen) -> dict[str, Any]:
    verdict = seen.verdict
    proof = verdict.violations or verdict.observations
    cell = None if seen.played is None else seen.played.id
    return {
        "id": f"{found.id} @ {cell or sheet.path}",
        "config": sheet.path,
        "cell": cell,
        "promise": found.id,
        "contract": found.promise.contract.id,
        "verdict": verdict.outcome,
        "because": _because(found.promise.because),
        "observations": plain(verdict.observations),
        "evidence": list(dict.fromkeys(name for one in proof for name in (one.at, *one.evidence))),
        "reason": verdict.reason,
    }


# -- reading, and judging again


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
                tuple(played[name] for name, cell in cells.items() if cell["config"] == config["path"]),
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
    calm = cell.get("calm")
    try:
        return Played(
            cell["id"],
            cell["scenario"],
            cell.get("title", ""),
            cell.get("group", ""),
            cell.get("entry", ""),
            cell["seed"],
            History.from_dict(cell),
            None if calm is None else History.from_dict(calm),
        )
    except ValueError as error:
        raise ValueError(f"cell {cell['id']!r}: {error}") from error


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
        yield cell, replace(verdict, promise=promise)
