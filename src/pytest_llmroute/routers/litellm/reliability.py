"""What a file promises about failures: fallbacks, orders, retries."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.fallback import Answers, Elsewhere, Once, Order
from pytest_llmroute.contracts.retry import Bounded, Hint, Hopeless, Tried
from pytest_llmroute.routers.litellm.facts import Facts, own
from pytest_llmroute.routers.litellm.ledger import Ledger, all_but
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.settings import LISTS, Chain, Config, Link

__all__ = ("fallbacks", "retries")

_AGREED = (
    "pages differ on plain 400s and on context and content errors without a list of their own; "
    "judged: 401, 404, 408, 429, 5xx and connection errors"
)
_OVERFLOW = "whether an overflow of the context goes to the general list is not documented"

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
_TRANSIENT = ("TimeoutErrorRetries", "InternalServerErrorRetries", "ServiceUnavailableErrorRetries")


def fallbacks(config: Config, ledger: Ledger, facts: Facts) -> None:
    """Where a group's failures go."""
    group = facts.group
    if group.levels:
        _orders(ledger, facts)
    for setting in ("fallbacks", "context_window_fallbacks"):
        chain = config.chain(setting, group.name)
        if chain is not None and (links := _links(config, ledger, facts, chain)):
            _chain(config, ledger, facts, chain, links)
    _outside(config, ledger, facts)


def _orders(ledger: Ledger, facts: Facts) -> None:
    count = len(facts.group.levels)
    levels = (facts.first, *facts.links[: count - 1])
    targets = tuple(level.target for level in levels)
    name = facts.group.name
    roles = {**facts.roles, "others": tuple(p for link in levels[2:] for p in link.places)}
    shown = f"{name} asks its deployments by order: {' before '.join(t.name for t in targets)}"
    avoid = {**facts.avoid, "context-length": _OVERFLOW}
    key = facts.group.levels[0][0].path("litellm_params", "order")
    for contract in (Answers(targets, group=name), Order(targets, group=name)):
        ledger.promise(
            contract, key, shown, name,
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
    before = tuple(link.target for link in facts.links[: max(0, len(facts.group.levels) - 1)])
    targets = (facts.first.target, *before, *(link.target for link in links))
    others = ", then ".join(link.name for link in links)
    if chain.setting == "context_window_fallbacks":
        text = f"{name} hands what is too long for it to {others}"
        kinds: tuple[str, ...] = ()
        note = "judged by the provider's own refusal"
        avoid = all_but("the list is for overflows of the context alone", "context-length")
        pages: tuple[str, ...] = ("proxy/reliability#explanation", "exception_mapping")
    else:
        text = f"{name} falls back to {others}"
        kinds = ("invalid_request", "moderation", "context_length")
        note, avoid, pages = _AGREED, {**facts.avoid, "context-length": _OVERFLOW}, ()
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
    limit = config.router.get("max_fallbacks")
    if limit is not None and limit < sum(link.group is not facts.group for link in chain.links):
        nested = any(config.chain(s, link.name) for s in LISTS for link in links if link.group)
        if not nested:
            ledger.promise(
                Elsewhere(targets, name), ("router_settings", "max_fallbacks"),
                f"{name} tries at most {limit:g} of its fallbacks", name,
                roles=roles, numbers=facts.numbers, avoid=avoid,
            )  # fmt: skip


def _outside(config: Config, ledger: Ledger, facts: Facts) -> None:
    """No other group is asked, and each one once."""
    group = facts.group
    chain = next(filter(None, (config.chain(setting, group.name) for setting in LISTS)), None)
    allowed = config.reachable(group)
    ledger.promise(
        Elsewhere(allowed, group.name),
        chain.key if chain else group.key,
        f"{group.name} asks nobody but {', '.join(target.name for target in allowed)}",
        group.name,
        kind="config" if chain else "policy",
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


# -- retries


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
        avoid |= dict.fromkeys(_CLASSES.get(name, ()), f"retry_policy.{name} says how often")
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
