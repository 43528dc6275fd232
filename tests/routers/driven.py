"""The reference router as the runner sees a router: configured, opened, asked both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx

from pytest_llmroute.routers import Entry, Question, Reply

from .reference import Close, Emit, Knobs, Open, Read, Reference, Upstream

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

    knobs: Knobs = Knobs()
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


class Driven:
    """Performs the effects of the router's logic."""

    def __init__(self, router: Reference) -> None:
        self.router = router

    def ask(self, question: Question, reply: Reply) -> None:
        with httpx.Client() as client:
            stream: Any = None
            response: Any = None
            chunks: Any = None

            def perform(effect: Any) -> Any:
                nonlocal stream, response, chunks
                match effect:
                    case Open(upstream, body, patience):
                        stream = client.stream(
                            "POST", upstream.url, json=body, headers=headers(upstream),
                            timeout=patience,
                        )  # fmt: skip
                        response = stream.__enter__()
                        chunks = response.iter_raw()
                        return response.status_code, response.headers
                    case Read(patience):
                        be_patient(response, patience)
                        return next(chunks, b"")
                    case Emit(text):
                        reply.add(text)
                    case Close() if response is not None:
                        stream.__exit__(None, None, None)
                        response = None
                return None

            steps = self._steps(question)
            self._conclude(reply, drive(steps, perform))

    async def aask(self, question: Question, reply: Reply) -> None:
        async with httpx.AsyncClient() as client:
            stream: Any = None
            response: Any = None
            chunks: Any = None

            async def perform(effect: Any) -> Any:
                nonlocal stream, response, chunks
                match effect:
                    case Open(upstream, body, patience):
                        stream = client.stream(
                            "POST", upstream.url, json=body, headers=headers(upstream),
                            timeout=patience,
                        )  # fmt: skip
                        response = await stream.__aenter__()
                        chunks = response.aiter_raw()
                        return response.status_code, response.headers
                    case Read(patience):
                        be_patient(response, patience)
                        return await anext(chunks, b"")
                    case Emit(text):
                        reply.add(text)
                    case Close() if response is not None:
                        await stream.__aexit__(None, None, None)
                        response = None
                return None

            steps = self._steps(question)
            self._conclude(reply, await adrive(steps, perform))

    def _steps(self, question: Question) -> Generator[Any, Any, Any]:
        return self.router.answer(question.text, dict(question.options), question.entry.stream)

    def _conclude(self, reply: Reply, answer: Any) -> None:
        reply.finish = answer.finish or "stop"


def be_patient(response: httpx.Response, patience: float | None) -> None:
    response.request.extensions["timeout"]["read"] = patience


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
