"""LiteLLM in this process: imported without the network and without noise, and put back as it was.

LiteLLM keeps callbacks, caches, prices and clients for the whole process, so a router leaves traces
that the next one would see. What changes between releases is not touched by name: the state of the
module is remembered as a whole, and restored as a whole.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import _lru_cache_wrapper
from types import CodeType, ModuleType
from typing import Any

from pytest_llmroute.routers import MissingPackage
from pytest_llmroute.routers.litellm.keys import data

__all__ = ("imported", "restored")

_OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_TELEMETRY": "False",
    "DISABLE_AIOHTTP_TRUST_ENV": "True",
    "LITELLM_LOG": "CRITICAL",
    "HF_HUB_OFFLINE": "1",
}
_MODULE_CLIENTS = ("module_level_aclient", "module_level_client")
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


def imported() -> ModuleType:
    """LiteLLM. Raises :class:`MissingPackage` where it is not installed."""
    if "litellm" not in sys.modules:
        for name, value in _OFFLINE.items():
            os.environ.setdefault(name, value)
    try:
        with _no_collection():
            litellm = importlib.import_module("litellm")
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "a LiteLLM config.yaml is run with LiteLLM itself, which is not installed here"
            f" ({error}); install it with: pip install 'pytest-llmroute[litellm]'"
        ) from error
    # Loaded when first used by some releases: a world must not find them half there.
    for name in (
        "Router",
        "completion",
        "acompletion",
        "text_completion",
        "atext_completion",
        "responses",
        "aresponses",
        "anthropic_messages",
        "embedding",
        "aembedding",
        "completion_cost",
    ):
        getattr(litellm, name, None)
    return litellm


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: there is little in what is imported, and to look for it again and
    again takes a sixth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@asynccontextmanager
async def restored(litellm: ModuleType) -> AsyncIterator[None]:
    """Undo what happens to LiteLLM meanwhile: its settings, callbacks, prices, clients and tasks."""
    await _forget_clients(litellm)
    places = [litellm, *_workers()]
    before = [_remember(vars(place)) for place in places]
    if not gc.isenabled():
        # Whoever collects after each call has set aside what was there before, and this is no garbage
        # either: to look through it takes a tenth of a short cell's time.
        gc.freeze()
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    elsewhere = data("providers")["elsewhere"]["variables"]
    with _quiet(), _unread(), _unmarked(), _seldom(), _unset(elsewhere), _sessions() as sessions:
        litellm.suppress_debug_info = True  # type: ignore[attr-defined]  # a setting of theirs
        # Tokens of some models are counted by what would be downloaded.
        litellm.disable_hf_tokenizer_download = True  # type: ignore[attr-defined]  # the same
        try:
            yield
        finally:
            await _ended(threads)
            for worker in places[1:]:
                # What is still to be written down belongs to this router, not to the next.
                for end in ("clear_queue", "flush", "stop"):
                    if (ending := getattr(worker, end, None)) is not None:
                        with suppress(Exception):
                            await asyncio.wait_for(ending(), 5)
            ours = [task for task in asyncio.all_tasks() if task not in tasks]
            for task in ours:
                task.cancel()
            await asyncio.gather(*ours, return_exceptions=True)
            await _forget_clients(litellm)
            # A client that is let go of closes itself in a task of its own.
            if late := [task for task in asyncio.all_tasks() if task not in tasks]:
                await asyncio.wait(late, timeout=5)
            for session in sessions:
                await session.close()
            for place, remembered in zip(places, before, strict=True):
                _restore(vars(place), remembered)
            _forget_results()


# -- state

_known: set[str] = set()
_remembering: list[Any] = []
"""The functions of modules that are known which remember their results; modules do not get new ones."""


def _workers() -> list[Any]:
    """What runs callbacks in the background, one for the process."""
    module = sys.modules.get("litellm.litellm_core_utils.logging_worker")
    worker = getattr(module, "GLOBAL_LOGGING_WORKER", None)
    return [] if worker is None else [worker]


def _remember(state: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Every attribute, and what is in those that hold others."""
    return {
        name: (value, _inside(value) if isinstance(value, (dict, list, set)) else None)
        for name, value in state.items()
    }


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        # Prices are tables within a table, changed in place.
        return {key: inner.copy() if type(inner) is dict else inner for key, inner in value.items()}
    return value.copy()


def _restore(state: dict[str, Any], remembered: dict[str, tuple[Any, Any]]) -> None:
    for name in list(state):
        # What was loaded since then stays: modules, functions and classes are no state.
        if name not in remembered and not callable(state[name]) and not _loaded(state[name]):
            del state[name]
    for name, (value, inside) in remembered.items():
        state[name] = value
        if inside is None or value == inside:
            continue
        if isinstance(value, list):
            value[:] = inside
        else:
            value.clear()
            value.update(inside)


def _loaded(value: Any) -> bool:
    return isinstance(value, ModuleType) or type(value).__module__.startswith("litellm")


async def _forget_clients(litellm: ModuleType) -> None:
    """Close the clients that LiteLLM keeps: they belong to a loop and a world that end."""
    close = getattr(litellm, "close_litellm_async_clients", None)
    if close is not None:
        with suppress(Exception):
            await close()
    cache = getattr(litellm, "in_memory_llm_clients_cache", None)
    kept = list(getattr(cache, "cache_dict", {}).values())
    if hasattr(litellm, "__getattr__"):
        # Made when first asked for, and made again once they are gone.
        kept += [vars(litellm).pop(name, None) for name in _MODULE_CLIENTS]
    for client in kept:
        for each in (client, getattr(client, "client", None), getattr(client, "_client", None)):
            if callable(shut := getattr(each, "close", None)):
                with suppress(Exception):
                    result = shut()
                    if asyncio.iscoroutine(result):
                        await result
    if callable(flush := getattr(cache, "flush_cache", None)):
        flush()


@contextmanager
def _sessions() -> Iterator[list[Any]]:
    """The sessions of aiohttp that are made meanwhile. LiteLLM drops one without closing it when
    its client has become an hour old."""
    aiohttp = sys.modules.get("aiohttp")
    made: list[Any] = []
    if aiohttp is None:
        yield made
        return
    kind = aiohttp.ClientSession
    begin = kind.__init__

    def noted(self: Any, *arguments: Any, **settings: Any) -> None:
        begin(self, *arguments, **settings)
        made.append(self)

    kind.__init__ = noted
    try:
        yield made
    finally:
        kind.__init__ = begin


async def _ended(before: set[threading.Thread]) -> None:
    """Let threads come to their end that were started for one call, not for a pool; and those of
    AnyIO's pool, which would wait for the end of a task that is this world's last."""
    pooled = [t for t in threading.enumerate() if t not in before and t.name.startswith("AnyIO")]
    for thread in pooled:
        if callable(stop := getattr(thread, "stop", None)):
            stop()
    for _ in range(100):
        if not any(
            thread in pooled or ("(" in thread.name and "worker" not in thread.name)
            for thread in threading.enumerate()
            if thread not in before and thread.is_alive()
        ):
            return
        await asyncio.sleep(0.01)


def _forget_results() -> None:
    """Empty the caches of functions: prices and models that were looked up for one router."""
    for name in sys.modules.keys() - _known:
        _known.add(name)
        if name.startswith("litellm") and (module := sys.modules.get(name)) is not None:
            _remembering.extend(_remembering_in(module))
    for function in _remembering:
        function.cache_clear()


def _remembering_in(module: ModuleType) -> list[Any]:
    return [
        value
        for value in vars(module).copy().values()
        if isinstance(value, _lru_cache_wrapper)
        and value.__module__.startswith("litellm")
        # What takes no argument was not asked about a router (and may be megabytes).
        and value.__wrapped__.__code__.co_argcount
    ]


# -- noise


@contextmanager
def _instead(module: Any, **ours: Any) -> Iterator[None]:
    """Put ours in the place of what a module has by these names; a release may lack some, or it all."""
    before = {name: getattr(module, name) for name in ours if hasattr(module, name)}
    for name in before:
        setattr(module, name, ours[name])
    try:
        yield
    finally:
        for name, theirs in before.items():
            setattr(module, name, theirs)


def _seldom() -> AbstractContextManager[None]:
    """Once an hour what LiteLLM does every second: fetch from Redis what budgets have spent elsewhere.
    There is no Redis in a world, so nothing comes of it, and a day of seconds takes seconds."""
    module = sys.modules.get("litellm.router_strategy.budget_limiter")
    return _instead(module, DEFAULT_REDIS_SYNC_INTERVAL=3600)


def _unread() -> AbstractContextManager[None]:
    """Search nothing for secrets that only goes into logs, which nobody keeps here: of a failure all of
    its traceback is, and a quarter of the time with it. What callers are told is searched as ever."""
    module = sys.modules.get("litellm.litellm_core_utils.litellm_logging")
    return _instead(module, redact_string=_as_it_is, _redact_string=_as_it_is)


def _unmarked() -> AbstractContextManager[None]:
    """Mark in no traceback which part of a line it was, which only goes into logs too: for a failure
    deep in LiteLLM to find that out takes longer than all else."""
    return _instead(traceback, _get_code_position=_somewhere)


def _somewhere(code: CodeType, index: int) -> tuple[None, None, None, None]:
    return None, None, None, None


def _as_it_is(text: str) -> str:
    return text


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


@contextmanager
def _unset(names: list[str]) -> Iterator[None]:
    """Set aside the variables that would send requests elsewhere."""
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
