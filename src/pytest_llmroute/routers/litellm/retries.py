"""What a file promises about trying again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.retry import Bounded, Classed, Hint, Hopeless, Total, Tried
from pytest_llmroute.promises import Source
from pytest_llmroute.routers.litellm.classes import may_raise
from pytest_llmroute.routers.litellm.facts import Facts, doubled, own, retries_of
from pytest_llmroute.routers.litellm.ledger import Ledger, all_but
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.rotation import enough
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("retries",)

_KINDS = {
    "BadRequestErrorRetries": "bad_request",
    "AuthenticationErrorRetries": "authentication",
    "NotFoundErrorRetries": "not_found",
    "TimeoutErrorRetries": "timeout",
    "RateLimitErrorRetries": "rate_limit",
    "ContentPolicyViolationErrorRetries": "content_policy",
    "InternalServerErrorRetries": "internal",
    "ServiceUnavailableErrorRetries": "unavailable",
}
"""What an attempt has failed of, by the class that LiteLLM makes of it
(https://docs.litellm.ai/docs/exception_mapping)."""
_POLICY = ("router_settings", "retry_policy")
_BY_GROUP = ("router_settings", "model_group_retry_policy")
_TWO_PAGES = (
    "the table of settings says that it counts in the SDK alone, the page of routing groups that it "
    "counts by name"
)


def retries(config: Config, ledger: Ledger, facts: Facts) -> None:
    """How often a group tries again, and what it should not try again."""
    policies = _policies(config, facts)
    keys = _keys(config, facts)
    if reason := doubled(config, facts, facts.first.target):
        for line in (*keys, *policies):
            ledger.skip(line, reason)
        policies = {}
    elif facts.retries is not None:
        _counted(config, ledger, facts, policies)
    for key in keys:
        ledger.skip(
            key, "other deployments of its group do not say how often, and no default is promised"
        )
    if (general := config.find("num_retries")) is not None and general.key not in keys:
        ledger.skip(general.key, "every deployment sets a number of its own")
    for key, (policy, kind) in policies.items():
        for name, times in policy.items():
            if any(own(member, "num_retries")[0] for member in facts.group.members):
                reason = "whether it or a deployment's own num_retries wins is not documented"
                ledger.skip((*key, name), reason)
            elif kinds := _kinds(name, policy):
                _by_class(config, ledger, facts, (*key, name), times, kinds, kind)
    _total(config, ledger, facts)
    deployments = tuple(
        Target(member.target.name, (member.deployment,)) for member in facts.group.members
    )
    name = facts.group.name
    ledger.promise(
        Hint(deployments), facts.group.key,
        f"a deployment of {name} is left alone as long as its provider asks for", name,
        kind="policy", pages=("router/learn/reliability",),
        note="that a hint is read is documented, what comes of it is not",
        roles=facts.roles, numbers=facts.numbers, avoid=facts.avoid,
    )  # fmt: skip
    ledger.promise(
        Hopeless(deployments), facts.group.key,
        f"{name} does not repeat what cannot succeed", name, kind="policy",
        roles=facts.roles, numbers=facts.numbers, avoid=facts.avoid,
    )  # fmt: skip


def _total(config: Config, ledger: Ledger, facts: Facts) -> None:
    """All attempts of a call together, where every group that it may come to says how often."""
    often = [facts.retries]
    for link in facts.links:
        if link.group is not None:
            often.append(retries_of(config, link.group))
    if None in often or not facts.links:
        return
    name, targets = facts.group.name, (facts.first.target, *(link.target for link in facts.links))
    most = max(times for times in often if times is not None)
    ledger.promise(
        Total(targets, most), facts.group.key,
        f"a call for {name} makes {len(targets) * (1 + most)} attempts at most", name, kind="policy",
        pages=("routing#retries",), roles=facts.roles, numbers=facts.numbers, avoid=facts.avoid,
    )  # fmt: skip


def _policies(config: Config, facts: Facts) -> dict[KeyPath, tuple[Mapping[str, int], Source]]:
    """The retries by class that count for a group, by where they stand: the general ones, and those
    of the group alone, of which pages differ on whether they count in a file."""
    found: dict[KeyPath, tuple[Mapping[str, int], Source]] = {}
    mine = (config.router.get("model_group_retry_policy") or {}).get(facts.group.name)
    if isinstance(mine, Mapping) and (numbers := _numbers(mine)):
        found[*_BY_GROUP, facts.group.name] = (numbers, "policy")
    if numbers := _numbers(config.router.get("retry_policy") or {}):
        # Where a group has numbers of its own, which of both count is as doubtful as they are.
        found[_POLICY] = (numbers, "policy" if found else "config")
    return found


def _numbers(policy: Mapping[str, object]) -> dict[str, int]:
    return {name: number for name, number in policy.items() if type(number) is int and number >= 0}


def _kinds(name: str, policy: Mapping[str, int]) -> tuple[str, ...]:
    """The kinds of failures that a number is for; the default's are those without a number. A 404 that
    has none may count as a wrong request."""
    if name != "DefaultRetries":
        return (_KINDS[name],) if name in _KINDS else ()
    doubtful = {"NotFoundErrorRetries"} if "BadRequestErrorRetries" in policy else set()
    return tuple(kind for one, kind in _KINDS.items() if one not in policy and one not in doubtful)


def _counted(
    config: Config,
    ledger: Ledger,
    facts: Facts,
    policies: Mapping[KeyPath, tuple[Mapping[str, int], Source]],
) -> None:
    group, times = facts.group, facts.retries
    assert times is not None
    # Each level of an order has retries of its own, so one level is what is counted.
    target = facts.first.target
    avoid = dict(facts.avoid)
    for key, (policy, _) in policies.items():
        if "DefaultRetries" in policy:
            for line in _keys(config, facts):
                ledger.skip(line, f"{'.'.join(key)}.DefaultRetries says how often")
            return
        for name in policy:
            reason = f"{key[1]}.{name} says how often"
            avoid |= dict.fromkeys(may_raise(name.removesuffix("Retries")), reason)
    least, most = _least(config, facts), enough(config, facts.first_members)
    if most is not None:
        least = min(least, most - 1)
    for key in _keys(config, facts):
        ledger.stated(
            ("chat",), group.api, Bounded(target, times), key,
            f"{target.name} is tried {times + 1} times at most", group.name,
            pages=("routing#retries", "routing#where-num_retries-can-be-set-and-which-one-wins"),
            roles=facts.roles, numbers=facts.numbers, avoid=avoid,
        )  # fmt: skip
        if least > 0:
            ledger.stated(
                ("chat",), group.api, Tried(target, least), key,
                f"{target.name} is tried again after a transient failure", group.name,
                pages=("routing#retries",),
                note="which errors are retried differs by page; judged: 5xx, timeouts and "
                "connection errors",
                roles=facts.roles, numbers=facts.numbers, avoid=avoid,
            )  # fmt: skip


def _keys(config: Config, facts: Facts) -> list[KeyPath]:
    """The lines that say how often: each deployment's own, else the general one."""
    found = [own(member, "num_retries")[0] for member in facts.group.members]
    mine = [key for key in found if key is not None]
    if len(mine) < len(found) and (general := config.find("num_retries")) is not None:
        mine.append(general.key)
    return mine


def _least(config: Config, facts: Facts) -> int:
    general = config.find("num_retries")
    return int(
        min(
            value if value is not None else (general.value if general else 0)
            for value in (own(member, "num_retries")[1] for member in facts.group.members)
        )
    )


def _by_class(
    config: Config,
    ledger: Ledger,
    facts: Facts,
    key: KeyPath,
    number: int,
    kinds: tuple[str, ...],
    source: Source,
) -> None:
    group, target = facts.group, facts.first.target
    said = key[-1].removesuffix("Retries")
    said = "an error without a number" if said == "Default" else said
    rule = Classed(
        target, tuple((kind, number) for kind in kinds), enough(config, facts.first_members)
    )
    classes = (name.removesuffix("Retries") for name, kind in _KINDS.items() if kind in kinds)
    met = {scenario for each in classes for scenario in may_raise(each)}
    text = f"{target.name} is tried {number + 1} times after {said}"
    given: dict[str, Any] = {
        "roles": facts.roles,
        "numbers": {**facts.numbers, "retries": number},
        "avoid": all_but(f"nothing fails of {said} there", *met) | facts.avoid,
    }
    if source == "policy":
        ledger.promise(rule, key, text, group.name, kind=source, note=_TWO_PAGES, **given)
    else:
        ledger.stated(("chat",), group.api, rule, key, text, group.name, **given)
