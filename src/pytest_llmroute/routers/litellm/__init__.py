"""LiteLLM's ``config.yaml``: how it is read, what it promises, and the router that it configures.

Read as the proxy's documentation explains it (https://docs.litellm.ai/docs/proxy/configs), without
LiteLLM, which only :meth:`LiteLLMConfig.open` needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from llmroute_sim.simulator import Deployment
from pytest_llmroute.promises import NotJudged, Promise, retargeted
from pytest_llmroute.routers import APIS, Entry, Router
from pytest_llmroute.routers.litellm.budgets import check_budgets
from pytest_llmroute.routers.litellm.entries import read_groups
from pytest_llmroute.routers.litellm.hosts import deployments
from pytest_llmroute.routers.litellm.keys import check, plain
from pytest_llmroute.routers.litellm.lines import Tree, load
from pytest_llmroute.routers.litellm.promises import derive
from pytest_llmroute.routers.litellm.secrets import Vault
from pytest_llmroute.routers.litellm.settings import Config, read_aliases, read_chains

__all__ = ("LiteLLMConfig", "read")


_VECTORS = (Entry("embeddings", sync=True), Entry("embeddings"))
_WORDS = tuple(
    Entry(api, sync, stream)
    for api in APIS
    for sync in (True, False)
    for stream in (False, True)
    # None of Anthropic's messages blocks: ``Router.anthropic_messages`` has to be awaited.
    if api != "embeddings" and not (sync and api == "messages")
)
"""The ways into a group of chats. Text completions are served by every provider of chats
(https://docs.litellm.ai/docs/text_completion), and so are responses and messages
(https://docs.litellm.ai/docs/response_api, https://docs.litellm.ai/docs/anthropic_unified/)."""


@dataclass(frozen=True, slots=True)
class LiteLLMConfig:
    """A ``config.yaml`` under test."""

    kind: ClassVar[str] = "litellm"

    path: Path
    config: Config
    promises: tuple[Promise, ...]
    not_judged: tuple[NotJudged, ...]
    deployments: tuple[Deployment, ...]
    environment: Mapping[str, str]
    keys: frozenset[str] = frozenset()

    @property
    def groups(self) -> tuple[str, ...]:
        """The names that callers may ask for, of groups that are wholly simulated."""
        return tuple(name for name, group in self.config.groups.items() if group.whole)

    def entries(self, group: str) -> tuple[Entry, ...]:
        """The ways in that it serves for a group. Raises ``KeyError`` for one that does not exist."""
        meant = self.config.group(group)
        if meant.api == "embeddings":
            return _VECTORS
        if self.config.bridges(meant):
            # How text is completed by a model of the Responses API is not documented.
            return tuple(entry for entry in _WORDS if entry.api != "text")
        return _WORDS

    def load(self) -> None:
        """Import LiteLLM. Raises :class:`~pytest_llmroute.routers.MissingPackage`."""
        from pytest_llmroute.routers.litellm.process import imported

        imported()

    def open(self) -> AbstractAsyncContextManager[Router]:
        """Make the router, and undo afterwards all that it left in the process. Raises
        :class:`~pytest_llmroute.routers.MissingPackage`."""
        from pytest_llmroute.routers.litellm.router import opened

        return opened(self.config)


def read(path: Path) -> LiteLLMConfig | None:
    """Read a file if it is a ``config.yaml`` of LiteLLM's: any YAML, and JSON with a model list.

    Raises :class:`~pytest_llmroute.errors.ConfigError` with the line of what is wrong in it.
    """
    if path.suffix not in (".yaml", ".yml", ".json"):
        return None
    if path.suffix == ".json" and '"model_list"' not in path.read_text("utf-8"):
        return None
    tree = load(path)
    check(tree)
    vault = Vault()
    config = _config(tree, vault)
    derived, not_judged = derive(config)
    promises = tuple(
        replace(promise, contract=retargeted(promise.contract, config.settled))
        for promise in derived
    )
    hosts = deployments(member for group in config.groups.values() for member in group.members)
    return LiteLLMConfig(path, config, promises, not_judged, hosts, vault.variables, vault.marks)


def _config(tree: Tree, vault: Vault) -> Config:
    groups = read_groups(tree, vault)
    sections = {
        name: vault.scrub(plain((name,), tree.section(name)))
        for name in ("router_settings", "litellm_settings")
    }
    for outer, inner in (("router_settings", "retry_policy"), ("litellm_settings", "cache_params")):
        if inner in sections[outer]:
            sections[outer][inner] = plain((outer, inner), sections[outer][inner])
    for name in tree.values.get("environment_variables") or {}:
        vault.variable(str(name))
    config = Config(tree, groups, sections["router_settings"], sections["litellm_settings"])
    config = replace(config, aliases=read_aliases(config))
    config = replace(config, chains=tuple(read_chains(config)))
    check_budgets(config)
    return config
