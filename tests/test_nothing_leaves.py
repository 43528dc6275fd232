from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .truth.clients import CLIENTS
from .truth.scripts import TOKENS

_SCRIPT = Path(__file__).parent / "truth" / "listen.py"
_PRESENT = [name for name, client in CLIENTS.items() if client.available]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("listen") / "heard.json"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(_SCRIPT), str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert out.exists(), done.stderr[-4000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_the_ear_is_not_deaf(heard: dict[str, Any]) -> None:
    assert heard["hook"] == ["socket.getaddrinfo 192.0.2.1"]


@pytest.mark.parametrize("body", ["JSON", "stream"])
@pytest.mark.parametrize("client", _PRESENT)
def test_a_simulated_host_is_asked_and_nobody_else_hears_of_it(
    heard: dict[str, Any], client: str, body: str
) -> None:
    found = heard[client][f"known {body}"]
    assert found["tokens"] == TOKENS
    assert not found["kinds"]
    assert not found["heard"]
    assert not found["strays"]


@pytest.mark.parametrize("body", ["JSON", "stream"])
@pytest.mark.parametrize("client", _PRESENT)
def test_any_other_host_is_refused_and_recorded_without_a_look_up(
    heard: dict[str, Any], client: str, body: str
) -> None:
    found = heard[client][f"stray {body}"]
    assert found["kinds"]
    assert found["tokens"] == 0
    assert not found["heard"]
    assert {tuple(stray) for stray in found["strays"]} == {
        ("gateway.nobody-simulates.example", 443)
    }


def test_a_socket_that_goes_past_us_is_stopped(heard: dict[str, Any]) -> None:
    found = heard["raw socket"]
    assert found["raised"]
    assert not found["heard"]
