from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from llmroute_sim.clock import Clock
    from pytest_llmroute.routers.litellm import LiteLLMConfig
    from scripted import Script

# How long an example takes says nothing here: the machine may be busy.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("patient"), derandomize=True)
settings.load_profile("same" if os.environ.get("CI") else "patient")

sys.path.insert(0, str(Path(__file__).parent))

# httpx loads it when a client is made, and remembers its exceptions for good. If that is in a run of
# pytest inside of a test, the module is forgotten with the run, and the next client has another one,
# whose exceptions nobody translates.
for transport in ("httpcore", "httpcore2"):
    if importlib.util.find_spec(transport) is not None:
        importlib.import_module(transport)

if sabotaged := os.environ.get("LLMROUTE_SABOTAGE"):
    import sabotage

    sabotage.apply(sabotaged)


@pytest.fixture(autouse=True)
def _no_keys_from_outside(monkeypatch):
    """What the developer's shell has set must not change what a test sees."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_API_BASE")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
        if name.startswith("GITHUB_"):
            monkeypatch.delenv(name)


# Imported where it is used: what is sabotaged must be so before anybody has a copy.


@pytest.fixture
def door() -> Script:
    """A simulator that answers by script."""
    from scripted import Script

    return Script()


@pytest.fixture
def clock(door: Script) -> Iterator[Clock]:
    """The clock of a world in which only the script answers."""
    from llmroute_sim.carriers.memory import in_memory
    from llmroute_sim.clock import Clock

    clock = Clock()
    with in_memory(door, clock):
        yield clock


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], LiteLLMConfig]:
    """Read the text of a LiteLLM file."""
    from pytest_llmroute.routers import litellm

    def read(text: str) -> LiteLLMConfig:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        config = litellm.read(path)
        assert config is not None
        return config

    return read
