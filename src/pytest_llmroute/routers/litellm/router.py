"""The real router: a ``litellm.Router`` made as the proxy makes it from ``config.yaml``.

How a file is applied: https://docs.litellm.ai/docs/proxy/configs. ``router_settings`` are arguments
of the router, ``litellm_settings`` attributes of the module, ``cache`` an object of its own.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import ModuleType
from typing import Any

from pytest_llmroute.routers import MissingPackage, Question, Reply
from pytest_llmroute.routers.listening import ahear, hear
from pytest_llmroute.routers.litellm.keys import data
from pytest_llmroute.routers.litellm.methods import METHODS, Listening, request
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
        with _whole():
            answer = self._method(question)(**request(question))
            listening = Listening(question, reply)
            if question.entry.stream:
                hear(answer, listening.take, question, reply)
            else:
                listening.take(answer)

    async def aask(self, question: Question, reply: Reply) -> None:
        """Ask on asyncio; raises LiteLLM's own exceptions."""
        with _whole():
            answer = await self._method(question)(**request(question))
            listening = Listening(question, reply)
            if question.entry.stream:
                await ahear(answer, listening.take, question, reply)
            else:
                listening.take(answer)

    def _method(self, question: Question) -> Any:
        """What answers a question. Raises :class:`MissingPackage` where this release has nothing."""
        name = METHODS[question.entry.api].name(sync=question.entry.sync)
        method = getattr(self._router, name, None)
        if method is None:
            raise MissingPackage(f"this release of LiteLLM has no Router.{name}")
        return method


@contextmanager
def _whole() -> Iterator[None]:
    """Raise :class:`MissingPackage` where LiteLLM is not wholly installed: some releases need the
    proxy's packages for a way in, and tell so as if a provider had failed."""
    try:
        yield
    except Exception as error:
        behind: BaseException | None = error
        while behind is not None:
            if isinstance(behind, ModuleNotFoundError):
                said = f"LiteLLM lacks a package ({behind}); pip install 'litellm[proxy]' has it"
                raise MissingPackage(said) from error
            behind = behind.__cause__ or behind.__context__
        _as_the_proxy_says(error)
        raise


def _as_the_proxy_says(error: Exception) -> None:
    """That nobody is left to ask has no status in the SDK; behind ``config.yaml`` is the proxy, which
    says 429 (https://docs.litellm.ai/docs/routing#cooldowns)."""
    said: Any = error
    if getattr(error, "status_code", None) is None and "No deployments available" in str(error):
        with suppress(AttributeError):
            said.status_code = 429


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
    found: dict[int, dict[str, Any]] = {}
    for group in config.groups.values():
        for member in group.members:  # an entry with a pattern serves several groups
            params = {k: v for k, v in member.params.items() if k != "litellm_credential_name"}
            base = data("providers")["simulated"][member.prefix].get("base")
            if base is not None and not {"api_base", "base_url"} & params.keys():
                params["api_base"] = base
            info = {"id": f"llmroute-{number}-{member.index}", **member.info}
            found[member.index] = {
                "model_name": member.listed, "litellm_params": params, "model_info": info,
            }  # fmt: skip
    return [found[index] for index in sorted(found)]
