"""What a request may ask of the router by options of its own, whatever the file says beside it."""

from __future__ import annotations

from typing import Any

from pytest_llmroute.contracts.cache import Expires, Hit
from pytest_llmroute.contracts.stream import Stall
from pytest_llmroute.routers.litellm.facts import Facts
from pytest_llmroute.routers.litellm.ledger import Ledger, all_but
from pytest_llmroute.routers.litellm.lines import KeyPath

__all__ = ("cached_wishes", "wishes")

_SECONDS = 8.0
"""What a request says that it waits, where the file says nothing."""
_CONTROLS = "proxy/caching_controls#dynamic-cache-controls"
_ONCE = "the file's own keys are tried there; what a request says is tried once"


def wishes(ledger: Ledger, facts: Facts) -> None:
    """How long a request waits that says so itself."""
    group, name = facts.group, facts.group.name
    if group.api != "chat":
        return
    if facts.timeout is None and facts.patience is None:
        numbers = {**facts.numbers, "timeout": _SECONDS, "patience": _SECONDS}
        ledger.stated(
            ("chat",), "chat", Stall(_SECONDS), group.key,
            f"{name} waits no longer than a request says", name,
            pages=("proxy/timeout#setting-dynamic-timeouts---per-request",), roles=facts.roles,
            numbers=numbers, avoid=all_but(_ONCE, "silence"), options={"timeout": _SECONDS},
        )  # fmt: skip


def cached_wishes(
    ledger: Ledger, facts: Facts, key: KeyPath, entries: tuple[str, ...], *, only_asked: bool
) -> None:
    """What a request may ask of the cache; ``only_asked`` says that nothing is cached otherwise."""
    name = facts.group.name
    opt_in = {"use-cache": True} if only_asked else {}
    controls: tuple[tuple[dict[str, Any], Any, str], ...] = (
        ({"ttl": _SECONDS}, Expires(_SECONDS), "are forgotten after the seconds that it says"),
        ({"s-maxage": _SECONDS}, Expires(_SECONDS), "are not older than the seconds that it says"),
        ({"no-store": True}, Expires(0.0), "are not kept if it says so"),
        ({"no-cache": True}, Expires(0.0), "are fresh if it says so"),
    )
    if only_asked:
        controls = (({}, Hit(None), "are cached if it says so"), *controls)
    for said, contract, what in controls:
        ledger.promise(
            contract, key, f"answers to a request for {name} {what}", name, entries=entries,
            pages=(_CONTROLS,), roles=facts.roles,
            note="pages differ on whether it is stored; judged: the answer is fresh"
            if "no-cache" in said else "",
            numbers={**facts.numbers, "ttl": _SECONDS}, options={"cache": {**opt_in, **said}},
        )  # fmt: skip
