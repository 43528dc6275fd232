"""What a JSON Schema is about, and what several of them demand together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

__all__ = ("Schema", "conjoined", "kind_of")

Schema: TypeAlias = Mapping[str, Any]

_LARGEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_SMALLEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_OBJECT = ("properties", "required", "additionalProperties", "patternProperties", "minProperties")
_ARRAY = ("items", "prefixItems", "minItems", "contains", "uniqueItems")
_NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def kind_of(schema: Schema) -> str:
    """The type of a value: the first one that is not null where there are several, and what the
    other keywords speak of where none is named."""
    match schema.get("type"):
        case str(name):
            return name
        case [*names] if names:
            return str(next((name for name in names if name != "null"), "null"))
    for name, keys in (("object", _OBJECT), ("array", _ARRAY), ("number", _NUMBER)):
        if any(key in schema for key in keys):
            return name
    return "string"


def conjoined(schema: Schema, parts: Iterable[Any]) -> Schema:
    """What several schemas demand together."""
    for part in parts:
        if isinstance(part, Mapping):
            schema = _merged(schema, part)
        elif part is False:
            schema = {**schema, "enum": []}
    return schema


def _merged(one: Schema, other: Schema) -> Schema:
    """What two schemas demand together, as far as one schema can say it."""
    both = dict(one)
    for key, value in other.items():
        mine: Any = both.get(key)
        if key not in both:
            both[key] = value
        elif isinstance(mine, Mapping) and isinstance(value, Mapping):
            inner = key in ("properties", "patternProperties", "$defs", "definitions")
            both[key] = _side_by_side(mine, value) if inner else _merged(mine, value)
        elif key == "required":
            both[key] = list(dict.fromkeys([*mine, *value]))
        elif key == "enum":
            both[key] = [each for each in mine if each in value]
        elif key in ("allOf", "prefixItems"):
            both[key] = [*mine, *value]
        elif key in _LARGEST and not isinstance(value, bool):
            both[key] = max(mine, value)
        elif key in _SMALLEST and not isinstance(value, bool):
            both[key] = min(mine, value)
        elif key == "type":
            both[key] = _common(mine, value)
        elif mine is not False:
            both[key] = value
    return both


def _side_by_side(mine: Schema, others: Schema) -> Schema:
    """Named schemas of two origins; what both name is demanded twice."""
    return {
        name: conjoined({}, [mine[name], others[name]])
        if name in mine and name in others
        else mine.get(name, others.get(name))
        for name in dict.fromkeys([*mine, *others])
    }


def _common(one: Any, other: Any) -> Any:
    """The types that two schemas both allow."""
    mine = [one] if isinstance(one, str) else list(one)
    others = [other] if isinstance(other, str) else list(other)
    found = [name for name in mine if name in others]
    if "integer" in mine + others and "number" in mine + others and "integer" not in found:
        found.append("integer")
    return found or mine
