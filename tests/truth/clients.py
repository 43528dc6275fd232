"""How each client asks. A client yields the text it is given, piece by piece, and raises what it
raises; ``seconds`` is its connect and read timeout."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

_QUESTION: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
_CLAUDE: dict[str, Any] = {**_QUESTION, "model": "claude-sonnet-4", "max_tokens": 64}


@dataclass(frozen=True, slots=True)
class Client:
    """A client by name, the packages that it needs, and what it speaks."""

    name: str
    needs: tuple[str, ...]
    dialect: str
    ask: Callable[[str, bool, float], Iterator[str] | AsyncIterator[str]]

    @property
    def available(self) -> bool:
        return all(importlib.util.find_spec(package) for package in self.needs)


# -- HTTP libraries


def _httpx(library: str) -> Callable[[str, bool, float], Iterator[str]]:
    def ask(base: str, stream: bool, seconds: float) -> Iterator[str]:
        httpx = importlib.import_module(library)
        with httpx.Client(timeout=seconds) as client:
            url, body = f"{base}/chat/completions", {**_QUESTION, "stream": stream}
            if not stream:
                response = client.post(url, json=body)
                response.raise_for_status()
                yield response.text
                return
            with client.stream("POST", url, json=body) as response:
                response.raise_for_status()
                yield from (chunk.decode("utf-8", "replace") for chunk in response.iter_bytes())

    return ask


def _httpx_async(library: str) -> Callable[[str, bool, float], AsyncIterator[str]]:
    async def ask(base: str, stream: bool, seconds: float) -> AsyncIterator[str]:
        httpx = importlib.import_module(library)
        async with httpx.AsyncClient(timeout=seconds) as client:
            url, body = f"{base}/chat/completions", {**_QUESTION, "stream": stream}
            if not stream:
                response = await client.post(url, json=body)
                response.raise_for_status()
                yield response.text
                return
            async with client.stream("POST", url, json=body) as response:
                response.raise_for_status()
                async for chunk in response.aiter_bytes():
                    yield chunk.decode("utf-8", "replace")

    return ask


async def _aiohttp(base: str, stream: bool, seconds: float) -> AsyncIterator[str]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    url, body = f"{base}/chat/completions", {**_QUESTION, "stream": stream}
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, json=body) as response,
    ):
        response.raise_for_status()
        if not stream:
            yield await response.text()
            return
        async for chunk in response.content.iter_any():
            yield chunk.decode("utf-8", "replace")


def _requests(base: str, stream: bool, seconds: float) -> Iterator[str]:
    import requests

    url, body = f"{base}/chat/completions", {**_QUESTION, "stream": stream}
    with (
        requests.Session() as session,
        session.post(url, json=body, stream=stream, timeout=(seconds, seconds)) as response,
    ):
        response.raise_for_status()
        if not stream:
            yield response.text
            return
        yield from (chunk.decode("utf-8", "replace") for chunk in response.iter_content(None))


# -- SDKs


def _openai(base: str, stream: bool, seconds: float) -> Iterator[str]:
    import openai

    with openai.OpenAI(base_url=base, api_key="k", timeout=seconds, max_retries=0) as client:
        answer = client.chat.completions.create(**_QUESTION, stream=stream)
        if not stream:
            yield answer.choices[0].message.content or ""
            return
        for chunk in answer:
            yield "".join(choice.delta.content or "" for choice in chunk.choices)


def _responses(base: str, stream: bool, seconds: float) -> Iterator[str]:
    import openai

    with openai.OpenAI(base_url=base, api_key="k", timeout=seconds, max_retries=0) as client:
        answer = client.responses.create(model="gpt-4o", input="hi", stream=stream)
        if not stream:
            yield answer.output_text
            return
        for event in answer:
            if event.type == "response.output_text.delta":
                yield event.delta


async def _responses_async(base: str, stream: bool, seconds: float) -> AsyncIterator[str]:
    import openai

    made = openai.AsyncOpenAI(base_url=base, api_key="k", timeout=seconds, max_retries=0)
    async with made as client:
        answer = await client.responses.create(model="gpt-4o", input="hi", stream=stream)
        if not stream:
            yield answer.output_text
            return
        async for event in answer:
            if event.type == "response.output_text.delta":
                yield event.delta


async def _openai_async(base: str, stream: bool, seconds: float) -> AsyncIterator[str]:
    import openai

    made = openai.AsyncOpenAI(base_url=base, api_key="k", timeout=seconds, max_retries=0)
    async with made as client:
        answer = await client.chat.completions.create(**_QUESTION, stream=stream)
        if not stream:
            yield answer.choices[0].message.content or ""
            return
        async for chunk in answer:
            yield "".join(choice.delta.content or "" for choice in chunk.choices)


def _anthropic(base: str, stream: bool, seconds: float) -> Iterator[str]:
    import anthropic

    base = base.removesuffix("/v1")
    with anthropic.Anthropic(base_url=base, api_key="k", timeout=seconds, max_retries=0) as client:
        answer = client.messages.create(**_CLAUDE, stream=stream)
        if not stream:
            yield "".join(block.text for block in answer.content)
            return
        for event in answer:
            if event.type == "content_block_delta":
                yield event.delta.text


async def _anthropic_async(base: str, stream: bool, seconds: float) -> AsyncIterator[str]:
    import anthropic

    base = base.removesuffix("/v1")
    made = anthropic.AsyncAnthropic(base_url=base, api_key="k", timeout=seconds, max_retries=0)
    async with made as client:
        answer = await client.messages.create(**_CLAUDE, stream=stream)
        if not stream:
            yield "".join(block.text for block in answer.content)
            return
        async for event in answer:
            if event.type == "content_block_delta":
                yield event.delta.text


# -- a router


def _router(model: str, base: str, seconds: float) -> Any:
    import litellm

    litellm.in_memory_llm_clients_cache.flush_cache()
    litellm.suppress_debug_info = True
    if model.startswith("anthropic"):
        base = base.removesuffix("/v1")
    deployment = {
        "model_name": "group",
        "litellm_params": {
            "model": model,
            "api_base": base,
            "api_key": "k",
            "timeout": seconds,
            "stream_timeout": seconds,
        },
    }
    return litellm.Router(model_list=[deployment], num_retries=0, disable_cooldowns=True)


_ASKED: dict[str, Any] = {"model": "group", "messages": _QUESTION["messages"], "max_tokens": 64}


def _litellm(model: str) -> Callable[[str, bool, float], Iterator[str]]:
    def ask(base: str, stream: bool, seconds: float) -> Iterator[str]:
        answer = _router(model, base, seconds).completion(**_ASKED, stream=stream)
        if not stream:
            yield answer.choices[0].message.content or ""
            return
        for chunk in answer:
            yield "".join(choice.delta.content or "" for choice in chunk.choices)

    return ask


def _litellm_async(model: str) -> Callable[[str, bool, float], AsyncIterator[str]]:
    async def ask(base: str, stream: bool, seconds: float) -> AsyncIterator[str]:
        answer = await _router(model, base, seconds).acompletion(**_ASKED, stream=stream)
        if not stream:
            yield answer.choices[0].message.content or ""
            return
        async for chunk in answer:
            yield "".join(choice.delta.content or "" for choice in chunk.choices)

    return ask


def _generation(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package).partition('.')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return package


_OPENAI, _ANTHROPIC = _generation("openai"), _generation("anthropic")
_GPT, _SONNET = "openai/gpt-4o", "anthropic/claude-sonnet-4"

RESPONSES: dict[str, Client] = {
    client.name: client
    for client in (
        Client(f"{_OPENAI} responses", ("openai",), "openai-responses", _responses),
        Client(f"{_OPENAI} responses async", ("openai",), "openai-responses", _responses_async),
    )
}
"""Clients of OpenAI's other endpoint. They are in no table: what they raise is nearly always what they
raise for chats."""

CLIENTS: dict[str, Client] = {
    client.name: client
    for client in (
        Client("httpx", ("httpx",), "openai", _httpx("httpx")),
        Client("httpx async", ("httpx",), "openai", _httpx_async("httpx")),
        Client("httpx2", ("httpx2",), "openai", _httpx("httpx2")),
        Client("httpx2 async", ("httpx2",), "openai", _httpx_async("httpx2")),
        Client("aiohttp", ("aiohttp",), "openai", _aiohttp),
        Client("requests", ("requests",), "openai", _requests),
        Client(_OPENAI, ("openai",), "openai", _openai),
        Client(f"{_OPENAI} async", ("openai",), "openai", _openai_async),
        Client(_ANTHROPIC, ("anthropic",), "anthropic", _anthropic),
        Client(f"{_ANTHROPIC} async", ("anthropic",), "anthropic", _anthropic_async),
        Client("litellm to openai", ("litellm",), "openai", _litellm(_GPT)),
        Client("litellm to openai async", ("litellm",), "openai", _litellm_async(_GPT)),
        Client("litellm to anthropic", ("litellm",), "anthropic", _litellm(_SONNET)),
        Client("litellm to anthropic async", ("litellm",), "anthropic", _litellm_async(_SONNET)),
    )
}
