"""Recorded logs: what was asked of a router once, to be asked again with its sizes and its gaps.

One JSON object a line. Only figures and names are read, never what anybody said or a secret: a line
that has either is refused, so that a log is stripped before it is shared.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmroute_sim.reading import Check, count, labels, number, read, truth

__all__ = ("KEYS", "recorded")

_SAID = frozenset({
    "messages", "message", "prompt", "prompts", "input", "text", "content", "system", "answer",
    "response", "completion", "output", "choices", "body",
})  # fmt: skip
_SECRET = frozenset({
    "api_key", "apikey", "key", "authorization", "headers", "token", "secret", "password", "cookie",
})  # fmt: skip

_LONGEST = 90 * 86400.0
"""Seconds; a wait much longer than that counts as endless."""

_NAME = re.compile(r"[\w.:-]{1,64}")


def _moment(value: Any) -> float:
    """A time as seconds on some scale of its own."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except ValueError:
            raise ValueError("is neither a number of seconds nor a time of ISO 8601") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("is neither a number of seconds nor a time of ISO 8601")
    return float(value)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            "is not the name of a question: up to 64 letters, digits, dots, dashes, colons (a digest)"
        )
    return value


KEYS: Mapping[str, Check] = {
    "at": _moment,
    "tokens": count(1),
    "max-tokens": count(1),
    "temperature": number(),
    "stream": truth,
    "question": _name,
    "labels": labels,
    "leave-after": count(1),
}
"""What is read of a line, by the key that it stands under (with dashes or with underscores)."""

_OPTIONS = ("max-tokens", "temperature")


def recorded(name: str, text: str) -> list[dict[str, Any]]:
    """The calls of a log, as a scenario file would write them one by one. Times count from the
    earliest. Raises ``ValueError`` with file and line."""
    found = []
    for line, written in enumerate(text.splitlines(), start=1):
        if not written.strip():
            continue
        try:
            found.append(_call(written))
        except ValueError as error:
            raise ValueError(f"{name}:{line}: {error}") from error
    if not found:
        raise ValueError(f"{name}: holds no call")
    began, end = min(call["at"] for call in found), max(call["at"] for call in found)
    if end - began > _LONGEST:
        days = (end - began) / 86400
        raise ValueError(f"{name}: spans {days:.0f} days, and a log may span 90")
    for call in found:
        call["at"] = round(call["at"] - began, 6)
    return found


def _call(written: str) -> dict[str, Any]:
    try:
        entry = json.loads(written)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} (column {error.colno})") from error
    if not isinstance(entry, dict):
        raise ValueError("is not a JSON object")
    for key in entry:
        bare = key.lower().replace("-", "_")
        if bare in _SAID | _SECRET:
            what = "what was said" if bare in _SAID else "a secret"
            raise ValueError(
                f"{key!r} may hold {what}, which a log must not: leave it out"
                f" (what is read: {', '.join(KEYS)})"
            )
    said = read(entry, KEYS, "a recorded call")
    if "at" not in said:
        raise ValueError("a recorded call needs its time (at)")
    options = {key.replace("-", "_"): said.pop(key) for key in _OPTIONS if key in said}
    return {**said, "options": options}
