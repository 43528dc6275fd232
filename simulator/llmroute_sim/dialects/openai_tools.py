"""Tools in a request to OpenAI: what may be called, what must be, and the older functions.

Fields: https://platform.openai.com/docs/api-reference/chat/create; wordings as reported in public
issues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmroute_sim.dialects.bodies import canonical
from llmroute_sim.dialects.openai_fields import absent, boolean, invalid, mistyped, unsupported
from llmroute_sim.dialects.openai_schemas import check_strict
from llmroute_sim.prompt import Tool

__all__ = ("Offer", "check_order", "defined", "offered")


class Offer(NamedTuple):
    """The tools that may be called; ``must`` is the name of one that has to be, or ``*`` for any;
    ``may`` says whether any may be called at all."""

    tools: tuple[Tool, ...] = ()
    must: str | None = None
    may: bool = False
    parallel: bool = True
    as_function: bool = False


def offered(fields: Mapping[str, Any], texts: list[str]) -> Offer:
    """The tools of a request, whose definitions are added to the texts that the model reads."""
    if fields.get("tools") is not None:
        tools = _tools(fields["tools"], texts)
        tools, must = _choice(fields.get("tool_choice"), tools)
        parallel = fields.get("parallel_tool_calls") is None or boolean(
            fields, "parallel_tool_calls"
        )
        return Offer(
            tools, None if must == "none" else must, bool(tools) and must != "none", parallel
        )
    for name in ("tool_choice", "parallel_tool_calls"):
        if fields.get(name) is not None:
            raise invalid(
                f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.",
                name,
            )
    if fields.get("functions") is not None:
        listed = fields["functions"]
        if type(listed) is not list:
            raise mistyped("functions", "an array of objects", listed)
        tools = tuple(
            defined(entry, "function", f"functions[{number}]", texts)
            for number, entry in enumerate(listed)
        )
        must = _function_call(fields.get("function_call"), tools)
        may = bool(tools) and must != "none"
        return Offer(tools, None if must == "none" else must, may, False, True)
    return Offer()


def check_order(messages: Sequence[Mapping[str, Any]]) -> None:
    """Raises :class:`Unreadable` unless what tools gave follows the calls that asked for it."""
    waiting: list[str] = []
    for number, message in enumerate(messages):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                raise invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    f"messages.[{number}].role",
                )
            waiting.remove(message["tool_call_id"])
        elif waiting:
            raise _unanswered(waiting, number)
        elif message["role"] == "assistant":
            calls = message.get("tool_calls") or ()
            waiting = [call["id"] for call in calls if type(call.get("id")) is str]
    if waiting:
        raise _unanswered(waiting, len(messages))


def _unanswered(waiting: list[str], number: int) -> Exception:
    return invalid(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        f"{', '.join(waiting)}",
        f"messages.[{number}].role",
    )


def _tools(listed: Any, texts: list[str]) -> tuple[Tool, ...]:
    if type(listed) is not list:
        raise mistyped("tools", "an array of objects", listed)
    tools = []
    for number, entry in enumerate(listed):
        if type(entry) is not dict:
            raise mistyped(f"tools[{number}]", "an object", entry)
        kind = "custom" if entry.get("type") == "custom" else "function"
        where = f"tools[{number}].{kind}"
        if type(entry.get(kind)) is not dict:
            raise absent(where)
        tools.append(defined(entry[kind], kind, where, texts))
    return tuple(tools)


def defined(definition: Any, kind: str, where: str, texts: list[str]) -> Tool:
    """One definition, which the model reads as JSON."""
    if type(definition) is not dict:
        raise mistyped(where, "an object", definition)
    name = definition.get("name")
    if not name:
        raise absent(f"{where}.name")
    if type(name) is not str:
        raise mistyped(f"{where}.name", "a string", name)
    schema = definition.get("parameters") or {}
    if type(schema) is not dict:
        raise mistyped(f"{where}.parameters", "an object", schema)
    if definition.get("strict") is True:
        check_strict(
            schema, f"function '{name}'", f"{where}.parameters", "invalid_function_parameters"
        )
    texts.append(canonical(definition))
    return Tool(name, schema, kind == "custom")


def _choice(choice: Any, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], str | None]:
    """The tools that may be called, and ``none``, ``*`` for any, a tool's name, or None where the
    model may choose."""
    match choice:
        case None | "auto":
            return tools, None
        case "none":
            return tools, "none"
        case "required":
            return tools, "*"
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(listed)}}:
            names = [_name(entry) for entry in listed if type(entry) is dict]
            allowed = tuple(tool for tool in tools if tool.name in names)
            return allowed, "*" if mode == "required" else None
        case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}}:
            if all(tool.name != name for tool in tools):
                raise invalid(
                    f"Invalid value for 'tool_choice': tool '{name}' not found in 'tools'.",
                    "tool_choice",
                )
            return tools, name
        case str():
            raise unsupported(choice, "'none', 'auto', and 'required'", "tool_choice")
        case _:
            raise mistyped("tool_choice", "one of a string or object", choice)


def _name(entry: Mapping[str, Any]) -> object:
    named = entry.get("function", entry.get("custom"))
    return named.get("name") if type(named) is dict else entry.get("name")


def _function_call(choice: Any, tools: tuple[Tool, ...]) -> str | None:
    match choice:
        case None | "auto":
            return None
        case "none":
            return "none"
        case {"name": str(name)} if any(tool.name == name for tool in tools):
            return name
        case {"name": str(name)}:
            raise invalid(
                f"Invalid value for 'function_call': no function named '{name}' was specified in the "
                "'functions' parameter.",
                "function_call",
            )
        case str():
            raise unsupported(choice, "'none' and 'auto'", "function_call")
        case _:
            raise mistyped("function_call", "one of a string or object", choice)
