"""What a caller is told: the provider's own error, who answered, what it cost; and no secret."""

from __future__ import annotations

from typing import Any

from pytest_llmroute.contracts.budget import Ledger as Bill
from pytest_llmroute.contracts.errors import Own, Secrets, Told
from pytest_llmroute.contracts.fallback import Named
from pytest_llmroute.routers.litellm.facts import Facts, retries_of
from pytest_llmroute.routers.litellm.ledger import Ledger
from pytest_llmroute.routers.litellm.rotation import enough
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("told",)

_MODEL = (
    "https://platform.openai.com/docs/api-reference/chat/object",
    "https://platform.openai.com/docs/api-reference/responses/object",
)


def told(config: Config, ledger: Ledger, facts: Facts) -> None:
    """What the callers of a group are told beside the answer."""
    group, name = facts.group, facts.group.name
    targets = (facts.first.target, *(link.target for link in facts.links))
    given: dict[str, Any] = {"roles": facts.roles, "numbers": facts.numbers, "avoid": facts.avoid}
    if not _emptied(config, facts):
        ledger.stated(
            ("chat",), group.api, Own(targets), group.key,
            f"who asks for {name} and gets no answer sees the provider's own kind of error", name,
            pages=("exception_mapping#litellm-exceptions",), **given,
        )  # fmt: skip
    if facts.links and group.api == "chat":
        ledger.promise(
            Named(targets), group.key, f"an answer for {name} names who gave it", name,
            kind="format", pages=_MODEL, **given,
        )  # fmt: skip
    _bill(ledger, facts)
    ledger.promise(
        Secrets(), group.key, f"an error of {name} gives no key away", name, kind="policy", **given
    )
    ledger.promise(
        Told(), group.key, f"who is refused while all of {name} rests is told when to come back", name,
        kind="policy", pages=("routing#cooldowns",),
        note="the page shows the words of such an error, and says nothing of a header", **given,
    )  # fmt: skip


def _emptied(config: Config, facts: Facts) -> bool:
    """Whether a call's own tries may leave nobody in rotation, which is told in words of the router's own
    (https://docs.litellm.ai/docs/routing#cooldowns)."""
    asked = [(facts.retries, facts.first_members)]
    asked += [
        (retries_of(config, each), each.members) for link in facts.links if (each := link.group)
    ]
    return any(
        (most := enough(config, members)) is not None and (retries is None or retries >= most)
        for retries, members in asked
    )


def _bill(ledger: Ledger, facts: Facts) -> None:
    """The usage and the cost that a caller is told, where the file names the prices."""
    groups = (facts.group, *(link.group for link in facts.links if link.group))
    priced = [
        (member.path(table, f"{way}_cost_per_token"), member)
        for member in facts.group.members
        for table in ("litellm_params", "model_info")
        for way in ("input", "output")
        if f"{way}_cost_per_token" in (member.params if table == "litellm_params" else member.info)
    ]
    if not priced:
        return
    everybody = all(member.named is not None for one in groups for member in one.members)
    for key, _ in priced[0 if not everybody else 1 :]:
        reason = "judged with the first price of its group"
        if not everybody:
            reason = "not all that may answer for its group have a price in the file"
        ledger.skip(key, reason)
    if everybody:
        ledger.stated(
            ("chat",), facts.group.api, Bill(), priced[0][0],
            f"who asks for {facts.group.name} is told what was used and what it costs",
            facts.group.name, pages=("proxy/custom_pricing", "proxy/response_headers"),
            roles=facts.roles, numbers=facts.numbers, avoid=facts.avoid,
        )  # fmt: skip
