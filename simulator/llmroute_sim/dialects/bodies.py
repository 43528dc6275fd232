"""JSON as providers read and write it: strictly, once, and so that equal questions are equal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from json.encoder import encode_basestring
from typing import Any, TypeVar

from llmroute_sim.prompt import Prompt
from llmroute_sim.wire import Data, Event, Framing, Head, Headers

__all__ = (
    "canonical",
    "digest",
    "encoded",
    "kind_of",
    "pieces",
    "quoted",
    "read",
    "remembered",
    "whole",
)

_Seen = TypeVar("_Seen", bound=Hashable)

_PIECE = re.compile(r"\s*\S+|\s+\Z")


def _not_json(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_not_json).decode

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""A value as JSON in the one form that neither key order nor spacing changes."""

quoted = encode_basestring
"""A string as a JSON string, characters beyond ASCII left as they are."""


def read(body: bytes) -> Any:
    """A request body as the value it is. Raises ``ValueError`` saying why it is not JSON; Python's
    extensions of JSON (NaN, Infinity) are not."""
    try:
        return _decode(body.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def remembered(parse: Callable[[bytes, _Seen], Prompt]) -> Callable[[bytes, _Seen], Prompt]:
    """The same function of a body and what was seen beside it, which does not work twice for the
    same: routers retry. Long bodies are not kept."""
    known = lru_cache(maxsize=256)(parse)
    return lambda body, seen: known(body, seen) if len(body) <= 16_384 else parse(body, seen)


def encoded(text: str) -> bytes:
    """JSON text as bytes. Half a surrogate pair, which a client can send as an escape and UTF-8
    cannot carry, becomes the same escape again."""
    return text.encode("utf-8", "backslashreplace")


def pieces(text: str) -> list[str]:
    """A text in the pieces in which a stream sends it: word by word, with the space before."""
    return _PIECE.findall(text)


def digest(operation: str, body: Mapping[str, Any], without: Collection[str]) -> str:
    """32 hex digits that are equal exactly when two bodies ask for the same answer, whatever the
    order of their keys; ``without`` names the fields that no answer depends on."""
    if not body.keys().isdisjoint(without):
        body = {key: value for key, value in body.items() if key not in without}
    asked = canonical(body)
    return blake2b(asked.encode(), digest_size=16, person=operation.encode()).hexdigest()


def kind_of(value: object) -> str:
    """What a JSON value is, with its article, as error messages say it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case list():
            return "an array"
        case _:
            return "an object"


def whole(headers: Headers, text: str) -> Iterator[Event]:
    """An answer that is not streamed: JSON, under status 200."""
    body = encoded(text)
    yield Head(200, (("content-type", "application/json"), *headers), Framing.LENGTH, len(body))
    yield Data(body)
