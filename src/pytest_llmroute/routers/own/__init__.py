"""Routers of the user's own: plain functions, and ``llmroute.toml`` to say which, and what they
promise."""

from __future__ import annotations

from pytest_llmroute.routers.own.added import AddedConfig
from pytest_llmroute.routers.own.config import NAME, OwnConfig, read

__all__ = ("NAME", "AddedConfig", "OwnConfig", "read")
