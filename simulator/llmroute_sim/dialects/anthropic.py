"""Anthropic's messages, counts of tokens and models.

Shapes: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/streaming;
headers: https://platform.claude.com/docs/en/api/rate-limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from llmroute_sim.dialects import anthropic_models, anthropic_requests
from llmroute_sim.dialects.anthropic_messages import FINISH, events, message
from llmroute_sim.dialects.bodies import whole
from llmroute_sim.dialects.editing import changed
from llmroute_sim.dialects.errors import table
from llmroute_sim.dialects.listings import listing, one_of
from llmroute_sim.prompt import Answer, Operation, Prompt, Refusal
from llmroute_sim.providers import Model
from llmroute_sim.quotas import Bucket, Calendar, Room
from llmroute_sim.wire import Data, Event, Framing, Head, Headers, Request

__all__ = ("Anthropic",)

_SSE: Headers = (("content-type", "text/event-stream; charset=utf-8"),)


class Anthropic:
    """The dialect of Anthropic. It has no state. ``errors`` names the table of how it says no."""

    name = "anthropic"

    def __init__(self, errors: str = "anthropic") -> None:
        self._errors = errors

    def operation(self, method: str, path: str) -> Operation | None:
        """``messages`` for POST .../messages, ``count_tokens`` for POST .../messages/count_tokens,
        ``models`` for GET .../models, and ``model`` for one of them."""
        if method == "POST":
            if path.endswith("/messages"):
                return "messages"
            if path.endswith("/messages/count_tokens"):
                return "count_tokens"
        elif method == "GET":
            return listing(path)
        return None

    def key(self, request: Request) -> str | None:
        """The ``x-api-key``, or the bearer token that newer SDKs send in its place."""
        if key := request.header("x-api-key"):
            return key
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        return (token.strip() or None) if scheme.lower() == "bearer" else None

    def parse(self, operation: Operation, request: Request) -> Prompt:
        """Understand a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
        if operation in ("models", "model"):
            return one_of(operation, request.path, anthropic_models.page(request.target))
        version, beta = request.header("anthropic-version"), request.header("anthropic-beta")
        return anthropic_requests.parse(request.body, (operation, version, beta is not None))

    def answer(self, prompt: Prompt, answer: Answer, headers: Headers) -> Iterator[Event]:
        """A message, or the events that build it."""
        if prompt.stream:
            return _streamed(headers, events(prompt, answer))
        return whole(headers, message(prompt, answer))

    def tell(self, prompt: Prompt, models: Sequence[Model], headers: Headers) -> Iterator[Event]:
        """A page of the models that are sold, the one that was asked for, or a count of tokens."""
        if prompt.operation == "count_tokens":
            return whole(headers, f'{{"input_tokens":{prompt.tokens}}}')
        if prompt.operation == "model":
            return whole(headers, anthropic_models.one(models[0]))
        return whole(headers, anthropic_models.paged(models, prompt.page))

    def refuse(self, refusal: Refusal, request_id: str, headers: Headers) -> Iterator[Event]:
        """The status, headers and body of the kind in the error table."""
        return table(self._errors).refuse(refusal, request_id, headers)

    def refuse_midway(self, refusal: Refusal, request_id: str, *stream: Event) -> Data:
        """An ``error`` event; after one no ``message_stop`` comes."""
        return Data(b"event: error\ndata: %b\n\n" % self.error(refusal, request_id), "error")

    def error(self, refusal: Refusal, request_id: str, instead: Data | None = None) -> bytes:
        """The JSON of a refusal, on one line."""
        return table(self._errors).line(refusal, request_id)

    def garbled(self) -> bytes:
        """A delta whose JSON stops in the middle."""
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":\n\n'

    def filler(self, before: Data, nth: int) -> bytes:
        """A ``ping``."""
        return b'event: ping\ndata: {"type":"ping"}\n\n'

    def behind(self, data: Data, fillers: int) -> Data:
        """The very same: events are not numbered."""
        return data

    def without_usage(self, data: Data) -> Data | None:
        """The field taken out of a message, of its start and of its last delta."""

        def change(found: MutableMapping[str, Any]) -> bool:
            holders = (found, found.get("message") or {})
            told = [holder.pop("usage", None) for holder in holders]
            return told != [None, None]

        return changed(data, change) if data.part in ("body", "open", "finish") else data

    def with_finish(self, data: Data, reason: str | None) -> Data:
        """``stop_reason`` of a message, or of its last delta."""
        if data.part not in ("body", "finish"):
            return data
        words: Mapping[Any, str] = FINISH
        word = words.get(reason, reason)

        def change(found: MutableMapping[str, Any]) -> bool:
            holder = found.get("delta", found)
            if holder.get("stop_reason") in (None, word):
                return False
            holder["stop_reason"] = word
            return True

        return changed(data, change)

    def headers(self, request_id: str, room: Room | None) -> Headers:
        """Request id and limits. One quota of tokens is told thrice: it is the limit on input, on
        output, and the most restrictive one in effect."""
        own: Headers = (("request-id", request_id),)
        if room is not None:
            if room.requests is not None:
                own += _limits(
                    "requests", room.requests, int(room.requests.level + 1e-6), room.wall
                )
            if room.tokens is not None:
                left = _thousands(room.tokens)
                for name in ("tokens", "input-tokens", "output-tokens"):
                    own += _limits(name, room.tokens, left, room.wall)
        return own


def _limits(name: str, bucket: Bucket | Calendar, left: int, wall: float) -> Headers:
    full = datetime.fromtimestamp(math.ceil(wall + bucket.reset), UTC)
    return (
        (f"anthropic-ratelimit-{name}-limit", str(bucket.limit)),
        (f"anthropic-ratelimit-{name}-remaining", str(max(0, left))),
        (f"anthropic-ratelimit-{name}-reset", f"{full:%Y-%m-%dT%H:%M:%SZ}"),
    )


def _thousands(bucket: Bucket | Calendar) -> int:
    """What is left, to the nearest thousand as documented; as it is where the limit is so small
    that this would say nothing."""
    if bucket.limit < 10_000:
        return int(bucket.level + 1e-6)
    return min(bucket.limit, round(bucket.level / 1000) * 1000)


def _streamed(headers: Headers, events: Iterator[Data]) -> Iterator[Event]:
    return chain((Head(200, _SSE + headers, Framing.CHUNKED),), events)
