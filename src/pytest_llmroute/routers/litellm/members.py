"""The model list: which deployments form which group, whom they ask, and as whom."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from urllib.parse import urlsplit

from llmroute_sim.history import fingerprint
from llmroute_sim.providers import Provider, Tariff, model, provider, providers
from pytest_llmroute.contracts import Target
from pytest_llmroute.routers.litellm.keys import by_variable, data, plain
from pytest_llmroute.routers.litellm.lines import KeyPath, Tree
from pytest_llmroute.routers.litellm.secrets import Vault

__all__ = ("Absent", "Group", "Member", "read_groups")

Api = Literal["chat", "embeddings"]

_FAMILIES = {
    "openai": re.compile(r"(gpt-|o[1-9]|chatgpt-|text-embedding-|ft:)"),
    "anthropic": re.compile(r"claude-"),
}
_OTHER_MODES = re.compile(r"(whisper|tts|dall-e|image|moderation|rerank|transcribe|realtime)")


@dataclass(frozen=True, slots=True)
class Member:
    """A deployment as its entry of the model list describes it.

    ``prefix`` is LiteLLM's name of the provider, ``model`` what is asked for upstream, ``key`` the
    fingerprint of the throw-away key (None where none is configured); ``params`` and ``info`` are
    the entry's tables without secrets.
    """

    index: int
    group: str
    prefix: str
    provider: Provider
    host: str
    model: str
    key: str | None
    params: Mapping[str, Any]
    info: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Where incidents find it."""
        return f"{self.host}/{self.model}" + (f"#{self.key}" if self.key else "")

    @property
    def deployment(self) -> tuple[str, str, str | None]:
        """How a history tells it from others."""
        return (self.host, self.model, self.key)

    @property
    def target(self) -> Target:
        """It alone."""
        return Target(f"{self.model} at {self.host}", (self.deployment,))

    def path(self, table: str, key: str) -> KeyPath:
        """The path of one of its keys."""
        return ("model_list", str(self.index), table, key)

    @property
    def named(self) -> Tariff | None:
        """The price that the file names (USD per token), None if it names none."""
        prices = [
            source.get(f"{way}_cost_per_token", self.params.get(f"{way}_cost_per_token"))
            for way in ("input", "output")
            for source in (self.info,)
        ]
        if all(price is None or by_variable(price) for price in prices):
            return None
        try:
            return Tariff(*(Decimal(str(price or 0)) for price in prices))
        except InvalidOperation:
            return None

    @property
    def tariff(self) -> Tariff | None:
        """The price that the file names, else the catalogue's; None where neither does."""
        if (named := self.named) is not None:
            return named
        sold = model(self.provider, self.model)
        return None if sold is None else sold.tariff


@dataclass(frozen=True, slots=True)
class Absent:
    """An entry of the model list that nothing here can simulate, and why."""

    index: int
    group: str
    reason: str


@dataclass(frozen=True, slots=True)
class Group:
    """What callers ask for by one name."""

    name: str
    key: KeyPath
    members: tuple[Member, ...] = ()
    absent: tuple[Absent, ...] = ()
    api: Api = "chat"
    levels: tuple[tuple[Member, ...], ...] = field(default=())
    """Its members by ``order``, where all have one and more than one is used."""

    @property
    def target(self) -> Target:
        """All of it."""
        return Target(self.name, tuple(dict.fromkeys(m.deployment for m in self.members)))

    @property
    def places(self) -> tuple[str, ...]:
        """Where incidents find it."""
        return tuple(dict.fromkeys(member.place for member in self.members))

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that it asks."""
        return frozenset(member.host for member in self.members)

    @property
    def whole(self) -> bool:
        """Whether all of it can be simulated."""
        return bool(self.members) and not self.absent


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
    info = plain((*here, "model_info"), vault.scrub(entry.get("model_info") or {}))
    params = {**credentials.get(str(raw.get("litellm_credential_name")), {}), **params}
    prefix, name = _split(tree, (*here, "litellm_params", "model"), params)
    known = data("providers")["simulated"].get(prefix)
    if known is None:
        return Absent(index, group, f"nothing here speaks the format of {prefix}")
    if "*" in group or "*" in name:
        return Absent(index, group, "a pattern of names: which one is asked is the caller's choice")
    mode = info.get("mode")
    host: str | None
    if mode not in (None, "chat", "completion", "embedding") or _OTHER_MODES.search(name):
        return Absent(index, group, "only chats and embeddings are simulated")
    if name.startswith("responses/"):
        return Absent(index, group, "the Responses API is not simulated")
    sold_by = provider(known["provider"])
    base = params.get("api_base") or params.get("base_url")
    host = known.get("host") if base is None else urlsplit(str(base)).hostname
    if host is None:
        message = f"{prefix} has no host of its own, so the deployment needs an api_base (a URL)"
        if base is not None:
            message = "must be a URL: https://host/path"
        raise tree.error(message, (*here, "litellm_params", "api_base" if base else "model"))
    sold_by = _owner(host) or sold_by
    if speakers.setdefault(host, sold_by).dialect != provider(known["provider"]).dialect:
        return Absent(index, group, f"{host} already speaks the format of {speakers[host].title}")
    secret: str | None = params.get("api_key")
    variable = sold_by.environment.get("key")
    if secret is None and variable and "host" in known:
        secret = vault.variable(variable)
    key = None if secret is None else fingerprint(str(secret))
    return Member(index, group, prefix, speakers[host], host, name, key, params, info)


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
