"""Cells that were played one after the other in one process, beside each of them in a process that has
played no other: whatever differs has leaked.

Run as a program in a process of its own, so that nothing of pytest and of other tests is in it:
``python tests/isolation.py`` reads one line of JSON (seed, count, kinds of configurations, and what is
wanted) and answers with one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

HERE = Path(__file__)
CONFIGS = Path(str(files("llmroute_data").joinpath("configs")))
AT_ONCE = 2

Seen = Mapping[str, Any]
"""What was seen of a cell: the digest of its history, and of each promise what it observed."""


def drawn(seed: int, count: int, pattern: str = "*.yaml") -> list[Any]:
    """So many of the trials of the shipped configurations, by chance, in a shuffled order. Scenarios
    that go on for weeks are left out."""
    from pytest_llmroute.configs import read
    from pytest_llmroute.run import Choice, trials

    found = [
        trial
        for path in sorted(CONFIGS.rglob(pattern))
        for trial in trials(read(path), Choice(policy=True, full=True))[0]
        if not trial.cell.scenario.one_way
    ]
    return random.Random(seed).sample(found, min(count, len(found)))


def seen(trial: Any) -> dict[str, Any]:
    """Play a trial and judge it."""
    from pytest_llmroute.play import play
    from pytest_llmroute.promises import Promise
    from pytest_llmroute.verdicts import judge

    def said(promise: Promise) -> list[Any]:
        verdict = judge(promise, history)
        return [
            promise.contract.id,
            verdict.outcome,
            [[one.kept, one.at, one.says] for one in verdict.observations],
        ]

    history = play(trial.cell)
    return {"digest": history.digest(), "verdicts": [said(promise) for promise in trial.promises]}


def together(trials: Iterable[Any]) -> list[Seen]:
    """One after the other, in this process."""
    return [_caught(trial) for trial in trials]


def apart(trials: Sequence[Any], at_once: int = AT_ONCE) -> list[Seen]:
    """Each in a copy of this process, which has played nothing."""
    found: dict[int, Seen] = {}
    running: dict[int, tuple[int, int]] = {}
    for number, trial in enumerate(trials):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _answer(writing, trial)
        os.close(writing)
        running[number] = child, reading
        if len(running) >= at_once:
            _collect(running, found)
    while running:
        _collect(running, found)
    return [found[number] for number in range(len(trials))]


def _answer(writing: int, trial: Any) -> None:
    """In the copy: play, tell, and be gone before anything of the original is tidied up twice."""
    try:
        with os.fdopen(writing, "w", encoding="utf-8") as file:
            json.dump(_caught(trial), file)
    finally:
        os._exit(0)


def _collect(running: dict[int, tuple[int, int]], found: dict[int, Seen]) -> None:
    number = next(iter(running))
    child, reading = running.pop(number)
    with os.fdopen(reading, encoding="utf-8") as file:
        text = file.read()
    os.waitpid(child, 0)
    found[number] = json.loads(text) if text else {"error": "the process ended without a word"}


def _caught(trial: Any) -> Seen:
    try:
        return {"cell": trial.cell.id, **seen(trial)}
    except Exception:
        return {"cell": trial.cell.id, "error": traceback.format_exc()}


def process(asked: Mapping[str, Any], hashed: int = 0) -> list[Seen]:
    """Ask for it in a process of its own, with a hash seed of its own."""
    folders = {str(HERE.parent.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)} - {""}
    ran = subprocess.run(
        [sys.executable, str(HERE)],
        input=json.dumps(asked),
        env={**os.environ, "PYTHONHASHSEED": str(hashed), "PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: list[Seen] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def differences(one: Sequence[Seen], other: Sequence[Seen]) -> dict[str, tuple[Seen, Seen]]:
    """The cells of which not the same was seen."""
    return {a["cell"]: (a, b) for a, b in zip(one, other, strict=True) if a != b or "error" in a}


def main() -> None:
    asked = json.loads(sys.stdin.read())
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    trials = drawn(asked["seed"], asked["count"], asked.get("pattern", "*.yaml"))
    if only := asked.get("only"):
        trials = [trial for number, trial in enumerate(trials) if number in only]
    if any(trial.cell.config.kind == "litellm" for trial in trials):
        from pytest_llmroute.routers.litellm.process import imported

        imported()
    found = together(trials) if asked["how"] == "together" else apart(trials)
    out.write(json.dumps(found) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
