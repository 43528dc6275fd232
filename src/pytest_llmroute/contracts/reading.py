"""How contracts read a history: what an attempt came to, which calls a rule is about, and what to
make of an attempt that two targets may have got.

Where the history leaves a doubt, it is read in the router's favour.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Target, answered

__all__ = (
    "INSTANT",
    "became",
    "began_at",
    "calls_of",
    "changes_nothing",
    "deployments_of",
    "down",
    "ended",
    "failed",
    "flawed",
    "follow",
    "forsaken",
    "fruitless",
    "groups_of",
    "made",
    "money",
    "owned",
    "retries_of",
    "routed",
    "same_deployment",
    "seconds",
    "settled",
    "shadowed",
    "sibling_serves",
    "spoke",
    "surely",
    "transient",
    "where",
    "whole",
)

State = TypeVar("State", bound=Hashable)

INSTANT = 0.01
"""Seconds by which a timer may be early or late without anybody minding."""

_HOPELESS = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422})


# -- an attempt


def whole(attempt: Attempt) -> bool:
    """Whether the provider gave all of its answer. The client may have left after the terminal
    event."""
    return attempt.outcome == "200"


def failed(attempt: Attempt) -> bool:
    """Whether it came to nothing through no choice of the caller's: refused, turned away, broken
    off, or so slow because of a fault that the client went away."""
    match attempt.outcome:
        case "200" | "200-degraded" | "open":
            return False
        case "left" | "200-left":
            return bool(attempt.faults)
        case _:
            return True


def flawed(attempt: Attempt) -> bool:
    """Whether its answer came to its end and was not what it should have been. A router may pass that
    on or mind it, so it proves nothing: neither that the provider answered nor that it failed."""
    return attempt.outcome in ("200-degraded", "200-damaged")


def spoke(attempt: Attempt) -> bool:
    """Whether tokens of a stream were out, so that the caller may have seen some."""
    return attempt.stream and attempt.first_token is not None


def transient(attempt: Attempt) -> bool:
    """Whether it failed in a way that another try may mend: 5xx, a timeout, a broken connection.
    Not a rate limit, which asks for patience, nor a bad certificate; nor what came with status 200
    and can only be told by reading it."""
    if not failed(attempt) or flawed(attempt) or attempt.outcome.startswith("tls-"):
        return False
    if attempt.status == 200:
        return attempt.stream or attempt.outcome != "200-error"
    return attempt.status is None or attempt.status == 408 or attempt.status >= 500


def changes_nothing(attempt: Attempt) -> bool:
    """Whether asking the same again can only fail the same: a bad request, a bad key, no such
    model."""
    return attempt.status in _HOPELESS


def ended(attempt: Attempt) -> float:
    """When its client could know what became of it."""
    return attempt.started if attempt.ended is None else attempt.ended


def same_deployment(one: Attempt, other: Attempt) -> bool:
    """Whether both went to the same host for the same model with the same key."""
    return (one.deployment, one.model, one.key) == (other.deployment, other.model, other.key)


# -- a call


def made(history: History, call: Call) -> list[Attempt]:
    """The attempts of a call to get an answer that the router made itself, not a gateway on its
    behalf."""
    return [attempt for attempt in history.of(call) if attempt.via is None and not attempt.aside]


def fruitless(call: Call) -> bool:
    """Whether the caller waited and got no answer. One who went away did not wait."""
    return call.outcome in ("failed", "hung")


def forsaken(call: Call, attempt: Attempt) -> bool:
    """Whether an attempt ended because the caller went away, not because anybody failed."""
    return (
        call.outcome == "left"
        and attempt.left
        and (call.ended is None or ended(attempt) >= call.ended - INSTANT)
    )


def routed(history: History, call: Call) -> bool:
    """Whether the router had to choose a target: not for a caller who went away, nor for an answer
    that came without an attempt, as from a cache."""
    return fruitless(call) or (call.outcome == "answered" and bool(made(history, call)))


def shadowed(history: History, call: Call) -> bool:
    """Whether attempts that nobody is known to have made began while the call ran: then what the
    call did *not* ask is not known."""
    return any(
        attempt.via is None
        and not attempt.aside
        and call.started <= attempt.started
        and (call.ended is None or attempt.started <= call.ended)
        for attempt in history.untied
    )


def settled(history: History, call: Call) -> bool:
    """Whether what a call asked, and what it did not, is known to its end: its caller stayed, and no
    attempt of nobody's began while it ran."""
    return (answered(call) or fruitless(call)) and not shadowed(history, call)


def groups_of(history: History, attempts: Iterable[Attempt]) -> set[str | None]:
    """The names that were asked for by the calls that made the attempts."""
    callers = {attempt.call for attempt in attempts}
    return {call.group for call in history.calls if call.id in callers}


def began_at(history: History, call: Call, attempts: Collection[str]) -> bool:
    """Whether the first that a call asked is among the attempts of these ids."""
    asked = made(history, call)
    return bool(asked) and asked[0].id in attempts


def retries_of(call: Call, configured: int) -> tuple[int, int]:
    """How many retries a call has at least and at most: as many as it says itself (``num_retries``),
    else those that are configured; what its client may do (``max_retries``) counts or does not."""
    match call.options:
        case {"num_retries": int(said)} if said >= 0:
            return said, said
        case {"max_retries": int(said)} if said >= 0:
            return min(said, configured), max(said, configured)
        case _:
            return configured, configured


def rerouted(call: Call) -> bool:
    """Whether a call names the fallbacks that it wants: those that are configured are not its own."""
    return any(name.endswith("fallbacks") and name != "disable_fallbacks" for name in call.options)


def calls_of(history: History, targets: Sequence[Target], group: str | None) -> list[Call]:
    """The calls that a rule about ``targets`` is about: those that asked for the group. Where it is
    not said, all that came to the targets if they asked for one name, else those that began at the
    first target: the others may have asked for a later one. Not those that name their own fallbacks."""
    touching = [
        (call, attempts)
        for call in history.calls
        if not rerouted(call)
        and (attempts := made(history, call))
        and any(target.owns(attempt) for target in targets for attempt in attempts)
    ]
    if group is not None:
        return [call for call, _ in touching if call.group == group]
    groups = {call.group for call, _ in touching}
    if len(groups) == 1 and None not in groups:
        return [call for call, _ in touching]
    return [call for call, attempts in touching if targets[0].owns(attempts[0])]


# -- attempts and targets


def owned(targets: Iterable[Target], attempt: Attempt) -> bool:
    """Whether an attempt went to one of the targets."""
    return any(target.owns(attempt) for target in targets)


def surely(target: Target, attempt: Attempt) -> bool:
    """Whether the router made the attempt to get an answer and it cannot have been meant for anybody
    else."""
    return (
        attempt.via is None
        and not attempt.aside
        and target.owns(attempt)
        and (
            attempt.model is not None
            or target.alone
            or (attempt.deployment, None, None) in target.deployments
        )
    )


def deployments_of(history: History, target: Target) -> list[list[Attempt]]:
    """What was asked of each deployment of a target. Refused connections, which tell neither model
    nor key, belong to the only deployment at their host, or to none where there are more."""
    found: dict[tuple[str, str | None, str | None], list[Attempt]] = {}
    own = [attempt for attempt in history.attempts if surely(target, attempt)]
    for attempt in own:
        told = {
            (one.deployment, one.model, one.key)
            for one in own
            if one.deployment == attempt.deployment and one.model is not None
        }
        name = (attempt.deployment, attempt.model, attempt.key)
        if attempt.model is None:
            if len(told) > 1:
                continue
            name = next(iter(told), name)
        found.setdefault(name, []).append(attempt)
    return list(found.values())


def down(
    history: History,
    target: Target,
    moment: float,
    *,
    before: Attempt | None = None,
    leave_out: Call | None = None,
) -> bool:
    """Whether a router may have reason not to ask a target now: it failed before, and no call that
    began after that was answered by it. (A retry that was answered may belong to a call that was
    already there when the target was taken out.) ``before`` is the attempt that was made instead:
    what came later, be it at the same moment, was not known. ``leave_out`` is a call whose own
    failures do not count. That a list of models failed is a reason, that it came is no answer."""
    began = {call.id: call.started for call in history.calls}
    known = []
    for attempt in history.attempts:
        if attempt is before:
            break
        if attempt.via is None and target.owns(attempt) and ended(attempt) <= moment:
            known.append(attempt)
    failures = [
        attempt
        for attempt in known
        if (failed(attempt) or flawed(attempt))
        and (leave_out is None or attempt.call != leave_out.id)
    ]
    answers = [began.get(a.call or "", a.started) for a in known if whole(a) and not a.aside]
    return any(all(start <= ended(failure) for start in answers) for failure in failures)


def sibling_serves(
    history: History,
    groups: Collection[str | None],
    attempts: Collection[str],
    moment: float,
    since: float = 0.0,
) -> bool:
    """Whether the latest that the calls for these groups heard before a moment, from anybody whose
    attempts are not of these ids, was an answer."""
    calls = {call.id for call in history.calls if call.group in groups}
    heard = [
        attempt
        for attempt in history.attempts
        if attempt.via is None
        and not attempt.aside
        and attempt.call in calls
        and attempt.id not in attempts
        and since <= ended(attempt) <= moment
    ]
    return bool(heard) and whole(max(heard, key=ended))


def follow(
    start: State,
    attempts: Iterable[Attempt],
    targets: Sequence[Target],
    step: Callable[[State, Attempt, int], State | None],
) -> tuple[set[State], Attempt | None]:
    """Follow a rule through attempts. ``step`` says where a state goes when the attempt went to the
    target of a number, or None if the rule forbids that. An attempt that several targets may have
    got is read every way. Gives the states of the readings that survive, and the attempt that none
    survived, if there is one."""
    states = {start}
    for attempt in attempts:
        owners = [number for number, target in enumerate(targets) if target.owns(attempt)]
        if not owners:
            continue
        reached = {step(state, attempt, number) for state in states for number in owners}
        states = {state for state in reached if state is not None}
        if not states:
            return states, attempt
    return states, None


# -- words


def seconds(span: float) -> str:
    """A time in words."""
    return f"{round(span, 3):g} s"


def money(amount: Decimal) -> str:
    """A sum in words."""
    return f"${amount:f}"


def where(attempt: Attempt) -> str:
    """Who was asked, in words."""
    return f"{attempt.deployment}/{attempt.model}" if attempt.model else attempt.deployment


def became(attempt: Attempt) -> str:
    """An attempt and what became of it, in words."""
    return f"{attempt.id} got {attempt.outcome} from {where(attempt)}"
