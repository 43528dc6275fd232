"""What a file promises about who is in rotation: who leaves it, who must not, and who never does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmroute.contracts.health import Leaves, Stays, Transient
from pytest_llmroute.promises import Source
from pytest_llmroute.routers.litellm.classes import raising
from pytest_llmroute.routers.litellm.facts import Facts, own, resting, twinned
from pytest_llmroute.routers.litellm.ledger import Ledger, acting, all_but, tried
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.members import Member
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("enough", "rotation")

_LONE = "whether a lone deployment leaves rotation is not documented"
_TABLE = "routing#when-are-deployments-cooled-down"
_PAGES = ("routing#cooldowns", "proxy/health_check_routing")
_ROW = 6
"""Failures of as many calls: more than half of a minute's calls, however they are counted."""
_SHORTEST = 5.0
"""Seconds for which a deployment that left rests at least, where a file does not say
(https://docs.litellm.ai/docs/routing#cooldowns)."""
_COUNTED = ("outage", "rate-limit")
"""Faults that every page counts as failures of a deployment."""
_OF_CLASS = "pages count failures of a class by the minute or by the cooldown; judged: all within the shorter"


def enough(config: Config, members: Sequence[Member]) -> int | None:
    """Failures after which all of these may be out of rotation, so that nobody is left to be tried
    again; None where no number says so."""
    off = config.find("disable_cooldowns")
    if off is not None and off.value is True:
        return None
    total = 0
    for member in members:
        _, seconds = resting(config, member)
        _, count = _allowed(config, member)
        numbers = [*_policy(config, member)[0].values(), *([] if count is None else [int(count)])]
        if seconds == 0 or not numbers:
            return None
        total += min(numbers) + 1
    return total


def rotation(config: Config, ledger: Ledger, facts: Facts) -> None:
    """Who is left out of a group after failures, and who is not."""
    off = config.find("disable_cooldowns")
    somewhere = not facts.lone or facts.links
    for member in facts.first_members:
        if not somewhere:
            break
        if off is not None and off.value is True:
            _stays(config, ledger, facts, member, off.key, "config", "routing#disable-cooldowns")
            continue
        key, seconds = resting(config, member)
        if seconds == 0 and key is not None:
            # Only the page about model_info says what 0 means.
            kind: Source = "config" if key[-2] == "model_info" else "policy"
            _stays(config, ledger, facts, member, key, kind, "routing#cooldowns")
            continue
        if reason := twinned(config, facts, member):
            for line in (_policy(config, member)[1], _allowed(config, member)[0]):
                if line is not None:
                    ledger.skip(line, reason)
            continue
        _leaves(config, ledger, facts, member, seconds or _SHORTEST)
        _transient(config, ledger, facts, member)
    if off is not None:
        reason = "its groups have one deployment each, and nowhere else to go"
        ledger.skip(
            off.key, reason if off.value is True else "switched off: cooldowns are as they are"
        )


def _given(facts: Facts, member: Member, **numbers: float) -> dict[str, Any]:
    siblings = tuple(place for place in facts.first.places if place != member.place)
    return {
        "roles": {
            "target": (member.place,),
            "next": siblings or facts.roles["next"],
            "others": facts.roles["next"] if siblings else facts.roles["others"],
        },
        "numbers": {**facts.numbers, **numbers},
    }


def _stays(
    config: Config,
    ledger: Ledger,
    facts: Facts,
    member: Member,
    key: KeyPath,
    kind: Source,
    page: str,
) -> None:
    if not facts.lone and _share(config, facts, member) < _NEARLY_ALL:
        ledger.skip(key, "whoever is left out looks like whom chance, or a strategy, did not pick")
        return
    ledger.promise(
        Stays((member.target,)), key, f"{member.target.name} is never left out of rotation",
        facts.group.name, kind=kind, pages=(page,), avoid=facts.avoid, **_given(facts, member),
    )  # fmt: skip


def _leaves(config: Config, ledger: Ledger, facts: Facts, member: Member, seconds: float) -> None:
    group, name = facts.group, member.target.name
    policy, policy_key = _policy(config, member)
    for each, number in policy.items():
        raised = raising(each.removesuffix("AllowedFails"))
        avoid = all_but("raises another class of errors", *raised) | facts.avoid
        if not _counts(each, number):
            continue
        if not tried(Leaves.id, avoid):
            reason = "no scenario fails a deployment for long enough with that class and no other"
            ledger.skip((*policy_key, each), reason)
            continue
        ledger.stated(
            ("chat",), group.api, Leaves(member.target, number + 1, seconds), (*policy_key, each),
            f"{name} leaves rotation after {number + 1} of {each.removesuffix('AllowedFails')}",
            group.name, pages=_PAGES, note=_OF_CLASS,
            avoid=avoid, **_given(facts, member, fails=number + 1),
        )  # fmt: skip
    count_key, count = _allowed(config, member)
    if count_key is None or count is None:
        count_key, failures, page = group.key, _ROW, _TABLE
        note = "the page says more than half of a minute's calls; judged: as many as leave no doubt"
    else:
        failures, page = int(count) + 1, "routing#cooldowns"
        note = "pages differ on N or N + 1 failures; judged after N + 1"
    if policy:
        note += "; classes with a number of their own are judged by that"
    by_class = {
        scenario: f"{'.'.join(policy_key[-1:])}.{each} says how often"
        for each in policy
        for scenario in raising(each.removesuffix("AllowedFails"))
    }
    others = all_but(
        "pages differ on whether that is held against a deployment", *acting(*_COUNTED)
    )
    given: dict[str, Any] = {
        "note": note, "avoid": facts.avoid | others | by_class,
        **_given(facts, member, fails=failures),
    }  # fmt: skip
    if not tried(Leaves.id, given["avoid"]):
        ledger.skip(count_key, f"{'.'.join(policy_key)} says how often")
        return
    rule = Leaves(member.target, failures, seconds)
    text = f"{name} leaves rotation after {failures} failures"
    if facts.lone:
        given["note"] += f"; {_LONE}"
    if facts.lone or count is None:
        # Of a share of calls nobody can say how many failures it is: few is good practice.
        ledger.promise(rule, count_key, text, group.name, kind="policy", pages=(page,), **given)
    else:
        ledger.stated(
            ("chat",), group.api, rule, count_key, text, group.name, pages=(page,), **given
        )


def _allowed(config: Config, member: Member) -> tuple[KeyPath | None, float | None]:
    """How many failures are put up with, and where that stands."""
    key, count = own(member, "allowed_fails", info=True)
    if key is not None and key[-2] == "litellm_params":
        key = None  # misplaced: it goes to the provider
    if key is None and (general := config.find("allowed_fails")) is not None:
        return general.key, float(general.value)
    return key, count


def _transient(config: Config, ledger: Ledger, facts: Facts, member: Member) -> None:
    """Not for one failure among successes: neither by the count nor by the share of a minute."""
    count_key, count = own(member, "allowed_fails", info=True)
    general = config.find("allowed_fails")
    if count_key is None and general is not None:
        count = float(general.value)
    policy, _ = _policy(config, member)
    strict = [n for each, n in policy.items() if each in _SERVERS and n < 2]
    if (count is not None and count < 2) or strict:
        return  # some page lets the first failure cool it
    group, name = facts.group, member.target.name
    share = None if facts.lone else _share(config, facts, member)
    if share is not None and share < _NEARLY_ALL:
        return  # who is asked next is a matter of chance, or of a strategy
    rule, text = (
        Transient((member.target,), share),
        f"{name} stays in rotation after one failure that passes",
    )
    note = "judged: one failure among answers, no more than half of the calls"
    given: dict[str, Any] = {"pages": (_TABLE,), "avoid": facts.avoid, **_given(facts, member)}
    if facts.lone:
        note += f"; {_LONE}"
        ledger.promise(rule, group.key, text, group.name, kind="policy", note=note, **given)
    else:
        ledger.stated(("chat",), group.api, rule, group.key, text, group.name, note=note, **given)
    if share is not None:
        ledger.promise(
            Transient((member.target,), share, 0), group.key,
            f"{name} stays in rotation after one failure, of its very first call too",
            group.name, kind="policy", pages=(_TABLE,), note=_FIRST,
            avoid=facts.avoid, **_given(facts, member),
        )  # fmt: skip


_NEARLY_ALL = 0.999
"""Of the calls: of two, whoever gets so many gets one, but for one time in a million."""
_FIRST = (
    "pages cool who fails more than half of a minute's calls, which the first call is by itself, and "
    "put up with three failures"
)


def _share(config: Config, facts: Facts, member: Member) -> float:
    """The part of the calls that begins at a member, by its weight; nothing where not all have one."""
    weights = [each.params.get("weight") for each in facts.first_members]
    numbers = [float(one) for one in weights if isinstance(one, int | float) and one > 0]
    strategy = config.router.get("routing_strategy", "simple-shuffle")
    if strategy != "simple-shuffle" or len(numbers) < len(weights) or "weight" not in member.params:
        return 0.0
    return float(member.params["weight"]) / sum(numbers)


_SERVERS = (
    "InternalServerErrorAllowedFails", "ServiceUnavailableErrorAllowedFails",
    "BadGatewayErrorAllowedFails", "TimeoutErrorAllowedFails",
)  # fmt: skip


def _policy(config: Config, member: Member) -> tuple[Mapping[str, int], KeyPath]:
    """The failures by class that are put up with, and where that stands: a deployment's own wins over
    the router's entirely."""
    own_policy = member.info.get("allowed_fails_policy")
    policy, key = own_policy, member.path("model_info", "allowed_fails_policy")
    if not isinstance(policy, Mapping):
        policy = config.router.get("allowed_fails_policy")
        key = ("router_settings", "allowed_fails_policy")
    table = policy if isinstance(policy, Mapping) else {}
    return {name: n for name, n in table.items() if type(n) is int and n >= 0}, key


def _counts(name: str, number: int) -> bool:
    return number >= 0 and name not in (
        "BadRequestErrorAllowedFails",
        "ContentPolicyViolationErrorAllowedFails",
        # A wrong key or a wrong name is no failure to serve: nothing here judges by those.
        "AuthenticationErrorAllowedFails",
        "NotFoundErrorAllowedFails",
    )
