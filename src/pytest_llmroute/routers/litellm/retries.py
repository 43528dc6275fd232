"""What a file promises about trying again."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.retry import Bounded, Hint, Hopeless, Tried
from pytest_llmroute.routers.litellm.facts import Facts, own
from pytest_llmroute.routers.litellm.ledger import Ledger, all_but, stories_of
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("retries",)

_CLASSES: Mapping[str, tuple[str, ...]] = {
    "AuthenticationErrorRetries": ("unauthorized",),
    "NotFoundErrorRetries": ("model-gone",),
    "TimeoutErrorRetries": ("silence", "slow-first-token"),
    "RateLimitErrorRetries": ("rate-limited", "rate-limit-hint"),
    "InternalServerErrorRetries": ("outage-500", "all-down", "one-bad-answer"),
    "ServiceUnavailableErrorRetries": ("outage-503",),
}
"""Which scenarios raise which class of LiteLLM's exceptions
(https://docs.litellm.ai/docs/exception_mapping)."""
_RAISED_BY: Mapping[str, tuple[str, ...]] = {
    "AuthenticationErrorRetries": ("unauthorized",),
    "NotFoundErrorRetries": ("model-gone",),
    "TimeoutErrorRetries": (
        "silence", "stall", "unreachable", "latency-spike", "slow-first-token", "filler",
        "request-timeout",
    ),
    "RateLimitErrorRetries": ("rate-limit", "quota-spent"),
    "InternalServerErrorRetries": (
        "outage", "error-page", "error-in-body", "error-in-stream", "refused", "name-not-found",
        "cut", "reset", "malformed-chunk", "wrong-length", "wrong-content-type",
        "damaged-compression",
    ),
    "ServiceUnavailableErrorRetries": ("outage", "error-page"),
}  # fmt: skip
"""By which faults the others raise it, as far as it is known: whoever has a policy is not judged by
the general number there."""
_TRANSIENT = ("TimeoutErrorRetries", "InternalServerErrorRetries", "ServiceUnavailableErrorRetries")


def retries(config: Config, ledger: Ledger, facts: Facts) -> None:
    """How often a group tries again, and what it should not try again."""
    policy = _policy(config)
    if facts.retries is not None:
        _counted(config, ledger, facts, policy)
    keys = _keys(config, facts)
    for key in keys:
        ledger.skip(
            key, "other deployments of its group do not say how often, and no default is promised"
        )
    if (general := config.find("num_retries")) is not None and general.key not in keys:
        ledger.skip(general.key, "every deployment sets a number of its own")
    for name, number in policy.items():
        if any(own(member, "num_retries")[0] for member in facts.group.members):
            ledger.skip(
                ("router_settings", "retry_policy", name),
                "whether it or a deployment's own num_retries wins is not documented",
            )
        elif name in _CLASSES:
            _by_class(ledger, facts, name, number)
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


def _policy(config: Config) -> dict[str, int]:
    policy = config.router.get("retry_policy") or {}
    return {name: number for name, number in policy.items() if type(number) is int and number >= 0}


def _counted(config: Config, ledger: Ledger, facts: Facts, policy: Mapping[str, int]) -> None:
    group, times = facts.group, facts.retries
    assert times is not None
    # Each level of an order has retries of its own, so one level is what is counted.
    target = facts.first.target
    avoid = dict(facts.avoid)
    for name in policy:
        raising = (*_CLASSES.get(name, ()), *stories_of(*_RAISED_BY.get(name, ())))
        avoid |= dict.fromkeys(raising, f"retry_policy.{name} says how often")
    for key in _keys(config, facts):
        ledger.promise(
            Bounded(target, times), key,
            f"{target.name} is tried {times + 1} times at most", group.name, kind=facts.kind,
            pages=("routing#retries", "routing#where-num_retries-can-be-set-and-which-one-wins"),
            roles=facts.roles, numbers=facts.numbers, avoid=avoid,
        )  # fmt: skip
        if times:
            ledger.promise(
                Tried(target, _least(config, facts)), key,
                f"{target.name} is tried again after a transient failure", group.name,
                kind=facts.kind, pages=("routing#retries",),
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


def _by_class(ledger: Ledger, facts: Facts, name: str, number: int) -> None:
    key = ("router_settings", "retry_policy", name)
    target = facts.first.target
    avoid = all_but("raises another class of errors", *_CLASSES[name]) | facts.avoid
    said = name.removesuffix("Retries")
    ledger.promise(
        Bounded(target, number), key,
        f"{target.name} is tried {number + 1} times at most after {said}", facts.group.name,
        kind=facts.kind, roles=facts.roles, numbers={**facts.numbers, "retries": number}, avoid=avoid,
    )  # fmt: skip
    if number and name in _TRANSIENT:
        ledger.promise(
            Tried(target, number), key, f"{target.name} is tried again after {said}",
            facts.group.name, kind=facts.kind,
            roles=facts.roles, numbers={**facts.numbers, "retries": number}, avoid=avoid,
        )  # fmt: skip
