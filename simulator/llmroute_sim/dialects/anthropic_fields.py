"""Fields of a request to Anthropic: reading them, and how Anthropic words what is wrong with them.

Wordings as reported in public issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects import Unreadable
from llmroute_sim.prompt import Refusal

__all__ = ("NO_OBJECT", "boolean", "invalid", "required", "unknown")

NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"


def boolean(fields: Mapping[str, Any], name: str, where: str = "") -> bool:
    """A field that is true or false; absent is false."""
    value = fields.get(name)
    if value is None or type(value) is bool:
        return bool(value)
    raise invalid(f"{where}{name}: Input should be a valid boolean")


def required(fields: Mapping[str, Any], name: str, kind: type, called: str, where: str = "") -> Any:
    """A field that must be there and of a kind, which is ``called`` so where it is not."""
    if type(value := fields.get(name)) is kind:
        return value
    if name in fields:
        raise invalid(f"{where}{name}: Input should be a valid {called}")
    raise invalid(f"{where}{name}: Field required")


def unknown(fields: Mapping[str, Any], known: frozenset[str]) -> Refusal | None:
    """What Anthropic says to fields that it does not have; None if there are none."""
    if fields.keys() <= known:
        return None
    name = next(name for name in fields if name not in known)
    return invalid(f"{name}: Extra inputs are not permitted").refusal


def invalid(message: str) -> Unreadable:
    """The request cannot be used, for a reason in words."""
    return Unreadable(Refusal("invalid_request", facts={"message": message}))
