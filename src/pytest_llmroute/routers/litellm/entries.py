"""The entries of the model list, read: whom each asks, and as whom."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from llmroute_sim.history import fingerprint
from llmroute_sim.providers import Provider, model, provider, providers
from pytest_llmroute.routers.litellm.keys import by_variable, data, plain
from pytest_llmroute.routers.litellm.lines import KeyPath, Tree
from pytest_llmroute.routers.litellm.members import Absent, Group, Member
from pytest_llmroute.routers.litellm.patterns import (
    filled,
    is_pattern,
    listed_names,
    parts,
    samples,
)
from pytest_llmroute.routers.litellm.secrets import Vault

__all__ = ("read_groups",)

_FAMILIES = {
    "openai": re.compile(r"(gpt-|o[1-9]|chatgpt-|text-embedding-|ft:)"),
    "anthropic": re.compile(r"claude-"),
}
_BRIDGED = "responses/"
"""What stands before a model whose chats are asked over the Responses API
(https://docs.litellm.ai/docs/providers/openai#openai-chat-completion-to-responses-api-bridge)."""
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
    reading = _Reading(tree, vault, _credentials(tree, vault))
    found: dict[str, list[Member | Absent]] = {}
    for index, entry in enumerate(entries):
        for member in reading.entry(index, entry):
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


@dataclass(frozen=True, slots=True)
class _Reading:
    """A file while its model list is read: who speaks at each host so far."""

    tree: Tree
    vault: Vault
    credentials: Mapping[str, Mapping[str, Any]]
    speakers: dict[str, Provider] = field(default_factory=dict)

    def entry(self, index: int, entry: Any) -> Iterator[Member | Absent]:
        """What an entry says, once for each name of a pattern that the file uses; where it uses none,
        for one that its provider would know."""
        here = ("model_list", str(index))
        listed, raw = self._checked(here, entry)
        if by_variable(raw["model"]):
            reason = "its model is read from a variable, so no one can tell it here"
            yield Absent(index, listed, reason)
            return
        if not is_pattern(listed):
            yield self._read(index, entry, listed, str(raw["model"]))
            return
        exact, rivals = self._others(listed)
        used = [
            name
            for name in listed_names(self.tree.values)
            if not is_pattern(name) and name not in exact and parts(listed, name) is not None
        ]
        model = str(raw["model"])
        asked = used or [one for one in samples(listed, model) if one not in exact][:1]
        if not asked:
            yield self._read(index, entry, listed, model)
        for name in asked:
            if any(parts(rival, name) is not None for rival in rivals):
                reason = f"{name} fits two patterns, and which of them wins is not documented"
                yield Absent(index, name, reason)
                continue
            yield self._read(index, entry, name, filled(model, parts(listed, name) or ()))

    def _others(self, listed: str) -> tuple[set[str], list[str]]:
        """The plain names of the model list, and its patterns but this one."""
        entries = self.tree.values["model_list"]
        names = [str(e.get("model_name")) for e in entries if isinstance(e, dict)]
        plain = {name for name in names if not is_pattern(name)}
        return plain, [name for name in names if is_pattern(name) and name != listed]

    def _checked(self, here: KeyPath, entry: Any) -> tuple[str, Mapping[str, Any]]:
        if not isinstance(entry, dict):
            raise self.tree.error("must be a table with model_name and litellm_params", here)
        for key, inside in (("model_name", entry), ("litellm_params", entry)):
            if not inside.get(key):
                close = difflib.get_close_matches(key, list(map(str, entry)), 1, 0.6)
                hint = f"; there is {close[0]!r}" if close else ""
                raise self.tree.error(f"the deployment has no {key}{hint}", here)
        listed, raw = entry["model_name"], entry["litellm_params"]
        if not isinstance(raw, dict):
            raise self.tree.error("must be a table of settings", (*here, "litellm_params"))
        if not raw.get("model"):
            close = difflib.get_close_matches("model", list(map(str, raw)), 1, 0.6)
            raise self.tree.error(
                "the deployment has no model" + (f"; there is {close[0]!r}" if close else ""),
                (*here, "litellm_params"),
            )
        return str(listed), raw

    def _read(self, index: int, entry: Any, group: str, model: str) -> Member | Absent:
        """An entry as it serves one name, which it sends on as one model."""
        here = ("model_list", str(index))
        raw = entry["litellm_params"]
        params = self.vault.scrub(plain((*here, "litellm_params"), raw))
        info = self.vault.scrub(plain((*here, "model_info"), entry.get("model_info") or {}))
        params = {**self.credentials.get(str(raw.get("litellm_credential_name")), {}), **params}
        prefix, name = _split(
            self.tree, (*here, "litellm_params", "model"), {**params, "model": model}
        )
        if prefix is None:
            return Absent(index, group, f"what {name} is, is not known here")
        known = data("providers")["simulated"].get(prefix)
        if known is None:
            return Absent(index, group, f"nothing here speaks the format of {prefix}")
        if is_pattern(name):
            return Absent(index, group, "a pattern of names, none of which is known to be sold")
        mode = info.get("mode")
        if mode not in (None, "chat", "completion", "embedding") or _OTHER_MODES.search(name):
            return Absent(index, group, "only chats and embeddings are simulated")
        meant = provider(known["provider"])
        bridged = name.startswith(_BRIDGED)
        if bridged and prefix != "openai":
            return Absent(index, group, f"what {prefix}/{_BRIDGED} asks is not documented")
        name = name.removeprefix(_BRIDGED)
        base = params.get("api_base") or params.get("base_url")
        if base is None and "base" in known:
            base = params["api_base"] = known["base"]
        host: str | None = known.get("host") if base is None else _host(str(base))
        if host is None:
            message = (
                f"{prefix} has no host of its own, so the deployment needs an api_base (a URL)"
            )
            if base is not None:
                message = "must be a URL: https://host/path"
            raise self.tree.error(
                message, (*here, "litellm_params", "api_base" if base else "model")
            )
        if self.speakers.setdefault(host, _owner(host) or meant).dialect != meant.dialect:
            return Absent(
                index, group, f"{host} already speaks the format of {self.speakers[host].title}"
            )
        secret: str | None = params.get("api_key")
        variable = meant.environment.get("key")
        if secret is None and variable and "host" in known:
            secret = self.vault.variable(variable)
        mark = None if secret is None else fingerprint(str(secret))
        listed = str(entry["model_name"])
        return Member(
            index,
            group,
            prefix,
            self.speakers[host],
            host,
            name,
            mark,
            params,
            info,
            listed,
            bridged,
        )


_PORTS = {"http": 80, "https": 443}


def _host(url: str) -> str | None:
    """The host of a URL, with its port where that is not the scheme's."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return None
    if parts.hostname is None or port in (None, _PORTS.get(parts.scheme)):
        return parts.hostname
    return f"{parts.hostname}:{port}"


def _owner(host: str) -> Provider | None:
    return next((known for known in providers().values() if host in known.hosts), None)


def _split(tree: Tree, key: KeyPath, params: Mapping[str, Any]) -> tuple[str | None, str]:
    """LiteLLM's name of the provider, None for one that is not known here, and the model's name
    upstream. Raises ``ConfigError`` for what looks like a slip."""
    name = str(params["model"])
    table = data("providers")
    known = {*table["simulated"], *table["known"]["names"]}
    prefix, slash, rest = name.partition("/")
    stated = params.get("custom_llm_provider")
    if stated is not None:
        if stated not in known:
            path = (*key[:-1], "custom_llm_provider")
            if (close := _closest(stated, known, _SLIP)) is None:
                return None, str(stated)
            raise tree.error(f"unknown provider {stated!r}", path, close)
        return stated, rest if slash and prefix == stated else name
    if slash and prefix in known:
        return prefix, rest
    if slash:
        if (close := _closest(prefix, known, _SLIP)) is None:
            return None, name
        raise tree.error(f"unknown provider {prefix!r} in {name!r}", key, close)
    for maker, family in _FAMILIES.items():
        if family.match(name) or model(provider(maker), name) is not None:
            return maker, name
    if name.startswith(_OTHERS):
        return None, name
    raise tree.error(
        f"{name!r} names no provider, and no model of that name is known: write provider/model",
        key,
        f"openai/{name}",
    )


_SLIP = 0.75
"""How like a provider's name another must be, from 0 to 1, to be a slip and not one that is not known here."""
_OTHERS = (
    "gemini",
    "command",
    "dall-e",
    "whisper",
    "tts-",
    "imagen",
    "veo",
    "jamba",
    "titan",
    "amazon.",
)
"""How models are named, without a provider, that LiteLLM knows and nothing here speaks like."""


def _closest(name: str, known: set[str], alike: float) -> str | None:
    close = difflib.get_close_matches(name, sorted(known), 1, alike)
    return close[0] if close else None
