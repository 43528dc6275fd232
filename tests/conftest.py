from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

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
