"""What a file promises, key by key, as LiteLLM's public documentation explains it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from pytest_llmroute.contracts import Contract
from pytest_llmroute.contracts.stream import OneVoice, Whole
from pytest_llmroute.promises import NotJudged, Promise
from pytest_llmroute.routers.litellm.balances import balances
from pytest_llmroute.routers.litellm.budgets import budgets
from pytest_llmroute.routers.litellm.caches import caches
from pytest_llmroute.routers.litellm.carried import carried
from pytest_llmroute.routers.litellm.chosen import chosen
from pytest_llmroute.routers.litellm.cooldowns import cooldowns
from pytest_llmroute.routers.litellm.facts import Facts, facts
from pytest_llmroute.routers.litellm.fallbacks import fallbacks
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.members import Group
from pytest_llmroute.routers.litellm.rates import rates
from pytest_llmroute.routers.litellm.retries import retries
from pytest_llmroute.routers.litellm.rotation import rotation
from pytest_llmroute.routers.litellm.settings import Config
from pytest_llmroute.routers.litellm.timeouts import timeouts
from pytest_llmroute.routers.litellm.told import told
from pytest_llmroute.routers.litellm.wishes import wishes

__all__ = ("derive",)

_FORMAT = (
    "https://platform.openai.com/docs/api-reference/chat-streaming",
    "https://platform.openai.com/docs/api-reference/responses-streaming",
    "https://platform.claude.com/docs/en/build-with-claude/streaming",
)


def derive(config: Config) -> tuple[tuple[Promise, ...], tuple[NotJudged, ...]]:
    """The promises of a file, and the keys that yield none."""
    ledger = Ledger(config.tree)
    for beaten, winner in config.beaten():
        line = config.tree.line(winner)
        ledger.skip(beaten, f"overridden by {'.'.join(winner)} (line {line})")
    for group in config.groups.values():
        for absent in group.absent:
            entry = ("model_list", str(absent.index))
            for name in config.tree.values["model_list"][absent.index]:
                ledger.skip((*entry, name), f"not simulated: {absent.reason}")
        if not group.whole:
            for member in group.members:
                ledger.skip(
                    ("model_list", str(member.index)),
                    f"not all of {group.name} is simulated: {group.absent[0].reason}",
                )
            for chain in config.chains:
                if chain.group == group.name:
                    reason = group.absent[0].reason
                    ledger.skip(chain.key, f"not all of {group.name} is simulated: {reason}")
            continue
        found = facts(config, group)
        fallbacks(config, ledger, found)
        chosen(config, ledger, found)
        retries(config, ledger, found)
        timeouts(config, ledger, found)
        cooldowns(config, ledger, found)
        budgets(config, ledger, found)
        caches(config, ledger, found)
        balances(config, ledger, found)
        rates(config, ledger, found)
        rotation(config, ledger, found)
        carried(config, ledger, found)
        told(config, ledger, found)
        wishes(ledger, found)
        _format(ledger, found)
    for alias, group in config.aliases.items():
        _aliased(config, ledger, alias, group)
    return ledger.promises, ledger.not_judged()


_UNSAID = "whether the lists of the group apply to its alias is not documented"


def _aliased(config: Config, ledger: Ledger, alias: str, group: Group) -> None:
    """What the file promises of a group's calls, whom they ask and how often, holds for those who ask
    for it by another name."""
    key = ("router_settings", "model_group_alias", alias)
    if not group.whole:
        ledger.skip(key, f"not all of {group.name} is simulated: {group.absent[0].reason}")
    for chain in config.chains:
        if chain.group == alias:
            ledger.skip(chain.key, "whether a list by an alias counts is not documented")
    lists = [chain for chain in config.chains if chain.group == alias]
    after = [link.group for chain in lists for link in chain.links if link.group is not None]
    again = any(one.name == group.name for each in after for one in config.reachable(each))
    for promise in ledger.promises:
        because = promise.because
        where = promise.contract.id.partition(".")[0] not in ("errors", "latency")
        where = where and not promise.options
        if promise.group != group.name or because.kind != "config" or not where:
            continue
        if again and promise.contract.id.startswith("retry."):
            continue  # who comes to the group a second time tries there as often once more
        listed = promise.contract.id.startswith("fallback.")
        ledger.promise(
            _renamed(promise.contract, group.name, alias), key,
            f"{alias} is {group.name}: {promise.text}", alias,
            kind="policy" if listed else "config",
            pages=because.addresses,
            note="; ".join(filter(None, (_UNSAID if listed else "", because.note))),
            entries=promise.entries, roles=promise.roles, numbers=promise.numbers,
            avoid=promise.avoid, options=promise.options,
        )  # fmt: skip


def _renamed(contract: Contract, group: str, alias: str) -> Contract:
    names = {each.name for each in fields(contract)}  # type: ignore[arg-type]  # dataclasses all
    given: Any = contract
    if "group" in names and given.group == group:
        given = replace(given, group=alias)
    found: Contract = given
    return found


def _format(ledger: Ledger, found: Facts) -> None:
    """A router that answers in OpenAI's format promises what the format's words mean."""
    group = found.group
    if group.api != "chat":
        ledger.skip(group.key, "names the group; embeddings have no words that a format promises")
        return
    for contract, text in (
        (Whole(), f"an answer of {group.name} that was cut is never presented as finished"),
        (OneVoice(), f"an answer of {group.name} comes from one attempt"),
    ):
        ledger.promise(
            contract, group.key, text, group.name, kind="format", pages=_FORMAT,
            roles=found.roles, numbers=found.numbers, avoid=found.avoid,
        )  # fmt: skip
    for member in group.members:
        ledger.skip(
            ("model_list", str(member.index), "model_name"),
            f"another deployment of {group.name}, which is judged as a group",
        )
