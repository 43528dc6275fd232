"""What a file promises about repeats."""

from __future__ import annotations

from pytest_llmroute.contracts.cache import Apart, Clean, Expires, Hit
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import STREAMS, Ledger
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("caches",)


def caches(config: Config, ledger: Ledger, facts: Facts) -> None:
    """What a repeat gets."""
    found = _cached(config, ledger)
    if found is None:
        return
    key, ttl, ttl_key = found
    group = facts.group
    calls = (config.litellm.get("cache_params") or {}).get("supported_call_types")
    kinds = {"chat": ("completion", "acompletion"), "embeddings": ("embedding", "aembedding")}
    served = [kind for kind in kinds[group.api] if calls is None or kind in calls]
    if not served:
        ledger.skip(key, "supported_call_types leaves out what the file's groups are asked for")
        return
    # The names with an a are asyncio's, and which of a pair covers the other is not documented.
    modes = tuple("async" if kind.startswith("a") else "sync" for kind in served)
    entries = tuple(f"{group.api}-{mode}" for mode in modes)
    name, roles, numbers = group.name, facts.roles, facts.numbers
    text = f"a repeat of a call for {name} is answered from the cache"
    ledger.promise(
        Hit(ttl), key, text, name, note="judged: chats and embeddings that are not streamed",
        entries=entries, roles=roles, numbers=numbers,
    )  # fmt: skip
    ledger.promise(
        Apart(), key, f"calls for {name} that differ never share an answer", name,
        note="pages differ on provider-specific parameters; judged: standard ones",
        entries=entries, roles=roles, numbers=numbers,
        pages=("proxy/caching_controls#provider-specific-optional-parameters-caching",),
    )  # fmt: skip
    if ttl_key is not None and ttl is not None:
        ledger.promise(
            Expires(ttl), ttl_key, f"answers for {name} are forgotten after {ttl:g} s", name,
            entries=entries, roles=roles, numbers={**numbers, "ttl": ttl},
        )  # fmt: skip
    ledger.promise(
        Clean(), key, f"a repeat for {name} never gets a failed or a truncated answer", name,
        kind="policy", roles=roles, numbers=numbers,
    )  # fmt: skip
    if group.api == "chat":
        ledger.promise(
            Hit(ttl), key, text + ", streamed too", name, kind="policy",
            pages=("caching/local_caching#caching-with-streaming",), entries=STREAMS,
            note="only a page about the SDK says that streams are cached",
            roles=roles, numbers=numbers,
        )  # fmt: skip


def _cached(config: Config, ledger: Ledger) -> tuple[KeyPath, float | None, KeyPath | None] | None:
    """The line that switches a cache on, how long entries live, and the line that says so."""
    params = config.litellm.get("cache_params") or {}
    lines = [("litellm_settings", "cache"), ("litellm_settings", "cache_params", "type")]
    if config.litellm.get("cache") is True:
        kind = params.get("type")
        reason = ""
        if kind is None:
            reason = (
                "which cache is the default differs by page (redis, local): set cache_params.type"
            )
        elif kind != "local":
            reason = f"a cache of type {kind} needs a service that is not simulated"
        elif params.get("mode") == "default_off":
            reason = "mode: default_off caches only what a request asks for"
        if reason:
            for line in (*lines, ("litellm_settings", "cache_params", "ttl")):
                ledger.skip(line, reason)
            return None
        ledger.skip(lines[1], "says which cache is used; nothing is promised of it alone")
        for name in ("ttl", "default_in_memory_ttl"):
            if name in params:
                key = ("litellm_settings", "cache_params", name)
                ledger.skip(
                    ("router_settings", "cache_responses"), "judged with litellm_settings.cache"
                )
                return lines[0], float(params[name]), key
        ledger.skip(("router_settings", "cache_responses"), "judged with litellm_settings.cache")
        return lines[0], None, None
    for name in params:
        ledger.skip(("litellm_settings", "cache_params", name), "cache is not switched on")
    ledger.skip(lines[0], "switches caching off")
    line = ("router_settings", "cache_responses")
    if config.router.get("cache_responses") is not True:
        ledger.skip(line, "switches caching off")
        return None
    if "redis_host" in config.router or "redis_url" in config.router:
        ledger.skip(line, "a cache in Redis needs a service that is not simulated")
        return None
    return line, None, None
