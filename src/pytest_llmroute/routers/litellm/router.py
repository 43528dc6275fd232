"""The real router: a ``litellm.Router`` made as the proxy makes it from ``config.yaml``.

How a file is applied: https://docs.litellm.ai/docs/proxy/configs. ``router_settings`` are arguments
of the router, ``litellm_settings`` attributes of the module, ``cache`` an object of its own.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from types import ModuleType
from typing import Any

from pytest_llmroute.routers import Question, Reply
from pytest_llmroute.routers.listening import ahear, hear
from pytest_llmroute.routers.litellm.process import imported, restored
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("LiteLLMRouter", "opened")

_numbers = itertools.count(1)

_NOT_APPLIED = frozenset({
    # made into an object of its own
    "cache", "cache_params",
    # code and services that are never executed here
    "callbacks", "success_callback", "failure_callback", "service_callback", "service_callbacks",
    "input_callback", "guardrails", "post_call_rules", "custom_provider_map", "audit_log_callbacks",
    # noise
    "set_verbose", "json_logs", "debug_level", "suppress_debug_info",
    # needs the proxy's database, and would mean something else without it
    "max_budget", "budget_duration", "max_end_user_budget", "max_internal_user_budget",
    # services and objects
    "redis_host", "redis_port", "redis_password", "redis_url", "redis_db", "cache_kwargs",
    "plugins", "alerting_config", "assistants_config", "search_tools", "guardrail_list",
    "router_general_settings",
})  # fmt: skip


class LiteLLMRouter:
    """An open router."""

    def __init__(self, router: Any) -> None:
        self._router = router

    def ask(self, question: Question, reply: Reply) -> None:
        """Ask, blocking; raises LiteLLM's own exceptions."""
        request = _request(question)
        if question.entry.api == "embeddings":
            _embedded(self._router.embedding(**request), reply)
        elif question.entry.stream:
            stream = self._router.completion(**request, stream=True)
            hear(stream, partial(_piece, reply), question, reply)
        else:
            _answer(self._router.completion(**request), reply)

    async def aask(self, question: Question, reply: Reply) -> None:
        """Ask on asyncio; raises LiteLLM's own exceptions."""
        request = _request(question)
        if question.entry.api == "embeddings":
            _embedded(await self._router.aembedding(**request), reply)
        elif question.entry.stream:
            stream = await self._router.acompletion(**request, stream=True)
            await ahear(stream, partial(_piece, reply), question, reply)
        else:
            _answer(await self._router.acompletion(**request), reply)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[LiteLLMRouter]:
    """A router of its own, and LiteLLM as it was before when it is closed. Raises
    :class:`~pytest_llmroute.routers.MissingPackage`."""
    litellm = imported()
    async with restored(litellm):
        for name, value in config.litellm.items():
            if name not in _NOT_APPLIED:
                setattr(litellm, name, value)
        if "request_timeout" in config.litellm:
            # Tells a timeout that a file sets from the default; releases before know none of it.
            litellm.request_timeout_explicitly_set = True  # type: ignore[attr-defined]
        cached = _cache(litellm, config)
        router = litellm.Router(**_arguments(litellm, config, cached=cached))
        try:
            yield LiteLLMRouter(router)
        finally:
            router.discard()


def _cache(litellm: ModuleType, config: Config) -> bool:
    """Switch the file's cache on, if it can be had without a service."""
    params = config.litellm.get("cache_params") or {}
    if config.litellm.get("cache") is not True or params.get("type") != "local":
        return False
    caching = importlib.import_module("litellm.caching.caching")
    litellm.cache = caching.Cache(**params)  # type: ignore[attr-defined]  # how LiteLLM is told
    return True


def _arguments(litellm: ModuleType, config: Config, *, cached: bool) -> dict[str, Any]:
    """What the router is made of."""
    arguments: dict[str, Any] = {
        "model_list": _model_list(config),
        "cache_responses": cached,
        "ignore_invalid_deployments": True,
    }
    arguments |= {k: v for k, v in config.router.items() if k not in _NOT_APPLIED}
    known = inspect.signature(litellm.Router.__init__).parameters
    # As the proxy does: a key that this release does not know is left out.
    return {name: value for name, value in arguments.items() if name in known}


def _model_list(config: Config) -> list[dict[str, Any]]:
    """The deployments, each with an id of its own: LiteLLM keeps what it knows of one by its id."""
    number = next(_numbers)
    found = []
    for group in config.groups.values():
        for member in group.members:
            params = {k: v for k, v in member.params.items() if k != "litellm_credential_name"}
            info = {"id": f"llmroute-{number}-{member.index}", **member.info}
            found.append(
                (
                    member.index,
                    {"model_name": group.name, "litellm_params": params, "model_info": info},
                )
            )
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


# -- questions and answers


def _request(question: Question) -> dict[str, Any]:
    options = dict(question.options)
    if question.entry.api == "embeddings":
        return {"model": question.group, "input": [question.text], **options}
    said = (*question.past, ("user", question.text))
    messages = [{"role": role, "content": text} for role, text in said]
    if (system := options.pop("system", None)) is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"model": question.group, "messages": messages, **options}


def _answer(response: Any, reply: Reply) -> None:
    choice = response.choices[0]
    reply.add(choice.message.content or "")
    for call in getattr(choice.message, "tool_calls", None) or ():
        reply.add(call.function.arguments or "")
    reply.finish = choice.finish_reason or ""
    reply.cost = _cost(response)


def _piece(reply: Reply, chunk: Any) -> None:
    for choice in chunk.choices[:1]:
        reply.add(choice.delta.content or "")
        for call in getattr(choice.delta, "tool_calls", None) or ():
            reply.add((call.function and call.function.arguments) or "")
        # A place for a finish reason that shows none tells the caller that more was to come.
        reply.finish = choice.finish_reason or reply.finish or ""
    if (cost := _cost(chunk)) is not None:
        reply.cost = cost


def _embedded(response: Any, reply: Reply) -> None:
    for item in response.data:
        vector = item["embedding"] if isinstance(item, Mapping) else item.embedding
        reply.vectors.append([float(number) for number in vector])
    reply.cost = _cost(response)


def _cost(response: Any) -> Decimal | None:
    cost = (getattr(response, "_hidden_params", None) or {}).get("response_cost")
    # A float, of which the digits behind the twelfth are dust.
    return None if cost is None else Decimal(str(round(cost, 12)))
