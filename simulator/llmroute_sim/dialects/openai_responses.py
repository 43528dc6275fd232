"""OpenAI's Responses API, which others who speak its format have too, or have not.

Shapes: https://platform.openai.com/docs/api-reference/responses. What errors inside a stream look
like was recorded: an ``error`` event whose error is an object, then ``response.failed``
(https://github.com/SwiftedMind/SwiftAgent, tests). So was what is sent while a model thinks
(https://github.com/openai/openai-node/issues/1964).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from llmroute_sim.dialects import openai_responses_events, openai_responses_requests
from llmroute_sim.dialects.bodies import encoded, whole
from llmroute_sim.dialects.editing import changed, opened
from llmroute_sim.dialects.openai import OpenAI
from llmroute_sim.prompt import Answer, Operation, Prompt, Refusal
from llmroute_sim.providers import Model
from llmroute_sim.quotas import Room
from llmroute_sim.wire import Data, Event, Framing, Head, Headers, Request

__all__ = ("OpenAIResponses",)

_SSE: Headers = (("content-type", "text/event-stream; charset=utf-8"),)

_NUMBER = re.compile(rb'"sequence_number":(\d+)')


class OpenAIResponses:
    """The dialect of responses. It has no state: what an answer goes on from is for the provider to
    remember. ``errors`` names the table of how it says no."""

    name = "openai-responses"

    def __init__(self, errors: str = "openai-responses") -> None:
        self._kin = OpenAI(errors)

    def operation(self, method: str, path: str) -> Operation | None:
        """``responses`` for POST .../responses, ``count_tokens`` for POST
        .../responses/input_tokens."""
        if method == "POST":
            if path.endswith("/responses"):
                return "responses"
            if path.endswith("/responses/input_tokens"):
                return "count_tokens"
        return None

    def key(self, request: Request) -> str | None:
        """As in OpenAI's other formats."""
        return self._kin.key(request)

    def parse(self, operation: Operation, request: Request) -> Prompt:
        """Understand a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
        return openai_responses_requests.parse(request.body, operation)

    def answer(self, prompt: Prompt, answer: Answer, headers: Headers) -> Iterator[Event]:
        """A response, or its events; no ``[DONE]`` ends them."""
        if prompt.stream:
            told = openai_responses_events.events(prompt, answer)
            return chain((Head(200, _SSE + headers, Framing.CHUNKED),), told)
        return whole(headers, openai_responses_events.response(prompt, answer))

    def tell(self, prompt: Prompt, models: Sequence[Model], headers: Headers) -> Iterator[Event]:
        """How many tokens a request has."""
        return whole(
            headers, f'{{"object":"response.input_tokens","input_tokens":{prompt.tokens}}}'
        )

    def refuse(self, refusal: Refusal, request_id: str, headers: Headers) -> Iterator[Event]:
        """The status, headers and body of the kind in the error table."""
        return self._kin.refuse(refusal, request_id, headers)

    def refuse_midway(self, refusal: Refusal, request_id: str, *stream: Event) -> Data:
        """An ``error`` event, and the response that it was, failed; after it nothing comes."""
        error = self._error(refusal, request_id)
        *begun, instead = stream or (None,)
        number = _number(instead) if isinstance(instead, Data) else 0
        told = {key: error.get(key) for key in ("type", "code", "message", "param")}
        said = _event("error", {"sequence_number": number, "error": told})
        for event in begun:
            response = _response(event)
            if response is not None:
                failed = {"sequence_number": number + 1, "response": _failed(response, error)}
                said += _event("response.failed", failed)
        return Data(said, "error")

    def error(self, refusal: Refusal, request_id: str, instead: Data | None = None) -> bytes:
        """The JSON of a refusal, on one line; in place of a response the same response, failed."""
        response = None if instead is None else _response(instead)
        if response is None:
            return self._kin.error(refusal, request_id)
        return _written(_failed(response, self._error(refusal, request_id)))

    def _error(self, refusal: Refusal, request_id: str) -> Mapping[str, Any]:
        """What is wrong, as an object; not every table has it at the same place."""
        told = json.loads(self._kin.error(refusal, request_id))
        error = told.get("error", told)
        return error if isinstance(error, dict) else {"message": str(error)}

    def garbled(self) -> bytes:
        """A delta whose JSON stops in the middle."""
        kind = b"response.output_text.delta"
        return b'event: %b\ndata: {"type":"%b","sequence_number":\n\n' % (kind, kind)

    def filler(self, before: Data, nth: int) -> bytes:
        """A ``keepalive``, numbered as all events are. It is not documented."""
        return _event("keepalive", {"sequence_number": _number(before) + nth})

    def behind(self, data: Data, fillers: int) -> Data:
        """The same with a number so much higher."""
        number = b'"sequence_number":%d' % (_number(data) + fillers)
        return replace(data, body=_NUMBER.sub(number, data.body, count=1))

    def without_usage(self, data: Data) -> Data | None:
        """The field taken out of a response that is over."""
        if data.part not in ("body", "terminal"):
            return data

        def change(found: MutableMapping[str, Any]) -> bool:
            return found.get("response", found).pop("usage", None) is not None

        return changed(data, change)

    def with_finish(self, data: Data, reason: str | None) -> Data:
        """The status of a response, and why it is incomplete; of a stream also the type of its last
        event. A reason that is not one of ours is one for being incomplete."""
        if data.part not in ("body", "terminal"):
            return data
        words: Mapping[Any, tuple[str | None, str | None]] = openai_responses_events.FINISH
        status, why = words.get(reason, (None, None) if reason is None else ("incomplete", reason))

        def change(found: MutableMapping[str, Any]) -> bool:
            response = found.get("response", found)
            details = None if why is None else {"reason": why}
            ended = (response.get("status"), response.get("incomplete_details"))
            if ended == (status, details) or ended[0] is None:
                return False
            response["status"], response["incomplete_details"] = status, details
            if response is not found and status is not None:
                found["type"] = f"response.{status}"
            return True

        return _renamed(changed(data, change))

    def headers(self, request_id: str, room: Room | None) -> Headers:
        """As in OpenAI's other formats."""
        return self._kin.headers(request_id, room)


def _event(kind: str, fields: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _written({"type": kind, **fields}))


def _written(value: Mapping[str, Any]) -> bytes:
    return encoded(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _number(data: Data) -> int:
    found = _NUMBER.search(data.body)
    return int(found[1]) if found else 0


def _response(event: Event | None) -> dict[str, Any] | None:
    """The response in a body or an event, if it is one."""
    found = opened(event) if isinstance(event, Data) else None
    if found is None:
        return None
    response = found.get("response", found)
    return response if isinstance(response, dict) and "output" in response else None


def _failed(response: Mapping[str, Any], error: Mapping[str, Any]) -> dict[str, Any]:
    """A response of which nothing came."""
    told = {"code": error.get("code") or "server_error", "message": error.get("message")}
    nothing: dict[str, Any] = {
        "completed_at": None,
        "output": [],
        "usage": None,
        "incomplete_details": None,
    }
    return {**response, **nothing, "status": "failed", "error": told}


def _renamed(data: Data) -> Data:
    """An event that is called what its JSON says it is."""
    found = opened(data) if data.part == "terminal" else None
    if found is None:
        return data
    head, line, rest = data.body.partition(b"\n")
    name = b"event: " + str(found.get("type")).encode()
    return data if name == head else replace(data, body=name + line + rest)
