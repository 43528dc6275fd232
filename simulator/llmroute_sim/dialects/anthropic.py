"""Anthropic's messages.

Shapes: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/streaming;
headers: https://platform.claude.com/docs/en/api/rate-limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from llmroute_sim.dialects import anthropic_requests
from llmroute_sim.dialects.bodies import encoded, quoted
from llmroute_sim.dialects.errors import table
from llmroute_sim.prompt import Answer, Finish, Operation, Prompt, Refusal
from llmroute_sim.quotas import Bucket, Room
from llmroute_sim.wire import Data, Event, Framing, Head, Headers, Request

__all__ = ("Anthropic",)

_JSON: Headers = (("content-type", "application/json"),)
_SSE: Headers = (("content-type", "text/event-stream; charset=utf-8"),)
_FINISH: dict[Finish, str] = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use"}
_PING = Data(b'event: ping\ndata: {"type":"ping"}\n\n', "open")
_STOP = Data(b'event: message_stop\ndata: {"type":"message_stop"}\n\n', "terminal")


class Anthropic:
    """The dialect of Anthropic. It has no state."""

    name = "anthropic"

    def operation(self, method: str, path: str) -> Operation | None:
        """``messages`` for POST .../messages."""
        return "messages" if method == "POST" and path.endswith("/messages") else None

    def key(self, request: Request) -> str | None:
        """The ``x-api-key``, or the bearer token that newer SDKs send in its place."""
        if key := request.header("x-api-key"):
            return key
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        return (token.strip() or None) if scheme.lower() == "bearer" else None

    def parse(self, operation: Operation, request: Request) -> Prompt:
        """Understand a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
        return anthropic_requests.parse(request.body, request.header("anthropic-version"))

    def answer(self, prompt: Prompt, answer: Answer, headers: Headers) -> Iterator[Event]:
        """A message, or the events that build it."""
        return _events(answer, headers) if prompt.stream else _message(answer, headers)

    def refuse(self, refusal: Refusal, request_id: str, headers: Headers) -> Iterator[Event]:
        """The status, headers and body of the kind in the error table."""
        return table("anthropic").refuse(refusal, request_id, headers)

    def refuse_midway(self, refusal: Refusal, request_id: str) -> Data:
        """An ``error`` event; after one no ``message_stop`` comes."""
        line = table("anthropic").line(refusal, request_id)
        return Data(b"event: error\ndata: %b\n\n" % line, "error")

    def garbled(self) -> bytes:
        """A delta whose JSON stops in the middle."""
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":\n\n'

    def headers(self, request_id: str, room: Room | None) -> Headers:
        """Request id and limits. One quota of tokens is told thrice: it is the limit on input, on
        output, and the most restrictive one in effect."""
        own = [("request-id", request_id)]
        if room is not None:
            if room.requests is not None:
                own += _limits(
                    "requests", room.requests, int(room.requests.level + 1e-6), room.wall
                )
            if room.tokens is not None:
                left = _thousands(room.tokens)
                for name in ("tokens", "input-tokens", "output-tokens"):
                    own += _limits(name, room.tokens, left, room.wall)
        return tuple(own)


def _limits(name: str, bucket: Bucket, left: int, wall: float) -> Headers:
    full = datetime.fromtimestamp(math.ceil(wall + bucket.reset), UTC)
    return (
        (f"anthropic-ratelimit-{name}-limit", str(bucket.limit)),
        (f"anthropic-ratelimit-{name}-remaining", str(max(0, left))),
        (f"anthropic-ratelimit-{name}-reset", f"{full:%Y-%m-%dT%H:%M:%SZ}"),
    )


def _thousands(bucket: Bucket) -> int:
    """What is left, to the nearest thousand as documented; as it is where the limit is so small
    that this would say nothing."""
    if bucket.limit < 10_000:
        return int(bucket.level + 1e-6)
    return min(bucket.limit, round(bucket.level / 1000) * 1000)


def _message(answer: Answer, headers: Headers) -> Iterator[Event]:
    blocks = []
    if answer.words:
        blocks.append(f'{{"type":"text","text":{quoted("".join(answer.words))}}}')
    for call in answer.calls:
        # The arguments are JSON already, whatever pieces they come in.
        given = "".join(call.arguments) or "{}"
        blocks.append(_tool_use(call.id, call.name, given))
    body = encoded(
        f"{_opening(answer, ','.join(blocks))}"
        f'"stop_reason":"{_FINISH[answer.finish]}","stop_sequence":null,'
        f'"usage":{_usage(answer, answer.usage.output)}}}'
    )
    yield Head(200, _JSON + headers, Framing.LENGTH, len(body))
    yield Data(body)


def _events(answer: Answer, headers: Headers) -> Iterator[Event]:
    yield Head(200, _SSE + headers, Framing.CHUNKED)
    # One token of output has been counted when a message starts.
    begun = f'{_opening(answer, "")}"stop_reason":null,"stop_sequence":null,"usage":{_usage(answer, 1)}}}'
    yield _event("message_start", f'"message":{begun}')
    index = 0
    if answer.words:
        yield _event("content_block_start", '"index":0,"content_block":{"type":"text","text":""}')
        yield _PING
        for word in answer.words:
            yield Data(
                encoded(
                    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
                    f'"delta":{{"type":"text_delta","text":{quoted(word)}}}}}\n\n'
                ),
                "token",
            )
        yield _event("content_block_stop", '"index":0')
        index = 1
    for number, call in enumerate(answer.calls, index):
        block = _tool_use(call.id, call.name, "{}")
        yield _event("content_block_start", f'"index":{number},"content_block":{block}')
        if number == 0:
            yield _PING
        for piece in call.arguments:
            yield Data(
                encoded(
                    f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":{number},'
                    f'"delta":{{"type":"input_json_delta","partial_json":{quoted(piece)}}}}}\n\n'
                ),
                "token",
            )
        yield _event("content_block_stop", f'"index":{number}')
    ended = encoded(
        'event: message_delta\ndata: {"type":"message_delta",'
        f'"delta":{{"stop_reason":"{_FINISH[answer.finish]}","stop_sequence":null}},'
        f'"usage":{_usage(answer, answer.usage.output)}}}\n\n'
    )
    yield Data(ended, "finish")
    yield _STOP


def _event(name: str, fields: str) -> Data:
    """An event that carries neither a token nor the finish: structure, all called ``open``."""
    return Data(encoded(f'event: {name}\ndata: {{"type":"{name}",{fields}}}\n\n'), "open")


def _opening(answer: Answer, blocks: str) -> str:
    return (
        f'{{"model":{quoted(answer.model)},"id":"msg_{answer.id}","type":"message",'
        f'"role":"assistant","content":[{blocks}],'
    )


def _tool_use(suffix: str, name: str, given: str) -> str:
    return f'{{"type":"tool_use","id":"toolu_{suffix}","name":{quoted(name)},"input":{given}}}'


def _usage(answer: Answer, output: int) -> str:
    return (
        f'{{"input_tokens":{answer.usage.input},"cache_creation_input_tokens":0,'
        f'"cache_read_input_tokens":0,"output_tokens":{output},"service_tier":"standard"}}'
    )
