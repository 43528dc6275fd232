"""What a file promises about money."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from llmroute_sim.providers import Tariff
from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.budget import Cutoff, Returns
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.keys import data
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.lines import KeyPath, Tree
from pytest_llmroute.routers.litellm.members import Group, Member
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("budgets", "check_budgets")

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_PERIOD = re.compile(r"([1-9]\d*)(mo|s|m|h|d|w)")
_NEXT_CALL = "the call that reaches the limit passes, the next one is refused"
_AFTER = (
    "pages let a budget expire after its period, or at midnight; judged: a little after the period, "
    "which both allow"
)
_BLOCKING = "the page shows the proxy, which asks on asyncio, and says nothing of blocking calls"
_BUDGET_PAGE = "proxy/provider_budget_routing#how-provider-budget-routing-works"
_SHARE = Decimal("0.4")
"""Of the budget, what one stated answer costs: the third answer crosses the limit."""
_ALL = Decimal(1)
"""The same where a third answer may not come: it is chance who is asked, or a smaller budget is spent
first."""


def check_budgets(config: Config) -> None:
    """Raises ``ConfigError`` for a budget that is no amount, a period that is none, and a provider
    that does not exist."""
    tree = config.tree
    table = data("providers")
    known = {*table["simulated"], *table["known"]["names"]}
    for name, entry in (config.router.get("provider_budget_config") or {}).items():
        key = ("router_settings", "provider_budget_config", name)
        if name not in known:
            raise _unknown(tree, name, known, key)
        if not isinstance(entry, dict):
            raise tree.error("must be a table with budget_limit and time_period", key)
        for needed in ("budget_limit", "time_period"):
            if needed not in entry:
                raise tree.error(f"has no {needed}", key)
        _limit(tree, entry["budget_limit"], (*key, "budget_limit"))
        _window(tree, entry["time_period"], (*key, "time_period"))
    for group in config.groups.values():
        for member in group.members:
            if "budget_duration" in member.params:
                path = member.path("litellm_params", "budget_duration")
                _window(tree, member.params["budget_duration"], path)


def _unknown(tree: Tree, name: str, known: Iterable[str], key: KeyPath) -> ConfigError:
    import difflib

    close = difflib.get_close_matches(name, sorted(known), 1, 0.5)
    return tree.error(f"unknown provider {name!r}", key, close[0] if close else None)


def _limit(tree: Tree, value: object, key: KeyPath) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise tree.error("must be an amount of US dollars, 0 or more", key)
    return Decimal(str(value))


def _window(tree: Tree, value: object, key: KeyPath) -> tuple[float, bool]:
    """Seconds of a period, and whether it is a calendar's month, of which this is the shortest."""
    found = _PERIOD.fullmatch(str(value))
    if found is None:
        raise tree.error("must be a period such as 30s, 30m, 12h, 1d or 1mo", key)
    count, unit = int(found[1]), found[2]
    if unit == "mo":
        return count * 28 * 86400.0, True
    return count * _UNITS[unit], False


_ALIKE = ("openai", "anthropic")
"""Whose list prices are the same in every catalogue."""


def budgets(config: Config, ledger: Ledger, facts: Facts) -> None:
    """What may be spent at providers and deployments, as far as a group asks them."""
    group = facts.group
    for name, entry in (config.router.get("provider_budget_config") or {}).items():
        key = ("router_settings", "provider_budget_config", name)
        mine = [member for member in group.members if member.prefix == name]
        everywhere = [m for g in config.groups.values() for m in g.members if m.prefix == name]
        if not mine:
            for part in ("budget_limit", "time_period"):
                if not everywhere:
                    ledger.skip((*key, part), f"no simulated deployment asks {name}")
            continue
        spent_at = Target(name, tuple(dict.fromkeys(m.deployment for m in everywhere)))
        _budget(
            config, ledger, facts, mine, spent_at,
            (entry["budget_limit"], (*key, "budget_limit")),
            (entry["time_period"], (*key, "time_period")),
        )  # fmt: skip
    for member in group.members:
        limit, period = member.params.get("max_budget"), member.params.get("budget_duration")
        paths = [member.path("litellm_params", k) for k in ("max_budget", "budget_duration")]
        if limit is None or period is None:
            for path in paths:
                ledger.skip(path, "a deployment's budget needs max_budget and budget_duration")
            continue
        amount = Decimal(str(limit))
        _budget(
            config, ledger, facts, [member], member.target,
            (amount, paths[0]), (period, paths[1]),
        )  # fmt: skip


def _budget(
    config: Config,
    ledger: Ledger,
    facts: Facts,
    mine: list[Member],
    spent_at: Target,
    limit: tuple[Any, KeyPath],
    period: tuple[Any, KeyPath],
) -> None:
    amount = Decimal(str(limit[0]))
    window, calendar = _window(config.tree, *period)
    tariff = mine[0].tariff
    alone = {member.place for member in facts.first_members} <= {member.place for member in mine}
    share = _SHARE if alone and not _smaller(config, mine, amount) else _ALL
    bill = None if tariff is None else _bill(facts.group, tariff, share * amount)
    foreign = any(one.named is None and one.provider.name not in _ALIKE for one in mine)
    if amount == 0 or bill is None or foreign:
        reason = (
            "pages differ on a budget of 0: no cap, or a cap of nothing"
            if amount == 0
            else "the file names no price per token, and the catalogue knows none"
            if bill is None
            else "the file names no price per token, and what LiteLLM's own catalogue says is its own"
        )
        ledger.skip(limit[1], reason)
        ledger.skip(period[1], reason)
        return
    group = facts.group
    places = tuple(dict.fromkeys(member.place for member in mine))
    siblings = tuple(p for p in group.places if p not in places)
    roles = {
        "target": places,
        "next": siblings or facts.roles["next"],
        "others": facts.roles["next"] if siblings else facts.roles["others"],
    }
    numbers = {**facts.numbers, "window": window, "bill_input": bill[0], "bill_output": bill[1]}
    note = "" if mine[0].named else "; counted at the catalogue's price, as the file names none"
    given: dict[str, Any] = {"roles": roles, "numbers": numbers, "avoid": facts.avoid}
    ledger.on_asyncio(
        group.api, Cutoff((spent_at,), amount, window), limit[1],
        f"{spent_at.name} is asked nothing more once {amount} USD are spent", group.name,
        note=_NEXT_CALL + note, doubt=_BLOCKING, pages=(_BUDGET_PAGE,), **given,
    )  # fmt: skip
    if calendar:
        ledger.skip(period[1], "how long a month of a budget is, is not documented")
        return
    ledger.on_asyncio(
        group.api, Returns((spent_at,), amount, window, not alone), period[1],
        f"{spent_at.name} is asked again {period[0]} after its budget began", group.name,
        note=_AFTER + note, doubt=_BLOCKING, pages=(_BUDGET_PAGE, "proxy/budget_reset_and_tz"),
        **given,
    )  # fmt: skip


def _smaller(config: Config, mine: list[Member], amount: Decimal) -> bool:
    """Whether each of these has another budget that two answers at two fifths of this one spend."""
    providers = config.router.get("provider_budget_config") or {}

    def least(member: Member) -> Decimal:
        limits = (
            member.params.get("max_budget"),
            (providers.get(member.prefix) or {}).get("budget_limit"),
        )
        return min((Decimal(str(limit)) for limit in limits if limit), default=amount)

    return all(least(member) <= 2 * _SHARE * amount for member in mine)


def _bill(group: Group, tariff: Tariff, cost: Decimal) -> tuple[int, int] | None:
    """Tokens in and out that cost so much; embeddings have none going out."""
    if group.api == "embeddings" or not tariff.output:
        return (round(cost / tariff.input), 0) if tariff.input else None
    if not tariff.input:
        return 0, round(cost / tariff.output)
    out = int(cost / 2 / tariff.output)
    return round((cost - out * tariff.output) / tariff.input), out
