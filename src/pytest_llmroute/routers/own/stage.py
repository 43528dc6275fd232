"""Where scenarios act for a promise that a user wrote, and the figures that they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal

from pytest_llmroute.contracts import Contract, Target
from pytest_llmroute.contracts.balance import Rate, Room, Split, calls_to_tell
from pytest_llmroute.promises import retargeted
from pytest_llmroute.routers.own.targets import Map, places

__all__ = ("distinct", "named", "numbers_of", "roles")

_SHARE = Decimal("0.4")
"""What part of a budget one answer costs in the scenarios that spend it."""

_NUMBERS: Mapping[str, Mapping[str, str]] = {
    "retry.bounded": {"retries": "retries"},
    "retry.tried": {"retries": "retries"},
    "stream.stall": {"seconds": "patience"},
    "budget.cutoff": {"window": "window"},
    "budget.window": {"window": "window"},
    "cache.hit": {"ttl": "ttl"},
    "cache.expires": {"ttl": "ttl"},
    "health.cooldown": {"seconds": "cooldown", "failures": "fails"},
    "balance.in-flight": {"limit": "parallel"},
    "latency.first-token": {"seconds": "patience"},
    "latency.attempt": {"seconds": "timeout"},
    "latency.answer": {"seconds": "timeout"},
}
"""The figures that scenarios refer to, by the fields that hold them."""


def named(contract: Contract) -> tuple[Target, ...]:
    """The targets that a contract names, in order."""
    found: list[Target] = []

    def note(target: Target) -> Target:
        found.append(target)
        return target

    retargeted(contract, note)
    return tuple(dict.fromkeys(found))


def distinct(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Targets without those that an earlier one has a deployment in common with."""
    kept: list[Target] = []
    for target in targets:
        if not any(_overlap(target, earlier) for earlier in kept):
            kept.append(target)
    return tuple(kept)


def _overlap(one: Target, other: Target) -> bool:
    return any(
        host == that_host
        and (None in (model, that_model) or model == that_model)
        and (None in (key, that_key) or key == that_key)
        for host, model, key in one.deployments
        for that_host, that_model, that_key in other.deployments
    )


def roles(
    contract: Contract, acted: tuple[Target, ...], order: tuple[Target, ...]
) -> dict[str, tuple[str, ...]]:
    """Where scenarios act. A target that others come before is only reached when they fail too."""
    own = named(contract)
    family = contract.id.partition(".")[0]
    if acted:
        target = acted
    elif not own:
        target = order[:1]
    elif family == "budget":
        target = own
    elif family in ("fallback", "balance"):
        target = own[:1]
    else:
        before = [one for one in order if not _overlap(one, own[0])]
        reached = next((n for n, one in enumerate(order) if _overlap(one, own[0])), 0)
        target = (*before[:reached], own[0])
    rest = [
        one
        for one in distinct((*own, *order))
        if not any(_overlap(one, struck) for struck in target)
    ]
    return {
        "target": places(target) or ("*",),
        "next": places(rest[:1]),
        "others": places(rest[1:]),
    }


def numbers_of(contract: Contract, order: tuple[Target, ...], world: Map) -> dict[str, float]:
    """The figures of a contract that scenarios refer to."""
    numbers = {
        number: float(value)
        for name, number in _NUMBERS.get(contract.id, {}).items()
        if (value := getattr(contract, name)) is not None
    }
    match contract:
        case Rate(limit=most, unit="tokens"):
            numbers["tpm"] = float(most)
        case Rate(limit=most) | Room(limit=most, unit="requests"):
            numbers["rpm"] = float(most)
        case Room(limit=most):
            numbers["parallel"] = float(most)
        case Split(shares=shares, alarm=alarm):
            # Where they are too much alike to be told from even ones, no load is enough.
            with suppress(ValueError):
                numbers["load"] = calls_to_tell(tuple(share for _, share in shares), alarm)
    limit = getattr(contract, "limit", None)
    if isinstance(limit, Decimal):
        numbers |= _bills(limit, (*named(contract), *order), named(contract), world)
    return numbers


def _bills(
    limit: Decimal, known: tuple[Target, ...], spenders: tuple[Target, ...], world: Map
) -> dict[str, float]:
    """Tokens for which an answer of the spenders is charged a fixed part of the limit, half of it
    for the prompt; nothing where no model is named whose price is known."""
    hosts = {host for spender in spenders for host, _, _ in spender.deployments}
    for target in known:
        tariff = world.price(target.name)
        if tariff is not None and any(host in hosts for host, _, _ in target.deployments):
            halves = 2 if tariff.input and tariff.output else 1
            part = limit * _SHARE / halves
            return {
                "bill_input": float(part // tariff.input) if tariff.input else 0.0,
                "bill_output": float(part // tariff.output) if tariff.output else 0.0,
            }
    return {}
