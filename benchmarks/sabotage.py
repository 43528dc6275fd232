"""Break one stage, fault or rule after the other and see which tests notice.

``python benchmarks/sabotage.py [NAME...]`` prints, for each, the names of tests that fail without
it; it ends with 1 if there is one that no test misses. The tests of the registries themselves (what
names there are) are left out: listing a rule is not noticing that it is gone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
PYTEST = Path(sys.executable).with_name("pytest")
MATTER = (
    "test_faults.py",
    "test_faults_admit.py",
    "test_faults_answer.py",
    "test_faults_connect.py",
    "test_faults_stream.py",
    "test_fault_laws.py",
    "test_simulator.py",
    "test_prose.py",
    "test_http1.py",
    "test_history.py",
)
RULES = ("test_contracts.py", "test_mutants.py")
REGISTRIES = re.compile(r"every_shipped|written_in_a_file|says_what_it_means|says_what_is_good")


def failing(name: str) -> tuple[str, list[str]]:
    """Which tests fail without it."""
    chosen = RULES if name.partition(":")[0] in ("rule", "lenient", "harsh") else MATTER
    files = [str(ROOT / "tests" / file) for file in chosen]
    ran = subprocess.run(
        [
            PYTEST,
            "-q",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "--tb=no",
            "--maxfail=4",
            *files,
        ],
        env={**os.environ, "LLMROUTE_SABOTAGE": name},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    failed = re.findall(r"^(?:FAILED|ERROR) \S*?::(.+?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    if ran.returncode not in (0, 1):
        raise SystemExit(f"{name}: pytest ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
    return name, [test for test in failed if not REGISTRIES.search(test)]


def main() -> int:
    import sabotage

    wanted = sys.argv[1:] or sabotage.names()
    missed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, tests in pool.map(failing, wanted):
            shown = ", ".join(tests[:3]) + (" ..." if len(tests) > 3 else "")
            print(f"{name:36} {shown or 'NOTHING NOTICES'}", flush=True)
            missed += [] if tests else [name]
    print(
        f"{len(wanted)} ways to break it, {len(missed)} unnoticed{': ' if missed else ''}{', '.join(missed)}"
    )
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
