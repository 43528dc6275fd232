"""What a file promises about limits: requests in flight, requests and tokens a minute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmroute.contracts.balance import InFlight, Rate, Room
from pytest_llmroute.contracts.limits import Unit
from pytest_llmroute.routers.litellm.balances import strategy
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.members import Member
from pytest_llmroute.routers.litellm.settings import Config
from pytest_llmroute.routers.litellm.ways import CHATS, ways

__all__ = ("rates",)

_MINUTE = 60.0
_CAP_PAGE = "routing#max-parallel-requests-async"
_HARD_PAGE = "proxy/load_balancing#enforce-model-rate-limits"
_CAP = "the page is about asyncio, and says that a call over the cap is refused, not queued"
_OPEN_STREAM = "that an open stream counts until it ends is only implied"
_LIMITS: tuple[tuple[str, Unit], ...] = (("rpm", "requests"), ("tpm", "tokens"))
_ELSEWHERE = ("simple-shuffle", "least-busy")
"""Strategies by which another try goes elsewhere sooner or later, not to the one and best again."""
_FILTERING = ("usage-based-routing", "usage-based-routing-v2")
"""Strategies that are documented to leave out deployments over their limits. So is cost-based routing, by
one page; by another, limits only guide who is picked."""


@dataclass(frozen=True, slots=True)
class _Cap:
    """How many requests may be in flight at a deployment, and the line that says so."""

    key: KeyPath
    limit: int


def rates(config: Config, ledger: Ledger, facts: Facts) -> None:
    """How much a group asks of its deployments."""
    _in_flight(config, ledger, facts)
    _by_the_minute(config, ledger, facts)


def _in_flight(config: Config, ledger: Ledger, facts: Facts) -> None:
    group = facts.group
    general = config.find("default_max_parallel_requests")
    capped: list[tuple[Member, _Cap]] = []
    for member in group.members:
        caps = list(_caps(config, member))
        for beaten in caps[1:]:
            if beaten.key[-1] == "max_parallel_requests":
                ledger.skip(beaten.key, f"{caps[0].key[-1]} wins over it")
        if not caps:
            continue
        if _shared(config, member):
            ledger.skip(
                caps[0].key, "another entry asks the same deployment, under a cap of its own"
            )
        else:
            capped.append((member, caps[0]))
    for member, cap in capped:
        text = f"{member.target.name} has at most {cap.limit} requests in flight"
        roles = _alone(facts, member)
        numbers = {**facts.numbers, "parallel": float(cap.limit)}
        rule = InFlight(member.target, cap.limit)
        ledger.on_asyncio(
            group.api, rule, cap.key, text, group.name, stream=False, pages=(_CAP_PAGE,), note=_CAP,
            roles=roles, numbers=numbers, avoid=facts.avoid,
        )  # fmt: skip
        if group.api == "chat":
            ledger.promise(
                rule, cap.key, f"{text}, open streams too", group.name, kind="policy",
                entries=ways(*CHATS, stream=True), note=_OPEN_STREAM, pages=(_CAP_PAGE,),
                roles=roles, numbers=numbers, avoid=facts.avoid,
            )  # fmt: skip
    if general is not None:
        ledger.skip(general.key, "every deployment that it could apply to has a cap of its own")
    roomy = strategy(config, facts).name in _ELSEWHERE
    if len(capped) == len(group.members) > 1 and facts.retries and roomy:
        limits = [cap.limit for _, cap in capped]
        targets = tuple(member.target for member, _ in capped)
        ledger.on_asyncio(
            group.api, Room(targets, min(limits), "in-flight", group=group.name), capped[0][1].key,
            f"{group.name} refuses nobody while one of its deployments has room", group.name,
            stream=False, pages=(_CAP_PAGE,), note=_CAP,
            roles=facts.roles, numbers={**facts.numbers, "parallel": _crowd(limits, 1)},
            avoid=facts.avoid,
        )  # fmt: skip


def _crowd(limits: Sequence[int], more: int) -> float:
    """A limit such that so many ``more`` calls than it fill one deployment, however they are shared, and
    leave room at another."""
    return float(max(min(limits), sum(limits) - 1 - more))


def _caps(config: Config, member: Member) -> Iterator[_Cap]:
    """What caps the requests in flight, what wins first (https://docs.litellm.ai/docs/routing)."""
    for name in ("max_parallel_requests", "rpm", "tpm"):
        value = member.params.get(name)
        if isinstance(value, int | float) and value > 0:
            limit = max(1, int(value / 1000 * 6)) if name == "tpm" else int(value)
            yield _Cap(member.path("litellm_params", name), limit)
        elif config.written(member, "litellm_params", name):
            return
    general = config.find("default_max_parallel_requests")
    if general is not None and general.value:
        yield _Cap(general.key, int(general.value))


def _shared(config: Config, member: Member) -> bool:
    """Whether another entry of the file asks the same deployment."""
    everybody = (one for group in config.groups.values() for one in group.members)
    return any(
        one.index != member.index and one.deployment == member.deployment for one in everybody
    )


def _alone(facts: Facts, member: Member) -> dict[str, tuple[str, ...]]:
    """A deployment as the target, its siblings as what comes next."""
    siblings = tuple(place for place in facts.group.places if place != member.place)
    return {
        "target": (member.place,),
        "next": siblings or facts.roles["next"],
        "others": facts.roles["next"] if siblings else facts.roles["others"],
    }


def _by_the_minute(config: Config, ledger: Ledger, facts: Facts) -> None:
    group = facts.group
    checks = config.find("optional_pre_call_checks")
    enforced = checks is not None and "enforce_model_rate_limits" in (checks.value or ())
    way = strategy(config, facts)
    hard = enforced or way.name in _FILTERING
    limited = []
    for member in group.members:
        for name, unit in _LIMITS:
            key, limit = member.path("litellm_params", name), member.params.get(name)
            if not isinstance(limit, int) or limit <= 0:
                continue
            if not hard:
                hint = "says how calls are shared and how many may be in flight"
                ledger.skip(key, f"{hint}; a limit only with enforce_model_rate_limits")
            elif _shared(config, member):
                ledger.skip(key, "another entry asks the same deployment, under a limit of its own")
            else:
                limited += [(member, key, limit)] if name == "rpm" else []
                ledger.promise(
                    Rate(member.target, limit, unit), key,
                    f"{member.target.name} gets at most {limit} {unit} a minute", group.name,
                    pages=(_HARD_PAGE,) if enforced else ("routing",),
                    note="where a minute begins is not documented; judged: what no minute allows",
                    roles=_alone(facts, member), numbers={**facts.numbers, name: float(limit)},
                    avoid=facts.avoid,
                )  # fmt: skip
    if checks is not None and enforced:
        reason = "judged with the limits of its groups" if limited else "no deployment has a limit"
        ledger.skip(checks.key, reason)
    if len(limited) == len(group.members) > 1:
        limits = [limit for _, _, limit in limited]
        targets = tuple(member.target for member, _, _ in limited)
        ledger.promise(
            Room(targets, min(limits), group=group.name), limited[0][1],
            f"{group.name} refuses nobody while one of its deployments is under its limit",
            group.name, kind="policy", pages=(_HARD_PAGE,),
            note="that what a limit keeps off goes to a sibling is not documented",
            roles=facts.roles, numbers={**facts.numbers, "rpm": _crowd(limits, 2)}, avoid=facts.avoid,
        )  # fmt: skip
