"""What a file promises about where failures go: fallbacks and orders."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmroute.contracts.fallback import (
    REJECTIONS,
    Answers,
    Disabled,
    Elsewhere,
    Once,
    Order,
)
from pytest_llmroute.routers.litellm.balances import strategy
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import Ledger, acting, all_but
from pytest_llmroute.routers.litellm.settings import LISTS, Chain, Config, Link

__all__ = ("fallbacks",)

_AGREED = (
    "pages differ on plain 400s and on context and content errors without a list of their own; "
    "judged: 401, 404, 408, 429, 5xx and connection errors"
)


@dataclass(frozen=True, slots=True)
class _Special:
    """A list for one kind of error: what it hands on, the faults that raise it, why no other scenario
    tries it, why these try no other list, its note and pages."""

    what: str
    faults: tuple[str, ...]
    only: str
    unsaid: str
    note: str
    pages: tuple[str, ...]


_SPECIAL = {
    "context_window_fallbacks": _Special(
        "what is too long for it",
        ("context-length-exceeded",),
        "the list is for overflows of the context alone",
        "whether an overflow of the context goes to the general list is not documented",
        "judged by the provider's own refusal",
        ("proxy/reliability#explanation", "exception_mapping"),
    ),
    "content_policy_fallbacks": _Special(
        "what its provider's policy refuses",
        ("moderated",),
        "the list is for refusals by a provider's policy alone",
        "whether a refusal of the content goes to the general list is not documented",
        "judged by an error that says so; of a refusal within an answer nothing is documented",
        ("proxy/reliability#explanation", "exception_mapping"),
    ),
}


def fallbacks(config: Config, ledger: Ledger, facts: Facts) -> None:
    """Where a group's failures go."""
    group = facts.group
    if group.levels:
        _orders(ledger, facts)
    chains = [config.chain(setting, group.name) for setting in LISTS]
    usable = True
    for chain in filter(None, chains):
        links = _links(config, ledger, facts, chain)
        usable = usable and bool(links)
        if links:
            _chain(config, ledger, facts, chain, links)
    if usable:
        _outside(config, ledger, facts)
    _failover(config, ledger, facts)


def _orders(ledger: Ledger, facts: Facts) -> None:
    count = len(facts.group.levels)
    levels = (facts.first, *facts.links[: count - 1])
    targets = tuple(level.target for level in levels)
    name = facts.group.name
    roles = {**facts.roles, "others": tuple(p for link in levels[2:] for p in link.places)}
    shown = f"{name} asks its deployments by order: {' before '.join(t.name for t in targets)}"
    avoid = {**facts.avoid, **_special()}
    key = facts.group.levels[0][0].path("litellm_params", "order")
    for contract in (Answers(targets, group=name), Order(targets, group=name)):
        ledger.stated(
            ("chat",), facts.group.api, contract, key, shown, name,
            pages=("proxy/load_balancing#how-order-based-fallback-works",),
            roles=roles, numbers=facts.numbers, avoid=avoid,
        )  # fmt: skip
    for members in facts.group.levels:
        for member in members:
            ledger.skip(
                member.path("litellm_params", "order"), "judged with the group's first order"
            )


def _links(config: Config, ledger: Ledger, facts: Facts, chain: Chain) -> tuple[Link, ...]:
    """The links of a list that can be tried; says why where they cannot."""
    links = config.steps(chain, facts.group)
    for link in links:
        if link.group is not None and not link.group.whole:
            absent = link.group.absent[0]
            ledger.skip(
                chain.key, f"leads to {link.name}, of which not all is simulated: {absent.reason}"
            )
            return ()
        if link.group is not None and link.group.api != facts.group.api:
            ledger.skip(
                chain.key, f"leads to {link.name}, which cannot answer for {facts.group.name}"
            )
            return ()
        if set(link.places) & set(facts.group.places):
            ledger.skip(
                chain.key,
                f"{link.name} asks the same deployment as {facts.group.name}: nothing can fail alone",
            )
            return ()
    if not links:
        ledger.skip(chain.key, "leads nowhere but to the group itself")
    return links


def _chain(
    config: Config, ledger: Ledger, facts: Facts, chain: Chain, links: tuple[Link, ...]
) -> None:
    name = facts.group.name
    special = _SPECIAL.get(chain.setting)
    levels = max(0, len(facts.group.levels) - 1) if special is None else 0
    before = tuple(link.target for link in facts.links[:levels])
    # Whether an error with a list of its own goes to the next level first is not documented.
    own = facts.first.target if special is None else facts.group.target
    targets = (own, *before, *(link.target for link in links))
    others = ", then ".join(link.name for link in links)
    if special is not None:
        text = f"{name} hands {special.what} to {others}"
        kinds: tuple[str, ...] = ()
        note, pages = special.note, special.pages
        avoid = all_but(special.only, *acting(*special.faults))
    else:
        text = f"{name} falls back to {others}"
        kinds = REJECTIONS
        note, avoid = _AGREED, {**facts.avoid, **_special()}
        pages = ("proxy/reliability#disable-fallbacks-per-requestkey",)
    roles = {
        "target": facts.first.places if before else facts.group.places,
        "next": facts.links[0].places if before else links[0].places,
        "others": tuple(p for link in links[0 if before else 1 :] for p in link.places),
    }
    for contract in (Answers(targets, kinds, name), Order(targets, name)):
        ledger.promise(
            contract, chain.key, text, name, pages=pages, note=note,
            roles=roles, numbers=facts.numbers, avoid=avoid,
        )  # fmt: skip
    if special is None:
        ledger.promise(
            Disabled((facts.group.target, *(link.target for link in links))), chain.key,
            f"a call for {name} that disables fallbacks asks {name} alone", name,
            pages=("proxy/reliability#disable-fallbacks-per-requestkey",),
            roles=roles, numbers=facts.numbers, avoid=facts.avoid,
        )  # fmt: skip
    limit = config.router.get("max_fallbacks")
    if limit is not None and limit < sum(link.group is not facts.group for link in chain.links):
        nested = any(config.chain(s, link.name) for s in LISTS for link in links if link.group)
        if not nested:
            ledger.promise(
                Elsewhere(targets, name), ("router_settings", "max_fallbacks"),
                f"{name} tries at most {limit:g} of its fallbacks", name,
                roles=roles, numbers=facts.numbers, avoid=avoid,
            )  # fmt: skip


def _special() -> dict[str, str]:
    """Scenarios whose errors may have a list of their own."""
    return {
        scenario: special.unsaid
        for special in _SPECIAL.values()
        for scenario in acting(*special.faults)
    }


def _outside(config: Config, ledger: Ledger, facts: Facts) -> None:
    """No other group is asked, and each one once."""
    group = facts.group
    chain = next(filter(None, (config.chain(setting, group.name) for setting in LISTS)), None)
    allowed = config.reachable(group)
    listed = group.members[0].listed
    ledger.promise(
        Elsewhere(allowed, group.name),
        chain.key if chain else group.key,
        f"{group.name} asks nobody but {', '.join(target.name for target in allowed)}",
        group.name,
        kind="config" if chain or listed != group.name else "policy",
        pages=() if listed == group.name else ("wildcard_routing",),
        note="whether the lists of a fallback are followed is not documented, so they are allowed",
        roles=facts.roles,
        numbers=facts.numbers,
        avoid=facts.avoid,
    )
    if chain is not None:
        ledger.promise(
            Once(allowed), group.key,
            f"a call for {group.name} comes to each group once", group.name, kind="policy",
            roles=facts.roles, numbers=facts.numbers, avoid=facts.avoid,
        )  # fmt: skip


def _failover(config: Config, ledger: Ledger, facts: Facts) -> None:
    """Within a group, who failed is not asked again by the same call, and everybody is asked before
    another group (https://docs.litellm.ai/docs/routing#weighted-failover)."""
    found = config.find("enable_weighted_failover")
    if found is None:
        return
    way, members = strategy(config, facts), facts.first_members
    places = {member.place for member in members}
    reason = ""
    if found.value is not True:
        reason = "switched off, which the page describes in a way that contradicts retries"
    elif len(places) < 2 or len(places) < len(members):
        reason = "counts among several deployments, and its groups have one each"
    elif way.name != "simple-shuffle":
        reason = f"counts for simple-shuffle; the group is picked from by {way.name}"
    elif facts.retries != 0:
        reason = "retries come first, and may pick one that failed; nothing is left out before them"
    if reason:
        ledger.skip(found.key, reason)
        return
    name, targets = facts.group.name, tuple(member.target for member in members)
    roles = {
        **facts.roles,
        "target": (members[0].place,),
        "next": tuple(m.place for m in members[1:]),
    }
    for contract, text in (
        (Once(targets), f"a call for {name} leaves each deployment that failed for good"),
        (Answers(targets, group=name), f"a call for {name} goes on to its other deployments"),
    ):
        ledger.on_asyncio(
            facts.group.api, contract, found.key, text, name, roles=roles, numbers=facts.numbers,
            avoid={**facts.avoid, **_special()},
        )  # fmt: skip
