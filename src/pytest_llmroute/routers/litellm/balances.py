"""What a file promises about shares: which member of a group is picked, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pytest_llmroute.contracts import Contract, Target
from pytest_llmroute.contracts.balance import (
    Cheapest,
    Fastest,
    LeastBusy,
    Split,
    Sticky,
    Tagged,
    calls_to_tell,
)
from pytest_llmroute.promises import Source
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.members import Member
from pytest_llmroute.routers.litellm.settings import Config
from pytest_llmroute.routers.litellm.ways import CHATS, ways

__all__ = ("balances", "share_of", "strategy")

_ELSEWHERE = "the page shows tags of chats at the proxy, which is asynchronous, and no other way in"
_PRICES = ("input_cost_per_token", "output_cost_per_token")
_TAGS_ON = "enable_tag_filtering"
_BY_USE = ("usage-based-routing", "usage-based-routing-v2")
_IDLE = 3600.0
"""Seconds without a request after which a session may be sent elsewhere, unless a file says another
number (https://docs.litellm.ai/docs/routing#settings)."""


@dataclass(frozen=True, slots=True)
class _Strategy:
    name: str
    key: KeyPath
    page: str
    args: Mapping[str, Any]


def strategy(config: Config, facts: Facts) -> _Strategy:
    """How a member of a group is picked: as its routing group says, else as the file does, else by
    chance, which is the documented default."""
    groups = config.router.get("routing_groups")
    for number, entry in enumerate(groups if isinstance(groups, list) else ()):
        if isinstance(entry, Mapping) and facts.group.name in (entry.get("models") or ()):
            key = ("router_settings", "routing_groups", str(number), "routing_strategy")
            args = entry.get("routing_strategy_args") or {}
            return _Strategy(str(entry.get("routing_strategy")), key, "routing", args)
    found = config.find("routing_strategy")
    args = config.router.get("routing_strategy_args") or {}
    if found is not None:
        return _Strategy(str(found.value), found.key, "routing", args)
    return _Strategy("simple-shuffle", facts.group.key, "routing#load-balancing", args)


def balances(config: Config, ledger: Ledger, facts: Facts) -> None:
    """Who is picked among the members of a group."""
    tagged = _tags(config, ledger, facts)
    _sessions(config, ledger, facts)
    way = strategy(config, facts)
    members = _told_apart(facts.first_members)
    reason = ""
    if len(members) < 2:
        reason = "picks among several deployments, and its groups have one each"
    elif tagged:
        reason = "picks among the deployments that a request's tags leave, which differ by request"
    if reason:
        for key in (way.key, *_weights(facts)):
            ledger.skip(key, reason)
        return
    match way.name:
        case "simple-shuffle":
            _shuffled(config, ledger, facts, way)
        case "least-busy":
            rule = LeastBusy(tuple(member.target for member in members), facts.group.name)
            text = f"{facts.group.name} asks whom it has asked for the least"
            _picked(ledger, facts, way, rule, text)
        case "latency-based-routing":
            _fastest(ledger, facts, way, members)
        case "cost-based-routing":
            _cheapest(ledger, facts, way, members)
        case name if name in _BY_USE:
            reason = (
                "picks who used the least tokens in the current minute, and no contract counts that"
            )
            ledger.skip(way.key, reason)
        case name:
            ledger.skip(way.key, f"no contract judges picks by {name}")
    for key in _weights(facts):
        reason = f"counts for simple-shuffle; this group is picked from by {way.name}"
        if way.name == "simple-shuffle":
            reason = "counts within its level of the order, of which the first is judged"
        ledger.skip(key, reason)


def share_of(config: Config, facts: Facts, member: Member) -> float | None:
    """The part of a group's calls that chance lets begin at one of its first members; None where it is
    not chance who is picked, or nobody says how likely."""
    if strategy(config, facts).name != "simple-shuffle":
        return None
    chosen = _chosen(config, facts.first_members)
    values = [member.params.get(chosen) if chosen else 1.0 for member in facts.first_members]
    numbers = [float(one) for one in values if isinstance(one, int | float) and one > 0]
    if len(numbers) < len(values):
        return None
    mine = zip(facts.first_members, numbers, strict=True)
    return sum(one for each, one in mine if each.place == member.place) / sum(numbers)


def _chosen(config: Config, members: Sequence[Member]) -> str | None:
    """What of the members says how likely each is picked, the first that any of them has."""
    for name in ("weight", "rpm", "tpm"):
        if any(config.written(member, "litellm_params", name) for member in members):
            return name
    return None


def _told_apart(members: Sequence[Member]) -> list[Member]:
    """One for each deployment that a history can tell."""
    return list({member.deployment: member for member in members}.values())


def _weights(facts: Facts) -> list[KeyPath]:
    return [
        member.path("litellm_params", "weight")
        for member in facts.group.members
        if "weight" in member.params
    ]


def _picked(
    ledger: Ledger,
    facts: Facts,
    way: _Strategy,
    rule: Contract,
    text: str,
    *,
    page: str = "routing",
    roles: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    ledger.promise(
        rule, way.key, text, facts.group.name, pages=(page,),
        roles=roles or facts.roles, numbers=facts.numbers, avoid=facts.avoid,
    )  # fmt: skip


def _shuffled(config: Config, ledger: Ledger, facts: Facts, way: _Strategy) -> None:
    """By weight, else by requests a minute, else by tokens a minute, else evenly."""
    members = facts.first_members
    chosen = _chosen(config, members)
    shares: dict[str, tuple[Target, float]] = {}
    key, text = way.key, f"{facts.group.name} is spread evenly"
    if chosen is not None:
        keys = [
            member.path("litellm_params", chosen)
            for member in members
            if config.written(member, "litellm_params", chosen)
        ]
        values = [member.params.get(chosen) for member in members]
        declared = [v for v in values if isinstance(v, int | float) and v > 0]
        little = _HARDLY * sum(declared) >= values.count(None) > 0
        if little and len(declared) + values.count(None) == len(values):
            _partly(ledger, facts, keys[0], chosen)
            for each in (*keys[1:], way.key):
                ledger.skip(each, f"judged with the first {chosen} of its group")
            return
        if not all(isinstance(value, int | float) and value > 0 for value in values):
            reason = (
                f"what a deployment with a {chosen} of 0, or without one, gets is not documented"
            )
            for each in (*keys, way.key):
                ledger.skip(each, reason)
            return
        key, text = keys[0], f"{facts.group.name} is spread by {chosen}"
        for each in keys[1:]:
            ledger.skip(each, f"judged with the first {chosen} of its group")
    for member in members:
        share = float(member.params[chosen]) if chosen else 1.0
        place, before = member.place, shares.get(member.place)
        shares[place] = (member.target, share + (before[1] if before else 0.0))
    ledger.promise(
        Split(tuple(shares.values()), group=facts.group.name), key, text, facts.group.name,
        pages=("routing#weighted-deployments",) if chosen == "weight" else ("routing",),
        roles=facts.roles, numbers={**facts.numbers, **_load(shares)}, avoid=facts.avoid,
    )  # fmt: skip
    ledger.skip(way.key, "judged with the weights of its groups")


_HARDLY = 0.01
"""A part of all calls that is as good as none: few calls do not tell them apart."""


def _partly(ledger: Ledger, facts: Facts, key: KeyPath, chosen: str) -> None:
    """Of a group in which some have large weights and some have none."""
    shares: dict[str, tuple[Target, float]] = {}
    for member in facts.first_members:
        before = shares.get(member.place)
        share = float(member.params.get(chosen) or 1.0)
        shares[member.place] = (member.target, share + (before[1] if before else 0.0))
    name = facts.group.name
    ledger.promise(
        Split(tuple(shares.values()), group=name), key,
        f"{name} is spread by {chosen}, wherever in the list it is said", name, kind="policy",
        pages=("routing#weighted-deployments",),
        note=f"what a deployment without a {chosen} gets is not documented; judged: next to nothing",
        roles=facts.roles, numbers={**facts.numbers, **_load(shares)}, avoid=facts.avoid,
    )  # fmt: skip


def _load(shares: Mapping[str, tuple[Target, float]]) -> Mapping[str, float]:
    """How many calls show whether shares are kept, if so many can be made."""
    try:
        return {"load": calls_to_tell(tuple(share for _, share in shares.values()))}
    except ValueError:
        return {}


def _fastest(ledger: Ledger, facts: Facts, way: _Strategy, members: list[Member]) -> None:
    buffer = way.args.get("lowest_latency_buffer", 0)
    if isinstance(buffer, int | float) and buffer >= 1:
        ledger.skip(
            way.key, "lowest_latency_buffer lets one that takes twice as long share the calls"
        )
        return
    rule = Fastest(tuple(member.target for member in members), facts.group.name)
    text = f"{facts.group.name} leaves alone who is much slower than another"
    first, *rest = dict.fromkeys(member.place for member in members)
    roles = {"target": (first,), "next": tuple(rest)}
    page = "routing#set-lowest-latency-buffer"
    _picked(ledger, facts, way, rule, text, page=page, roles=roles)


def _cheapest(ledger: Ledger, facts: Facts, way: _Strategy, members: list[Member]) -> None:
    named = [name for name in _PRICES if all(name in member.params for member in members)]
    alike = len({member.params.get("model") for member in members}) == 1
    if not named or (len(named) < len(_PRICES) and not alike):
        reason = (
            "which prices count is for LiteLLM's own catalogue to say, and another release has"
            f" another, unless each deployment has {' and '.join(_PRICES)}"
        )
        ledger.skip(way.key, reason)
        return
    tariffs = [(member.target, member.tariff) for member in members]
    known = [(target, tariff) for target, tariff in tariffs if tariff is not None]
    if len(known) < len(tariffs):
        reason = "not every deployment of its group has a price here, so no one is the cheapest"
        ledger.skip(way.key, reason)
        return
    if any(
        one.input < other.input and one.output > other.output
        for _, one in known
        for _, other in known
    ):
        reason = "who is the cheapest depends on the tokens of a call, and how is not said"
        ledger.skip(way.key, reason)
        return
    prices: tuple[tuple[Target, Decimal], ...] = tuple(
        (target, tariff.input + tariff.output) for target, tariff in known
    )
    rule = Cheapest(prices, facts.group.name)
    group = facts.group
    ledger.on_asyncio(
        group.api, rule, way.key, f"{group.name} asks the cheapest", group.name,
        pages=("routing",), note="the page calls it asynchronous",
        roles=facts.roles, numbers=facts.numbers, avoid=facts.avoid,
    )  # fmt: skip


def _tags(config: Config, ledger: Ledger, facts: Facts) -> bool:
    """Who serves which tag; says whether tags count in this group."""
    group = facts.group
    own = [member for member in group.members if _TAGS_ON in member.info]
    general = config.find(_TAGS_ON)
    key = own[0].path("model_info", _TAGS_ON) if own else None if general is None else general.key
    on = own[0].info[_TAGS_ON] if own else general is not None and general.value is True
    lines = [m.path("litellm_params", "tags") for m in group.members if m.params.get("tags")]
    for line in lines:
        if not on:
            ledger.skip(line, "counts with enable_tag_filtering only")
    if not on or not lines or key is None:
        if key is not None:
            ledger.skip(key, "no deployment of its groups has a tag" if on else "switches tags off")
        return False
    if any(m.info.get(_TAGS_ON, on) != on for m in own):
        ledger.skip(key, "deployments of one group differ on whether tags count")
        return True
    tags = dict.fromkeys(str(tag) for m in group.members for tag in m.params.get("tags") or ())
    by = tuple(
        (tag, tuple(m.target for m in _told_apart(_carriers(group.members, tag)))) for tag in tags
    )
    tried = set[str]()
    for line, member in zip(lines, (m for m in group.members if m.params.get("tags")), strict=True):
        wanted = [str(tag) for tag in member.params["tags"] if tag != "default"]
        if wanted and not tried & set(wanted):
            tried.add(wanted[0])
            for kind, entries in _shown(group.api):
                ledger.promise(
                    Tagged(by, group.name), line,
                    f"{group.name} serves the tag {wanted[0]} by those that carry it", group.name,
                    kind=kind, entries=entries, note="" if kind == "config" else _ELSEWHERE,
                    pages=("proxy/tag_routing#quick-start",), roles=facts.roles,
                    numbers=facts.numbers, avoid=facts.avoid,
                    options={"metadata": {"tags": [wanted[0]]}},
                )  # fmt: skip
        ledger.skip(line, "judged with the first deployment that carries its tag")
    ledger.skip(key, "judged with the tags of its groups")
    match_any = config.find("tag_filtering_match_any")
    if match_any is not None:
        ledger.skip(match_any.key, "counts for requests with several tags, which no scenario makes")
    return True


def _shown(api: str) -> Iterator[tuple[Source, tuple[str, ...]]]:
    """The ways in that the page about tags shows, and the others, for which it is good practice."""
    shown = ways("chat", "text", sync=False)
    if api != "embeddings":
        yield "config", shown
    served = ways("embeddings") if api == "embeddings" else ways(*CHATS)
    yield "policy", tuple(way for way in served if way not in shown)


def _carriers(members: Sequence[Member], tag: str) -> list[Member]:
    return [member for member in members if tag in map(str, member.params.get("tags") or ())]


def _sessions(config: Config, ledger: Ledger, facts: Facts) -> None:
    """To whom a session sticks."""
    checks = config.find("optional_pre_call_checks")
    members = _told_apart(facts.first_members)
    if checks is None or "session_affinity" not in (checks.value or ()):
        return
    idle = config.router.get("deployment_affinity_ttl_seconds", _IDLE)
    if len(members) < 2:
        ledger.skip(checks.key, "a session sticks to one of several, and its groups have one each")
        return
    rule = Sticky(tuple(member.target for member in members), float(idle), facts.group.name)
    ledger.promise(
        rule, checks.key, f"a session of {facts.group.name} stays with who served it", facts.group.name,
        pages=("routing#session-affinity-sticky-sessions",), roles=facts.roles,
        numbers=facts.numbers, avoid=facts.avoid,
    )  # fmt: skip
    if "deployment_affinity_ttl_seconds" in config.router:
        key = ("router_settings", "deployment_affinity_ttl_seconds")
        ledger.skip(key, "judged with optional_pre_call_checks")
