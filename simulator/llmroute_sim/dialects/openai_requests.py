"""What OpenAI's chat completions and embeddings endpoints read, and how they word what they refuse.

Wordings as reported in public issues; fields: https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects import Unreadable
from llmroute_sim.dialects.bodies import canonical, digest, kind_of, read, remembered
from llmroute_sim.prompt import Operation, Prompt, Refusal, Tool
from llmroute_sim.tokens import PER_MESSAGE, count

__all__ = ("parse",)

_ANSWER_IGNORES = frozenset(
    ("stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier",
     "prompt_cache_key", "prompt_cache_retention", "encoding_format")
)  # fmt: skip
"""Fields that change how an answer travels, what it costs or who asked, but not what it says."""

_ROLES = frozenset(("system", "assistant", "user", "function", "tool", "developer"))
_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}  # fmt: skip
_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
    "valid JSON. If you have trouble figuring out how to fix this, please contact us through our "
    "help center at help.openai.com.)"
)


@remembered
def parse(body: bytes, operation: Operation) -> Prompt:
    """Understand the body of a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
    try:
        fields = read(body)
    except ValueError:
        raise _invalid(_NOT_JSON) from None
    if type(fields) is not dict:
        raise _invalid(_NOT_JSON)
    model = fields.get("model")
    if not model:
        raise _invalid("you must provide a model parameter")
    if type(model) is not str:
        raise _mistyped("model", "a string", model)
    return _embeddings(model, fields) if operation == "embeddings" else _chat(model, fields)


def _chat(model: str, fields: Mapping[str, Any]) -> Prompt:
    texts: list[str] = []
    messages = fields.get("messages")
    if type(messages) is not list:
        raise _absent_or_mistyped(fields, "messages", "an array of objects")
    if not messages:
        raise _invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            "messages",
            "empty_array",
        )
    for number, message in enumerate(messages):
        _read_message(message, number, texts)
    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    if fields.get("tools") is not None:
        tools = _tools(fields["tools"], texts)
        choice = _choice(fields.get("tool_choice"), tools)
    for name in _RANGES:
        if name in fields:
            _check_range(name, fields[name])
    stream = _boolean(fields, "stream")
    return Prompt(
        "chat",
        model,
        tuple(texts),
        count("\n".join(texts)) + PER_MESSAGE * len(messages),
        digest("chat", fields, _ANSWER_IGNORES),
        stream,
        stream and _wants_usage(fields.get("stream_options")),
        _positive(fields, "max_completion_tokens") or _positive(fields, "max_tokens"),
        tools,
        bool(tools) and choice != "none" and messages[-1]["role"] == "user",
        None if choice == "none" else choice,
    )


def _read_message(message: Any, number: int, texts: list[str]) -> None:
    """Add the text of a message, and of the tool calls in it."""
    where = f"messages[{number}]"
    if type(message) is not dict:
        raise _mistyped(where, "an object", message)
    role, content = message.get("role"), message.get("content")
    if type(role) is not str or role not in _ROLES:
        raise _unknown_role(message, where)
    if type(content) is str:
        texts.append(content)
    elif type(content) is list:
        for position, part in enumerate(content):
            if type(part) is not dict:
                raise _mistyped(f"{where}.content[{position}]", "an object", part)
            text = part.get("text", part.get("refusal"))
            if type(text) is str:
                texts.append(text)
    elif content is not None:
        raise _mistyped(f"{where}.content", "one of a string or array of objects", content)
    elif role != "assistant":
        raise _invalid(
            "Invalid value for 'content': expected a string, got null.",
            f"messages.[{number}].content",
        )
    calls = message.get("tool_calls") or ()
    if type(calls) is not list and calls != ():
        raise _mistyped(f"{where}.tool_calls", "an array of objects", calls)
    for position, call in enumerate(calls):
        if type(call) is not dict:
            raise _mistyped(f"{where}.tool_calls[{position}]", "an object", call)
        called = call.get("function", call.get("custom"))
        if type(called) is dict:
            texts += (t for t in map(called.get, ("name", "arguments", "input")) if type(t) is str)


def _tools(listed: Any, texts: list[str]) -> tuple[Tool, ...]:
    """The tools, whose definitions the model reads as JSON."""
    if type(listed) is not list:
        raise _mistyped("tools", "an array of objects", listed)
    tools = []
    for number, entry in enumerate(listed):
        if type(entry) is not dict:
            raise _mistyped(f"tools[{number}]", "an object", entry)
        kind = "custom" if entry.get("type") == "custom" else "function"
        definition = entry.get(kind)
        if type(definition) is not dict or not definition.get("name"):
            field = f"tools[{number}].{kind}" + (".name" if type(definition) is dict else "")
            raise _absent(field)
        if type(definition["name"]) is not str:
            raise _mistyped(f"tools[{number}].{kind}.name", "a string", definition["name"])
        schema = definition.get("parameters") or {}
        if type(schema) is not dict:
            raise _mistyped(f"tools[{number}].{kind}.parameters", "an object", schema)
        tools.append(Tool(definition["name"], schema))
        texts.append(canonical(definition))
    return tuple(tools)


def _choice(choice: Any, tools: tuple[Tool, ...]) -> str | None:
    """``none``, ``*`` for any, a tool's name, or None where the model may choose."""
    match choice:
        case None | "auto":
            return None
        case "none":
            return "none"
        case "required":
            return "*"
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode}}:
            return "*" if mode == "required" else None
        case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}}:
            if all(tool.name != name for tool in tools):
                raise _invalid(
                    f"Invalid value for 'tool_choice': tool '{name}' not found in 'tools'.",
                    "tool_choice",
                )
            return name
        case str():
            raise _invalid(
                f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
                "tool_choice",
                "invalid_value",
            )
        case _:
            raise _mistyped("tool_choice", "one of a string or object", choice)


def _embeddings(model: str, fields: Mapping[str, Any]) -> Prompt:
    match fields.get("input"):
        case None if "input" not in fields:
            raise _absent("input")
        case str(text) if text:
            texts = [text]
        case list(items) if items and all(type(item) is str and item for item in items):
            texts = items
        case list(items) if _are_tokens(items):
            texts = [_as_text(items)]
        case list(items) if items and all(type(i) is list and _are_tokens(i) for i in items):
            texts = [_as_text(item) for item in items]
        case _:
            raise _invalid(
                "'$.input' is invalid. Please check the API reference: "
                "https://platform.openai.com/docs/api-reference."
            )
    encoding = fields.get("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise _invalid(
            f"Invalid value: '{encoding}'. Supported values are: 'float' and 'base64'.",
            "encoding_format",
            "invalid_value",
        )
    return Prompt(
        "embeddings",
        model,
        tuple(texts),
        count("\n".join(texts)),
        digest("embeddings", fields, _ANSWER_IGNORES),
        dimensions=_positive(fields, "dimensions"),
        base64=encoding == "base64",
    )


def _are_tokens(items: list[Any]) -> bool:
    return bool(items) and all(type(item) is int and item >= 0 for item in items)


def _as_text(ids: list[int]) -> str:
    """Token ids as a text of as many tokens, since an id has fewer than nine digits."""
    return " ".join(map(str, ids))


def _wants_usage(options: Any) -> bool:
    if options is None:
        return False
    if type(options) is not dict:
        raise _mistyped("stream_options", "an object", options)
    return bool(options.get("include_usage"))


def _boolean(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or type(value) is bool:
        return bool(value)
    raise _mistyped(name, "a boolean", value)


def _positive(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise _mistyped(name, "an integer", value)
    if value < 1:
        raise _out_of_range(name, "integer", "below minimum", f">= 1, but got {value}")
    return value


def _check_range(name: str, value: Any) -> None:
    if value is None:
        return
    if type(value) not in (int, float):
        raise _mistyped(name, "a decimal", value)
    low, high = _RANGES[name]
    if value < low:
        raise _out_of_range(name, "decimal", "below minimum", f">= {low}, but got {value}")
    if value > high:
        raise _out_of_range(name, "decimal", "above maximum", f"<= {high}, but got {value}")


# -- wordings


def _invalid(message: str, param: str | None = None, code: str | None = None) -> Unreadable:
    facts = {"message": message, "param": param, "code": code}
    return Unreadable(
        Refusal("invalid_request", facts={k: v for k, v in facts.items() if v is not None})
    )


def _absent(param: str) -> Unreadable:
    return _invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _mistyped(param: str, expected: str, got: object) -> Unreadable:
    return _invalid(
        f"Invalid type for '{param}': expected {expected}, but got {kind_of(got)} instead.",
        param,
        "invalid_type",
    )


def _absent_or_mistyped(fields: Mapping[str, Any], param: str, expected: str) -> Unreadable:
    return _mistyped(param, expected, fields[param]) if param in fields else _absent(param)


def _out_of_range(param: str, kind: str, side: str, rest: str) -> Unreadable:
    return _invalid(
        f"Invalid '{param}': {kind} {side} value. Expected a value {rest} instead.",
        param,
        f"{kind}_{side.replace('imum', '').replace(' ', '_')}_value",
    )


def _unknown_role(message: Mapping[str, Any], where: str) -> Unreadable:
    role = message.get("role")
    if role is None:
        return _absent(f"{where}.role")
    if type(role) is not str:
        return _mistyped(f"{where}.role", "a string", role)
    return _invalid(
        f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', "
        "'function', 'tool', and 'developer'.",
        f"{where}.role",
        "invalid_value",
    )
