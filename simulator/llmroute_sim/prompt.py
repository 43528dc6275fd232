"""What is asked and what is said, in no provider's format: the values between a dialect and the
simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

__all__ = (
    "FREE",
    "Answer",
    "Choice",
    "Earlier",
    "Facts",
    "Finish",
    "Hint",
    "Operation",
    "Page",
    "Prompt",
    "Refusal",
    "Tool",
    "ToolCall",
    "Usage",
)

Operation: TypeAlias = Literal[
    "chat",
    "messages",
    "responses",
    "completions",
    "embeddings",
    "models",
    "model",
    "count_tokens",
]
"""What a request wants: OpenAI's chat completions, Anthropic's messages, OpenAI's responses, text
completions, embeddings; or what costs nothing: the list of models, one model, a count of tokens."""

FREE: frozenset[Operation] = frozenset(("models", "model", "count_tokens"))
"""Operations that no model answers: nothing is charged, and no quota of tokens is used."""

Finish: TypeAlias = Literal[
    "stop", "length", "tools", "sequence", "refusal", "filter", "pause", "window"
]
"""Why an answer ends: the model was done, ``max_tokens`` was reached, a tool is to be called, a stop
sequence came, the model will not answer, a filter withheld the rest, a long turn is interrupted, the
context window is full."""


Facts: TypeAlias = Mapping[str, str | int | float | Decimal]
"""What fills the message of a refusal."""

Hint: TypeAlias = Literal["seconds", "milliseconds", "date"]
"""How a refusal says when to come back: ``retry-after`` in seconds or as an HTTP date, or
``retry-after-ms``."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; ``schema`` is the JSON Schema of its arguments, unless
    they are ``free`` text."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    free: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: at most ``limit`` entries, after or before the one of an id."""

    limit: int
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """The answer that a conversation goes on from: the ``id`` of an :class:`Answer`, and what a
    provider says that does not keep one of that id."""

    id: str
    lost: Refusal


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request, understood.

    ``texts`` is all the text that the model reads, piece by piece (for embeddings: one piece per
    input); ``tokens`` its count as :mod:`llmroute_sim.tokens` counts. ``digest`` covers everything
    that the provider's answer may depend on, and nothing else. ``must_call`` names the tool that
    the request insists on (``"*"``: any), ``may_call`` says whether a tool may be called at all:
    there are tools, they are not forbidden, and the last word is the user's. ``tools`` are those
    that may be called, several at once if ``parallel``; with ``as_function`` in the older form that
    knows only one function.

    ``n`` is how many answers each text is to get, ``json`` whether one must be a JSON object and
    ``schema`` the JSON Schema that it must meet. ``stop`` are the texts at which the model must stop.
    ``thinking`` says whether the model thinks before it answers, and whether that is shown.
    ``logprobs`` is how many alternatives to each token are to be told, None where none were asked
    for. ``echo`` has a text completion begin with its prompt. ``page`` is which models to list.
    ``unknown`` is what a provider says that accepts no fields which the format does not have.

    ``earlier`` is the answer that it goes on from, if the provider is to remember that; ``kept`` has
    this one's answer remembered. ``drops`` says that what does not fit into the context window is
    left out. ``sealed`` has thoughts come sealed as well, to be sent back. ``repeated`` is what of
    the request an answer shows again, as the format writes it.
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
    n: int = 1
    parallel: bool = True
    as_function: bool = False
    json: bool = False
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()
    thinking: Literal["shown", "hidden"] | None = None
    logprobs: int | None = None
    echo: bool = False
    page: Page | None = None
    unknown: Refusal | None = None
    earlier: Earlier | None = None
    kept: bool = False
    drops: bool = False
    sealed: bool = False
    repeated: str = ""

    @property
    def features(self) -> tuple[str, ...]:
        """What is wanted besides words, in alphabetical order."""
        wanted = {
            "json": self.json,
            "schema": self.schema is not None,
            "thinking": self.thinking is not None,
            "tools": bool(self.tools),
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)

    @property
    def tells_usage(self) -> bool:
        """Whether its answer says what it is charged for: OpenAI's streams only say it if they are
        asked to."""
        told_when_asked = self.stream and self.operation in ("chat", "completions")
        return self.wants_usage or not told_when_asked

    @property
    def special(self) -> bool:
        """Whether more is wanted than one text: calls of tools, JSON, several answers, words that
        are repeated or at which the model stops."""
        return bool(
            self.may_call
            or self.must_call
            or self.stop
            or self.n > 1
            or self.json
            or self.schema is not None
            or self.operation == "completions"
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What is charged for, in tokens. ``thought`` are those of the output that were thoughts."""

    input: int
    output: int
    thought: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model calls, its arguments in the pieces in which a stream sends them;
    JSON, unless the tool takes ``free`` text."""

    id: str
    name: str
    arguments: tuple[str, ...]
    free: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several answers to a prompt; its fields are those of :class:`Answer`."""

    words: tuple[str, ...]
    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    refusal: str = ""
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    ``id`` is a seeded suffix for the provider's own kind of id. ``model`` is the name that the answer
    shows. ``words`` are the tokens of the
    text, each with the space before it where there is one, so that joining them gives the text.
    ``vectors`` answer embeddings. ``created`` is the wall time in seconds since 1970.

    ``refusal`` is what a model says that will not answer, ``thinking`` the tokens of what it thought
    before, ``sequence`` the stop sequence at which it stopped. ``others`` are the further answers
    where several were asked for.
    """

    id: str
    created: int
    model: str
    words: tuple[str, ...]
    finish: Finish
    usage: Usage
    calls: tuple[ToolCall, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    refusal: str = ""
    thinking: tuple[str, ...] = ()
    sequence: str | None = None
    others: tuple[Choice, ...] = ()

    @property
    def length(self) -> int:
        """The tokens that come one after the other; of several choices the longest says them."""
        said: tuple[Answer | Choice, ...] = (self, *self.others)
        return len(self.thinking) + max(
            len(each.words) + sum(len(call.arguments) for call in each.calls) for each in said
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider says no. The dialect knows how that looks.

    ``kind`` is one of the kinds in the provider's error table, ``status`` overrides the table's.
    ``retry_after`` is the hint in seconds, written as ``hint`` says, a text that is sent as it is, or
    None for none. ``facts`` fill the message: ``model``, ``limit``, ``used``, ``requested``...
    ``at`` is when this is said, in seconds since 1970.
    """

    kind: str
    status: int | None = None
    retry_after: float | str | None = None
    hint: Hint = "seconds"
    facts: Facts = field(default_factory=dict)
    at: float = 0.0
