"""Fallbacks that a request names itself: whom a caller may ask for in place of those of the file."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmroute.contracts.fallback import Chosen
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.members import Group
from pytest_llmroute.routers.litellm.settings import LISTS, Config

__all__ = ("chosen",)

_PAGES = ("proxy/reliability#client-side-fallbacks", "proxy/client_side_fallbacks")
_NAMED = 2
"""How many fallbacks a request names."""


def chosen(config: Config, ledger: Ledger, facts: Facts) -> None:
    """A request that names groups of the file is answered by these, in its order."""
    group, name = facts.group, facts.group.name
    named = _named(config, group)
    if not named:
        return
    listed = config.chain("fallbacks", name) is not None
    ledger.stated(
        # The page says it of chats, and that a fallback's own values count for embeddings too.
        () if listed else ("chat", "embeddings"), group.api,
        Chosen(group.target, tuple((one.name, (one.target,)) for one in named), name), group.key,
        f"a call for {name} that names {' and '.join(one.name for one in named)} falls back to these",
        name, pages=_PAGES,
        note="whether a request's fallbacks or the file's come first is not documented" if listed else "",
        roles={
            "target": group.places,
            "next": named[0].places,
            "others": tuple(place for one in named[1:] for place in one.places),
        },
        numbers=facts.numbers, options={"fallbacks": [one.name for one in named]},
    )  # fmt: skip


def _named(config: Config, group: Group) -> tuple[Group, ...]:
    """Whom a request may name, those first that the file would not have asked: groups that can answer,
    share no deployment, and whose own lists lead nowhere else."""
    own = config.chain("fallbacks", group.name)
    usual = [link.group for link in own.links] if own else []
    fitting = list(_fitting(config, group))
    others = [one for one in fitting if one not in usual]
    most = min(_NAMED, int(config.router.get("max_fallbacks", _NAMED)))
    named = (*others, *reversed([one for one in fitting if one in usual]))[:most]
    while named and not all(_leads_nowhere_else(config, one, group, named) for one in named):
        named = named[:-1]
    return named


def _fitting(config: Config, group: Group) -> Iterator[Group]:
    taken = set(group.places)
    for other in config.groups.values():
        places = set(other.places)
        able = other.whole and other.api == group.api and other.bridged <= group.bridged
        if able and not places & taken:
            taken |= places
            yield other


def _leads_nowhere_else(config: Config, one: Group, group: Group, named: tuple[Group, ...]) -> bool:
    """Whether it does not matter whether the lists of a fallback are followed, which is not
    documented."""
    chains = (config.chain(setting, one.name) for setting in LISTS)
    links = (link for chain in chains if chain is not None for link in chain.links)
    return all(link.group is group or link.group in named for link in links)
