"""What the reference router writes to a provider and reads from it: OpenAI's chats and embeddings,
Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .upstreams import Upstream


@dataclass(frozen=True)
class Asked:
    """One call. ``options`` are meant for a model, in OpenAI's words; ``orders`` tell the router what
    to do (``disable_fallbacks``, ``num_retries``, ``timeout``, ``tags``...)."""

    text: str
    options: Mapping[str, Any] = field(default_factory=dict)
    orders: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    sync: bool = False
    api: str = "chat"
    past: tuple[tuple[str, str], ...] = ()

    @property
    def embeds(self) -> bool:
        return self.api == "embeddings"


@dataclass
class Answer:
    """What came of an attempt so far: ``finish`` in OpenAI's words, ``model`` who answered, ``cost`` in
    USD."""

    text: str = ""
    finish: str | None = None
    done: bool = False
    tokens: tuple[int, int] = (0, 0)
    model: str | None = None
    cost: Decimal | None = None
    vectors: list[list[float]] = field(default_factory=list)


class Failed(Exception):
    """An upstream failed. ``status`` is None where there was no answer, ``hint`` when to come back
    (seconds); ``spoken`` says whether the caller has seen words already."""

    def __init__(self, why: str, status: int | None = None, *, hint: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.status = status
        self.hint = hint
        self.spoken = False

    @property
    def transient(self) -> bool:
        """Whether the same may succeed at once."""
        return self.status is None or self.status in (200, 408) or self.status >= 500

    @property
    def wrong_request(self) -> bool:
        """Whether whoever is asked will say the same."""
        return self.status in (400, 413, 422)


# -- written

_ANTHROPIC_KNOWS = ("temperature", "top_p", "max_tokens", "tools", "thinking", "metadata")


def body(upstream: Upstream, asked: Asked) -> dict[str, Any]:
    """The request for an upstream."""
    if upstream.embeds:
        return _embedding(upstream, asked)
    said = (*asked.past, ("user", asked.text))
    messages = [{"role": role, "content": text} for role, text in said]
    system = asked.options.get("system")
    whole = {"model": upstream.model, "messages": messages, "stream": asked.stream}
    if upstream.anthropic:
        return whole | _anthropic(asked.options)
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    rest = {k: v for k, v in asked.options.items() if k not in ("system", "thinking")}
    if asked.stream:
        rest["stream_options"] = {"include_usage": True}
    return whole | rest


def _embedding(upstream: Upstream, asked: Asked) -> dict[str, Any]:
    whole: dict[str, Any] = {"model": upstream.model, "input": [asked.text]}
    if (dimensions := asked.options.get("dimensions")) is not None:
        whole["dimensions"] = dimensions
    return whole


def _anthropic(options: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in options.items() if name in _ANTHROPIC_KNOWS}
    if "tools" in rest:
        rest["tools"] = [_tool(tool["function"]) for tool in rest["tools"]]
    form = options.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"]["schema"]
        rest["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if "stop" in options:
        rest["stop_sequences"] = options["stop"]
    if "system" in options:
        rest["system"] = options["system"]
    rest.setdefault("max_tokens", 4096)
    return rest


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": function["name"], "input_schema": function["parameters"]}


def carries(upstream: Upstream, asked: Asked) -> bool:
    """Whether an upstream's format can say all that is asked for."""
    form = asked.options.get("response_format") or {}
    return not (upstream.anthropic and form.get("type") == "json_object")


# -- read

UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What reading an answer may raise that is not what it should be."""

_FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter",
}  # fmt: skip
"""Anthropic's reasons in OpenAI's words."""


def hear_body(body: dict[str, Any], answer: Answer) -> None:
    """Read a whole answer. Raises :class:`Failed`."""
    if "error" in body:
        raise Failed("error in the body", 200)
    answer.done = True
    usage = body.get("usage", {})
    answer.tokens = (
        usage.get("prompt_tokens", usage.get("input_tokens", 0)),
        usage.get("completion_tokens", usage.get("output_tokens", 0)),
    )
    if "data" in body:
        answer.vectors = [entry["embedding"] for entry in body["data"]]
        answer.finish = None
    elif "choices" in body:
        choice = body["choices"][0]
        answer.text = _spoken(choice["message"])
        answer.finish = choice["finish_reason"]
    else:
        answer.text = "".join(map(_block, body["content"]))
        answer.finish = _FINISH.get(body["stop_reason"], body["stop_reason"])


def _spoken(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls") or ()
    said = (call.get("function", {}).get("arguments") or "" for call in calls)
    return (message.get("content") or "") + "".join(said)


def _block(block: Mapping[str, Any]) -> str:
    return json.dumps(block["input"]) if "input" in block else str(block.get("text", ""))


def hear_event(line: bytes, answer: Answer, status: int) -> None:
    """Read a line of a stream. Raises :class:`Failed`."""
    if not line.startswith(b"data:"):
        return
    data = line[5:].strip()
    if data == b"[DONE]":
        answer.done = True
        return
    event = json.loads(data)
    if "error" in event:
        raise Failed("error in the stream", status)
    match event.get("type"):
        case "message_start":
            answer.tokens = event["message"].get("usage", {}).get("input_tokens", 0), 0
        case "content_block_delta":
            answer.text += event["delta"].get("text") or event["delta"].get("partial_json") or ""
        case "message_delta":
            reason = event["delta"]["stop_reason"]
            answer.finish = _FINISH.get(reason, reason)
            answer.tokens = answer.tokens[0], event.get("usage", {}).get("output_tokens", 0)
        case "message_stop":
            answer.done = True
        case None:
            for choice in event["choices"]:
                answer.text += _spoken(choice["delta"])
                answer.finish = choice["finish_reason"] or answer.finish
            if usage := event.get("usage"):
                answer.tokens = usage["prompt_tokens"], usage["completion_tokens"]
        case _:
            return
