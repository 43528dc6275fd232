"""What a call carries with it to whoever answers: what it wants besides words, the length of its
vectors, a prompt that has to fit."""

from __future__ import annotations

from typing import Any

from pytest_llmroute.contracts.fallback import Capable, Dimension, Fits
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("carried",)

_CHECKS = "enable_pre_call_checks"


def carried(config: Config, ledger: Ledger, facts: Facts) -> None:
    """What of a call for a group must not get lost on its way."""
    group, name = facts.group, facts.group.name
    targets = (facts.first.target, *(link.target for link in facts.links))
    given: dict[str, Any] = {"roles": facts.roles, "numbers": facts.numbers, "avoid": facts.avoid}
    if group.api == "embeddings":
        if len(group.places) > 1 or facts.links:
            ledger.promise(
                Dimension(), group.key, f"vectors of {name} have one length, whoever makes them", name,
                kind="policy", **given,
            )  # fmt: skip
        return
    dropped = config.litellm.get("drop_params") is True or any(
        member.params.get("drop_params") is True
        for one in (group, *(link.group for link in facts.links if link.group))
        for member in one.members
    )
    text = f"what a call for {name} wants besides words is asked of whoever answers it"
    if facts.links and dropped:
        ledger.promise(
            Capable(targets), group.key, text, name, kind="policy", pages=("completion/drop_params",),
            note="drop_params lets what a provider does not know be left out", **given,
        )  # fmt: skip
    elif facts.links:
        ledger.stated(
            ("chat",), "chat", Capable(targets), group.key, text, name,
            pages=("completion/drop_params",),
            note="what a provider does not know raises an error, unless drop_params is set", **given,
        )  # fmt: skip
    _fits(config, ledger, facts)


def _fits(config: Config, ledger: Ledger, facts: Facts) -> None:
    """No prompt goes to a deployment whose window is too small for it."""
    checks = config.find(_CHECKS)
    windows = [(m, m.info.get("max_input_tokens")) for m in facts.group.members]
    known = [
        (member, window) for member, window in windows if isinstance(window, int) and window > 0
    ]
    for member, window in known:
        key = member.path("model_info", "max_input_tokens")
        if checks is None or checks.value is not True:
            ledger.skip(key, f"counts with {_CHECKS} only")
            continue
        siblings = tuple(place for place in facts.group.places if place != member.place)
        ledger.stated(
            ("chat",), "chat", Fits(member.target, window), key,
            f"a prompt of more than {window} tokens is not sent to {member.target.name}",
            facts.group.name, pages=("proxy/reliability#context-window-fallbacks-pre-call-checks--fallbacks",),
            roles={**facts.roles, "target": (member.place,), "next": siblings or facts.roles["next"]},
            numbers={**facts.numbers, "context": float(window)}, avoid=facts.avoid,
        )  # fmt: skip
    if checks is not None:
        reason = (
            "judged with max_input_tokens" if known else "no deployment says its max_input_tokens"
        )
        ledger.skip(checks.key, reason if checks.value is True else "switches the checks off")
