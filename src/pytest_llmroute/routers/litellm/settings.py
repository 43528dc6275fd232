"""The settings of a file, and which line wins where two sections say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmroute_sim.names import Unknown
from pytest_llmroute.contracts import Target
from pytest_llmroute.routers.litellm.lines import KeyPath, Tree
from pytest_llmroute.routers.litellm.members import Group, Member

__all__ = ("Chain", "Config", "Link", "Setting", "read_aliases", "read_chains")

LISTS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
MAX_FALLBACKS = 5
"""Fallbacks of a request where ``max_fallbacks`` is not set
(https://docs.litellm.ai/docs/proxy/config_settings)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that is in force: its value and where it stands."""

    key: KeyPath
    value: Any


@dataclass(frozen=True, slots=True)
class Link:
    """One target of a list of fallbacks: a group, or a deployment by its id."""

    name: str
    target: Target
    places: tuple[str, ...]
    hosts: frozenset[str]
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """What a list of fallbacks says for a group (``*``: for all without a list of their own)."""

    setting: str
    group: str
    key: KeyPath
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """A file, understood: its groups, the settings in force, the lists of fallbacks."""

    tree: Tree
    groups: Mapping[str, Group]
    router: Mapping[str, Any]
    litellm: Mapping[str, Any]
    chains: tuple[Chain, ...] = ()
    aliases: Mapping[str, Group] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        """What a caller means by a name, which may be an alias. Raises ``KeyError``."""
        return self.aliases[name] if name in self.aliases else self.groups[name]

    def find(self, name: str) -> Setting | None:
        """A setting that both sections may hold: ``router_settings`` wins
        (https://docs.litellm.ai/docs/proxy/config_settings#router_settings---reference)."""
        for section, table in (
            ("router_settings", self.router),
            ("litellm_settings", self.litellm),
        ):
            if name in table:
                return Setting((section, name), table[name])
        return None

    def beaten(self) -> Iterator[tuple[KeyPath, KeyPath]]:
        """Settings that the other section overrides, each with the one that does."""
        for name in self.litellm:
            if name in self.router:
                yield ("litellm_settings", name), ("router_settings", name)

    def chain(self, setting: str, group: str) -> Chain | None:
        """The list that applies to a group: its own, else that of ``*``, else the default
        (https://docs.litellm.ai/docs/proxy/reliability)."""
        wanted = [chain for chain in self.chains if chain.setting == setting]
        for name in (group, "*"):
            for chain in wanted:
                if chain.group == name:
                    return chain
        if setting == "fallbacks":
            return next((c for c in self.chains if c.setting == "default_fallbacks"), None)
        return None

    def steps(self, chain: Chain, group: Group) -> tuple[Link, ...]:
        """The targets of a list that a call for a group may reach: not itself, and no more than
        ``max_fallbacks``."""
        others = [link for link in chain.links if link.group is not group]
        return tuple(others[: int(self.router.get("max_fallbacks", MAX_FALLBACKS))])

    def written(self, member: Member, table: str, name: str) -> bool:
        """Whether an entry holds a key, if only by a variable whose value nobody knows."""
        values = self.tree.values["model_list"][member.index].get(table)
        return isinstance(values, dict) and values.get(name) is not None

    def settled(self, target: Target) -> Target:
        """A target, marked if the file has nothing else at its hosts."""
        hosts = {host for host, _, _ in target.deployments}
        members = (member for group in self.groups.values() for member in group.members)
        there = {member.deployment for member in members if member.host in hosts}
        return replace(target, alone=there <= set(target.deployments))

    def bridges(self, group: Group) -> bool:
        """Whether a call for a group may be asked over the Responses API instead of its own."""
        reached = {one for target in self.reachable(group) for one in target.deployments}
        members = (member for one in self.groups.values() for member in one.members)
        return any(member.bridged and member.deployment in reached for member in members)

    def reachable(self, group: Group) -> tuple[Target, ...]:
        """The group and all that its lists lead to, through the lists of those too: whether lists
        are followed further is not documented."""
        found: dict[str, Target] = {group.name: group.target}
        open_groups = [group]
        while open_groups:
            current = open_groups.pop()
            for setting in LISTS:
                chain = self.chain(setting, current.name)
                for link in chain.links if chain else ():
                    if link.name not in found:
                        found[link.name] = link.target
                        if link.group is not None:
                            open_groups.append(link.group)
        return tuple(found.values())


def read_chains(config: Config) -> Iterator[Chain]:
    """The lists of fallbacks that are in force. Raises ``ConfigError`` for one that is not a list
    of tables, and for a group that does not exist."""
    for setting in LISTS:
        found = config.find(setting)
        if found is None:
            continue
        for number, entry in enumerate(found.value):
            here = (*found.key, str(number))
            if not isinstance(entry, dict):
                raise config.tree.error("must be a table: {group: [fallback, ...]}", here)
            for name, targets in entry.items():
                key = (*here, name)
                if name != "*":
                    meant = _group(config, name, key)
                    name = name if name in config.aliases else meant.name
                yield Chain(setting, name, key, _links(config, targets, key))
    if (found := config.find("default_fallbacks")) is not None:
        yield Chain("default_fallbacks", "*", found.key, _links(config, found.value, found.key))


def _links(config: Config, targets: Any, key: KeyPath) -> tuple[Link, ...]:
    if not isinstance(targets, list):
        raise config.tree.error("must be a list of groups", key)
    found = []
    for target in targets:
        name = target.get("model") if isinstance(target, dict) else target
        if not isinstance(name, str):
            raise config.tree.error("must be a list of groups", key)
        found.append(_link(config, name, key))
    return tuple(found)


def _link(config: Config, name: str, key: KeyPath) -> Link:
    for group in config.groups.values():
        for member in group.members:
            if name == member.info.get("id") and name not in config.groups:
                return Link(name, member.target, (member.place,), frozenset({member.host}))
    group = _group(config, name, key)
    return Link(group.name, group.target, group.places, group.hosts, group)


def read_aliases(config: Config) -> dict[str, Group]:
    """The groups that the file gives other names. Raises ``ConfigError`` for one that does not
    exist."""
    found = {}
    for name in config.router.get("model_group_alias") or {}:
        meant, key = _alias(config, name), ("router_settings", "model_group_alias", name)
        if not isinstance(meant, str):
            raise config.tree.error("must be the name of a group, or {model: group}", key)
        found[name] = _group(config, meant, key)
    return found


def _alias(config: Config, name: str) -> str | None:
    meant = (config.router.get("model_group_alias") or {}).get(name)
    return meant.get("model") if isinstance(meant, dict) else meant


def _group(config: Config, name: str, key: KeyPath) -> Group:
    for spelled in (name, _alias(config, name), name.partition("/")[2]):
        if spelled and spelled in config.groups:
            return config.groups[spelled]
    for group in config.groups.values():
        if any(name == member.listed for member in group.members):
            return group
    unknown = Unknown("group", name, config.groups)
    known = ", ".join(sorted(config.groups))
    raise config.tree.error(
        f"names the group {name!r}, which the model list does not have (it has: {known})",
        key,
        unknown.closest,
    )
