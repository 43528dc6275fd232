"""What to say of a test: contracts that were broken or never tried, incidents that nothing met, hosts
that nothing simulates."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from llmroute_sim.providers import providers
from pytest_llmroute.contracts import Contract
from pytest_llmroute.report.timeline import Numbers

if TYPE_CHECKING:
    from llmroute_sim.incidents import Live
    from pytest_llmroute.controls import Controls

__all__ = ("complaint", "loose_ends")

_SHOWN = 5


def complaint(world: Controls, contracts: Sequence[Contract]) -> str | None:
    """What contracts have against the history of a world, or None. Marks what broke them."""
    history = world.history
    number = Numbers(history)
    broken: list[str] = []
    untried: list[str] = []
    more = 0
    for contract in contracts:
        seen = list(contract.check(history))
        violations = [observation for observation in seen if not observation.kept]
        if not seen:
            untried.append(f"  ? {contract.id}: {_untried(world, contract)}")
        if violations:
            where, says = number(violations[0].at), number.said(violations[0].says)
            at = "" if where in says.split() else f", {where}"
            broken.append(f"  ✗ {contract.id}{at}: {says}")
            more += len(violations) - 1
        for violation in violations:
            world.marks.setdefault(violation.at, f"{contract.id}: {number.said(violation.says)}")
    lines: list[str] = []
    if broken:
        lines += ["the router broke its contract" + "s" * (len(broken) > 1), *broken]
        if more:
            lines.append(f"    and {more} more, marked on the timeline")
    if untried:
        lines += ["nothing in this test tried" + (", besides" if broken else ""), *untried]
    return "\n".join(lines) or None


def _untried(world: Controls, contract: Contract) -> str:
    """Why a contract had nothing to judge, as far as can be told from outside."""
    history = world.history
    if not history.calls:
        reason = "no call was recorded (ask through llmroute.ask or llmroute.call)"
    elif not history.attempts:
        reason = "no attempt was made"
    elif unmet := [live for live in world.simulator.incidents if not live.met]:
        reason = f"nothing met {unmet[0].incident.name}"
    elif not world.simulator.incidents:
        reason = "nothing was injected, and what it is about did not come by itself"
    else:
        reason = "what happened is not what it is about"
    return f"{reason}; the rule: {contract.about}"


def loose_ends(world: Controls, hosts: Collection[str] = (), *, unmet: bool = True) -> str | None:
    """Why a test that passed proves less than it seems to, or None.

    ``hosts`` are hosts (or patterns) that may be tried although nothing simulates them; without
    ``unmet``, incidents may stay so.
    """
    parts = (_unmet(world) if unmet else None, _strays(world, hosts))
    return "\n\n".join(part for part in parts if part) or None


def _unmet(world: Controls) -> str | None:
    unmet = [live for live in world.simulator.incidents if not live.met]
    if not unmet:
        return None
    asked = dict.fromkeys(
        f"{attempt.place}/{attempt.model}" if attempt.model else attempt.place
        for attempt in world.history.attempts
    )
    what = f"asked were: {', '.join(list(asked)[:_SHOWN])}" if asked else "nothing was asked at all"
    return "\n".join(
        [
            "no attempt met what this test injected:",
            *(f"  - {live.incident.name} ({_came_near(live)})" for live in unmet),
            "A fault that nothing meets proves nothing: the test would pass without it.",
            f"Remove it, or aim and time it so that it is met ({what}).",
            "If it may stay unmet: @pytest.mark.llmroute(strict=False)",
        ]
    )


def _came_near(live: Live) -> str:
    if not live.seen:
        return "no attempt reached its place in its time"
    return f"{live.seen} attempt{'s' * (live.seen > 1)} came there, none that it acts on"


def _strays(world: Controls, hosts: Collection[str]) -> str | None:
    strays = {
        stray.host: stray
        for stray in reversed(world.history.strays)
        if not any(fnmatch(stray.host, pattern) for pattern in hosts)
    }
    if not strays:
        return None
    known = [*world.simulator.deployments, *providers()]
    lines = []
    for host, stray in reversed(strays.items()):
        close = difflib.get_close_matches(host, known, 1, 0.75)
        hint = f"; did you mean {close[0]}?" if close else ""
        call = f" in {stray.call}" if stray.call else ""
        # A server on loopback knows of a path and of no host.
        where = f"{host}:{stray.port}" if stray.port else f"/{host}"
        lines.append(f"  - {where} at {stray.at:.3f}s{call}{hint}")
    first = next(reversed(strays))
    return "\n".join(
        [
            "the code under test tried to reach hosts that nothing simulates:",
            *lines,
            "They were refused, which code that falls back swallows: the test may show something else",
            "than it was written to show.",
            f'Simulate them: llmroute.serve("{first}", provider="openai")'
            if strays[first].port
            else "There are the base URLs of llmroute_server.environment.",
            f'If they may be tried: @pytest.mark.llmroute(hosts=["{first}"])',
        ]
    )
