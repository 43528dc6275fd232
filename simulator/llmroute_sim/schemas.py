"""Values that a JSON Schema allows, with coined words wherever it allows words.

Every property is filled in, also where it need not be, and one entry of every list; where a schema
contains itself, as little as it allows. What only excludes (``not``) is not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from llmroute_sim.conjunction import Schema, conjoined, kind_of
from llmroute_sim.prose import Author
from llmroute_sim.scalars import choices, number, text, whole

__all__ = ("fitting",)

_MOST = 2_000
"""Values in one answer, lest a schema that contains itself twice is followed for ever."""


def fitting(schema: Schema, author: Author) -> object:
    """A value that a schema allows; something near where none can be found, and nothing at all where
    it is no schema."""
    try:
        return _Form(schema, author).value(schema, ())
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError):
        return {}  # the keywords hold what no schema has there
    except (RecursionError, re.error):
        return {}


class _Form:
    """One schema being filled in; ``trail`` are the references that led to a place in it."""

    def __init__(self, root: Schema, author: Author) -> None:
        self._root = root
        self._author = author
        self._left = _MOST

    def value(self, schema: Any, trail: tuple[str, ...]) -> object:
        """A value for a part of the schema."""
        self._left -= 1
        if self._left < 0:
            return None
        if not isinstance(schema, Mapping):
            return None if schema is False else self._author.coin()
        schema, trail = self._plain(schema, trail)
        if "const" in schema:
            return schema["const"]
        if few := schema.get("enum"):
            return few[self._author.draw(1)[0] % len(few)]
        match kind_of(schema):
            case "object":
                return self._object(schema, trail)
            case "array":
                return self._array(schema, trail)
            case "integer":
                return whole(schema, self._author)
            case "number":
                return number(schema, self._author)
            case "boolean":
                return self._author.draw(1)[0] % 2 == 0
            case "null":
                return None
            case _:
                return text(schema, self._author)

    def _plain(self, schema: Schema, trail: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """A schema without references and alternatives: what they come to is merged in."""
        for _ in range(32):
            rest = dict(schema)
            if (reference := rest.pop("$ref", None)) is not None:
                trail = (*trail, str(reference))
                schema = conjoined(self._found(str(reference)), [rest])
            elif parts := rest.pop("allOf", None):
                schema = conjoined(rest, parts)
            elif "if" in rest:
                # Meeting the condition is the one way that is known to be open.
                parts = [rest.pop("if"), rest.pop("then", {})]
                rest.pop("else", None)
                schema = conjoined(rest, parts)
            elif parts := rest.pop("dependentSchemas", None):
                schema = conjoined(rest, parts.values())
            elif options := rest.pop("anyOf", None) or rest.pop("oneOf", None):
                rest.pop("oneOf", None)
                schema = conjoined(rest, [self._chosen(options, trail)])
            else:
                return schema, trail
        return {}, trail

    def _chosen(self, options: list[Any], trail: tuple[str, ...]) -> Any:
        """The first alternative; where the schema contains itself, the one that leads out."""
        return min(options, key=_depth) if _again(trail) else options[0]

    def _found(self, reference: str) -> Schema:
        """What a reference within the document points at; anything where it points nowhere."""
        place: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                place = place[int(key)] if isinstance(place, list) else place[key]
            except (KeyError, IndexError, ValueError, TypeError):
                return {}
        return place if isinstance(place, Mapping) else {}

    def _object(self, schema: Schema, trail: tuple[str, ...]) -> dict[str, object]:
        known: Schema = schema.get("properties") or {}
        required = list(schema.get("required") or ())
        names = [*known, *(name for name in required if name not in known)]
        if _again(trail):
            names = [name for name in names if name in required]
        most = schema.get("maxProperties")
        if type(most) is int and len(names) > most:
            names = [name for name in names if name in required]
        filled = {name: self.value(self._property(schema, name), trail) for name in names}
        others = schema.get("additionalProperties", schema.get("patternProperties"))
        least = schema.get("minProperties") or 0
        if not names and others and not _again(trail) and most != 0:
            least = max(least, 1)
        for _ in range(64):
            if len(filled) >= least or (
                schema.get("additionalProperties") is False and not schema.get("patternProperties")
            ):
                break
            name = self._name(schema)
            filled[name] = self.value(self._property(schema, name), trail)
        return filled

    def _property(self, schema: Schema, name: str) -> Any:
        """What a property must be, as all that speaks of its name says."""
        found = [schema["properties"][name]] if name in (schema.get("properties") or {}) else []
        for pattern, inner in (schema.get("patternProperties") or {}).items():
            if re.search(pattern, name):
                found.append(inner)
        if not found:
            found = [schema.get("additionalProperties", True)]
        return conjoined({}, found) if len(found) > 1 else found[0]

    def _name(self, schema: Schema) -> str:
        """A name for a property that has none in the schema."""
        if patterns := schema.get("patternProperties"):
            return text({"pattern": next(iter(patterns))}, self._author)
        if names := schema.get("propertyNames"):
            return str(self.value({"type": "string", **names}, ()))
        return self._author.coin()

    def _array(self, schema: Schema, trail: tuple[str, ...]) -> list[object]:
        items = schema.get("items", True)
        first = list(schema.get("prefixItems") or ())
        if isinstance(items, list):  # as drafts before 2020-12 wrote tuples
            first, items = items, schema.get("additionalItems", True)
        least = schema.get("minItems") or 0
        most = schema.get("maxItems", 1 << 10)
        length = max(len(first), least, 0 if _again(trail) or items is False else 1)
        wanted = [*first, *[items] * (length - len(first))][: max(0, min(length, most))]
        if (contained := schema.get("contains")) is not None:
            count = schema.get("minContains", 1)
            room = max(count, len(wanted) - len(first))
            wanted[len(first) :] = [conjoined({}, [items, contained])] * count + [items] * (
                room - count
            )
        if schema.get("uniqueItems"):
            return self._different(wanted, trail)
        return [self.value(each, trail) for each in wanted]

    def _different(self, wanted: Iterable[Any], trail: tuple[str, ...]) -> list[object]:
        """A value for each, no two alike, as far as there are enough."""
        found: dict[str, object] = {}
        for each in wanted:
            for value in self._candidates(each, trail):
                if (key := json.dumps(value, sort_keys=True)) not in found:
                    found[key] = value
                    break
        return list(found.values())

    def _candidates(self, schema: Any, trail: tuple[str, ...]) -> Iterable[object]:
        """Values for one place: all there are if they are few, else some."""
        if isinstance(schema, Mapping):
            plain, _ = self._plain(schema, trail)
            if few := plain.get("enum"):
                return list(few)
            if kind_of(plain) == "boolean":
                return [True, False]
            if kind_of(plain) == "integer" and (numbers := choices(plain)):
                return numbers
        return (self.value(schema, trail) for _ in range(64))


def _again(trail: tuple[str, ...]) -> bool:
    """Whether a reference has led back to where it was."""
    return len(set(trail)) < len(trail)


def _depth(schema: Any) -> int:
    """How far an alternative leads on, as far as it shows."""
    if not isinstance(schema, Mapping):
        return 0
    if "$ref" in schema:
        return 3
    if any(key in schema for key in ("anyOf", "oneOf", "allOf")):
        return 2
    return 1 if kind_of(schema) in ("object", "array") else 0
