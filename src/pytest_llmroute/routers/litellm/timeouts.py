"""What a file promises about waiting: how long a silent or slow deployment is put up with."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_llmroute.contracts.latency import AttemptWithin, FirstToken
from pytest_llmroute.contracts.stream import Stall
from pytest_llmroute.routers import Api
from pytest_llmroute.routers.litellm.facts import Facts, each, own
from pytest_llmroute.routers.litellm.ledger import Ledger, acting, all_but, stories_of
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("timeouts",)

_FIRST_CHUNK = (
    "pages call it the wait for the first chunk, the whole stream, or the gap between chunks; "
    "judged: silence before the first chunk"
)
_SILENCE = (
    "pages differ on whether it bounds the call or each attempt, and on streams that keep flowing; "
    "judged: silence"
)
_EACH = (
    "pages differ on whether it bounds the call or each attempt; judged: no attempt takes longer"
)
_NEW = "documentation of October 2026, which does not say since which release"
_NAMED: tuple[Api, ...] = ("chat", "responses", "messages")
"""The ways in that https://docs.litellm.ai/docs/proxy/timeout names."""
_PAGES = (
    "proxy/timeout#custom-timeouts--stream-timeouts-per-model",
    "proxy/config_settings#router_settings---reference",
)


def timeouts(config: Config, ledger: Ledger, facts: Facts) -> None:
    """How long a silent deployment is waited for."""
    group = facts.group
    _overruled(config, ledger, facts)
    _gaps(config, ledger, facts)
    streamed = _lines(config, facts, "stream_timeout")
    unstreamed = _lines(config, facts, "timeout") or _lines(config, facts, "request_timeout")
    if group.api != "chat":
        for key in streamed:
            ledger.skip(key, "embeddings are not streamed")
    elif streamed and facts.patience is not None:
        for key in streamed:
            later = dict.fromkeys(
                acting("stall"), "pages differ on whether it bounds a wait after the first chunk"
            )
            _promised(ledger, facts, key, facts.patience, "a stream", _FIRST_CHUNK, later, True)
    if facts.timeout is None:
        for key in (*unstreamed, *(() if facts.patience is not None else streamed)):
            ledger.skip(
                key, "other deployments of its group have no timeout, so the group has none"
            )
        return
    note = _SILENCE
    if config.find("timeout") and any(own(m, "timeout")[0] for m in group.members):
        note += "; whether a deployment's or the router's wins is not said, so the longer is judged"
    bounds_all = group.api != "chat" or not streamed
    for key in unstreamed:
        stream = None if bounds_all else False
        _promised(ledger, facts, key, facts.timeout, "a deployment", note, {}, stream)
        ledger.stated(
            ("chat",), group.api, AttemptWithin(facts.timeout), key,
            f"a deployment of {group.name} has {facts.timeout:g} s for a whole answer", group.name,
            stream=False, note=_EACH, pages=_PAGES,
            roles=facts.roles, numbers=facts.numbers, avoid=_audible(facts),
        )  # fmt: skip


def _promised(
    ledger: Ledger,
    facts: Facts,
    key: KeyPath,
    seconds: float,
    what: str,
    note: str,
    avoid: Mapping[str, str],
    stream: bool | None,
) -> None:
    name = facts.group.name
    ledger.stated(
        _NAMED, facts.group.api, Stall(seconds), key,
        f"{what} of {name} that stays silent for {seconds:g} s is left", name,
        stream=stream, note=note, pages=_PAGES,
        roles=facts.roles, numbers=facts.numbers, avoid={**_audible(facts), **avoid},
    )  # fmt: skip


def _gaps(config: Config, ledger: Ledger, facts: Facts) -> None:
    """Waits within a stream: until its first token, and from one to the next."""
    stalls = acting("stall")
    for setting, rule, what, avoid in (
        (
            "ttft_timeout",
            FirstToken,
            "whose first token does not come within",
            dict.fromkeys(stalls, "it bounds the wait for the first token alone"),
        ),
        (
            "stream_idle_timeout",
            Stall,
            "that shows no token for",
            all_but("it bounds the waits between tokens alone", *stalls),
        ),
    ):
        general = config.find(setting)
        seconds = each(facts.group, setting, None if general is None else float(general.value))
        for key in _lines(config, facts, setting):
            if facts.group.api != "chat":
                ledger.skip(key, "embeddings are not streamed")
            elif seconds is None:
                ledger.skip(key, "other deployments of its group do not set it")
            elif seconds == 0:
                ledger.skip(key, "what 0 means is not documented")
            else:
                ledger.stated(
                    ("chat",), "chat", rule(seconds), key,
                    f"a stream of {facts.group.name} {what} {seconds:g} s is left",
                    facts.group.name, stream=True, note=_NEW, roles=facts.roles,
                    numbers={**facts.numbers, "patience": seconds},
                    avoid={**_audible(facts), **avoid},
                )  # fmt: skip
        if general is not None:
            ledger.skip(general.key, "every deployment that it could apply to sets its own")


def _overruled(config: Config, ledger: Ledger, facts: Facts) -> None:
    """General timeouts that nothing is left for."""
    for setting in ("timeout", "stream_timeout"):
        general = config.find(setting)
        if general is not None and general.key not in _lines(config, facts, setting):
            ledger.skip(general.key, "every deployment that it could apply to sets its own")
    general = config.find("request_timeout")
    if general is not None and _lines(config, facts, "timeout"):
        ledger.skip(
            general.key, "counts only where no timeout of a deployment or the router is set"
        )


def _audible(facts: Facts) -> dict[str, str]:
    """Silence itself is what a timeout is tried by."""
    tried = {"silence", *stories_of("silence", "stall", "unreachable")}
    return {name: why for name, why in facts.avoid.items() if name not in tried}


def _lines(config: Config, facts: Facts, setting: str) -> list[KeyPath]:
    """The lines that set it for the group: each deployment's own, else the general one."""
    found = [own(member, setting)[0] for member in facts.group.members]
    mine = [key for key in found if key is not None]
    if len(mine) < len(found) and (general := config.find(setting)) is not None:
        mine.append(general.key)
    return mine
