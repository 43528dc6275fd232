"""The methods of a LiteLLM router: which one answers what API, what it takes, and how its answer is
read.

https://docs.litellm.ai/docs/routing, https://docs.litellm.ai/docs/text_completion,
https://docs.litellm.ai/docs/response_api, https://docs.litellm.ai/docs/anthropic_unified/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pytest_llmroute.answers import hear, take
from pytest_llmroute.routers import Api, Question, Reply

__all__ = ("METHODS", "Broken", "Events", "Listening", "Method", "request")

_ENOUGH = 1024
"""Tokens that an answer in Anthropic's messages may have, whose requests must name a limit."""

_THOUGHT = 1024
"""Tokens that a model may think in Anthropic's messages, where an effort was asked for: the fewest."""

Options: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """What answers one API: by blocking, or on asyncio. ``asks`` gives what it takes beside the group,
    and takes out of the options those that it calls otherwise."""

    blocking: str
    awaited: str
    asks: Callable[[Question, Options], dict[str, Any]]

    def name(self, *, sync: bool) -> str:
        """The name of the router's method."""
        return self.blocking if sync else self.awaited


def request(question: Question) -> dict[str, Any]:
    """The arguments that a method is called with."""
    options = dict(question.options)
    asked = METHODS[question.entry.api].asks(question, options)
    streamed = {"stream": True} if question.entry.stream else {}
    return {"model": question.group, **options, **asked, **streamed}


class Listening:
    """Hears one answer, piece by piece."""

    def __init__(self, question: Question, reply: Reply) -> None:
        self._reply = reply
        self._stream = question.entry.stream
        self._events = Events() if question.entry.api == "messages" else None
        if question.entry.api != "embeddings":
            # All these have a place for how an answer ended, and show nothing there until it has.
            reply.finish = ""

    def take(self, piece: Any) -> None:
        """A whole answer, or the next piece of one. Raises :class:`Broken`."""
        if self._events is None or not isinstance(piece, str | bytes):
            self._hear(piece)
            return
        for event in self._events.read(piece):
            self._hear(event)

    def _hear(self, value: Any) -> None:
        heard = hear(value)
        if self._stream and not heard.cost:
            # Nobody knows what a stream costs while it runs: nothing is what stands there till then.
            heard = replace(heard, cost=None)
        take(self._reply, heard)
        if heard.finish in ("error", "failed"):
            raise Broken(value)


class Broken(Exception):
    """An event of a stream that tells of a failure, or an answer whose status does: what a client of
    the Responses or the Messages API gets in place of an exception, or raises itself.

    Statuses of events: https://platform.claude.com/docs/en/api/errors.
    """

    def __init__(self, told: Any) -> None:
        super().__init__(told)
        error = told.get("error") if isinstance(told, Mapping) else None
        kind = error.get("type") if isinstance(error, Mapping) else None
        self.status_code = _STATUSES.get(str(kind))


_STATUSES = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402,
    "permission_error": 403, "not_found_error": 404, "request_too_large": 413,
    "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip


class Events:
    """The events in a stream of server-sent bytes, wherever it was cut into pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, piece: str | bytes) -> Iterator[Mapping[str, Any]]:
        """The events that are whole by now."""
        self._rest += piece.encode() if isinstance(piece, str) else piece
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                try:
                    event = json.loads(line.removeprefix(b"data:"))
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event


# -- what is asked; options are named as chats name them


def _chat(question: Question, options: Options) -> dict[str, Any]:
    system = options.pop("system", None)
    first = [] if system is None else [{"role": "system", "content": system}]
    return {"messages": first + _said(question)}


def _text(question: Question, options: Options) -> dict[str, Any]:
    system = options.pop("system", None)
    said = [question.text]
    if question.past:
        # As whoever has a model of one text holds a conversation with it.
        said = [f"{one['role']}: {one['content']}" for one in _said(question)]
    return {"prompt": "\n\n".join(said if system is None else [str(system), *said])}


def _responses(question: Question, options: Options) -> dict[str, Any]:
    asked = _renamed(options, {"system": "instructions", "max_tokens": "max_output_tokens"})
    form = options.pop("response_format", None)
    if form is not None:
        asked["text"] = {"format": {"type": form.get("type"), **form.get("json_schema", {})}}
    if (effort := options.pop("reasoning_effort", None)) is not None:
        asked["reasoning"] = {"effort": effort}
    if (tools := options.pop("tools", None)) is not None:
        asked["tools"] = [{"type": "function", **tool["function"]} for tool in tools]
    match options.get("tool_choice"):
        case {"function": {"name": name}}:
            options["tool_choice"] = {"type": "function", "name": name}
    return {"input": _said(question) if question.past else question.text, **asked}


def _messages(question: Question, options: Options) -> dict[str, Any]:
    asked = _renamed(options, {"stop": "stop_sequences"})
    if isinstance(asked.get("stop_sequences"), str):
        asked["stop_sequences"] = [asked["stop_sequences"]]
    form = options.pop("response_format", None) or {}
    if "json_schema" in form:
        schema = form["json_schema"].get("schema", {})
        asked["output_format"] = {"type": "json_schema", "schema": schema}
    effort = options.pop("reasoning_effort", None)
    if effort not in (None, "none"):
        asked["thinking"] = {"type": "enabled", "budget_tokens": _THOUGHT}
        options["max_tokens"] = options.get("max_tokens", _ENOUGH) + _THOUGHT
    if (tools := options.pop("tools", None)) is not None:
        asked["tools"] = [
            {
                "name": tool["function"]["name"],
                "description": tool["function"].get("description", ""),
                "input_schema": tool["function"].get("parameters", {"type": "object"}),
            }
            for tool in tools
        ]
    match options.pop("tool_choice", None):
        case "required":
            asked["tool_choice"] = {"type": "any"}
        case "auto" | "none" as choice:
            asked["tool_choice"] = {"type": choice}
        case {"function": {"name": name}}:
            asked["tool_choice"] = {"type": "tool", "name": name}
    options.pop("parallel_tool_calls", None)
    options.setdefault("max_tokens", _ENOUGH)
    return {"messages": _said(question), **asked}


def _embeddings(question: Question, options: Options) -> dict[str, Any]:
    return {"input": [question.text]}


def _renamed(options: Options, names: Mapping[str, str]) -> dict[str, Any]:
    return {new: options.pop(old) for old, new in names.items() if old in options}


def _said(question: Question) -> list[dict[str, str]]:
    said = (*question.past, ("user", question.text))
    return [{"role": role, "content": text} for role, text in said]


METHODS: Mapping[Api, Method] = {
    "chat": Method("completion", "acompletion", _chat),
    "text": Method("text_completion", "atext_completion", _text),
    "responses": Method("responses", "aresponses", _responses),
    "messages": Method("anthropic_messages", "aanthropic_messages", _messages),
    "embeddings": Method("embedding", "aembedding", _embeddings),
}
