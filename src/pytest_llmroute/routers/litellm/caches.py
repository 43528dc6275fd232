"""What a file promises about repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmroute.contracts.budget import Free
from pytest_llmroute.contracts.cache import Apart, Clean, Expires, Hit
from pytest_llmroute.promises import Source
from pytest_llmroute.routers import Api
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.settings import Config
from pytest_llmroute.routers.litellm.ways import ways
from pytest_llmroute.routers.litellm.wishes import cached_wishes

__all__ = ("caches",)

_PARAMS = ("litellm_settings", "cache_params")
_CALLS: Mapping[Api, str] = {
    "chat": "completion",
    "text": "text_completion",
    "responses": "responses",
    "embeddings": "embedding",
}
"""What LiteLLM calls the calls of each API that may be cached; on asyncio with an ``a`` before it, and
which of a pair covers the other is not documented."""
_SOON = 60.0
"""Seconds around which a repeat is asked where nothing is to be remembered at all."""
_MESSAGES = ("anthropic_messages", "aanthropic_messages")
_NEVER = "proxy/caching"


@dataclass(frozen=True, slots=True)
class _Cache:
    """The cache that is switched on: the line that does it, how long entries live, and the line that
    says so."""

    key: KeyPath
    ttl: float | None = None
    ttl_key: KeyPath | None = None


def caches(config: Config, ledger: Ledger, facts: Facts) -> None:
    """What a repeat gets."""
    found = _cached(config, ledger)
    if found is None:
        return
    group, name = facts.group, facts.group.name
    params = config.litellm.get("cache_params") or {}
    given: dict[str, Any] = {"roles": facts.roles, "numbers": facts.numbers}
    listed = params.get("supported_call_types")
    apis: tuple[Api, ...]
    apis = ("embeddings",) if group.api == "embeddings" else ("chat", "text", "responses")
    if params.get("mode") == "default_off":
        never = tuple(entry for api in apis for entry in ways(api, stream=False))
        _forgets(ledger, facts, (*_PARAMS, "mode"), never, "unless a request asks for it")
        cached_wishes(
            ledger,
            facts,
            (*_PARAMS, "mode"),
            ways(group.api, sync=False, stream=False),
            only_asked=True,
        )
        ledger.skip(found.key, "judged with cache_params.mode, which switches it off again")
        return
    served, left_out = _served(apis, listed)
    if left_out:
        _forgets(ledger, facts, (*_PARAMS, "supported_call_types"), left_out, "by what is listed")
    if group.api == "chat":
        _messages(ledger, facts, found.key, listed)
    if not served:
        ledger.skip(found.key, "supported_call_types leaves out what its groups are asked for")
        return
    text = f"a repeat of a call for {name} is answered from the cache"
    ledger.promise(
        Hit(found.ttl), found.key, text, name, note="judged: calls that are not streamed",
        entries=served, **given,
    )  # fmt: skip
    ledger.promise(
        Apart(), found.key, f"calls for {name} that differ never share an answer", name,
        note="pages differ on provider-specific parameters; judged: standard ones",
        entries=served, pages=("proxy/caching_controls#provider-specific-optional-parameters-caching",),
        **given,
    )  # fmt: skip
    if found.ttl_key is not None and found.ttl is not None:
        ledger.promise(
            Expires(found.ttl), found.ttl_key,
            f"answers for {name} are forgotten after {found.ttl:g} s", name, entries=served,
            roles=facts.roles, numbers={**facts.numbers, "ttl": found.ttl},
        )  # fmt: skip
    asked = tuple(way for way in ways(group.api, sync=False, stream=False) if way in served)
    cached_wishes(ledger, facts, found.key, asked, only_asked=False)
    _practice(ledger, facts, found, text)


def _practice(ledger: Ledger, facts: Facts, found: _Cache, text: str) -> None:
    """What no page promises of caches."""
    name = facts.group.name
    given: dict[str, Any] = {"roles": facts.roles, "numbers": facts.numbers}
    ledger.promise(
        Clean(), found.key, f"a repeat for {name} never gets a failed or a truncated answer", name,
        kind="policy", **given,
    )  # fmt: skip
    ledger.promise(
        Free(), found.key, f"a repeat for {name} that asks nobody costs nothing", name, kind="policy",
        **given,
    )  # fmt: skip
    if facts.group.api == "chat":
        ledger.promise(
            Hit(found.ttl), found.key, text + ", streamed too", name, kind="policy",
            pages=("caching/local_caching#caching-with-streaming",),
            entries=ways("chat", stream=True),
            note="only a page about the SDK says that streams are cached", **given,
        )  # fmt: skip


def _served(apis: tuple[Api, ...], listed: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ways in whose calls are cached, and those whose calls are surely not."""
    served: list[str] = []
    left_out: list[str] = []
    for api in apis:
        blocking, later = _CALLS[api], f"a{_CALLS[api]}"
        if listed is None:
            served += ways(api, stream=False)
            continue
        served += [way for call, sync in ((blocking, True), (later, False)) if call in listed
                   for way in ways(api, sync=sync, stream=False)]  # fmt: skip
        if blocking not in listed and later not in listed:
            left_out += ways(api, stream=False)
    return tuple(served), tuple(left_out)


def _messages(ledger: Ledger, facts: Facts, key: KeyPath, listed: Any) -> None:
    """One page says that messages are never cached; what ``supported_call_types`` may list names them,
    and lists everything where it is left out."""
    agreed = listed is not None and not set(listed) & set(_MESSAGES)
    note = (
        ""
        if agreed
        else "messages are among the types of calls that can be listed, and of the default"
    )
    _forgets(
        ledger, facts, key, ways("messages", stream=False), "if they are messages", page=_NEVER,
        kind="config" if agreed else "policy", note=note,
    )  # fmt: skip


def _forgets(
    ledger: Ledger,
    facts: Facts,
    key: KeyPath,
    entries: tuple[str, ...],
    why: str,
    *,
    page: str | None = None,
    kind: Source = "config",
    note: str = "",
) -> None:
    """Calls that are never answered from the cache."""
    ledger.promise(
        Expires(0.0), key, f"calls for {facts.group.name} are not cached, {why}", facts.group.name,
        entries=entries, kind=kind, pages=(page,) if page else (), note=note, roles=facts.roles,
        numbers={**facts.numbers, "ttl": _SOON},
    )  # fmt: skip


def _cached(config: Config, ledger: Ledger) -> _Cache | None:
    """The cache that is switched on, if it can be had here."""
    params = config.litellm.get("cache_params") or {}
    key, kind_key = ("litellm_settings", "cache"), (*_PARAMS, "type")
    if config.litellm.get("cache") is True:
        if reason := _needs(params.get("type")):
            for line in (key, *((*_PARAMS, name) for name in ("type", "ttl", "mode"))):
                ledger.skip(line, reason)
            return None
        ledger.skip(kind_key, "says which cache is used; nothing is promised of it alone")
        ledger.skip((*_PARAMS, "supported_call_types"), "lists all that its groups are asked for")
        ledger.skip((*_PARAMS, "mode"), "caches what no request forbids, as if it were not there")
        ledger.skip(("router_settings", "cache_responses"), "judged with litellm_settings.cache")
        for name in ("ttl", "default_in_memory_ttl"):
            if name in params:
                return _Cache(key, float(params[name]), (*_PARAMS, name))
        return _Cache(key)
    for name in params:
        ledger.skip((*_PARAMS, name), "cache is not switched on")
    ledger.skip(key, "switches caching off")
    line = ("router_settings", "cache_responses")
    if config.router.get("cache_responses") is not True:
        ledger.skip(line, "switches caching off")
        return None
    if "redis_host" in config.router or "redis_url" in config.router:
        ledger.skip(line, "a cache in Redis needs a service that is not simulated")
        return None
    return _Cache(line)


def _needs(kind: object) -> str:
    """Why a kind of cache cannot be judged, or nothing."""
    match kind:
        case None:
            return (
                "which cache is the default differs by page (redis, local): set cache_params.type"
            )
        case "local":
            return ""
        case "disk":
            return "a cache on disk outlives its router, and needs a package of its own (diskcache)"
        case _:
            return f"a cache of type {kind} needs a service that is not simulated"
