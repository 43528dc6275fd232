"""What an application answered: the text, the finish reason and the vectors in whatever it returned.

Reads the shapes of the SDKs (OpenAI, Anthropic, their streams) and of frameworks above them, as
objects or as dictionaries, without importing any. What it does not know it reads by its ``repr``,
which is enough to tell where the words came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ("Heard", "hear")


@dataclass(frozen=True, slots=True)
class Heard:
    """The text of an answer, or of a piece of one; why it ended, where it says so; embeddings."""

    text: str = ""
    finish: str | None = None
    vectors: tuple[tuple[float, ...], ...] = ()


_NOTHING = Heard()


def hear(value: object) -> Heard:
    """Read an answer, or a piece of a streamed one."""
    match value:
        case None:
            return _NOTHING
        case str():
            return Heard(value)
        case bytes():
            return Heard(value.decode("utf-8", "replace"))
        case list() | tuple():
            return _together(map(hear, value))
    for reader in (_choices, _embeddings, _event, _message, _plain):
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
    vectors = tuple(vector for piece in heard for vector in piece.vectors)
    return Heard("".join(piece.text for piece in heard), finish, vectors)


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
    return Heard(said, _word(_get(choice, "finish_reason")))


def _spoken(message: object) -> str:
    """The words of a message: its content or its refusal, and what it calls tools with."""
    said = _content(_get(message, "content")) + _content(_get(message, "refusal"))
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
    for name in ("text", "thinking"):
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
    kind = _get(value, "type")
    if not isinstance(kind, str):
        return None
    delta = _get(value, "delta")
    if isinstance(delta, str):
        return Heard(delta)
    if delta is not None:
        pieces = (_get(delta, name) for name in ("text", "partial_json", "thinking"))
        said = next((piece for piece in pieces if isinstance(piece, str)), "")
        return Heard(said, _word(_get(delta, "stop_reason")))
    # The others open or close something, or say again what the deltas have said.
    told_again = kind.startswith(("response.", "message_", "content_block_"))
    return _NOTHING if told_again or _get(value, "snapshot") is not None else None


def _message(value: object) -> Heard | None:
    """One message: Anthropic's, LangChain's, or a bare one of OpenAI's."""
    if not isinstance(_get(value, "content"), str | bytes | list | tuple):
        return None
    reasons = (_get(value, name) for name in ("stop_reason", "finish_reason"))
    finish = next((word for reason in reasons if (word := _word(reason))), None)
    if finish is None:
        finish = _word(_get(_get(value, "response_metadata"), "finish_reason"))
    return Heard(_spoken(value), finish)


def _plain(value: object) -> Heard | None:
    """Whatever else calls its words by a usual name."""
    finish = _word(_get(value, "finish_reason"))
    for name in ("output_text", "text", "answer", "output", "message"):
        inner = _get(value, name)
        if isinstance(inner, str):
            return Heard(inner, finish)
        if name in ("output", "message", "answer") and inner is not None and not callable(inner):
            heard = hear(inner)
            return Heard(heard.text, heard.finish or finish, heard.vectors)
    return None
