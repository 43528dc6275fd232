"""The reference router as the runner sees a router: configured, opened, asked both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx

from llmroute_sim.simulator import Deployment
from pytest_llmroute.routers import Api, Entry, Question, Reply
from pytest_llmroute.routers.listening import enough
from pytest_llmroute.wanted import routing

from .formats import Answer, Asked
from .reference import Emit, Knobs, Open, Read, Reference
from .upstreams import VECTORS_SOLD, Upstream, sold

_APIS: tuple[Api, ...] = ("chat", "messages", "responses", "text")

ENTRIES = tuple(
    Entry("chat", sync=sync, stream=stream) for sync in (True, False) for stream in (False, True)
)
"""How a router is asked that only chats."""

WAYS = (
    *(
        Entry(api, sync=sync, stream=stream)
        for api in _APIS
        for sync in (True, False)
        for stream in (False, True)
    ),
    *(Entry("embeddings", sync=sync) for sync in (True, False)),
)
"""Every way in."""

_FINISH = {
    "messages": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"},
    "responses": {"stop": "completed", "length": "incomplete", "tool_calls": "completed", "content_filter": "incomplete"},
}  # fmt: skip
"""Finish reasons in the words of the ways in, where these are not OpenAI's old ones."""


def headers(upstream: Upstream) -> dict[str, str]:
    if upstream.anthropic:
        return {"x-api-key": upstream.key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {upstream.key}"}


@dataclass(frozen=True)
class Routed:
    """A configuration: which router, set up how."""

    knobs: Knobs
    router: Callable[[Knobs], Reference] = Reference

    kind: ClassVar[str] = "reference"
    promises: ClassVar[tuple[()]] = ()
    not_judged: ClassVar[tuple[()]] = ()
    environment: ClassVar[dict[str, str]] = {}
    keys: ClassVar[frozenset[str]] = frozenset()

    @property
    def path(self) -> Path:
        return Path(__file__)

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        return (
            *VECTORS_SOLD,
            *sold(one for group in self.knobs.chain for one in group.deployments),
        )

    def entries(self, group: str) -> tuple[Entry, ...]:
        return WAYS

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Driven]:
        yield Driven(self.router(self.knobs))


class Gone(BaseException):
    """The client has left; nobody in the router hears of it."""


class Driven:
    """Performs the effects of the router's logic."""

    def __init__(self, router: Reference) -> None:
        self.router = router

    def ask(self, question: Question, reply: Reply) -> None:
        with httpx.Client() as client, ExitStack() as current:
            chunks: Any = None

            def perform(effect: Any) -> Any:
                nonlocal chunks
                match effect:
                    case Open(upstream, body, patience):
                        current.close()
                        response = current.enter_context(
                            client.stream(
                                "POST",
                                upstream.url,
                                json=body,
                                headers=headers(upstream),
                                timeout=patience,
                            )
                        )
                        chunks = response.iter_raw()
                        return response.status_code, response.headers
                    case Read():
                        return next(chunks, b"")
                    case Emit(text):
                        return self._heard(text, question, reply)

            with suppress(Gone):
                self._conclude(reply, drive(self._steps(question), perform), question)

    async def aask(self, question: Question, reply: Reply) -> None:
        async with httpx.AsyncClient() as client, AsyncExitStack() as current:
            chunks: Any = None

            async def perform(effect: Any) -> Any:
                nonlocal chunks
                match effect:
                    case Open(upstream, body, patience):
                        await current.aclose()
                        response = await current.enter_async_context(
                            client.stream(
                                "POST",
                                upstream.url,
                                json=body,
                                headers=headers(upstream),
                                timeout=patience,
                            )
                        )
                        chunks = response.aiter_raw()
                        return response.status_code, response.headers
                    case Read():
                        return await anext(chunks, b"")
                    case Emit(text):
                        return self._heard(text, question, reply)

            with suppress(Gone):
                self._conclude(reply, await adrive(self._steps(question), perform), question)

    def _heard(self, text: str, question: Question, reply: Reply) -> None:
        reply.add(text)
        if question.entry.stream and enough(question, reply):
            reply.left = True
            raise Gone

    def _steps(self, question: Question) -> Generator[Any, Any, Any]:
        orders = routing(question.options)
        sent = {k: v for k, v in question.options.items() if k not in orders and k != "metadata"}
        entry = question.entry
        return self.router.answer(
            Asked(question.text, sent, orders, entry.stream, entry.sync, entry.api, question.past)
        )

    def _conclude(self, reply: Reply, answer: Answer, question: Question) -> None:
        reply.tokens_in, reply.tokens_out = answer.tokens
        reply.model, reply.cost = answer.model, answer.cost
        reply.vectors += answer.vectors
        if question.entry.api != "embeddings":
            finish = answer.finish or "stop"
            reply.finish = _FINISH.get(question.entry.api, {}).get(finish, finish)


def drive(steps: Generator[Any, Any, Any], perform: Callable[[Any], Any]) -> Any:
    result: Any = None
    error: Exception | None = None
    while True:
        try:
            effect = steps.throw(error) if error is not None else steps.send(result)
        except StopIteration as stop:
            return stop.value
        result, error = None, None
        try:
            result = perform(effect)
        except Exception as raised:
            error = raised


async def adrive(steps: Generator[Any, Any, Any], perform: Callable[[Any], Any]) -> Any:
    result: Any = None
    error: Exception | None = None
    while True:
        try:
            effect = steps.throw(error) if error is not None else steps.send(result)
        except StopIteration as stop:
            return stop.value
        result, error = None, None
        try:
            result = await perform(effect)
        except Exception as raised:
            error = raised
