"""Deployments and the groups that they form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from llmroute_sim.providers import Provider, Tariff, model
from pytest_llmroute.contracts import Target
from pytest_llmroute.routers.litellm.keys import by_variable
from pytest_llmroute.routers.litellm.lines import KeyPath

__all__ = ("Absent", "Group", "Member")

Purpose = Literal["chat", "embeddings"]


@dataclass(frozen=True, slots=True)
class Member:
    """A deployment as its entry of the model list describes it.

    ``prefix`` is LiteLLM's name of the provider, ``model`` what is asked for upstream, ``key`` the
    fingerprint of the throw-away key (None where none is configured); ``params`` and ``info`` are
    the entry's tables without secrets. ``listed`` is its name in the model list, which may be a
    pattern that ``group`` fits. ``bridged`` says that chats with it are asked over the Responses API.
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
    listed: str = ""
    bridged: bool = False

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
            self.info.get(f"{way}_cost_per_token", self.params.get(f"{way}_cost_per_token"))
            for way in ("input", "output")
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
    api: Purpose = "chat"
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
    def bridged(self) -> bool:
        """Whether chats with somebody of it are asked over the Responses API."""
        return any(member.bridged for member in self.members)

    @property
    def whole(self) -> bool:
        """Whether all of it can be simulated."""
        return bool(self.members) and not self.absent
