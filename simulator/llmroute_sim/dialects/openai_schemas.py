"""The form in which a request to OpenAI wants its answer: text, JSON, or JSON of a schema.

Fields and rules: https://platform.openai.com/docs/guides/structured-outputs; wordings as reported in
public issues, e.g. https://github.com/dottxt-ai/outlines/issues/844.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmroute_sim.dialects.bodies import canonical, kind_of
from llmroute_sim.dialects.openai_fields import absent, invalid, mistyped, unsupported

__all__ = ("check_strict", "described", "wanted")

_NAME = r"^[a-zA-Z0-9_-]+$"


def wanted(form: Any, texts: list[str]) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether the answer must be JSON, and of what schema. The model reads the schema too."""
    if form is None:
        return False, None
    if type(form) is not dict:
        raise mistyped("response_format", "an object", form)
    match form.get("type"):
        case "text":
            return False, None
        case "json_object":
            # Else a model may write white space until its tokens are used up.
            if not any("json" in text.lower() for text in texts):
                raise invalid(
                    "'messages' must contain the word 'json' in some form, to use "
                    "'response_format' of type 'json_object'.",
                    "messages",
                )
            return True, None
        case "json_schema":
            where = "response_format.json_schema"
            schema = described(form.get("json_schema"), where, "response_format", None)
            texts.append(canonical(schema))
            return True, schema
        case None:
            raise absent("response_format.type")
        case other:
            allowed = "'json_object', 'json_schema', and 'text'"
            raise unsupported(other, allowed, "response_format.type")


def described(form: Any, where: str, param: str, code: str | None) -> Mapping[str, Any]:
    """The schema in a description of it, which stands at ``where``. What is wrong with a strict one is
    said of ``param``, with ``code``."""
    if form is None:
        raise absent(where)
    if type(form) is not dict:
        raise mistyped(where, "an object", form)
    name = form.get("name")
    if name is None:
        raise absent(f"{where}.name")
    if type(name) is not str:
        raise mistyped(f"{where}.name", "a string", name)
    if not re.match(_NAME, name):
        raise invalid(
            f"Invalid '{where}.name': string does not match pattern. Expected a string that matches "
            f"the pattern '{_NAME}'.",
            f"{where}.name",
            "invalid_value",
        )
    schema = form.get("schema")
    if schema is None:
        schema = {"type": "object"}
    if type(schema) is not dict:
        raise mistyped(f"{where}.schema", "an object", schema)
    if form.get("strict") is True:
        check_strict(schema, f"response_format '{name}'", param, code)
    return schema


def check_strict(schema: Mapping[str, Any], what: str, param: str, code: str | None) -> None:
    """Raises :class:`Unreadable` unless a schema is one that answers can be held to: an object at
    its root, and every object closed and with all of its properties required."""
    if schema and "$ref" not in schema and schema.get("type") != "object":
        said = schema.get("type")
        named = f'"{said}"' if type(said) is str else "None" if said is None else kind_of(said)
        raise invalid(
            f"Invalid schema for {what}: schema must be a JSON Schema of 'type: \"object\"', got "
            f"'type: {named}'.",
            param,
            code,
        )
    if (flaw := _flaw(schema, ())) is not None:
        raise invalid(f"Invalid schema for {what}: {flaw}", param, code)


def _flaw(schema: Any, path: tuple[str, ...]) -> str | None:
    """What is wrong with a schema, and where."""
    if type(schema) is not dict:
        return None
    properties = schema.get("properties")
    if schema.get("type") == "object" or type(properties) is dict:
        if schema.get("additionalProperties") is not False:
            return (
                f"In context={path}, 'additionalProperties' is required to be supplied and to be "
                "false."
            )
        required = schema.get("required") or ()
        for name in properties if type(properties) is dict else ():
            if type(required) not in (list, tuple) or name not in required:
                return (
                    f"In context={path}, 'required' is required to be supplied and to be an array "
                    f"including every key in properties. Missing '{name}'."
                )
    for key, inner in _inside(schema):
        if (flaw := _flaw(inner, (*path, *key))) is not None:
            return flaw
    return None


def _inside(schema: Mapping[str, Any]) -> list[tuple[Sequence[str], Any]]:
    """The schemas within a schema, and how they are reached."""
    found: list[tuple[Sequence[str], Any]] = []
    for group in ("properties", "$defs", "definitions"):
        if type(named := schema.get(group)) is dict:
            found += [((group, name), inner) for name, inner in named.items()]
    if "items" in schema:
        found.append((("items",), schema["items"]))
    if type(options := schema.get("anyOf")) is list:
        found += [(("anyOf", str(number)), inner) for number, inner in enumerate(options)]
    return found
