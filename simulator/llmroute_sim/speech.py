"""How a simulated model answers a prompt, and at what pace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmroute_sim import tokens
from llmroute_sim.prompt import Answer, Choice, Finish, Prompt, ToolCall, Usage
from llmroute_sim.prose import Author, vector
from llmroute_sim.schemas import fitting
from llmroute_sim.wire import Data, Event, Framing, Head, Wait

__all__ = ("Pace", "paced", "say")

_DIMENSIONS = 256
"""Numbers in an embedding of a model that nobody knows, whose size was not asked for."""

_AT_ONCE = 3
"""Tools that a model calls in one answer, at most."""

_ROOM_TO_THINK = 64
"""Tokens that an answer may have before a model thinks first."""

_PIECE = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+\Z")
"""What counts as one token, with the space before it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast models answer when nothing is wrong: seconds to the first token, and per token."""

    first_token: float = 0.0
    token: float = 0.0


def say(prompt: Prompt, author: Author, created: int, stated: Usage | None) -> Answer:
    """What the model says: vectors, calls of tools, JSON, or eight to twenty-three words; as many
    answers as were asked for.

    ``stated`` is what the answer is charged for, if not for what it has.
    """
    if prompt.operation == "embeddings":
        return _vectors(prompt, author, created, stated)
    thinking = () if prompt.thinking is None else _thoughts(prompt, author)
    room = None if prompt.max_tokens is None else prompt.max_tokens - len(thinking)
    calls: tuple[ToolCall, ...] = ()
    others: tuple[Choice, ...] = ()
    sequence = None
    if not prompt.special:
        words, finish = _prose(author, room)
        spoken = len(words)
    else:
        first, *rest = choices = _choices(prompt, author, room)
        words, finish, calls, sequence = first.words, first.finish, first.calls, first.sequence
        others, spoken = tuple(rest), sum(_spoken(prompt, each) for each in choices)
    spoken += len(thinking)
    usage = Usage(prompt.tokens, spoken, len(thinking)) if stated is None else stated
    identity = author.identity()
    model = prompt.model
    return Answer(
        identity, created, model, words, finish, usage, calls, (), "", thinking, sequence, others
    )


def _vectors(prompt: Prompt, author: Author, created: int, stated: Usage | None) -> Answer:
    length = prompt.dimensions or _DIMENSIONS
    vectors = tuple(vector(text, author.mark(), length) for text in prompt.texts)
    usage = Usage(prompt.tokens if stated is None else stated.input, 0)
    return Answer(author.identity(), created, prompt.model, (), "stop", usage, vectors=vectors)


def _choices(prompt: Prompt, author: Author, room: int | None) -> list[Choice]:
    """The answers that are wanted: for text completions so many to each text."""
    count = prompt.n * len(prompt.texts) if prompt.operation == "completions" else prompt.n
    choices = [_choice(prompt, author, room, number) for number in range(count)]
    # Not every word that was coined on the way has been said.
    author.keep(" ".join(map(_text, choices)))
    return choices


def _thoughts(prompt: Prompt, author: Author) -> tuple[str, ...]:
    """What the model thinks before it answers, in words that tell nothing of where they came from.
    With little room it answers at once."""
    if prompt.max_tokens is not None and prompt.max_tokens < _ROOM_TO_THINK:
        return ()
    first, *rest = author.ramble(12 + (author.draw(1)[0] & 0x1F))
    return (first.lstrip(), *rest)


def _choice(prompt: Prompt, author: Author, room: int | None, number: int) -> Choice:
    if prompt.must_call or prompt.may_call:
        return Choice((), "tools", _tool_calls(prompt, author))
    if prompt.json or prompt.schema is not None:
        words, finish = _within(room, _json(prompt, author))
    else:
        words, finish = _prose(author, room)
    sequence = None
    if prompt.stop:
        words, sequence = _until(prompt.stop, words)
        finish = finish if sequence is None else "sequence"
    if prompt.echo:
        repeated = prompt.texts[number // prompt.n]
        words = (repeated, *(f" {word}" for word in words[:1]), *words[1:])
    return Choice(words, finish, sequence=sequence)


def _prose(author: Author, room: int | None) -> tuple[tuple[str, ...], Finish]:
    length = 8 + (author.draw(1)[0] & 0xF)
    if room is not None and room < length:
        return author.write(room), "length"
    return author.write(length), "stop"


def _within(room: int | None, words: tuple[str, ...]) -> tuple[tuple[str, ...], Finish]:
    if room is not None and room < len(words):
        return words[:room], "length"
    return words, "stop"


def _json(prompt: Prompt, author: Author) -> tuple[str, ...]:
    """The tokens of a JSON text: what the schema demands, or an object that says something."""
    if prompt.schema is None:
        value: object = {"answer": "".join(_prose(author, None)[0])}
    else:
        value = fitting(prompt.schema, author)
    return _pieces(json.dumps(value, ensure_ascii=False))


def _until(stop: tuple[str, ...], words: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The words before the first stop sequence, and which one it was; all if there is none."""
    text = "".join(words)
    found = [(place, each) for each in stop if (place := text.find(each)) >= 0]
    if not found:
        return words, None
    end, sequence = min(found)
    said = []
    for word in words:
        if end <= 0:
            break
        said.append(word[:end])
        end -= len(word)
    return tuple(said), sequence


def _tool_calls(prompt: Prompt, author: Author) -> tuple[ToolCall, ...]:
    """Calls of the tool that must be called, else of the first ones, each with what it takes."""
    named = {tool.name: tool for tool in prompt.tools}
    if (wanted := named.get(prompt.must_call or "")) is not None:
        chosen = [wanted]
    else:
        chosen = list(named.values())[: _AT_ONCE if prompt.parallel else 1]
    calls = []
    for tool in chosen:
        if tool.free:
            given = author.write(8)
        else:
            filled = fitting({"type": "object", **tool.schema}, author)
            given = _pieces(json.dumps(filled, ensure_ascii=False))
        calls.append(ToolCall(author.identity(), tool.name, given, tool.free))
    return tuple(calls)


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(_PIECE.findall(text))


def _text(choice: Choice) -> str:
    """All that a choice says, tools included."""
    return " ".join(["".join(choice.words), *("".join(call.arguments) for call in choice.calls)])


def _spoken(prompt: Prompt, choice: Choice) -> int:
    """The tokens of a choice. What it only repeats is not counted."""
    spoken = len(choice.words) - prompt.echo
    for call in choice.calls:
        spoken += tokens.count("".join(call.arguments)) + tokens.count(call.name)
    return spoken


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
