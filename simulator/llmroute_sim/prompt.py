"""What is asked and what is said, in no provider's format: the values between a dialect and the
simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

__all__ = (
    "Answer",
    "Facts",
    "Finish",
    "Operation",
    "Prompt",
    "Refusal",
    "Tool",
    "ToolCall",
    "Usage",
)

Operation: TypeAlias = Literal["chat", "messages", "embeddings"]
"""What a request wants: OpenAI's chat completions, Anthropic's messages, or embeddings."""

Finish: TypeAlias = Literal["stop", "length", "tools"]
"""Why an answer ends: the model was done, ``max_tokens`` was reached, or a tool is to be called."""


Facts: TypeAlias = Mapping[str, str | int | float | Decimal]
"""What fills the message of a refusal."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; ``schema`` is the JSON Schema of its arguments."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request, understood.

    ``texts`` is all the text that the model reads, piece by piece (for embeddings: one piece per
    input); ``tokens`` its count as :mod:`llmroute_sim.tokens` counts. ``digest`` covers everything
    that the provider's answer may depend on, and nothing else. ``must_call`` names the tool that
    the request insists on (``"*"``: any), ``may_call`` says whether a tool may be called at all:
    there are tools, they are not forbidden, and the last word is the user's.
    """

    operation: Operation
    model: str
    texts: tuple[str, ...]
    tokens: int
    digest: str
    stream: bool = False
    wants_usage: bool = False
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    may_call: bool = False
    must_call: str | None = None
    dimensions: int | None = None
    base64: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What is charged for, in tokens."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model calls, its arguments in the pieces in which a stream sends them."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    ``id`` is a seeded suffix for the provider's own kind of id. ``words`` are the tokens of the
    text, each with the space before it where there is one, so that joining them gives the text.
    ``vectors`` answer embeddings. ``created`` is the wall time in seconds since 1970.
    """

    id: str
    created: int
    model: str
    words: tuple[str, ...]
    finish: Finish
    usage: Usage
    calls: tuple[ToolCall, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider says no. The dialect knows how that looks.

    ``kind`` is one of the kinds in the provider's error table, ``status`` overrides the table's.
    ``retry_after`` is the hint in seconds, sent in milliseconds when ``in_milliseconds``; None
    sends none. ``facts`` fill the message: ``model``, ``limit``, ``used``, ``requested``...
    """

    kind: str
    status: int | None = None
    retry_after: float | None = None
    in_milliseconds: bool = False
    facts: Facts = field(default_factory=dict)
