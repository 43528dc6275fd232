"""What loading the plugin costs a suite that does not use it, beside an empty plugin: CPU seconds of
whole pytest runs, as a ratio. The pytest plugins of our own dependencies are left out of both.

    python benchmarks/loading.py [RUNS]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OTHERS = ("respx", "faker", "hypothesispytest", "anyio", "randomly", "pytest_httpx", "xdist")


def cpu(folder: Path, *arguments: str) -> float:
    """CPU seconds of one run of a suite of one empty test."""
    without = [part for name in OTHERS for part in ("-p", f"no:{name}")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *without, *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.py").write_text("import pytest\n", "utf-8")
        (folder / "test_it.py").write_text("def test_it(): pass\n", "utf-8")
        empty, ours = [], []
        for _ in range(runs):  # by turns, so that a busy machine is busy for both
            empty.append(cpu(folder, "-p", "no:llmroute", "-p", "empty"))
            ours.append(cpu(folder))
    middle = statistics.median(empty), statistics.median(ours)
    print(f"an empty plugin   {middle[0] * 1000:5.0f} ms")
    print(
        f"pytest-llmroute   {middle[1] * 1000:5.0f} ms, {middle[1] / middle[0]:.2f} times as much"
    )


if __name__ == "__main__":
    main()
