"""What OpenAI's endpoints read, and how they word what they refuse.

Wordings as reported in public issues; fields: https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects.bodies import digest, remembered
from llmroute_sim.dialects.openai_fields import (
    ANSWER_IGNORES,
    absent,
    absent_or_mistyped,
    boolean,
    check_range,
    fields_in,
    invalid,
    listed,
    mistyped,
    positive,
    stops,
    unknown,
    unsupported,
    wants_usage,
)
from llmroute_sim.dialects.openai_inputs import completions, embeddings
from llmroute_sim.dialects.openai_schemas import wanted
from llmroute_sim.dialects.openai_tools import check_order, offered
from llmroute_sim.prompt import Operation, Prompt
from llmroute_sim.tokens import PER_MESSAGE, PER_PART, count

__all__ = ("parse",)

_USUAL = ANSWER_IGNORES | frozenset(
    ("model", "messages", "audio", "frequency_penalty", "logit_bias", "max_completion_tokens",
     "max_tokens", "modalities", "moderation", "prediction", "presence_penalty",
     "reasoning_effort", "seed", "temperature", "top_p", "verbosity", "web_search_options")
)  # fmt: skip
"""Fields of which a prompt knows nothing, or that every prompt has."""

_CHAT = _USUAL | frozenset(
    ("function_call", "functions", "logprobs", "n", "parallel_tool_calls", "response_format",
     "stop", "tool_choice", "tools", "top_logprobs")
)  # fmt: skip

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}  # fmt: skip


@remembered
def parse(body: bytes, operation: Operation) -> Prompt:
    """Understand the body of a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
    fields = fields_in(body)
    model = fields.get("model")
    if not model:
        raise invalid("you must provide a model parameter")
    if type(model) is not str:
        raise mistyped("model", "a string", model)
    if not _RANGES.keys().isdisjoint(fields):
        for name, (low, high) in _RANGES.items():
            check_range(name, fields.get(name), low, high)
    match operation:
        case "embeddings":
            return embeddings(model, fields)
        case "completions":
            return completions(model, fields)
        case _:
            return _chat(model, fields)


def _chat(model: str, fields: Mapping[str, Any]) -> Prompt:
    texts: list[str] = []
    messages = fields.get("messages")
    if type(messages) is not list:
        raise absent_or_mistyped(fields, "messages", "an array of objects")
    if not messages:
        raise invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            "messages",
            "empty_array",
        )
    parts = 0
    with_tools = False
    for number, message in enumerate(messages):
        parts += _read_message(message, number, texts)
        with_tools = with_tools or message["role"] == "tool" or "tool_calls" in message
    if with_tools:
        check_order(messages)
    beside = {} if fields.keys() <= _USUAL else _beside(fields, texts, messages[-1]["role"])
    stream = boolean(fields, "stream")
    return Prompt(
        "chat",
        model,
        tuple(texts),
        count("\n".join(texts)) + PER_MESSAGE * len(messages) + PER_PART * parts,
        digest("chat", fields, ANSWER_IGNORES),
        stream,
        stream and wants_usage(fields),
        positive(fields, "max_completion_tokens") or positive(fields, "max_tokens"),
        # Chats never show what was thought.
        thinking=None if fields.get("reasoning_effort") in (None, "none") else "hidden",
        **beside,
    )


def _beside(fields: Mapping[str, Any], texts: list[str], last: str) -> dict[str, Any]:
    """What only some prompts have."""
    offer = offered(fields, texts)
    as_json, schema = wanted(fields.get("response_format"), texts)
    return {
        "tools": offer.tools,
        "may_call": offer.may and last == "user",
        "must_call": offer.must,
        "n": positive(fields, "n", most=128) or 1,
        "parallel": offer.parallel,
        "as_function": offer.as_function,
        "json": as_json,
        "schema": schema,
        "stop": stops(fields),
        "logprobs": _logprobs(fields),
        "unknown": unknown(fields, _CHAT),
    }


def _read_message(message: Any, number: int, texts: list[str]) -> int:
    """Add the text of a message, and of the tool calls in it. The number of its parts that are not
    text."""
    where = f"messages[{number}]"
    if type(message) is not dict:
        raise mistyped(where, "an object", message)
    role, content = message.get("role"), message.get("content")
    if type(role) is not str or role not in _ROLES:
        raise _unknown_role(message, where)
    parts = 0
    if type(content) is str:
        texts.append(content)
    elif type(content) is list:
        for position, part in enumerate(content):
            if type(part) is not dict:
                raise mistyped(f"{where}.content[{position}]", "an object", part)
            text = part.get("text", part.get("refusal"))
            if type(text) is str:
                texts.append(text)
            else:
                parts += 1
    elif content is not None:
        raise mistyped(f"{where}.content", "one of a string or array of objects", content)
    elif role != "assistant":
        raise invalid(
            "Invalid value for 'content': expected a string, got null.",
            f"messages.[{number}].content",
        )
    if role == "assistant":
        _read_calls(message, where, texts)
    return parts


def _read_calls(message: Mapping[str, Any], where: str, texts: list[str]) -> None:
    calls = message.get("tool_calls") or ()
    if type(calls) is not list and calls != ():
        raise mistyped(f"{where}.tool_calls", "an array of objects", calls)
    for position, call in enumerate(calls):
        if type(call) is not dict:
            raise mistyped(f"{where}.tool_calls[{position}]", "an object", call)
        _read_call(call.get("function", call.get("custom")), texts)
    _read_call(message.get("function_call"), texts)


def _read_call(called: Any, texts: list[str]) -> None:
    if type(called) is dict:
        texts += (t for t in map(called.get, ("name", "arguments", "input")) if type(t) is str)


def _logprobs(fields: Mapping[str, Any]) -> int | None:
    """How many alternatives to each token are to be told; None if not even the token's own."""
    alternatives = positive(fields, "top_logprobs", most=20, least=0)
    if boolean(fields, "logprobs"):
        return alternatives or 0
    if alternatives is not None:
        raise invalid(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
            "top_logprobs",
        )
    return None


def _unknown_role(message: Mapping[str, Any], where: str) -> Exception:
    role = message.get("role")
    if role is None:
        return absent(f"{where}.role")
    if type(role) is not str:
        return mistyped(f"{where}.role", "a string", role)
    return unsupported(role, listed(list(_ROLES)), f"{where}.role")
