"""What a file promises, key by key, as LiteLLM's public documentation explains it."""

from __future__ import annotations

from pytest_llmroute.contracts.stream import OneVoice, Whole
from pytest_llmroute.promises import NotJudged, Promise
from pytest_llmroute.routers.litellm.budgets import budgets
from pytest_llmroute.routers.litellm.caches import caches
from pytest_llmroute.routers.litellm.facts import Facts, facts
from pytest_llmroute.routers.litellm.fallbacks import fallbacks
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.limits import cooldowns, timeouts
from pytest_llmroute.routers.litellm.retries import retries
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("derive",)

_FORMAT = "https://platform.openai.com/docs/api-reference/chat-streaming"


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
        retries(config, ledger, found)
        timeouts(config, ledger, found)
        cooldowns(config, ledger, found)
        budgets(config, ledger, found)
        caches(config, ledger, found)
        _format(ledger, found)
    return ledger.promises, ledger.not_judged()


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
            contract, group.key, text, group.name, kind="format", pages=(_FORMAT,),
            roles=found.roles, numbers=found.numbers, avoid=found.avoid,
        )  # fmt: skip
    for member in group.members:
        ledger.skip(
            ("model_list", str(member.index), "model_name"),
            f"another deployment of {group.name}, which is judged as a group",
        )
