"""OpenAI's chat completions and embeddings, as many other providers speak them too.

Shapes: https://platform.openai.com/docs/api-reference/chat, .../chat-streaming and .../embeddings;
headers: https://platform.openai.com/docs/guides/rate-limits.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b

from llmroute_sim.dialects import openai_requests
from llmroute_sim.dialects.bodies import encoded, quoted
from llmroute_sim.dialects.errors import duration, table
from llmroute_sim.prompt import Answer, Finish, Operation, Prompt, Refusal, Usage
from llmroute_sim.quotas import Room
from llmroute_sim.wire import Data, Event, Framing, Head, Headers, Request

__all__ = ("OpenAI",)

_JSON: Headers = (("content-type", "application/json"),)
_SSE: Headers = (("content-type", "text/event-stream; charset=utf-8"),)
_FINISH: dict[Finish, str] = {"stop": "stop", "length": "length", "tools": "tool_calls"}
_DONE = Data(b"data: [DONE]\n\n", "terminal")


class OpenAI:
    """The dialect of OpenAI. It has no state."""

    name = "openai"

    def operation(self, method: str, path: str) -> Operation | None:
        """``chat`` for POST .../chat/completions, ``embeddings`` for POST .../embeddings."""
        if method == "POST":
            if path.endswith("/chat/completions"):
                return "chat"
            if path.endswith("/embeddings"):
                return "embeddings"
        return None

    def key(self, request: Request) -> str | None:
        """The bearer token, or the ``api-key`` that Azure takes in its place."""
        bearer = request.header("authorization") or ""
        scheme, _, token = bearer.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return request.header("api-key")

    def parse(self, operation: Operation, request: Request) -> Prompt:
        """Understand a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
        return openai_requests.parse(request.body, operation)

    def answer(self, prompt: Prompt, answer: Answer, headers: Headers) -> Iterator[Event]:
        """A completion, its chunks, or embeddings; always one choice."""
        if prompt.operation == "embeddings":
            return _whole(headers, _embeddings(prompt, answer))
        if prompt.stream:
            return _chunks(prompt.wants_usage, answer, headers)
        return _whole(headers, _completion(answer))

    def refuse(self, refusal: Refusal, request_id: str, headers: Headers) -> Iterator[Event]:
        """The status, headers and body of the kind in the error table."""
        return table("openai").refuse(refusal, request_id, headers)

    def refuse_midway(self, refusal: Refusal, request_id: str) -> Data:
        """A ``data:`` line with an ``error`` object; after one no ``[DONE]`` comes."""
        return Data(b"data: %b\n\n" % table("openai").line(refusal, request_id), "error")

    def garbled(self) -> bytes:
        """A chunk whose JSON stops in the middle."""
        return b'data: {"id":"chatcmpl-","object":"chat.completion.chunk","choices":[{"index":\n\n'

    def headers(self, request_id: str, room: Room | None) -> Headers:
        """Request id, API version, processing time (the simulator's own takes none), limits."""
        own: list[tuple[str, str]] = [
            ("x-request-id", request_id),
            ("openai-version", "2020-10-01"),
            ("openai-processing-ms", "0"),
        ]
        if room is not None:
            for name, bucket in (("requests", room.requests), ("tokens", room.tokens)):
                if bucket is not None:
                    # A bucket refilled up to two units less float dust holds two.
                    left = max(0, int(bucket.level + 1e-6))
                    own += (
                        (f"x-ratelimit-limit-{name}", str(bucket.limit)),
                        (f"x-ratelimit-remaining-{name}", str(left)),
                        (f"x-ratelimit-reset-{name}", duration(bucket.reset)),
                    )
        return tuple(own)


def _whole(headers: Headers, text: str) -> Iterator[Event]:
    body = encoded(text)
    yield Head(200, _JSON + headers, Framing.LENGTH, len(body))
    yield Data(body)


def _completion(answer: Answer) -> str:
    words = "".join(answer.words)
    calls = ""
    if answer.calls:
        listed = ",".join(
            f'{{"id":"call_{call.id}","type":"function","function":{{"name":{quoted(call.name)},'
            f'"arguments":{quoted("".join(call.arguments))}}}}}'
            for call in answer.calls
        )
        calls = f',"tool_calls":[{listed}]'
    return (
        f'{{"id":"chatcmpl-{answer.id}","object":"chat.completion","created":{answer.created},'
        f'"model":{quoted(answer.model)},"choices":[{{"index":0,"message":{{"role":"assistant",'
        f'"content":{_content(words, answer)}{calls},"refusal":null,"annotations":[]}},'
        f'"logprobs":null,"finish_reason":"{_FINISH[answer.finish]}"}}],'
        f'"usage":{_usage(answer.usage)},{_deployment(answer.model)}}}'
    )


def _chunks(wants_usage: bool, answer: Answer, headers: Headers) -> Iterator[Event]:
    yield Head(200, _SSE + headers, Framing.CHUNKED)
    start = (
        f'data: {{"id":"chatcmpl-{answer.id}","object":"chat.completion.chunk",'
        f'"created":{answer.created},"model":{quoted(answer.model)},{_deployment(answer.model)},'
        '"choices":['
    )
    # Who asked for the usage is told in every chunk that it is still to come.
    end = ',"usage":null}\n\n' if wants_usage else "}\n\n"
    delta = start + '{"index":0,"delta":{'
    going = '},"logprobs":null,"finish_reason":null}]' + end
    opening = f'"role":"assistant","content":{_content("", answer)},"refusal":null'
    yield Data(encoded(delta + opening + going), "open")
    said = delta + '"content":'
    for word in answer.words:
        yield Data(encoded(f"{said}{quoted(word)}{going}"), "token")
    for number, call in enumerate(answer.calls):
        called = f'{delta}"tool_calls":[{{"index":{number},'
        named = f'"type":"function","function":{{"name":{quoted(call.name)},"arguments":""}}}}]'
        yield Data(encoded(f'{called}"id":"call_{call.id}",{named}{going}'), "open")
        for piece in call.arguments:
            argument = f'"function":{{"arguments":{quoted(piece)}}}}}]'
            yield Data(encoded(f"{called}{argument}{going}"), "token")
    done = f'}},"logprobs":null,"finish_reason":"{_FINISH[answer.finish]}"}}]'
    yield Data(encoded(delta + done + end), "finish")
    if wants_usage:
        yield Data(encoded(f'{start}],"usage":{_usage(answer.usage)}}}\n\n'), "usage")
    yield _DONE


def _content(words: str, answer: Answer) -> str:
    """Text as JSON; where only tools are called there is none, which is not an empty one."""
    return "null" if answer.calls and not answer.words else quoted(words)


def _embeddings(prompt: Prompt, answer: Answer) -> str:
    shown = _as_base64 if prompt.base64 else _as_floats
    listed = ",".join(
        f'{{"object":"embedding","index":{number},"embedding":{shown(vector)}}}'
        for number, vector in enumerate(answer.vectors)
    )
    asked = answer.usage.input
    return (
        f'{{"object":"list","data":[{listed}],"model":{quoted(answer.model)},'
        f'"usage":{{"prompt_tokens":{asked},"total_tokens":{asked}}}}}'
    )


def _as_base64(vector: tuple[float, ...]) -> str:
    """Little-endian 32-bit floats."""
    return f'"{b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()}"'


def _as_floats(vector: tuple[float, ...]) -> str:
    return f"[{','.join(map(repr, vector))}]"


def _usage(usage: Usage) -> str:
    return (
        f'{{"prompt_tokens":{usage.input},"completion_tokens":{usage.output},'
        f'"total_tokens":{usage.input + usage.output},'
        '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
        '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
        '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
    )


@lru_cache(maxsize=64)
def _deployment(model: str) -> str:
    """What tells which backend answered: the same one for a model, for ever."""
    fingerprint = blake2b(model.encode("utf-8", "backslashreplace"), digest_size=5).hexdigest()
    return f'"service_tier":"default","system_fingerprint":"fp_{fingerprint}"'
