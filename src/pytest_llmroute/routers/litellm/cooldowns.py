"""What a file promises about rest: how many failures take a deployment out, and for how long."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_llmroute.contracts.health import Cooldown
from pytest_llmroute.routers.litellm.balances import share_of
from pytest_llmroute.routers.litellm.facts import Facts, own, resting, twinned
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.members import Member
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("cooldowns",)


def cooldowns(config: Config, ledger: Ledger, facts: Facts) -> None:
    """How long a deployment that failed stays out of rotation while a sibling serves."""
    group = facts.group
    off = config.router.get("disable_cooldowns") is True
    general = config.find("cooldown_time")
    fails = config.find("allowed_fails")
    for member in group.members:
        key, seconds = resting(config, member)
        level = next((level for level in group.levels if member in level), group.members)
        siblings = tuple(each for each in level if each.place != member.place)
        count_key, count = own(member, "allowed_fails", info=True)
        if count_key is None and fails is not None:
            count_key, count = fails.key, float(fails.value)
        if count_key is not None and count_key[-2:] == ("litellm_params", "allowed_fails"):
            count_key = None
        first = member in facts.first_members
        reason = _cannot(off, seconds, siblings, first=first) or twinned(config, facts, member)
        for line in (key, count_key, _by_class(config, member)):
            if line is None:
                continue
            if reason:
                ledger.skip(line, reason)
                continue
            assert seconds is not None
            _cooldown(config, ledger, facts, member, siblings, line, seconds, count)
    for setting in filter(None, (general, fails)):
        ledger.skip(setting.key, "every deployment that it could apply to sets its own")


def _cannot(off: bool, seconds: float | None, siblings: tuple[Member, ...], *, first: bool) -> str:
    """Why a cooldown of a deployment cannot be judged, or nothing."""
    if off:
        return "disable_cooldowns switches cooldowns off"
    if not first:
        return (
            "its level of the order is asked while the first fails, so nothing shows that it rests"
        )
    if not siblings:
        return "its group has one deployment there, and whether a lone one cools is not documented"
    if seconds is None:
        return "how long a deployment cools without cooldown_time differs by page (5 s, a minute)"
    if seconds == 0:
        return "0 means that it never cools"
    return ""


_LIMITED = "RateLimitErrorAllowedFails"


def _by_class(config: Config, member: Member) -> KeyPath | None:
    """The line that says how many 429s are put up with, if one does."""
    mine = member.info.get("allowed_fails_policy")
    if isinstance(mine, Mapping):
        path = (*member.path("model_info", "allowed_fails_policy"), _LIMITED)
        return path if _LIMITED in mine else None
    general = config.router.get("allowed_fails_policy")
    said = isinstance(general, Mapping) and _LIMITED in general
    return ("router_settings", "allowed_fails_policy", _LIMITED) if said else None


def _failures(config: Config, member: Member, count: float | None) -> int | None:
    """How many 429s in a row make a deployment leave: one more than are allowed, the first where
    nothing is said (https://docs.litellm.ai/docs/routing#cooldowns). None where a policy by class
    says nothing of 429s."""
    policy = member.info.get("allowed_fails_policy") or config.router.get("allowed_fails_policy")
    if isinstance(policy, Mapping):
        allowed = policy.get(_LIMITED)
        return allowed + 1 if type(allowed) is int else None
    return 1 if count is None else int(count) + 1


def _cooldown(
    config: Config,
    ledger: Ledger,
    facts: Facts,
    member: Member,
    siblings: tuple[Member, ...],
    key: KeyPath,
    seconds: float,
    count: float | None,
) -> None:
    group = facts.group
    failures = _failures(config, member, count)
    out = (
        "after as many failures as cool it"
        if failures is None
        else "after a 429"
        if failures == 1
        else f"after {failures} failures"
    )
    ledger.stated(
        ("chat",), group.api, Cooldown(member.target, seconds, failures, share_of(config, facts, member)),
        key,
        f"{member.target.name} gets nothing for {seconds:g} s {out}, then serves again",
        group.name,
        pages=("routing#cooldowns", "routing#how-cooldowns-work"),
        note="when a deployment cools differs by page; judged: how long, once it is out",
        roles={
            "target": (member.place,),
            "next": tuple(dict.fromkeys(sibling.place for sibling in siblings)),
        },
        numbers={**facts.numbers, "cooldown": seconds, "fails": failures or 1},
        avoid=facts.avoid | {
            "rate-limit-hint": "whether a provider's hint lengthens a cooldown is not documented"
        },
    )  # fmt: skip
