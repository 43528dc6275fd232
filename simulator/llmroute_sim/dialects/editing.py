"""Changing what an answer says of itself, after it was rendered: a JSON body or the event of a
stream, read, changed and written again."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Any

from llmroute_sim.dialects.bodies import encoded
from llmroute_sim.wire import Data

__all__ = ("Change", "changed", "opened")

Change = Callable[[MutableMapping[str, Any]], bool]
"""Changes an object in place and says whether it did."""

_DATA = b"data: "


def opened(data: Data) -> dict[str, Any] | None:
    """The object in a segment, if it holds one."""
    found = _found(data)
    return None if found is None else found[1]


def changed(data: Data, change: Change) -> Data:
    """The segment with its object changed; the very same if it holds none, or nothing in it did."""
    place = _found(data)
    if place is None:
        return data
    text, found = place
    if not change(found):
        return data
    start = data.body.rindex(text)
    written = encoded(json.dumps(found, ensure_ascii=False, separators=(",", ":")))
    return replace(data, body=data.body[:start] + written + data.body[start + len(text) :])


def _found(data: Data) -> tuple[bytes, dict[str, Any]] | None:
    """The JSON of a segment, as it is written and as the object it is."""
    start = 0
    if data.part != "body":
        start = data.body.find(_DATA) + len(_DATA)
        if start < len(_DATA):
            return None
    text = data.body[start:].rstrip(b"\n")
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return (text, found) if isinstance(found, dict) else None
