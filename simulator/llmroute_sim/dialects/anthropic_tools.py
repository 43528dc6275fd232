"""Tools in a request to Anthropic, and the form in which it wants its answer.

Fields: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview and
.../build-with-claude/structured-outputs; wordings as reported in public issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llmroute_sim.dialects.anthropic_fields import NO_OBJECT, boolean, invalid, required
from llmroute_sim.dialects.bodies import canonical
from llmroute_sim.prompt import Tool

__all__ = ("Offer", "offered", "wanted")


class Offer(NamedTuple):
    """The tools that may be called; ``must`` is the name of one that has to be, or ``*`` for any."""

    tools: tuple[Tool, ...] = ()
    must: str | None = None
    may: bool = False
    parallel: bool = True


def offered(fields: Mapping[str, Any], texts: list[str]) -> Offer:
    """The tools that the client runs; all definitions are added to the texts that the model reads."""
    if fields.get("tools") is None:
        if fields.get("tool_choice") is not None:
            raise invalid("tool_choice: may only be specified while providing tools")
        return Offer()
    listed = fields["tools"]
    if type(listed) is not list:
        raise invalid("tools: Input should be a valid list")
    tools = []
    for number, entry in enumerate(listed):
        if type(entry) is not dict:
            raise invalid(f"tools.{number}: {NO_OBJECT}")
        name = required(entry, "name", str, "string", f"tools.{number}.custom.")
        texts.append(canonical(entry))
        # A tool with another type is one of Anthropic's own, which has no schema to fill in.
        if entry.get("type", "custom") in ("custom", None):
            schema = required(entry, "input_schema", dict, "dictionary", f"tools.{number}.custom.")
            tools.append(Tool(name, schema))
    return _chosen(fields.get("tool_choice"), tuple(tools))


def _chosen(choice: Any, tools: tuple[Tool, ...]) -> Offer:
    match choice:
        case None | {"type": "auto" | "none" | "any"}:
            pass
        case {"type": "tool", "name": str(name)}:
            if all(tool.name != name for tool in tools):
                raise invalid(f"tool_choice.tool: Tool '{name}' not found in provided tools")
        case {"type": "tool"}:
            raise invalid("tool_choice.tool.name: Field required")
        case _:
            raise invalid(
                "tool_choice: Input tag should be one of the expected tags: 'auto', 'any', 'tool', 'none'"
            )
    if choice is None:
        return Offer(tools, None, bool(tools))
    kind = choice["type"]
    alone = boolean(choice, "disable_parallel_tool_use", f"tool_choice.{kind}.")
    must = {"any": "*", "tool": choice.get("name")}.get(kind)
    return Offer(tools, must if tools else None, bool(tools) and kind != "none", not alone)


def wanted(fields: Mapping[str, Any], texts: list[str]) -> Mapping[str, Any] | None:
    """The JSON Schema that the answer must meet, which the model reads too; None for a text."""
    config = fields.get("output_config")
    if config is not None and type(config) is not dict:
        raise invalid(f"output_config: {NO_OBJECT}")
    where = "output_config.format"
    form = config.get("format") if config else None
    if form is None:
        where, form = "output_format", fields.get("output_format")
    if form is None:
        return None
    if type(form) is not dict:
        raise invalid(f"{where}: {NO_OBJECT}")
    if form.get("type") != "json_schema":
        raise invalid(f"{where}.type: Input should be 'json_schema'")
    schema: Mapping[str, Any] = required(form, "schema", dict, "dictionary", f"{where}.")
    if (flaw := _flaw(schema)) is not None:
        raise invalid(f"{where}.schema: {flaw}")
    texts.append(canonical(schema))
    return schema


def _flaw(schema: Any) -> str | None:
    """What no answer could be held to: an object that is not closed."""
    if type(schema) is list:
        return next((flaw for flaw in map(_flaw, schema) if flaw), None)
    if type(schema) is not dict:
        return None
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties")
        if closed is None:
            return "For 'object' type, 'additionalProperties' must be explicitly set to false"
        if closed is not False:
            said = canonical(closed)
            return (
                f"For 'object' type, 'additionalProperties: {said}' is not supported. Please set "
                "'additionalProperties' to false"
            )
    inside = [schema.get(key) for key in ("items", "anyOf", "allOf", "prefixItems")]
    for key in ("properties", "$defs", "definitions"):
        if type(named := schema.get(key)) is dict:
            inside += named.values()
    return _flaw(inside)
