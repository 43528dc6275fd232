"""Wire formats. A dialect parses a request into a prompt, and renders an answer or a refusal as its
provider would; it knows no fault, no clock and no history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from llmroute_sim.prompt import Answer, Operation, Prompt, Refusal
from llmroute_sim.providers import Model
from llmroute_sim.quotas import Room
from llmroute_sim.wire import Data, Event, Headers, Request

__all__ = ("Dialect", "Unreadable", "find")


class Unreadable(Exception):
    """The request is not one that the provider accepts; ``refusal`` is what it says to that."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.kind)
        self.refusal = refusal


class Dialect(Protocol):
    """One wire format."""

    @property
    def name(self) -> str:
        """What catalogue entries call it."""
        ...

    def operation(self, method: str, path: str) -> Operation | None:
        """What a method and path ask for, wherever the API is mounted; None if nothing we speak."""
        ...

    def key(self, request: Request) -> str | None:
        """The API key of a request, None if it carries none."""
        ...

    def parse(self, operation: Operation, request: Request) -> Prompt:
        """Understand a request. Raises :class:`Unreadable`."""
        ...

    def answer(self, prompt: Prompt, answer: Answer, headers: Headers) -> Iterator[Event]:
        """Render an answer as a head and its data, JSON or streamed as the prompt asks. ``headers``
        are the provider's own beside content-type: request id, limits, date."""
        ...

    def tell(self, prompt: Prompt, models: Sequence[Model], headers: Headers) -> Iterator[Event]:
        """Render what no model is needed for: a list of these models (or the one that was asked
        for), a count of tokens."""
        ...

    def refuse(self, refusal: Refusal, request_id: str, headers: Headers) -> Iterator[Event]:
        """Render a refusal as the provider's status, headers and body."""
        ...

    def refuse_midway(self, refusal: Refusal, request_id: str, *stream: Event) -> Data:
        """Render a refusal as an event inside a stream that began with 200. ``stream`` is the first
        event of it, and the one in place of which the error comes."""
        ...

    def error(self, refusal: Refusal, request_id: str, instead: Data | None = None) -> bytes:
        """Render a refusal as JSON on one line, in place of a body."""
        ...

    def garbled(self) -> bytes:
        """A malformed event of this format's streams."""
        ...

    def filler(self, before: Data, nth: int) -> bytes:
        """What this format's streams say while there is nothing to say, for the ``nth`` time (from 0)
        before an event."""
        ...

    def behind(self, data: Data, fillers: int) -> Data:
        """An event as it is when so many of these came before it."""
        ...

    def without_usage(self, data: Data) -> Data | None:
        """A segment of an answer without the tokens that were used; the very same if it tells none,
        None if nothing else is in it."""
        ...

    def with_finish(self, data: Data, reason: str | None) -> Data:
        """A segment of an answer with another finish reason (one of :data:`Finish` in this format's
        word, any other as it is, None for none); the very same if it has no place for one."""
        ...

    def headers(self, request_id: str, room: Room | None) -> Headers:
        """The provider's own headers: the request id, and what room is left under the quotas."""
        ...


def find(name: str, errors: str | None = None) -> Dialect:
    """The dialect of a name, saying no as the table ``errors`` has it (unless told, the one of that
    name). Raises ``KeyError`` for an unknown one."""
    from llmroute_sim.dialects.anthropic import Anthropic
    from llmroute_sim.dialects.openai import OpenAI
    from llmroute_sim.dialects.openai_responses import OpenAIResponses

    known: dict[str, Callable[[str], Dialect]] = {
        "openai": OpenAI,
        "openai-responses": OpenAIResponses,
        "anthropic": Anthropic,
    }
    return known[name](errors or name)
