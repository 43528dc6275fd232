"""Fields of a request to OpenAI's Responses API that only it has, and what an answer repeats of them.

Fields: https://platform.openai.com/docs/api-reference/responses/create; wordings as reported in
public issues.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from llmroute_sim.dialects.openai_fields import (
    boolean,
    invalid,
    listed,
    mistyped,
    positive,
    unsupported,
)
from llmroute_sim.prompt import Refusal

__all__ = ("UNASKED", "check", "includes", "repeated", "thinking", "unknown")

FIELDS = frozenset(
    ("model", "input", "access_programs", "background", "context_management", "conversation",
     "frequency_penalty", "image", "include", "instructions", "max_output_tokens",
     "max_tool_calls", "metadata", "moderation", "parallel_tool_calls", "presence_penalty",
     "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options",
     "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "stream",
     "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p",
     "truncation", "user")
)  # fmt: skip

_MOVED = {
    "messages": "input",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "functions": "tools",
    "function_call": "tool_choice",
}
"""Fields of chats, and where their like is here."""

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_VERBOSITIES = ("low", "medium", "high")
_INCLUDED = (
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url",
    "code_interpreter_call.outputs", "reasoning.encrypted_content",
    "message.output_text.logprobs",
)  # fmt: skip
_PAGE = "https://platform.openai.com/docs/api-reference/responses/create"


def check(fields: Mapping[str, Any]) -> None:
    """Raises :class:`Unreadable` for a field of which a prompt knows nothing and that is wrong."""
    _check_metadata(fields.get("metadata"))
    for name in ("user", "safety_identifier", "prompt_cache_key", "service_tier"):
        _text(fields.get(name), name)
    for name in ("background", "store"):
        boolean(fields, name)
    positive(fields, "max_tool_calls")
    _one_of(fields.get("truncation"), ("auto", "disabled"), "truncation")
    if fields.get("background"):
        raise invalid(
            "Unsupported parameter: 'background' is not supported with this model.",
            "background",
            "unsupported_parameter",
        )
    text = _object(fields.get("text"), "text")
    _one_of(text.get("verbosity"), _VERBOSITIES, "text.verbosity")


def _check_metadata(given: Any) -> None:
    metadata = _object(given, "metadata")
    if len(metadata) > 16:
        raise invalid(
            "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
            f"but got an object with {len(metadata)} properties instead.",
            "metadata",
            "object_above_max_properties",
        )
    for name, value in metadata.items():
        if type(value) is not str:
            raise mistyped(f"metadata.{name}", "a string", value)
        for what, text, most in (("key", name, 64), ("value", value, 512)):
            if len(text) > most:
                where = "metadata" if what == "key" else f"metadata.{name}"
                raise invalid(
                    f"Invalid '{where}': {'property name' if what == 'key' else 'string'} too long. "
                    f"Expected a string with maximum length {most}, but got a string with length "
                    f"{len(text)} instead.",
                    where,
                    "string_above_max_length",
                )


def includes(fields: Mapping[str, Any]) -> frozenset[str]:
    """What is to be told that usually is not."""
    given = fields.get("include")
    if given is None:
        return frozenset()
    if type(given) is not list:
        raise mistyped("include", "an array of strings", given)
    for number, name in enumerate(given):
        if name not in _INCLUDED:
            raise unsupported(name, listed(list(_INCLUDED)), f"include[{number}]")
    return frozenset(given)


def thinking(fields: Mapping[str, Any]) -> Literal["shown", "hidden"] | None:
    """Whether the model thinks before it answers, as one that is asked to make an effort does, and
    whether a summary of that is shown."""
    reasoning = _object(fields.get("reasoning"), "reasoning")
    effort, summary = reasoning.get("effort"), reasoning.get("summary")
    summary = reasoning.get("generate_summary") if summary is None else summary
    _one_of(effort, _EFFORTS, "reasoning.effort")
    _one_of(summary, _SUMMARIES, "reasoning.summary")
    if effort == "none" or (effort is None and summary is None):
        return None
    return "hidden" if summary is None else "shown"


def unknown(fields: Mapping[str, Any]) -> Refusal | None:
    """What OpenAI says to the first field that it does not have, and where it went if chats have it;
    None if there is none."""
    if fields.keys() <= FIELDS:
        return None
    name = next(name for name in fields if name not in FIELDS)
    if name in _MOVED:
        return invalid(
            f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to "
            f"'{_MOVED[name]}'. Try again with the new parameter. See the API documentation for more "
            f"information: {_PAGE}.",
            None,
            "unsupported_parameter",
        ).refusal
    return invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter").refusal


def repeated(fields: Mapping[str, Any]) -> str:
    """What an answer shows of its request again, as JSON without the braces; where the request says
    nothing, as it is then."""
    said = {name: value for name, value in fields.items() if value is not None}
    text = said.get("text") or {}
    reasoning = said.get("reasoning") or {}
    form = text.get("format") or {"type": "text"}
    if form.get("type") == "json_schema":
        form = {"description": None, "strict": False, **form}
    shown = {
        "instructions": said.get("instructions"),
        "max_output_tokens": said.get("max_output_tokens"),
        "max_tool_calls": said.get("max_tool_calls"),
        "parallel_tool_calls": said.get("parallel_tool_calls", True),
        "previous_response_id": said.get("previous_response_id"),
        "prompt_cache_key": said.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": said.get("safety_identifier"),
        "store": said.get("store", True),
        "temperature": said.get("temperature", 1.0),
        "text": {"format": form, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": said.get("tool_choice", "auto"),
        "tools": [_offered(tool) for tool in said.get("tools", ())],
        "top_logprobs": said.get("top_logprobs", 0),
        "top_p": said.get("top_p", 1.0),
        "truncation": said.get("truncation", "disabled"),
        "user": said.get("user"),
        "metadata": said.get("metadata", {}),
    }
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))[1:-1]


def _offered(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool with what is so unless it is said."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": {}, "strict": True, **tool}


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if type(value) is not dict:
        raise mistyped(name, "an object", value)
    found: Mapping[str, Any] = value
    return found


def _text(value: Any, name: str) -> None:
    if value is not None and type(value) is not str:
        raise mistyped(name, "a string", value)


def _one_of(value: Any, allowed: tuple[str, ...], name: str) -> None:
    if value is None:
        return
    if type(value) is not str:
        *most, last = (f"'{word}'" for word in allowed)
        raise mistyped(name, f"one of {', '.join(most)} or {last}", value)
    if value not in allowed:
        raise unsupported(value, listed(list(allowed)), name)


UNASKED = repeated({})
"""What an answer shows of a request that asks for nothing in particular."""
