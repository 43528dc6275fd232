"""Tools in a request to OpenAI's Responses API, and the form in which it wants its answer.

Fields: https://platform.openai.com/docs/api-reference/responses/create; wordings as reported in
public issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects.bodies import canonical
from llmroute_sim.dialects.openai_fields import absent, boolean, invalid, mistyped, unsupported
from llmroute_sim.dialects.openai_schemas import described
from llmroute_sim.dialects.openai_tools import Offer, defined
from llmroute_sim.prompt import Tool

__all__ = ("offered", "wanted")

_FORM = "text.format"


def offered(fields: Mapping[str, Any], texts: list[str]) -> Offer:
    """The tools that the client runs; all definitions are added to the texts that the model reads."""
    listed = fields.get("tools")
    choice = fields.get("tool_choice")
    parallel = fields.get("parallel_tool_calls") is None or boolean(fields, "parallel_tool_calls")
    if listed is not None and type(listed) is not list:
        raise mistyped("tools", "an array of objects", listed)
    tools: list[Tool] = []
    kinds: set[str] = set()
    for number, entry in enumerate(listed or ()):
        where = f"tools[{number}]"
        if type(entry) is not dict:
            raise mistyped(where, "an object", entry)
        kind = entry.get("type")
        if kind is None:
            raise absent(f"{where}.type")
        if type(kind) is not str:
            raise mistyped(f"{where}.type", "a string", kind)
        kinds.add(kind)
        if kind in ("function", "custom"):
            tools.append(defined(entry, kind, where, texts))
        else:
            # One of OpenAI's own, which nobody calls here.
            texts.append(canonical(entry))
    allowed, must = _choice(choice, tuple(tools), kinds)
    may = bool(allowed) and must != "none"
    return Offer(allowed, None if must == "none" or not may else must, may, parallel)


def _choice(
    choice: Any, tools: tuple[Tool, ...], kinds: set[str]
) -> tuple[tuple[Tool, ...], str | None]:
    """The tools that may be called, and ``none``, ``*`` for any, a tool's name, or None where the
    model may choose."""
    match choice:
        case None | "auto":
            return tools, None
        case "none":
            return tools, "none"
        case "required":
            if not kinds:
                raise invalid(
                    "Tool choice 'required' must be specified with 'tools' parameter.",
                    "tool_choice",
                )
            return tools, "*"
        case {"type": "allowed_tools", "mode": mode, "tools": list(entries)}:
            names = [entry.get("name") for entry in entries if type(entry) is dict]
            allowed = tuple(tool for tool in tools if tool.name in names)
            return allowed, "*" if mode == "required" else None
        case {"type": "function" | "custom" as kind, "name": str(name)}:
            if all(tool.name != name for tool in tools):
                raise _not_offered(kind)
            return tools, name
        case {"type": "function" | "custom"}:
            raise absent("tool_choice.name")
        case {"type": str(kind)}:
            if kind not in kinds:
                raise _not_offered(kind)
            return (), None
        case str():
            raise unsupported(choice, "'none', 'auto', and 'required'", "tool_choice")
        case _:
            raise mistyped(
                "tool_choice", "one of an object or 'none', 'auto' or 'required'", choice
            )


def _not_offered(kind: str) -> Exception:
    return invalid(
        f"Tool choice '{kind}' not found in 'tools' parameter.", "tool_choice", "invalid_value"
    )


def wanted(fields: Mapping[str, Any], texts: list[str]) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether the answer must be JSON, and of what schema. The model reads the schema too."""
    text = fields.get("text")
    if text is not None and type(text) is not dict:
        raise mistyped("text", "an object", text)
    form = text.get("format") if text else None
    if form is None:
        return False, None
    if type(form) is not dict:
        raise mistyped(_FORM, "an object", form)
    match form.get("type"):
        case "text":
            return False, None
        case "json_object":
            if not any("json" in piece.lower() for piece in texts):
                raise invalid(
                    "Response input messages must contain the word 'json' in some form to use "
                    f"'{_FORM}' of type 'json_object'.",
                    "input",
                )
            return True, None
        case "json_schema":
            schema = described(form, _FORM, f"{_FORM}.schema", "invalid_json_schema")
            texts.append(canonical(schema))
            return True, schema
        case None:
            raise absent(f"{_FORM}.type")
        case other:
            allowed = "'json_object', 'text', and 'json_schema'"
            raise unsupported(other, allowed, f"{_FORM}.type")
