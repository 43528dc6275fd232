"""How a simulated model answers a prompt, and at what pace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llmroute_sim import tokens
from llmroute_sim.prompt import Answer, Finish, Prompt, ToolCall, Usage
from llmroute_sim.prose import Author, vector
from llmroute_sim.wire import Data, Event, Framing, Head, Wait

__all__ = ("Pace", "paced", "say")

_DIMENSIONS = 256
"""Numbers in an embedding whose size was not asked for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast models answer when nothing is wrong: seconds to the first token, and per token."""

    first_token: float = 0.0
    token: float = 0.0


def say(prompt: Prompt, author: Author, created: int, stated: Usage | None) -> Answer:
    """What the model says: vectors, a call of a tool, or eight to twenty-three words.

    ``stated`` is what the answer is charged for, if not for what it has.
    """
    words: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    finish: Finish = "stop"
    if prompt.operation == "embeddings":
        length = prompt.dimensions or _DIMENSIONS
        vectors = tuple(vector(text, author.mark(), length) for text in prompt.texts)
    elif prompt.must_call or prompt.may_call:
        calls = (_tool_call(prompt, author),)
        finish = "tools"
    else:
        length = 8 + (author.draw(1)[0] & 0xF)
        if prompt.max_tokens is not None and prompt.max_tokens < length:
            length, finish = prompt.max_tokens, "length"
        words = author.write(length)
    if stated is None:
        spoken = len(words)
        for call in calls:
            spoken += tokens.count("".join(call.arguments)) + tokens.count(call.name)
        usage = Usage(prompt.tokens, spoken)
    else:
        usage = Usage(stated.input, 0) if vectors else stated
    identity = author.identity()
    return Answer(identity, created, prompt.model, words, finish, usage, calls, vectors)


def _tool_call(prompt: Prompt, author: Author) -> ToolCall:
    wanted = {tool.name: tool for tool in prompt.tools}
    tool = wanted.get(prompt.must_call or "", prompt.tools[0])
    arguments = json.dumps(_argument(tool.schema, author))
    half = len(arguments) // 2
    return ToolCall(author.identity(), tool.name, (arguments[:half], arguments[half:]))


def _argument(schema: Any, author: Author) -> object:
    """A value that a JSON Schema allows, carrying coined words where it allows words."""
    match schema:
        case {"enum": [first, *_]}:
            return first
        case {"const": value}:
            return value
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
            return _argument(first, author)
        case {"type": "object"} | {"properties": _}:
            properties = schema.get("properties", {})
            return {name: _argument(inner, author) for name, inner in properties.items()}
        case {"type": "array", "items": items}:
            return [_argument(items, author)]
        case {"type": "array"}:
            return []
        case {"type": "integer"}:
            return author.draw(1)[0]
        case {"type": "number"}:
            return author.draw(1)[0] / 4
        case {"type": "boolean"}:
            return True
        case {"type": "null"}:
            return None
        case _:
            return author.coin()


def paced(events: Iterator[Event], pace: Pace, length: int) -> Iterator[Event]:
    """The events of an answer of so many words, each when the model has come to it."""
    first = True
    for event in events:
        match event:
            case Head(framing=framing):
                whole = pace.first_token + (pace.token * length if framing is Framing.LENGTH else 0)
                yield Wait(whole)
            case Data(part="token"):
                if not first:
                    yield Wait(pace.token)
                first = False
        yield event
