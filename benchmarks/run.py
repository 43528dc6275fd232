"""How long ``llmroute run`` takes, and whose time that is: ``python benchmarks/run.py [--full] [FILE...]``.

Two tables, over the shipped configurations unless files are named. The first plays every cell of a file
in this process and tells the processor's seconds, the calls per such second, and the share in which the
router itself was at work (with all that it is made of: HTTP clients, JSON, pydantic), sampled: a stack
whose innermost frame outside the standard library is neither ours nor a wait. The second runs the
command as a user does: wall seconds to the first verdicts and to the end, beside what importing litellm
takes alone in the same interpreter. With ``--full`` it is only the second, of the whole library.

Processor's seconds and ratios can be compared between busy and quiet machines; wall seconds cannot.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Any

from pytest_llmroute.configs import read
from pytest_llmroute.run import Choice
from pytest_llmroute.sweep import plan, quietly

EVERY = 0.01
"""Seconds of the processor between two looks at what it does."""

OURS = ("/llmroute_sim/", "/pytest_llmroute/", "/llmroute_data/")
STANDARD = (f"/lib/python{sys.version_info[0]}.{sys.version_info[1]}/", "<frozen ")
WAITS = frozenset({"wait", "acquire", "_await", "park", "block", "_worker", "get", "select"})


def owner(frame: FrameType | None) -> str:
    """Whose code runs in a thread."""
    if frame is None or frame.f_code.co_name in WAITS:
        return "waiting"
    at: FrameType | None = frame
    while at is not None:
        name = at.f_code.co_filename
        if any(part in name for part in OURS):
            return "ours"
        if "site-packages" in name or not any(part in name for part in STANDARD):
            return "router"
        at = at.f_back
    return "waiting"


def whose(here: FrameType | None) -> str:
    """Whose code runs in the process: that of the thread that was interrupted, or, if it only waits, of
    the one that it waits for."""
    if (found := owner(here)) != "waiting":
        return found
    others = (frame for frame in sys._current_frames().values() if frame is not here)
    return next((one for one in map(owner, others) if one != "waiting"), "ours")


@contextmanager
def sampled() -> Iterator[Counter[str]]:
    """Whose code ran meanwhile, looked at every so often."""
    found: Counter[str] = Counter()

    def look(_: int, here: FrameType | None) -> None:
        found[whose(here)] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def played(path: Path) -> str:
    """A line about the cells of a file."""
    config = read(path)
    assert config is not None
    [planned] = plan([config], Choice())
    quietly(planned.trials[0].cell)  # what is loaded at the first call
    calls = 0
    began = time.process_time()
    with sampled() as shares:
        for trial in planned.trials:
            calls += len(quietly(trial.cell).calls)
    took = time.process_time() - began
    share = shares["router"] / max(1, shares.total())
    promises = len({promise.id for trial in planned.trials for promise in trial.promises})
    return (
        f"{path.stem:20} {promises:8} {len(planned.trials):6} {calls:6} {took:8.1f} "
        f"{calls / took:8.1f} {1000 * took / len(planned.trials):8.0f} {share:8.0%}"
    )


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds to the first line that tells of kept promises, and to the end."""
    start = time.perf_counter()
    first: Any = float("nan")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as ran:
        assert ran.stdout is not None
        for line in ran.stdout:
            if first != first and " kept" in line:
                first = time.perf_counter() - start
    return first, time.perf_counter() - start


def main() -> None:
    shipped = Path(str(files("llmroute_data").joinpath("configs")))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("files", nargs="*", type=Path, default=sorted(shipped.glob("*.yaml")))
    asked = parser.parse_args()
    options = ["--full"] if asked.full else []
    if not asked.full:
        print(
            f"{'file':20} {'promises':>8} {'cells':>6} {'calls':>6} {'CPU s':>8} {'calls/s':>8} "
            f"{'ms/cell':>8} {'router':>8}"
        )
        for path in asked.files:
            print(played(path), flush=True)

    offline = "import os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'; import litellm; litellm.Router"
    _, imported = timed([sys.executable, "-c", offline])
    llmroute = str(Path(sys.executable).with_name("llmroute"))
    print(f"\nimport of litellm alone: {imported:.1f} s")
    for path in asked.files:
        first, whole = timed([llmroute, "run", str(path), *options])
        print(
            f"{path.stem:20} first verdicts {first:6.1f} s, all {whole:6.1f} s, "
            f"{whole - imported:6.1f} s after the import ({whole / imported:.1f} imports in all)"
        )


if __name__ == "__main__":
    main()
