"""A small router that does everything right, over plain httpx: the measure of every contract.

Its logic is one generator of effects, so that blocking and asyncio, streamed and whole, are the same
code; the two drivers only perform effects. Each decision is a method of its own, for mutants to get
wrong.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx


@dataclass(frozen=True)
class Upstream:
    """Who can be asked, in which format, and at what price (USD per token)."""

    name: str
    url: str
    model: str
    key: str
    price: tuple[Decimal, Decimal]
    anthropic: bool = False


OPENAI = Upstream(
    "openai", "https://api.openai.com/v1/chat/completions", "gpt-4o", "sk-openai",
    (Decimal("0.0000025"), Decimal("0.00001")),
)  # fmt: skip
ANTHROPIC = Upstream(
    "anthropic", "https://api.anthropic.com/v1/messages", "claude-sonnet-4-6", "sk-anthropic",
    (Decimal("0.000003"), Decimal("0.000015")), anthropic=True,
)  # fmt: skip
GROQ = Upstream(
    "groq", "https://api.groq.com/openai/v1/chat/completions", "llama-3.3-70b-versatile", "sk-groq",
    (Decimal("0.00000059"), Decimal("0.00000079")),
)  # fmt: skip
MISTRAL = Upstream(
    "mistral", "https://api.mistral.ai/v1/chat/completions", "mistral-large-latest", "sk-mistral",
    (Decimal("0.000002"), Decimal("0.000006")),
)  # fmt: skip


@dataclass(frozen=True)
class Knobs:
    """How the router is set up; None switches a feature off."""

    chain: tuple[Upstream, ...] = (OPENAI, ANTHROPIC, GROQ)
    retries: int = 2
    patience: float = 10.0
    budget: Decimal | None = None
    window: float = 3600.0
    ttl: float | None = None
    failures: int | None = None
    cooldown: float = 60.0


class Failed(Exception):
    """An upstream failed. ``status`` is None where there was no answer, ``spoken`` says whether the
    caller has seen words already."""

    def __init__(self, why: str, status: int | None = None, *, hint: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.status = status
        self.hint = hint
        self.spoken = False


class NoAnswer(Exception):
    """Nobody answered."""


# -- effects


@dataclass(frozen=True)
class Open:
    upstream: Upstream
    body: dict[str, Any]
    patience: float


@dataclass(frozen=True)
class Read:
    """The next bytes of the body; empty at its end."""


@dataclass(frozen=True)
class Emit:
    text: str


@dataclass
class Answer:
    """What came of an attempt so far."""

    text: str = ""
    finish: str | None = None
    done: bool = False
    tokens: tuple[int, int] = (0, 0)


@dataclass
class Health:
    failures: int = 0
    rests_until: float = 0.0
    hinted_until: float = 0.0
    spent: Decimal = field(default_factory=Decimal)
    window_began: float | None = None


class Reference:
    """One router. ``answer`` is the whole of a call."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.health = {upstream.name: Health() for upstream in (*knobs.chain, MISTRAL)}
        self.cache: dict[str, tuple[float, Answer]] = {}
        self.running = 0

    def answer(
        self, text: str, options: dict[str, Any], stream: bool
    ) -> Generator[Any, Any, Answer]:
        key = self.cache_key(text, options, stream)
        found = self.look_up(key)
        if found is not None:
            yield Emit(found.text)
            return found
        self.running += 1
        try:
            return (yield from self.route(key, text, options, stream))
        finally:
            self.running -= 1

    def route(
        self, key: str, text: str, options: dict[str, Any], stream: bool
    ) -> Generator[Any, Any, Answer]:
        failures: list[Failed] = []
        visits = list(self.knobs.chain)
        while visits:
            upstream = visits.pop(0)
            if not self.in_service(upstream):
                continue
            tries = 0
            while True:
                tries += 1
                answer, began = Answer(), time.monotonic()
                try:
                    patience = self.patience(tries, stream)
                    asked = body(upstream, text, options, stream)
                    yield from self.attempt(Open(upstream, asked, patience), stream, answer)
                except Failed as failure:
                    failures.append(failure)
                    failure.spoken = stream and bool(answer.text)
                    self.count_failure(upstream, failure)
                    if failure.spoken and not self.speaks_on(failure):
                        self.spoil(key, answer)
                        raise
                    hinted = time.monotonic() < self.health[upstream.name].hinted_until
                    if not hinted and self.tries_again(failure, tries, stream):
                        continue
                    visits = self.visits_after(failure, failures, visits, stream)
                    break
                self.health[upstream.name].failures = 0
                self.pay(upstream, answer, began, stream)
                self.store(key, answer, stream)
                return answer
        raise NoAnswer("; ".join(failure.why for failure in failures) or "nobody is in service")

    # -- decisions

    def in_service(self, upstream: Upstream) -> bool:
        health, now = self.health[upstream.name], time.monotonic()
        if now < health.rests_until or now < health.hinted_until:
            return False
        if health.window_began is not None and self.window_over(health, now):
            health.window_began, health.spent = None, Decimal(0)
        return self.knobs.budget is None or health.spent < self.knobs.budget

    def window_over(self, health: Health, now: float) -> bool:
        return health.window_began is not None and now >= health.window_began + self.knobs.window

    def tries_again(self, failure: Failed, tries: int, stream: bool) -> bool:
        transient = failure.status is None or failure.status in (200, 408) or failure.status >= 500
        return transient and tries <= self.knobs.retries

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Upstream], stream: bool
    ) -> list[Upstream]:
        return visits

    def speaks_on(self, failure: Failed) -> bool:
        return False

    def count_failure(self, upstream: Upstream, failure: Failed) -> None:
        health, now = self.health[upstream.name], time.monotonic()
        if failure.hint is not None and failure.status in (429, 503):
            health.hinted_until = now + failure.hint
        if failure.status in (400, 401, 403, 404, 413, 422):
            return
        health.failures += 1
        if self.knobs.failures is not None and health.failures >= self.knobs.failures:
            health.failures = 0
            self.rest(health, now)

    def rest(self, health: Health, now: float) -> None:
        health.rests_until = now + self.knobs.cooldown

    def hint(self, headers: httpx.Headers) -> float | None:
        if milliseconds := headers.get("retry-after-ms"):
            return float(milliseconds) / 1000
        seconds = headers.get("retry-after", "")
        return float(seconds) if seconds.replace(".", "", 1).isdigit() else None

    def finished(self, answer: Answer) -> bool:
        return answer.done

    def patience(self, tries: int, stream: bool) -> float:
        return self.knobs.patience

    def pay(self, upstream: Upstream, answer: Answer, began: float, stream: bool) -> None:
        health = self.health[upstream.name]
        if health.window_began is None:
            health.window_began = began
        into, out = answer.tokens
        health.spent += upstream.price[0] * into + upstream.price[1] * out

    def cache_key(self, text: str, options: dict[str, Any], stream: bool) -> str:
        return json.dumps([text, options, stream], sort_keys=True)

    def look_up(self, key: str) -> Answer | None:
        stored = self.cache.get(key)
        if self.knobs.ttl is None or stored is None or time.monotonic() >= stored[0]:
            return None
        return stored[1]

    def store(self, key: str, answer: Answer, stream: bool) -> None:
        if self.knobs.ttl is not None:
            self.cache[key] = (time.monotonic() + self.knobs.ttl, answer)

    def spoil(self, key: str, answer: Answer) -> None:
        """A stream broke off after its first words: there is nothing worth keeping."""

    # -- one attempt

    def attempt(self, opened: Open, stream: bool, answer: Answer) -> Generator[Any, Any, None]:
        name = opened.upstream.name
        try:
            status, headers = yield opened
            if status != 200:
                raise Failed(f"{name} {status}", status, hint=self.hint(headers))
            pending, whole = b"", b""
            while piece := (yield Read()):
                whole += piece
                if stream:
                    *lines, pending = (pending + piece).split(b"\n")
                    for line in lines:
                        before = answer.text
                        hear_event(line, answer, status)
                        if said := answer.text[len(before) :]:
                            yield Emit(said)
            if not stream:
                hear_body(json.loads(whole), answer)
                yield Emit(answer.text)
            elif not self.finished(answer):
                raise Failed(f"{name} ended before its end", 200)
        except (httpx.HTTPError, ValueError) as error:
            raise Failed(f"{name} {type(error).__name__}") from error


def body(upstream: Upstream, text: str, options: dict[str, Any], stream: bool) -> dict[str, Any]:
    rest = dict(options)
    system = rest.pop("system", None)
    messages = [{"role": "user", "content": text}]
    if upstream.anthropic:
        rest = {key: value for key, value in rest.items() if key not in ("seed", "stop")}
        if "stop" in options:
            rest["stop_sequences"] = options["stop"]
        if system is not None:
            rest["system"] = system
        rest.setdefault("max_tokens", 256)
    else:
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        if stream:
            rest["stream_options"] = {"include_usage": True}
    return {"model": upstream.model, "messages": messages, "stream": stream, **rest}


def hear_body(body: dict[str, Any], answer: Answer) -> None:
    if "error" in body:
        raise Failed(f"error in the body: {body['error'].get('message')}", 200)
    answer.done = True
    usage = body.get("usage", {})
    if "choices" in body:
        choice = body["choices"][0]
        answer.text, answer.finish = choice["message"]["content"] or "", choice["finish_reason"]
        answer.tokens = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    else:
        answer.text = "".join(block["text"] for block in body["content"])
        answer.finish = body["stop_reason"]
        answer.tokens = usage.get("input_tokens", 0), usage.get("output_tokens", 0)


def hear_event(line: bytes, answer: Answer, status: int) -> None:
    if not line.startswith(b"data:"):
        return
    data = line[5:].strip()
    if data == b"[DONE]":
        answer.done = True
        return
    event = json.loads(data)
    if "error" in event:
        raise Failed(f"error in the stream: {event['error'].get('message')}", status)
    match event.get("type"):
        case "message_start":
            answer.tokens = event["message"].get("usage", {}).get("input_tokens", 0), 0
        case "content_block_delta":
            answer.text += event["delta"].get("text", "")
        case "message_delta":
            answer.finish = event["delta"]["stop_reason"]
            answer.tokens = answer.tokens[0], event.get("usage", {}).get("output_tokens", 0)
        case "message_stop":
            answer.done = True
        case None:
            for choice in event["choices"]:
                answer.text += choice["delta"].get("content") or ""
                answer.finish = choice["finish_reason"] or answer.finish
            if usage := event.get("usage"):
                answer.tokens = usage["prompt_tokens"], usage["completion_tokens"]
        case _:
            return
