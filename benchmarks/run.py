"""How long ``llmroute run`` takes over the shipped configurations: ``python benchmarks/run.py``.

Wall seconds to the first verdicts and to the end, beside what importing litellm takes alone in the
same interpreter: the ratio says how much of the wait is ours.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path


def timed(command: list[str]) -> tuple[float | None, float]:
    """Seconds to the first line that tells of kept promises, and to the end."""
    start = time.perf_counter()
    first = None
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as ran:
        assert ran.stdout is not None
        for line in ran.stdout:
            if first is None and " kept" in line:
                first = time.perf_counter() - start
    return first, time.perf_counter() - start


def main() -> None:
    configs = str(files("llmroute_data").joinpath("configs"))
    llmroute = str(Path(sys.executable).with_name("llmroute"))
    offline = "import os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'; import litellm; litellm.Router"
    _, imported = timed([sys.executable, "-c", offline])
    first, whole = timed([llmroute, "run", configs])
    print(f"import of litellm alone      {imported:6.1f} s")
    print(f"first verdicts               {first or float('nan'):6.1f} s")
    print(
        f"all verdicts                 {whole:6.1f} s   ({whole / imported:.1f} times the import)"
    )


if __name__ == "__main__":
    main()
