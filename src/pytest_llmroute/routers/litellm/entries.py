"""The entries of the model list, read: whom each asks, and as whom."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmroute_sim.history import fingerprint
from llmroute_sim.providers import Provider, model, provider, providers
from pytest_llmroute.routers.litellm.keys import by_variable, data, plain
from pytest_llmroute.routers.litellm.lines import KeyPath, Tree
from pytest_llmroute.routers.litellm.members import Absent, Group, Member
from pytest_llmroute.routers.litellm.secrets import Vault

__all__ = ("read_groups",)

_FAMILIES = {
    "openai": re.compile(r"(gpt-|o[1-9]|chatgpt-|text-embedding-|ft:)"),
    "anthropic": re.compile(r"claude-"),
}
_OTHER_MODES = re.compile(r"(whisper|tts|dall-e|image|moderation|rerank|transcribe|realtime)")


def read_groups(tree: Tree, vault: Vault) -> dict[str, Group]:
    """The groups of a file, in its order.

    Raises ``ConfigError`` for a model list that is missing or empty, an entry without its names, and
    a provider that does not exist.
    """
    entries = tree.values.get("model_list")
    if not entries:
        known = [key for key in tree.values if key != "model_list"]
        close = difflib.get_close_matches("model_list", known, 1, 0.7)
        what = "is empty" if "model_list" in tree.values else "is missing"
        hint = f"; there is {close[0]!r}" if close else ""
        raise tree.error(
            f"{what}: without deployments there is nothing to route to{hint}", ("model_list",)
        )
    if not isinstance(entries, list):
        raise tree.error("must be a list of deployments", ("model_list",))
    credentials = _credentials(tree, vault)
    found: dict[str, list[Member | Absent]] = {}
    speakers: dict[str, Provider] = {}
    for index, entry in enumerate(entries):
        member = _read(tree, vault, index, entry, credentials, speakers)
        found.setdefault(member.group, []).append(member)
    return {name: _group(name, read) for name, read in found.items()}


def _group(name: str, read: list[Member | Absent]) -> Group:
    members = tuple(each for each in read if isinstance(each, Member))
    orders = sorted({member.params["order"] for member in members if "order" in member.params})
    ordered = len(orders) > 1 and all("order" in member.params for member in members)
    return Group(
        name,
        ("model_list", str(read[0].index), "model_name"),
        members,
        tuple(each for each in read if isinstance(each, Absent)),
        "embeddings" if members and all(map(_embeds, members)) else "chat",
        tuple(tuple(m for m in members if m.params["order"] == order) for order in orders)
        if ordered
        else (),
    )


def _embeds(member: Member) -> bool:
    mode = member.info.get("mode")
    return mode == "embedding" if mode is not None else "embed" in member.model


def _credentials(tree: Tree, vault: Vault) -> Mapping[str, Mapping[str, Any]]:
    entries = tree.values.get("credential_list")
    return {
        str(entry.get("credential_name")): vault.scrub(entry.get("credential_values") or {})
        for entry in entries or ()
        if isinstance(entry, dict)
    }


def _read(
    tree: Tree,
    vault: Vault,
    index: int,
    entry: Any,
    credentials: Mapping[str, Mapping[str, Any]],
    speakers: dict[str, Provider],
) -> Member | Absent:
    here = ("model_list", str(index))
    if not isinstance(entry, dict):
        raise tree.error("must be a table with model_name and litellm_params", here)
    for key, inside in (("model_name", entry), ("litellm_params", entry)):
        if not inside.get(key):
            close = difflib.get_close_matches(key, list(map(str, entry)), 1, 0.6)
            hint = f"; there is {close[0]!r}" if close else ""
            raise tree.error(f"the deployment has no {key}{hint}", here)
    group, raw = entry["model_name"], entry["litellm_params"]
    if not isinstance(raw, dict):
        raise tree.error("must be a table of settings", (*here, "litellm_params"))
    if not raw.get("model"):
        close = difflib.get_close_matches("model", list(map(str, raw)), 1, 0.6)
        raise tree.error(
            "the deployment has no model" + (f"; there is {close[0]!r}" if close else ""),
            (*here, "litellm_params"),
        )
    if by_variable(raw["model"]):
        return Absent(index, group, "its model is read from a variable, so no one can tell it here")
    params = vault.scrub(plain((*here, "litellm_params"), raw))
    info = vault.scrub(plain((*here, "model_info"), entry.get("model_info") or {}))
    params = {**credentials.get(str(raw.get("litellm_credential_name")), {}), **params}
    prefix, name = _split(tree, (*here, "litellm_params", "model"), params)
    known = data("providers")["simulated"].get(prefix)
    if known is None:
        return Absent(index, group, f"nothing here speaks the format of {prefix}")
    if "*" in group or "*" in name:
        return Absent(index, group, "a pattern of names: which one is asked is the caller's choice")
    mode = info.get("mode")
    if mode not in (None, "chat", "completion", "embedding") or _OTHER_MODES.search(name):
        return Absent(index, group, "only chats and embeddings are simulated")
    if name.startswith("responses/"):
        return Absent(index, group, "the Responses API is not simulated")
    base = params.get("api_base") or params.get("base_url")
    host: str | None = known.get("host") if base is None else urlsplit(str(base)).hostname
    if host is None:
        message = f"{prefix} has no host of its own, so the deployment needs an api_base (a URL)"
        if base is not None:
            message = "must be a URL: https://host/path"
        raise tree.error(message, (*here, "litellm_params", "api_base" if base else "model"))
    meant = provider(known["provider"])
    if speakers.setdefault(host, _owner(host) or meant).dialect != meant.dialect:
        return Absent(index, group, f"{host} already speaks the format of {speakers[host].title}")
    secret: str | None = params.get("api_key")
    variable = meant.environment.get("key")
    if secret is None and variable and "host" in known:
        secret = vault.variable(variable)
    mark = None if secret is None else fingerprint(str(secret))
    return Member(index, group, prefix, speakers[host], host, name, mark, params, info)


def _owner(host: str) -> Provider | None:
    return next((known for known in providers().values() if host in known.hosts), None)


def _split(tree: Tree, key: KeyPath, params: Mapping[str, Any]) -> tuple[str, str]:
    """LiteLLM's name of the provider, and the model's name upstream."""
    name = str(params["model"])
    table = data("providers")
    known = {*table["simulated"], *table["known"]["names"]}
    prefix, slash, rest = name.partition("/")
    stated = params.get("custom_llm_provider")
    if stated is not None:
        if stated not in known:
            path = (*key[:-1], "custom_llm_provider")
            raise tree.error(f"unknown provider {stated!r}", path, _closest(stated, known))
        return stated, rest if slash and prefix == stated else name
    if slash and prefix in known:
        return prefix, rest
    if slash:
        raise tree.error(f"unknown provider {prefix!r} in {name!r}", key, _closest(prefix, known))
    for maker, family in _FAMILIES.items():
        if family.match(name) or model(provider(maker), name) is not None:
            return maker, name
    raise tree.error(
        f"{name!r} names no provider, and no model of that name is known: write provider/model",
        key,
        f"openai/{name}",
    )


def _closest(name: str, known: set[str]) -> str | None:
    close = difflib.get_close_matches(name, sorted(known), 1, 0.5)
    return close[0] if close else None
