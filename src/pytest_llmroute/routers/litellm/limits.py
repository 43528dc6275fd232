"""What a file promises about time: timeouts and cooldowns."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_llmroute.contracts.health import Cooldown
from pytest_llmroute.contracts.stream import Stall
from pytest_llmroute.routers.litellm.facts import Facts, own
from pytest_llmroute.routers.litellm.ledger import JSON, STREAMS, Ledger, stories_of
from pytest_llmroute.routers.litellm.lines import KeyPath
from pytest_llmroute.routers.litellm.members import Member
from pytest_llmroute.routers.litellm.settings import Config

__all__ = ("cooldowns", "timeouts")

_FIRST_CHUNK = (
    "pages call it the wait for the first chunk, the whole stream, or the gap between chunks; "
    "judged: silence before the first chunk"
)
_SILENCE = (
    "pages differ on whether it bounds the call or each attempt, and on streams that keep flowing; "
    "judged: silence"
)


def timeouts(config: Config, ledger: Ledger, facts: Facts) -> None:
    """How long a silent deployment is waited for."""
    group = facts.group
    _overruled(config, ledger, facts)
    streamed = _lines(config, facts, "stream_timeout")
    unstreamed = _lines(config, facts, "timeout") or _lines(config, facts, "request_timeout")
    if group.api != "chat":
        for key in streamed:
            ledger.skip(key, "embeddings are not streamed")
    elif streamed and facts.patience is not None:
        for key in streamed:
            later = dict.fromkeys(
                ("stream-stall", *stories_of("stall")),
                "pages differ on whether it bounds a wait after the first chunk",
            )
            _promised(ledger, facts, key, facts.patience, "a stream", STREAMS, _FIRST_CHUNK, later)
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
        _promised(
            ledger, facts, key, facts.timeout, "a deployment", () if bounds_all else JSON, note, {}
        )


def _promised(
    ledger: Ledger,
    facts: Facts,
    key: KeyPath,
    seconds: float,
    what: str,
    entries: tuple[str, ...],
    note: str,
    avoid: Mapping[str, str],
) -> None:
    name = facts.group.name
    ledger.promise(
        Stall(seconds), key, f"{what} of {name} that stays silent for {seconds:g} s is left", name,
        note=note, entries=entries, kind=facts.kind,
        pages=(
            "proxy/timeout#custom-timeouts--stream-timeouts-per-model",
            "proxy/config_settings#router_settings---reference",
        ),
        roles=facts.roles, numbers=facts.numbers, avoid={**_audible(facts), **avoid},
    )  # fmt: skip


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


def cooldowns(config: Config, ledger: Ledger, facts: Facts) -> None:
    """How long a deployment that failed stays out of rotation while a sibling serves."""
    group = facts.group
    off = config.router.get("disable_cooldowns") is True
    general = config.find("cooldown_time")
    fails = config.find("allowed_fails")
    for member in group.members:
        key, seconds = own(member, "cooldown_time", info=True)
        siblings = tuple(each for each in group.members if each.place != member.place)
        if key is None and general is not None:
            key, seconds = general.key, float(general.value)
        count_key, count = own(member, "allowed_fails", info=True)
        if count_key is None and fails is not None:
            count_key, count = fails.key, float(fails.value)
        if count_key is not None and count_key[-2:] == ("litellm_params", "allowed_fails"):
            count_key = None
        reason = _cannot(off, seconds, siblings, group.levels != ())
        for line in (key, count_key):
            if line is None:
                continue
            if reason:
                ledger.skip(line, reason)
                continue
            assert seconds is not None
            _cooldown(config, ledger, facts, member, siblings, line, seconds, count)
    for setting in filter(None, (general, fails)):
        ledger.skip(setting.key, "every deployment that it could apply to sets its own")


def _cannot(off: bool, seconds: float | None, siblings: tuple[Member, ...], ordered: bool) -> str:
    """Why a cooldown of a deployment cannot be judged, or nothing."""
    if off:
        return "disable_cooldowns switches cooldowns off"
    if not siblings:
        return "its group has one deployment, and whether a lone one cools is not documented"
    if ordered:
        return "its group is served by order, so that a sibling serves proves nothing"
    if seconds is None:
        return "how long a deployment cools without cooldown_time differs by page (5 s, a minute)"
    if seconds == 0:
        return "0 means that it never cools, and no contract judges that"
    return ""


def _failures(config: Config, member: Member, count: float | None) -> int | None:
    """How many 429s in a row make a deployment leave: one more than are allowed, the first where
    nothing is said (https://docs.litellm.ai/docs/routing#cooldowns). None where a policy by class
    says nothing of 429s."""
    policy = member.info.get("allowed_fails_policy") or config.router.get("allowed_fails_policy")
    if isinstance(policy, Mapping):
        allowed = policy.get("RateLimitErrorAllowedFails")
        return allowed + 1 if type(allowed) is int else None
    return 1 if count is None else int(count) + 1


def _cooldown(
    config: Config,
    ledger: Ledger,
    facts: Facts,
    member: Member,
    siblings: tuple[Member, ...],
    key: KeyPath,
    seconds: float,
    count: float | None,
) -> None:
    group = facts.group
    failures = _failures(config, member, count)
    out = (
        "after as many failures as cool it"
        if failures is None
        else "after a 429"
        if failures == 1
        else f"after {failures} failures"
    )
    ledger.promise(
        Cooldown(member.target, seconds, failures), key,
        f"{member.target.name} gets nothing for {seconds:g} s {out}, then serves again",
        group.name, kind=facts.kind,
        pages=("routing#cooldowns", "routing#how-cooldowns-work"),
        note="when a deployment cools differs by page; judged: how long, once it is out",
        roles={
            "target": (member.place,),
            "next": tuple(dict.fromkeys(sibling.place for sibling in siblings)),
        },
        numbers={**facts.numbers, "cooldown": seconds, "fails": failures or 1},
        avoid=facts.avoid | {
            "rate-limit-hint": "whether a provider's hint lengthens a cooldown is not documented"
        },
    )  # fmt: skip
