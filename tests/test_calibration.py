"""Real releases of litellm that broke a promise, and the next that kept it: both colours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "configs" / "calibration"
RELEASED = {"1.92.0": "2026-07-16", "1.96.2": "2026-08-16", "1.99.0": "2026-09-02"}
ROWS = [
    # configuration, contract, scenario, way in, broken in, kept in
    ("stream-reset", "stream.whole", "stream-reset", "chat-async-stream", "1.92.0", "1.96.2"),
    ("deployment-retries", "retry.bounded", "outage-500", "chat-async", "1.92.0", "1.96.2"),
    ("fallback-cycle", "fallback.once", "blackout", "chat-async", "1.96.2", "1.99.0"),
]


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory):
    """A virtual environment with a release of litellm and the dependencies of its day."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    made: dict[str, Path] = {}

    def make(release: str) -> Path:
        if release not in made:
            folder = tmp_path_factory.mktemp(f"litellm-{release}")
            python = folder / "bin" / "python"
            here = f"{sys.version_info.major}.{sys.version_info.minor}"
            for command in (
                [uv, "venv", "--quiet", "--clear", "--python", here, str(folder)],
                [
                    uv, "pip", "install", "--quiet", "--python", str(python),
                    "--exclude-newer", RELEASED[release], f"litellm=={release}",
                ],
            ):  # fmt: skip
                subprocess.run(command, check=True)
            made[release] = python
        return made[release]

    return make


@pytest.mark.wide
@pytest.mark.parametrize(
    ("name", "contract", "scenario", "entry", "release", "expected"),
    [
        (name, contract, scenario, entry, release, verdict)
        for name, contract, scenario, entry, broken, kept in ROWS
        for release, verdict in ((broken, "broken"), (kept, "kept"))
    ],
)
def test_a_release_is_judged_as_it_behaved(
    name, contract, scenario, entry, release, expected, interpreter, tmp_path
):
    report = tmp_path / "report.json"
    command = [
        Path(sys.executable).with_name("llmroute"), "run", HERE / f"{name}.yaml",
        "--contract", contract, "--scenario", scenario,
        "--python", interpreter(release), "--json", report,
    ]  # fmt: skip
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    said = json.loads(report.read_text("utf-8"))
    assert said["versions"]["litellm"] == release
    found = {
        v["verdict"] for v in said["verdicts"] if v["cell"] and v["cell"].endswith(f"::{entry}")
    }
    assert found == {expected}
