"""The reference router as the runner sees a router: configured, opened, asked both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx

from pytest_llmroute.routers import Entry, Question, Reply
from pytest_llmroute.routers.listening import enough

from .reference import Emit, Knobs, Open, Read, Reference, Upstream

ENTRIES = tuple(
    Entry("chat", sync=sync, stream=stream) for sync in (True, False) for stream in (False, True)
)


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
    deployments: ClassVar[tuple[()]] = ()
    environment: ClassVar[dict[str, str]] = {}

    @property
    def path(self) -> Path:
        return Path(__file__)

    def entries(self, group: str) -> tuple[Entry, ...]:
        return ENTRIES

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
                self._conclude(reply, drive(self._steps(question), perform))

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
                self._conclude(reply, await adrive(self._steps(question), perform))

    def _heard(self, text: str, question: Question, reply: Reply) -> None:
        reply.add(text)
        if question.entry.stream and enough(question, reply):
            reply.left = True
            raise Gone

    def _steps(self, question: Question) -> Generator[Any, Any, Any]:
        return self.router.answer(question.text, dict(question.options), question.entry.stream)

    def _conclude(self, reply: Reply, answer: Any) -> None:
        reply.finish = answer.finish or "stop"


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
