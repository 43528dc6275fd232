"""Real releases of litellm that broke a promise, and the next that kept it: what is run, and with what.

Each row is a configuration that fits on a page, the promise that it makes, and two releases of which
the first was seen to break it and the second to keep it, by hand and without this project. A judge
that can be trusted says so of both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_llmroute import run
from pytest_llmroute.child import Interpreter
from pytest_llmroute.configs import read

CONFIGS = Path(__file__).parent / "configs" / "calibration"
ENVIRONMENTS = "LLMROUTE_CALIBRATION_ENVS"
"""The variable that names a folder in which the virtual environments of the releases are kept, each
named by its release. Those that are not there are made there."""

RELEASED: Mapping[str, str] = {
    "1.80.7": "2025-12-02",
    "1.81.6": "2026-02-02",
    "1.82.0": "2026-03-02",
    "1.83.14": "2026-05-02",
    "1.92.0": "2026-07-16",
    "1.96.2": "2026-08-16",
    "1.99.0": "2026-09-02",
    "1.102.0": "2026-09-23",
    "1.104.2": "2026-10-09",
    "1.106.6": "2026-11-02",
    "1.109.1": "2026-11-21",
}
"""Each release with a day on which it was to be had: it gets the dependencies of that day."""

LOOSE = ("certifi", "litellm-proxy-extras", "litellm-enterprise")
"""What some releases pin to versions that not every index has; nothing here depends on which."""
PINNED = frozenset({"1.106.6", "1.109.1"})
"""The releases that do."""

CHAT = ("chat-sync", "chat-sync-stream", "chat-async", "chat-async-stream")
STREAMS = ("chat-sync-stream", "chat-async-stream")


@dataclass(frozen=True, slots=True)
class Row:
    """What is played and judged: a configuration, a scenario, a contract, the ways in, the kind of
    source that makes it a promise, and a release that breaks it and one that keeps it."""

    name: str
    contract: str
    scenario: str
    ways: tuple[str, ...]
    source: str
    broken: str
    kept: str

    @property
    def releases(self) -> tuple[tuple[str, str], ...]:
        return (self.broken, "broken"), (self.kept, "kept")

    @property
    def command(self) -> str:
        """How it is seen by hand."""
        policy = " --policy" if self.source == "policy" else ""
        return (
            f"llmroute run {self.name}.yaml --contract {self.contract} --scenario {self.scenario}"
            f"{policy} --python PYTHON"
        )


ROWS = (
    Row("stream-reset", "stream.whole", "stream-reset", ("chat-async-stream",), "format", "1.92.0", "1.96.2"),
    Row("deployment-retries", "retry.bounded", "outage-500", CHAT, "config", "1.92.0", "1.96.2"),
    Row("fallback-cycle", "fallback.once", "blackout", CHAT, "policy", "1.96.2", "1.99.0"),
    Row("one-bad-answer", "health.transient", "first-failure", CHAT, "policy", "1.80.7", "1.81.6"),
    Row("embedding-budget", "budget.cutoff", "spend", ("embeddings-async",), "config", "1.104.2", "1.106.6"),
    Row("responses-cache", "cache.apart", "near-repeats", ("responses-async",), "config", "1.82.0", "1.83.14"),
    Row("context-wildcard", "fallback.answers", "context-length", CHAT, "config", "1.102.0", "1.104.2"),
    Row("weight-after-none", "balance.split", "even-load", CHAT, "policy", "1.99.0", "1.109.1"),
    Row("messages-timeout", "stream.stall", "silence", ("messages-async", "messages-async-stream"), "config", "1.92.0", "1.96.2"),
    Row("parallel-streams", "balance.in-flight", "crowd", ("chat-async-stream",), "policy", "1.99.0", "1.102.0"),
    Row("order-404", "fallback.answers", "model-gone", CHAT, "config", "1.82.0", "1.83.14"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a row with one release: the verdict of each way in, the release that really ran,
    and the pages that make it a promise."""

    row: Row
    verdicts: Mapping[str, str]
    release: str
    pages: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Broken if any way in is, kept if all are, else untested or nothing at all."""
        said = {self.verdicts.get(way, "not judged") for way in self.row.ways}
        if "broken" in said:
            return "broken"
        return said.pop() if len(said) == 1 else " and ".join(sorted(said))


def interpreter(release: str, folder: Path) -> Path:
    """The interpreter of a virtual environment with a release and the dependencies of its day, made
    in the folder if it is not there. Raises ``FileNotFoundError`` without uv."""
    place = folder / release
    if (place / "bin" / "python").exists():
        return place / "bin" / "python"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise FileNotFoundError("uv is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = str(place / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--python", python]
    if release in PINNED:
        loose = folder / "loose.txt"
        loose.write_text("\n".join(LOOSE) + "\n", "utf-8")
        install += ["--override", str(loose)]
    try:
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", here, str(place)], check=True)
        subprocess.run(
            [*install, "--exclude-newer", RELEASED[release], f"litellm[proxy]=={release}"],
            check=True,
        )
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Path(python)


def environments(otherwise: Path) -> Path:
    """The folder of the environments: what the variable names, or another."""
    return Path(os.environ.get(ENVIRONMENTS) or otherwise)


def judged(rows: Iterable[Row], python: Path, *, every_way: bool = False) -> Iterator[Found]:
    """What is said of each row by ``llmroute run --python``, one process for all of them. Unless
    ``every_way``, only the ways in that a row names are played."""
    with Interpreter(str(python)) as child:
        for row in rows:
            said: dict[str, list[str]] = {}
            pages: dict[str, None] = {}
            for trial in _trials(row):
                way = str(trial.cell.entry)
                if way not in row.ways and not every_way:
                    continue
                for verdict in run.judged(trial, player=child.play).verdicts:
                    said.setdefault(way, []).append(verdict.outcome)
                    pages |= dict.fromkeys(verdict.promise.because.addresses)
            verdicts = {way: _worst(found) for way, found in sorted(said.items())}
            yield Found(row, verdicts, child.versions["litellm"], tuple(pages))


def _trials(row: Row) -> list[run.Trial]:
    """The cells of a row, with the promises of the kind that it is about."""
    choice = run.Choice((row.scenario,), (row.contract,), policy=row.source == "policy")
    found, _ = run.trials(read(CONFIGS / f"{row.name}.yaml"), choice)
    mine = [
        run.Trial(trial.cell, [one for one in trial.promises if one.because.kind == row.source])
        for trial in found
    ]
    return [trial for trial in mine if trial.promises]


def _worst(outcomes: Iterable[str]) -> str:
    said = set(outcomes)
    return next(one for one in ("broken", "untested", "kept") if one in said)
