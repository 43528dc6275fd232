"""Another interpreter: a process of another environment in which the world and the router run, while
judging stays here.

One line of JSON each way: a hello from the child, then a cell to be played and what came of it. What is
only to be loaded is not answered. Our packages and what they need are appended to the child's path, so
that whatever it has itself wins.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmroute_sim.history import History
from llmroute_sim.names import kebab
from pytest_llmroute.errors import CannotPlay
from pytest_llmroute.report.values import plain, typed

if TYPE_CHECKING:
    from typing import Self

    from llmroute_sim.scenario import Scenario
    from pytest_llmroute.play import Cell

__all__ = ("Interpreter", "entry_of", "serve")

_HELLO = """
import os, sys
talk = os.fdopen(os.dup(1), "w", encoding="utf-8"), os.fdopen(os.dup(0), encoding="utf-8")
os.dup2(2, 1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
import json
own = []
if sys.argv[1:]:
    try:
        from importlib.metadata import distributions
        own = sorted({(d.metadata["Name"] or "").lower() for d in distributions()})
    except ImportError:
        pass
talk[0].write(json.dumps({"python": sys.version.split()[0], "own": own}) + "\\n")
talk[0].flush()
start = json.loads(talk[1].readline() or "null")
if start:
    sys.path[:] = [folder for folder in sys.path if folder] + start["folders"]
    from pytest_llmroute.child import serve
    serve(talk[1], talk[0])
    # There is nothing to tidy up, and a router takes seconds to take itself apart.
    os._exit(0)
"""


class Interpreter:
    """A child process that plays cells. Raises ``CannotPlay`` if it cannot; ``own`` are the packages
    that its environment has itself. ``named`` is how errors call one that is this interpreter once
    more, of which ``own`` is not asked."""

    def __init__(self, python: str, *, named: str | None = None) -> None:
        self.python = python
        self._name = named or f"--python {python}"
        self.own: frozenset[str] = frozenset()
        self.versions: Mapping[str, str] = {}
        self._owes = False
        said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (lives as long as the process)
        self._said = said
        try:
            self._process = subprocess.Popen(
                [python, "-c", _HELLO, *([] if named else ["own"])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            self._said.close()
            why = error.strerror or error
            raise CannotPlay(f"{self._name}: cannot be started: {why}") from error
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        hello = self._heard()
        if not (isinstance(hello, dict) and "python" in hello):
            raise self._error("is not a Python interpreter")
        if hello["python"].split(".")[:2] != [str(part) for part in sys.version_info[:2]]:
            ours = ".".join(map(str, sys.version_info[:2]))
            raise self._error(f"is Python {hello['python']}, but llmroute runs on Python {ours}")
        self.own = frozenset(hello["own"])
        self._say({"folders": _folders()})
        ready = self._heard()
        if not (isinstance(ready, dict) and "versions" in ready):
            raise self._error("cannot import pytest_llmroute")
        self.versions = ready["versions"]

    def load(self, config: Path) -> None:
        """Let it import what a configuration's router is made of, before there is a cell to play."""
        self._owes = True
        self._say({"load": str(config)})

    def play(self, cell: Cell) -> History:
        """Play a cell there. Raises ``CannotPlay`` if the process fails."""
        from pytest_llmroute.report.rejudged import history_of

        self._owes = True
        self._say(
            {
                "config": str(cell.config.path),
                "group": cell.group,
                "entry": plain(cell.entry),
                "scenario": {"name": cell.scenario.name, **entry_of(cell.scenario)},
            }
        )
        answer = self._heard()
        self._owes = False
        if not isinstance(answer, dict):
            raise self._error(f"ended while it played {cell.id}")
        if "error" in answer:
            raise self._error(f"failed at {cell.id}: {answer['error']}")
        return history_of(answer)

    def close(self) -> None:
        """End the process, in the middle of what it does if nobody waits for it any more."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        if self._owes:
            self._process.kill()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _say(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None  # it is a pipe
        # A process that is gone is noticed when it does not answer.
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _heard(self) -> Any:
        assert self._process.stdout is not None  # it is a pipe
        try:
            return json.loads(self._process.stdout.readline())
        except ValueError:
            return None

    def _error(self, message: str) -> CannotPlay:
        """With the last line that the process wrote, which is mostly why."""
        self._said.seek(0)
        words = [line for line in self._said.read().splitlines() if line.strip()]
        last = f" ({words[-1].strip()[:200]})" if words else ""
        return CannotPlay(f"{self._name}: {message}{last}")


def entry_of(scenario: Scenario) -> dict[str, Any]:
    """A scenario as its file would say it."""
    bills = scenario.bills
    return {
        "title": scenario.title,
        "good": scenario.good,
        "source": scenario.source,
        "tests": list(scenario.tests),
        "modes": list(scenario.modes),
        "entries": list(scenario.entries),
        "stimulus": scenario.stimulus,
        "incident": [
            {
                "fault": {
                    "name": kebab(type(incident.fault).__name__),
                    **_said(incident.fault),
                },
                "at": [str(place) for place in incident.at],
                "when": _said(incident.when),
            }
            for incident in scenario.incidents
        ],
        "ask": [
            {**_said(ask), "log": [_said(recorded) for recorded in ask.log]}
            for ask in scenario.asks
        ],
        **({} if bills is None else {"bills": {"input": bills.input, "output": bills.output}}),
        "first-token": scenario.first_token,
        "per-token": scenario.per_token,
        "seed": scenario.seed,
        "one-way": scenario.one_way,
    }


def _said(value: Any) -> dict[str, Any]:
    """The fields of a value that a file would name."""
    return {
        field.name: getattr(value, field.name)
        for field in fields(value)
        if getattr(value, field.name) is not None
    }


def _folders() -> list[str]:
    """Where our packages are, and everything that they need."""
    import llmroute_data
    import llmroute_sim
    import pytest_llmroute

    ours = [
        str(Path(module.__file__).parent.parent)
        for module in (llmroute_data, llmroute_sim, pytest_llmroute)
        if module.__file__
    ]
    needed = [
        str(distribution(name).locate_file(""))
        for name in ("click", "faker", "httptools", "pyyaml", "time-machine")
        if _installed(name)
    ]
    return list(dict.fromkeys([*ours, *needed]))


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


# -- in the child


def serve(requests: Any, answers: Any) -> None:
    """Play what is asked for, line by line, until nobody asks any more."""
    from pytest_llmroute.versions import installed

    def answer(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    answer({"versions": installed()})
    for line in requests:
        request = json.loads(line)
        if "load" in request:
            # What is wrong with it is told when a cell is played.
            with contextlib.suppress(Exception):
                _config(request["load"]).load()
            continue
        try:
            found = _played(request)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        answer(found)


def _played(request: Mapping[str, Any]) -> dict[str, Any]:
    from llmroute_sim.scenario import Template
    from pytest_llmroute.play import Cell, play
    from pytest_llmroute.routers import Entry

    entry = dict(request["scenario"])
    # Whoever sends it has read the file.
    scenario = Template(entry.pop("name"), entry).bind(sensible=True)
    way = typed(Entry, request["entry"], "entry")
    return play(Cell(_config(request["config"]), scenario, request["group"], way)).to_dict()


@cache
def _config(path: str) -> Any:
    from pytest_llmroute.configs import read

    return read(Path(path))
