"""What is in force for a group: retries, timeouts, cooldown, where its failures go, and the figures
that scenarios refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmroute.contracts import Target
from pytest_llmroute.routers.litellm.ledger import connecting, stories_of
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.members import Group, Member
from pytest_llmroute.routers.litellm.settings import Config, Link, Setting

__all__ = ("Facts", "doubled", "each", "facts", "own", "resting", "retries_of", "twinned")


@dataclass(frozen=True, slots=True)
class Facts:
    """The settings of one group. A figure is None where the file does not say it for all members;
    defaults are never promised."""

    group: Group
    links: tuple[Link, ...]
    """Where its failures go, in order: the next ``order`` levels, then its fallbacks."""
    first: Link
    """What is asked first: the group, or its first level."""
    retries: int | None
    timeout: float | None
    patience: float | None
    cooldown: float | None
    ttl: float | None

    @property
    def first_members(self) -> tuple[Member, ...]:
        """The deployments that are asked first: all of the group, or those of its first level."""
        return self.group.levels[0] if self.group.levels else self.group.members

    @property
    def lone(self) -> bool:
        """Whether there is only one deployment to ask first."""
        return len({member.place for member in self.first_members}) < 2

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The places that scenarios call target, next and others."""
        return {
            "target": self.first.places,
            "next": self.links[0].places if self.links else (),
            "others": tuple(place for link in self.links[1:] for place in link.places),
        }

    @property
    def numbers(self) -> dict[str, float]:
        """The figures that scenarios refer to, as far as the file says them."""
        said = {
            "retries": self.retries,
            "timeout": self.timeout,
            "patience": self.patience,
            "cooldown": self.cooldown,
            "ttl": self.ttl,
        }
        return {name: value for name, value in said.items() if value is not None}

    @property
    def avoid(self) -> dict[str, str]:
        """Scenarios that cannot try anything about this group."""
        found: dict[str, str] = {}
        shared = self.first.hosts & {host for link in self.links for host in link.hosts}
        if shared:
            reason = f"{min(shared)} also serves what comes next, so it cannot be refused alone"
            found |= dict.fromkeys(connecting(), reason)
        if self.timeout is None:
            silent = ("silence", *stories_of("silence", "stall", "unreachable"))
            reason = "no timeout is set, so nothing says when a silent deployment is left"
            found |= dict.fromkeys(silent, reason)
        return found


def facts(config: Config, group: Group) -> Facts:
    """What is in force for a group."""
    levels = _levels(group)
    chain = config.chain("fallbacks", group.name)
    steps = config.steps(chain, group) if chain else ()
    if any(link.group is not None and link.group.api != group.api for link in steps):
        steps = ()  # who embeds cannot answer a chat
    links = (*levels[1:], *steps)
    timeout = _timeout(config, group)
    patience = each(group, "stream_timeout", _value(config.find("stream_timeout")))
    params = config.litellm.get("cache_params") or {}
    return Facts(
        group,
        links,
        levels[0],
        retries_of(config, group),
        timeout,
        patience if patience is not None else timeout,
        each(group, "cooldown_time", _value(config.find("cooldown_time")), info=True, pick=min),
        params.get("ttl"),
    )


def doubled(config: Config, facts: Facts, target: Target) -> str:
    """Why attempts of a group at some of its deployments cannot be told from those of what its failures
    go to, or nothing."""
    name = facts.group.name
    after = [link.target for link in facts.links if link.group is None]
    lists = [one for one in config.reachable(facts.group) if one.name != name]
    for one in (*after, *lists):
        if set(one.deployments) & set(target.deployments):
            return (
                f"{one.name} asks the same deployment as {name}: nothing tells whose attempt it is"
            )
    return ""


def twinned(config: Config, facts: Facts, member: Member) -> str:
    """Why a deployment cannot be seen to rest, or nothing: another entry asks the same."""
    if [one.deployment for one in facts.group.members].count(member.deployment) > 1:
        return f"{facts.group.name} has the same deployment twice, and each rests by itself"
    return doubled(config, facts, member.target)


def retries_of(config: Config, group: Group) -> int | None:
    """How often a group tries again at most, None where the file does not say it for all of it."""
    found = each(group, "num_retries", _value(config.find("num_retries")))
    return None if found is None else int(found)


def _levels(group: Group) -> tuple[Link, ...]:
    if not group.levels:
        return (Link(group.name, group.target, group.places, group.hosts, group),)
    found = []
    for members in group.levels:
        level = Group(f"{group.name} (order {members[0].params['order']})", group.key, members)
        found.append(Link(level.name, level.target, level.places, level.hosts))
    return tuple(found)


def _timeout(config: Config, group: Group) -> float | None:
    """The longest of what pages let win: a deployment's own and the router's are both given, and
    which of them wins is not said; ``request_timeout`` counts where neither is."""
    router = _value(config.find("timeout"))
    own = each(group, "timeout", router)
    if own is not None:
        return max(own, router or 0.0)
    return each(group, "timeout", _value(config.find("request_timeout")))


def _value(setting: Setting | None) -> Any:
    return None if setting is None else setting.value


def each(
    group: Group,
    key: str,
    otherwise: float | None,
    *,
    info: bool = False,
    pick: Callable[..., float] = max,
) -> float | None:
    """The figure of all members together: each one's own or else the general one; None where
    somebody has neither."""
    found = [own(member, key, info=info)[1] for member in group.members]
    settled = [otherwise if value is None else value for value in found]
    if not settled or any(value is None for value in settled):
        return None
    return float(pick(value for value in settled if value is not None))


def own(member: Member, key: str, *, info: bool = False) -> tuple[KeyPath | None, float | None]:
    """A member's own figure and where it stands; ``model_info`` wins over ``litellm_params`` where
    it may hold the key (https://docs.litellm.ai/docs/routing#cooldowns)."""
    tables: list[tuple[str, Mapping[str, Any]]] = [("litellm_params", member.params)]
    if info:
        tables.insert(0, ("model_info", member.info))
    for table, values in tables:
        if values.get(key) is not None:
            return member.path(table, key), float(values[key])
    return None, None


def resting(config: Config, member: Member) -> tuple[KeyPath | None, float | None]:
    """For how many seconds a deployment cools, and where that stands: its own figure, else the general
    one."""
    key, seconds = own(member, "cooldown_time", info=True)
    if key is None and (general := config.find("cooldown_time")) is not None:
        return general.key, float(general.value)
    return key, seconds
