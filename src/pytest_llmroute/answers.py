"""What an application answered: the text, the finish reason, the vectors, the usage and the name of the
model in whatever it returned.

Reads the shapes of the SDKs (OpenAI, Anthropic, their streams) and of frameworks above them, as
objects or as dictionaries, without importing any. What it does not know it reads by its ``repr``,
which is enough to tell where the words came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from typing import Any

from pytest_llmroute.routers import Reply

__all__ = ("Heard", "hear", "take")


@dataclass(frozen=True, slots=True)
class Heard:
    """The text of an answer, or of a piece of one; why it ended, where it says so (``ends``: it has a
    place for that, so that to say nothing there says something too); embeddings; and what it says of
    its tokens, its model and its cost (USD)."""

    text: str = ""
    finish: str | None = None
    vectors: tuple[tuple[float, ...], ...] = ()
    ends: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str | None = None
    cost: Decimal | None = None


_NOTHING = Heard()


def take(reply: Reply, heard: Heard) -> None:
    """Add to a reply what was heard of it. Usage that is stated again and again grows, or is stated in
    part (some say the prompt's tokens first and the answer's last), so the largest counts."""
    reply.add(heard.text)
    reply.vectors += map(list, heard.vectors)
    if heard.finish is not None:
        reply.finish = heard.finish
    elif reply.finish is None and heard.ends:
        reply.finish = ""
    reply.tokens_in = _most((reply.tokens_in, heard.tokens_in))
    reply.tokens_out = _most((reply.tokens_out, heard.tokens_out))
    reply.model = heard.model or reply.model
    reply.cost = reply.cost if heard.cost is None else heard.cost


def hear(value: object) -> Heard:
    """Read an answer, or a piece of a streamed one."""
    if value is None or isinstance(value, str | bytes | list | tuple):
        return _said(value)
    heard = _said(value)
    # What an event tells of the whole answer stands in the answer that it carries.
    inside = (_get(value, name) for name in ("response", "message"))
    told = [value, *(each for each in inside if each is not None)]
    usages = [_usage(each) for each in told]
    return replace(
        heard,
        tokens_in=_most((heard.tokens_in, *(tokens for tokens, _ in usages))),
        tokens_out=_most((heard.tokens_out, *(tokens for _, tokens in usages))),
        model=heard.model or next(filter(None, map(_model, told)), None),
        cost=heard.cost if (cost := _cost(value)) is None else cost,
    )


def _said(value: object) -> Heard:
    """The words of an answer, and how it ended."""
    match value:
        case None:
            return _NOTHING
        case str():
            return Heard(value)
        case bytes():
            return Heard(value.decode("utf-8", "replace"))
        case list() | tuple():
            return _together(map(hear, value))
    for reader in (_choices, _embeddings, _event, _response, _message, _plain):
        heard = reader(value)
        if heard is not None:
            return heard
    return Heard(repr(value))


def _get(value: object, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def _word(value: object) -> str | None:
    """A finish reason: a string, or an enumeration of strings."""
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, str) and value else None


def _together(pieces: Iterable[Heard]) -> Heard:
    heard = list(pieces)
    finish = next((piece.finish for piece in reversed(heard) if piece.finish), None)
    return Heard(
        "".join(piece.text for piece in heard),
        finish,
        tuple(vector for piece in heard for vector in piece.vectors),
        any(piece.ends for piece in heard),
        _most(piece.tokens_in for piece in heard),
        _most(piece.tokens_out for piece in heard),
        next((piece.model for piece in reversed(heard) if piece.model), None),
        next((piece.cost for piece in reversed(heard) if piece.cost is not None), None),
    )


def _choices(value: object) -> Heard | None:
    """OpenAI's chat and text completions, whole or in chunks."""
    choices = _get(value, "choices")
    if not isinstance(choices, list | tuple):
        return None
    return _together(map(_choice, choices))


def _choice(choice: object) -> Heard:
    message = _get(choice, "message") or _get(choice, "delta")
    text = _get(choice, "text")
    said = text if isinstance(text, str) else _spoken(message)
    return Heard(said, _word(_get(choice, "finish_reason")), ends=True)


def _spoken(message: object) -> str:
    """The words of a message: what was thought before, its content or its refusal, and what it calls
    tools with."""
    said = _content(_get(message, "reasoning_content"))
    said += _content(_get(message, "content")) + _content(_get(message, "refusal"))
    calls = _get(message, "tool_calls")
    if isinstance(calls, list | tuple):
        for call in calls:
            said += _content(_get(_get(call, "function"), "arguments"))
            said += _content(_get(_get(call, "custom"), "input"))
    return said + _content(_get(_get(message, "function_call"), "arguments"))


def _content(content: object) -> str:
    match content:
        case str():
            return content
        case bytes():
            return content.decode("utf-8", "replace")
        case list() | tuple():
            return "".join(map(_block, content))
        case _:
            return ""


def _block(block: object) -> str:
    if isinstance(block, str):
        return block
    for name in ("text", "thinking", "refusal"):
        if isinstance(text := _get(block, name), str):
            return text
    if isinstance(inner := _get(block, "content"), list | tuple):
        return _content(inner)
    called = _get(block, "input")
    return "" if called is None else repr(called)


def _embeddings(value: object) -> Heard | None:
    data = _get(value, "data")
    if not isinstance(data, list | tuple) or not data:
        return None
    vectors = [_get(entry, "embedding") for entry in data]
    if not all(isinstance(vector, list | tuple) for vector in vectors):
        return None
    return Heard(vectors=tuple(tuple(map(float, vector)) for vector in vectors))


def _event(value: object) -> Heard | None:
    """Events of a stream: Anthropic's, and those of OpenAI's Responses API."""
    kind = _word(_get(value, "type"))
    if kind is None:
        return None
    ends = kind.startswith(("response.", "message_", "content_block_"))
    delta = _get(value, "delta")
    if isinstance(delta, str):
        return Heard(delta, ends=ends)
    if delta is not None:
        pieces = (_get(delta, name) for name in ("text", "partial_json", "thinking"))
        said = next((piece for piece in pieces if isinstance(piece, str)), "")
        return Heard(said, _word(_get(delta, "stop_reason")), ends=ends)
    if kind in _LAST:
        return Heard(finish=_word(_get(_get(value, "response"), "status")) or _LAST[kind])
    # The others open or close something, keep the line busy, or say again what the deltas have said.
    if ends or kind == "ping" or _get(value, "snapshot") is not None:
        return Heard(ends=ends)
    return None


_LAST = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
    "error": "error",
}
"""The events after which nothing comes, and how an answer ended of which nothing else tells."""


def _response(value: object) -> Heard | None:
    """One answer of OpenAI's Responses API."""
    items = _get(value, "output")
    if _get(value, "object") != "response" or not isinstance(items, list | tuple):
        return None
    return Heard("".join(map(_item, items)), _word(_get(value, "status")), ends=True)


def _item(item: object) -> str:
    """A message, a thought, or the call of a tool."""
    said = _content(_get(item, "summary")) + _content(_get(item, "content"))
    return said + _content(_get(item, "arguments")) + _content(_get(item, "input"))


def _message(value: object) -> Heard | None:
    """One message: Anthropic's, LangChain's, or a bare one of OpenAI's."""
    if not isinstance(_get(value, "content"), str | bytes | list | tuple):
        return None
    reasons = (_get(value, name) for name in _REASONS)
    finish = next((word for reason in reasons if (word := _word(reason))), None)
    if finish is None:
        finish = _word(_get(_get(value, "response_metadata"), "finish_reason"))
    return Heard(_spoken(value), finish, ends=any(_has(value, name) for name in _REASONS))


_REASONS = ("stop_reason", "finish_reason")


def _has(value: object, name: str) -> bool:
    return name in value if isinstance(value, Mapping) else hasattr(value, name)


def _plain(value: object) -> Heard | None:
    """Whatever else calls its words by a usual name."""
    finish = _word(_get(value, "finish_reason"))
    for name in ("output_text", "text", "answer", "output", "message"):
        inner = _get(value, name)
        if isinstance(inner, str):
            return Heard(inner, finish, ends=_has(value, "finish_reason"))
        if name in ("output", "message", "answer") and inner is not None and not callable(inner):
            heard = hear(inner)
            return replace(heard, finish=heard.finish or finish)
    return None


# -- what an answer says of itself

_IN = ("prompt_tokens", "input_tokens")
_OUT = ("completion_tokens", "output_tokens")
_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")


def _usage(value: object) -> tuple[int | None, int | None]:
    """The tokens of the prompt and of the answer; frameworks have names of their own for them. No
    tokens at all are none that were counted."""
    for name in ("usage", "usage_metadata"):
        usage = _get(value, name)
        if usage is not None and not callable(usage):
            found = (_tokens(usage, _IN, _CACHED), _tokens(usage, _OUT))
            return found if any(found) else (None, None)
    return (None, None)


def _tokens(usage: object, names: tuple[str, ...], beside: tuple[str, ...] = ()) -> int | None:
    """A number of tokens. Anthropic counts what was cached beside the other ``input_tokens``, and
    OpenAI among its ``prompt_tokens``."""
    for name in names:
        if isinstance(tokens := _get(usage, name), int):
            more = beside if name == "input_tokens" else ()
            others = [_get(usage, other) for other in more]
            return tokens + sum(other for other in others if isinstance(other, int))
    return None


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


def _model(value: object) -> str | None:
    """The model that it names."""
    told = _get(value, "response_metadata")
    return _word(_get(value, "model")) or _word(_get(told, "model_name"))


def _cost(value: object) -> Decimal | None:
    """What it says it cost: LiteLLM beside its answers, OpenRouter in the usage."""
    cost = _get(_get(value, "_hidden_params"), "response_cost")
    if cost is None:
        cost = _get(_get(value, "usage"), "cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float | Decimal):
        return None
    # A float, of which the digits behind the twelfth are dust.
    return Decimal(str(round(cost, 12)))
