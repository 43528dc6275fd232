"""Reports as JSON: what was promised and what happened, enough to judge it again where neither the
router nor the simulated world is.

The form is published in ``llmroute_data/schema/report.schema.json``.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pytest_llmroute.contracts import Contract
from pytest_llmroute.promises import Because
from pytest_llmroute.report.figures import saved as figured
from pytest_llmroute.report.findings import Finding, Played, Report, Seen, Sheet, Unique, relative
from pytest_llmroute.report.tally import rows
from pytest_llmroute.report.values import plain

__all__ = ("FORMAT", "dump", "parameters", "write")

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
        "figures": [row for sheet in report.sheets for row in map(figured, rows(sheet))],
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
