"""OpenAI's chat and text completions, embeddings and models, as many other providers speak them too.

Shapes: https://platform.openai.com/docs/api-reference; headers:
https://platform.openai.com/docs/guides/rate-limits.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from llmroute_sim.dialects import openai_chat, openai_requests, openai_text
from llmroute_sim.dialects.bodies import quoted, whole
from llmroute_sim.dialects.editing import changed
from llmroute_sim.dialects.errors import duration, table
from llmroute_sim.dialects.listings import listing, one_of
from llmroute_sim.prompt import Answer, Operation, Prompt, Refusal
from llmroute_sim.providers import Model
from llmroute_sim.quotas import Room
from llmroute_sim.wire import Data, Event, Framing, Head, Headers, Request

__all__ = ("OpenAI",)

_ALWAYS: Headers = (("openai-version", "2020-10-01"), ("openai-processing-ms", "0"))
_SSE: Headers = (("content-type", "text/event-stream; charset=utf-8"),)


class OpenAI:
    """The dialect of OpenAI. It has no state. ``errors`` names the table of how it says no: many
    speak this format, and each has its own errors."""

    name = "openai"

    def __init__(self, errors: str = "openai") -> None:
        self._errors = errors

    def operation(self, method: str, path: str) -> Operation | None:
        """``chat`` for POST .../chat/completions, ``completions`` for POST .../completions,
        ``embeddings`` for POST .../embeddings, ``models`` for GET .../models, and ``model`` for one
        of them."""
        if method == "POST":
            if path.endswith("/chat/completions"):
                return "chat"
            if path.endswith("/embeddings"):
                return "embeddings"
            if path.endswith("/completions"):
                return "completions"
        elif method == "GET":
            return listing(path)
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
        if operation in ("models", "model"):
            return one_of(operation, request.path)
        return openai_requests.parse(request.body, operation)

    def answer(self, prompt: Prompt, answer: Answer, headers: Headers) -> Iterator[Event]:
        """A completion or its chunks, of a chat or of a text; or embeddings."""
        if prompt.operation == "chat":
            if prompt.stream:
                return _streamed(headers, openai_chat.chunks(prompt, answer))
            return whole(headers, openai_chat.completion(prompt, answer))
        if prompt.operation == "embeddings":
            return whole(headers, _embeddings(prompt, answer))
        if prompt.stream:
            return _streamed(headers, openai_text.pieces(prompt, answer))
        return whole(headers, openai_text.text(prompt, answer))

    def tell(self, prompt: Prompt, models: Sequence[Model], headers: Headers) -> Iterator[Event]:
        """The models that are sold, or the one that was asked for."""
        listed = ",".join(map(_model, models))
        if prompt.operation == "models":
            listed = f'{{"object":"list","data":[{listed}]}}'
        return whole(headers, listed)

    def refuse(self, refusal: Refusal, request_id: str, headers: Headers) -> Iterator[Event]:
        """The status, headers and body of the kind in the error table."""
        return table(self._errors).refuse(refusal, request_id, headers)

    def refuse_midway(self, refusal: Refusal, request_id: str, *stream: Event) -> Data:
        """A ``data:`` line with an ``error`` object; after one no ``[DONE]`` comes."""
        return Data(b"data: %b\n\n" % self.error(refusal, request_id), "error")

    def error(self, refusal: Refusal, request_id: str, instead: Data | None = None) -> bytes:
        """The JSON of a refusal, on one line."""
        return table(self._errors).line(refusal, request_id)

    def garbled(self) -> bytes:
        """A chunk whose JSON stops in the middle."""
        return b'data: {"id":"chatcmpl-","object":"chat.completion.chunk","choices":[{"index":\n\n'

    def filler(self, before: Data, nth: int) -> bytes:
        """A comment, as DeepSeek sends it; others send other comments or nothing."""
        return b": keep-alive\n\n"

    def behind(self, data: Data, fillers: int) -> Data:
        """The very same: chunks are not numbered."""
        return data

    def without_usage(self, data: Data) -> Data | None:
        """The event of its own that tells it is left out, the field of a body taken out."""
        if data.part == "usage":
            return None
        if data.part not in ("body", "finish"):
            return data
        return changed(data, lambda found: found.pop("usage", None) is not None)

    def with_finish(self, data: Data, reason: str | None) -> Data:
        """``finish_reason`` of every choice that has one."""
        if data.part not in ("body", "finish"):
            return data
        text = b'"text_completion"' in data.body[:200]
        words: Mapping[Any, str] = openai_text.FINISH if text else openai_chat.FINISH
        word = words.get(reason, reason)

        def change(found: MutableMapping[str, Any]) -> bool:
            ended = [
                c for c in found.get("choices", ()) if c.get("finish_reason") not in (None, word)
            ]
            for choice in ended:
                choice["finish_reason"] = word
            return bool(ended)

        return changed(data, change)

    def headers(self, request_id: str, room: Room | None) -> Headers:
        """Request id, API version, processing time (the simulator's own takes none), limits."""
        own: Headers = (("x-request-id", request_id), *_ALWAYS)
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
        return own


def _model(model: Model) -> str:
    """A model as it is listed. When it was made is not known."""
    return f'{{"id":{quoted(model.name)},"object":"model","created":0,"owned_by":"system"}}'


def _streamed(headers: Headers, chunks: Iterator[Data]) -> Iterator[Event]:
    return chain((Head(200, _SSE + headers, Framing.CHUNKED),), chunks)


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
    return f"[{','.join(map(_spelled, vector))}]"


_spelled = lru_cache(maxsize=1024)(float.__repr__)
"""Few numbers make up all vectors, and those have thousands."""
