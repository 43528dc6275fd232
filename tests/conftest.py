from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says nothing here: the machine may be busy.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("patient"), derandomize=True)
settings.load_profile("same" if os.environ.get("CI") else "patient")

sys.path.insert(0, str(Path(__file__).parent))

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
