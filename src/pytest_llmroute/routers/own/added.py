"""Promises of the user's own about a router that another file configures: ``llmroute.toml`` beside a
LiteLLM ``config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from llmroute_sim.names import Unknown
from llmroute_sim.simulator import Deployment
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.promises import NotJudged, Promise
from pytest_llmroute.routers import Entry, Router
from pytest_llmroute.routers.own.promises import promises_in
from pytest_llmroute.routers.own.tables import Table
from pytest_llmroute.routers.own.targets import Map

if TYPE_CHECKING:
    from pytest_llmroute.routers.litellm import LiteLLMConfig

__all__ = ("AddedConfig", "added")

_KEYS = ("format", "policy", "router", "options", "promise")
_ROUTER_KEYS = ("kind", "config", "group")


@dataclass(frozen=True, slots=True)
class AddedConfig:
    """A LiteLLM router, and what a user promises of it beside its own file, whose promises are judged
    where that file is."""

    kind: ClassVar[str] = "litellm"

    path: Path
    routed: LiteLLMConfig
    promises: tuple[Promise, ...] = ()

    @property
    def not_judged(self) -> tuple[NotJudged, ...]:
        """Nothing: a key that means nothing is an error."""
        return ()

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """The hosts that the router's file names."""
        return self.routed.deployments

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that it reads."""
        return self.routed.environment

    @property
    def keys(self) -> frozenset[str]:
        """The fingerprints of the throw-away keys in it."""
        return self.routed.keys

    def entries(self, group: str) -> tuple[Entry, ...]:
        """The ways in that it serves for a group."""
        return self.routed.entries(group)

    def load(self) -> None:
        """Import LiteLLM. Raises :class:`~pytest_llmroute.routers.MissingPackage`."""
        self.routed.load()

    def open(self) -> AbstractAsyncContextManager[Router]:
        """Make the router. Raises :class:`~pytest_llmroute.routers.MissingPackage`."""
        return self.routed.open()


def added(whole: Table) -> AddedConfig:
    """Read such a file. Raises ``ConfigError``, also for what is wrong in the router's own file."""
    whole.check("llmroute.toml of a LiteLLM router", _KEYS)
    router = whole.table("router")
    router.check("router", _ROUTER_KEYS)
    routed = _routed(router)
    groups = routed.groups
    group = router.text("group", "a name")
    if group is None and len(groups) == 1:
        [group] = groups
    if group is None:
        known = ", ".join(groups) or "none"
        raise router.error(f"group is missing: which one is asked (known: {known})")
    if group not in groups:
        raise router.unknown(Unknown("group", group, groups), "group")
    world = Map(routed.deployments, routed.environment)
    return AddedConfig(whole.path, routed, promises_in(whole, world, group, groups))


def _routed(router: Table) -> LiteLLMConfig:
    from pytest_llmroute.routers.litellm import read as read_litellm

    name = router.text("config", "a path")
    if name is None:
        raise router.error('config is missing (write config = "config.yaml")')
    path = router.path.parent / name
    try:
        found = read_litellm(path)
    except OSError as error:
        raise router.error(f"{name}: {error.strerror or error}", "config") from error
    if found is None:
        raise ConfigError(f"{name} is no config.yaml of LiteLLM's", path=router.path)
    return found
