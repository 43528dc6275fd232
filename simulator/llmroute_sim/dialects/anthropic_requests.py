"""What Anthropic's messages endpoint reads, and how it words what it refuses.

Wordings as reported in public issues; fields: https://platform.claude.com/docs/en/api/messages;
versions: https://platform.claude.com/docs/en/api/versioning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects import Unreadable
from llmroute_sim.dialects.bodies import canonical, digest, read, remembered
from llmroute_sim.prompt import Prompt, Refusal, Tool
from llmroute_sim.tokens import PER_MESSAGE, count

__all__ = ("parse",)

_ANSWER_IGNORES = frozenset(("stream", "metadata", "service_tier", "cache_control"))
"""Fields that change how an answer travels, what it costs or who asked, but not what it says."""

_SAMPLING = ("temperature", "top_p", "top_k")
_WITHOUT_SAMPLING = "2026-10-21"
"""The first API version that accepts no sampling parameters."""


@remembered
def parse(body: bytes, version: str | None) -> Prompt:
    """Understand the body of a request, sent with an ``anthropic-version``. Raises
    :class:`~llmroute_sim.dialects.Unreadable`."""
    try:
        fields = read(body)
    except ValueError as error:
        raise _invalid(f"The request body is not valid JSON: {error}") from None
    if type(fields) is not dict:
        raise _invalid("Input should be a valid dictionary or object to extract fields from")
    model = _required(fields, "model", str, "string")
    limit = _required(fields, "max_tokens", int, "integer")
    messages = _required(fields, "messages", list, "list")
    if not model:
        raise _invalid("model: String should have at least 1 character")
    if limit < 1:
        raise _invalid("max_tokens: must be greater than or equal to 1")
    if not messages:
        raise _invalid("messages: at least one message is required")
    _check_sampling(fields, version)
    texts: list[str] = []
    parts = len(messages)
    if system := fields.get("system"):
        # Counted as the message that it is in other dialects.
        parts += 1
        _read_content(system, "system", texts)
    answers_tool = False
    for number, message in enumerate(messages):
        answers_tool = _read_message(message, number, len(messages), texts)
    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    if fields.get("tools") is not None:
        tools = _tools(fields["tools"], texts)
        choice = _choice(fields.get("tool_choice"), tools)
    return Prompt(
        "messages",
        model,
        tuple(texts),
        count("\n".join(texts)) + PER_MESSAGE * parts,
        digest("messages", fields, _ANSWER_IGNORES),
        _boolean(fields, "stream"),
        True,
        limit,
        tools,
        bool(tools) and choice != "none" and messages[-1]["role"] == "user" and not answers_tool,
        None if choice == "none" else choice,
    )


def _read_message(message: Any, number: int, messages: int, texts: list[str]) -> bool:
    """Add the text of a message. Whether it brings the result of a tool."""
    where = f"messages.{number}"
    if type(message) is not dict:
        raise _invalid(
            f"{where}: Input should be a valid dictionary or object to extract fields from"
        )
    role = _required(message, "role", str, "string", f"{where}.")
    if role == "system":
        raise _invalid(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` '
            'parameter, not "system" as an input message role.'
        )
    if role not in ("user", "assistant"):
        raise _invalid(f"{where}.role: Input should be 'user' or 'assistant'")
    if "content" not in message:
        raise _invalid(f"{where}.content: Field required")
    content = message["content"]
    if not content and content is not None and not (role == "assistant" and number == messages - 1):
        raise _invalid(
            f"{where}: all messages must have non-empty content except for the optional final "
            "assistant message"
        )
    return _read_content(content, f"{where}.content", texts)


def _read_content(content: Any, where: str, texts: list[str]) -> bool:
    """Add the text of a string or of blocks. Whether one of them is the result of a tool."""
    if type(content) is str:
        texts.append(content)
        return False
    if type(content) is not list:
        raise _invalid(f"{where}: Input should be a valid string or list")
    answers_tool = False
    for number, block in enumerate(content):
        kind = block.get("type") if type(block) is dict else None
        place = f"{where}.{number}"
        match kind:
            case "text":
                text = _required(block, "text", str, "string", f"{place}.text.")
                if not text:
                    raise _invalid("messages: text content blocks must be non-empty")
                texts.append(text)
            case "tool_use":
                texts.append(_required(block, "name", str, "string", f"{place}.tool_use."))
                texts.append(canonical(block.get("input", {})))
            case "tool_result":
                answers_tool = True
                _read_result(block.get("content"), f"{place}.tool_result.content", texts)
            case "thinking":
                texts.append(_required(block, "thinking", str, "string", f"{place}.thinking."))
            case "document" if type(block.get("source")) is dict:
                if (
                    type(data := block["source"].get("data")) is str
                    and block["source"].get("type") == "text"
                ):
                    texts.append(data)
            case str():
                pass
            case None if type(block) is dict:
                raise _invalid(f"{place}.type: Field required")
            case _:
                raise _invalid(
                    f"{place}: Input should be a valid dictionary or object to extract fields from"
                )
    return answers_tool


def _read_result(content: Any, where: str, texts: list[str]) -> None:
    """Add the text that a tool gave, which may be none."""
    if type(content) is str:
        texts.append(content)
    elif type(content) is list:
        for block in content:
            if type(block) is dict and type(text := block.get("text")) is str:
                texts.append(text)
    elif content is not None:
        raise _invalid(f"{where}: Input should be a valid string or list")


def _tools(listed: Any, texts: list[str]) -> tuple[Tool, ...]:
    """The tools that the client runs; all definitions are read by the model, as JSON."""
    if type(listed) is not list:
        raise _invalid("tools: Input should be a valid list")
    tools = []
    for number, entry in enumerate(listed):
        if type(entry) is not dict:
            raise _invalid(
                f"tools.{number}: Input should be a valid dictionary or object to extract fields from"
            )
        name = _required(entry, "name", str, "string", f"tools.{number}.custom.")
        texts.append(canonical(entry))
        # A tool with another type is one of Anthropic's own, which has no schema to fill in.
        if entry.get("type", "custom") in ("custom", None):
            schema = _required(entry, "input_schema", dict, "dictionary", f"tools.{number}.custom.")
            tools.append(Tool(name, schema))
    return tuple(tools)


def _choice(choice: Any, tools: tuple[Tool, ...]) -> str | None:
    """``none``, ``*`` for any, a tool's name, or None where the model may choose."""
    match choice:
        case None | {"type": "auto"}:
            return None
        case {"type": "none"}:
            return "none"
        case {"type": "any"}:
            return "*"
        case {"type": "tool", "name": str(name)}:
            if all(tool.name != name for tool in tools):
                raise _invalid(f"tool_choice.tool: Tool '{name}' not found in provided tools")
            return name
        case {"type": "tool"}:
            raise _invalid("tool_choice.tool.name: Field required")
        case _:
            raise _invalid(
                "tool_choice: Input tag should be one of the expected tags: 'auto', 'any', 'tool', 'none'"
            )


def _check_sampling(fields: Mapping[str, Any], version: str | None) -> None:
    for name in _SAMPLING:
        if (value := fields.get(name)) is None:
            continue
        # Versions are dates, so their order is that of their letters.
        if version is not None and version >= _WITHOUT_SAMPLING:
            raise _invalid(f"{name}: Extra inputs are not permitted")
        if type(value) not in (int, float):
            raise _invalid(f"{name}: Input should be a valid number")
        if name != "top_k" and not 0 <= value <= 1:
            raise _invalid(f"{name}: range: 0..1")


def _boolean(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or type(value) is bool:
        return bool(value)
    raise _invalid(f"{name}: Input should be a valid boolean")


def _required(
    fields: Mapping[str, Any], name: str, kind: type, called: str, where: str = ""
) -> Any:
    if type(value := fields.get(name)) is kind:
        return value
    if name in fields:
        raise _invalid(f"{where}{name}: Input should be a valid {called}")
    raise _invalid(f"{where}{name}: Field required")


def _invalid(message: str) -> Unreadable:
    return Unreadable(Refusal("invalid_request", facts={"message": message}))
