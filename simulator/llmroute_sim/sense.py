"""What a scenario file says that cannot happen: incidents that nothing can ever meet, and incidents of
which one leaves nothing for the other.

Places are compared as they are written, so that what a file means does not depend on who plays it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from llmroute_sim.faults import AdmitFault, ConnectFault, Fault
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.names import kebab
from llmroute_sim.prompt import Prompt
from llmroute_sim.workload import Ask

__all__ = ("check",)

_LATE = 600.0
"""Seconds for which a call may be under way: the SDKs' own timeout."""

_PAUSE = 60.0
"""Seconds that a round of calls may take where nothing says when the next begins."""


_MOST = 100_000
"""Calls of a workload: more than any story needs, and as many as a history can hold."""


def check(
    incidents: Sequence[tuple[Incident, tuple[Place, ...]]], asks: Sequence[Ask] | None
) -> None:
    """Raises ``ValueError`` with the key that makes no sense, and why. ``asks`` None is a workload that
    is not known."""
    for number, ask in enumerate(asks or ()):
        if (calls := ask.times * ask.together) > _MOST:
            said = f"times = {ask.times}, together = {ask.together}"
            raise ValueError(f"ask[{number}]: {said} are {calls} calls; at most {_MOST} are played")
    last = math.inf if asks is None else _last(asks)
    for number, (incident, _) in enumerate(incidents):
        if (why := _impossible(incident.when)) is not None:
            raise ValueError(f"incident[{number}].when: {why}")
        begins = incident.when.between[0] if incident.when.between else 0.0
        if begins > last + _LATE:
            raise ValueError(
                f"incident[{number}].when.between: begins at {begins:g} s, and the last call is due"
                f" at {last:g} s: nothing can meet it"
            )
    for (one, (first, places)), (other, (second, there)) in combinations(enumerate(incidents), 2):
        if (common := _common(places, there)) is None:
            continue
        name = f"{_name(first.fault)} at {common}"
        if first.fault == second.fault and _overlap(first.when, second.when):
            raise ValueError(
                f"incident[{other}].when: overlaps incident[{one}].when, {name} too: let one end"
                " before the other begins"
            )
        if _turns_all_away(first) and _shadows(first, second, places, there):
            raise ValueError(
                f"incident[{other}] never acts: incident[{one}], {name}, turns everything away before it"
            )


def _impossible(when: When) -> str | None:
    """Why no attempt can be one of those that it names, or None."""
    said = ", ".join(
        f"{key} = {value}"
        for key in ("first", "nth", "after", "every")
        if (value := getattr(when, key)) is not None
    )
    numbers = [when.nth] if when.nth is not None else range(1, (when.first or 0) + 1)
    if numbers and not any(map(when.covers, numbers)):
        return f"no attempt is one of {said}"
    return None


def _last(asks: Sequence[Ask]) -> float:
    """When the last call is due at the latest, if answers take no longer than they should."""
    now = last = 0.0
    for ask in asks:
        begins = max(now, ask.at or 0.0)
        if ask.log:
            end = begins + max(one.at or 0.0 for one in ask.log)
        elif ask.rate is not None:
            # By chance, so with room.
            end = begins + 3 * ask.times / ask.rate
        else:
            end = begins + (ask.times - 1) * (ask.every or _PAUSE)
        last = max(last, end)
        now = begins if ask.beside else end + _PAUSE
    return last


def _overlap(one: When, other: When) -> bool:
    """Whether both name attempts of the same time, and it is not by their numbers that they differ."""
    if _by_number(one) or _by_number(other):
        return one == other
    (start, end), (begins, ends) = _window(one), _window(other)
    return start < ends and begins < end


def _by_number(when: When) -> bool:
    return any(one is not None for one in (when.first, when.nth, when.after, when.every))


def _window(when: When) -> tuple[float, float]:
    return when.between or (-math.inf, math.inf)


def _turns_all_away(incident: Incident) -> bool:
    """Whether nothing that reaches it in its window gets in."""
    fault, when = incident.fault, incident.when
    if _by_number(when) or when.chance not in (None, 1.0):
        return False
    return isinstance(fault, ConnectFault) or (
        isinstance(fault, AdmitFault)
        and all(
            fault.admit(Prompt("chat", "any", ("",), tokens, ""), None) is not None
            for tokens in (1, 10_000_000)
        )
    )


def _shadows(
    first: Incident, second: Incident, places: Sequence[Place], there: Sequence[Place]
) -> bool:
    """Whether the second would act only where the first, which turns all away, has acted before."""
    if isinstance(first.fault, AdmitFault) and not isinstance(second.fault, AdmitFault):
        return False
    (start, end), (begins, ends) = _window(first.when), _window(second.when)
    return (
        start <= begins
        and ends <= end
        and all(any(_holds(place, one) for place in places) for one in there)
    )


def _common(places: Sequence[Place], there: Sequence[Place]) -> Place | None:
    """A place that both have."""
    for place in places:
        for one in there:
            if _holds(place, one):
                return one
            if _holds(one, place):
                return place
    return None


def _holds(place: Place, other: Place) -> bool:
    """Whether a place includes another."""
    return (
        place.who in ("*", other.who)
        and place.model in (None, other.model)
        and place.region in (None, other.region)
        and place.key in (None, other.key)
    )


def _name(fault: Fault) -> str:
    return kebab(type(fault).__name__)
