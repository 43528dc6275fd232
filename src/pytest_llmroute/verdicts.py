"""Verdicts: kept, broken or untested, with the evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from llmroute_sim.history import History
from pytest_llmroute.contracts import Observation
from pytest_llmroute.promises import Promise

__all__ = ("Outcome", "Verdict", "confirmed", "judge")

Outcome: TypeAlias = Literal["kept", "broken", "untested"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a history says of a promise. ``reason`` says why nothing could be said."""

    promise: Promise
    outcome: Outcome
    observations: tuple[Observation, ...] = ()
    reason: str = ""

    @property
    def violations(self) -> tuple[Observation, ...]:
        """The observations that break the promise."""
        return tuple(seen for seen in self.observations if not seen.kept)


def judge(promise: Promise, history: History) -> Verdict:
    """Judge a promise by a history: broken by one broken observation, kept by kept ones alone,
    untested without any, where the router tried to leave the simulated world, and where the clock
    went on without somebody who might still have run."""
    if history.strays:
        hosts = ", ".join(sorted({stray.host for stray in history.strays}))
        reason = f"the router tried to reach {hosts}, which nothing simulates"
        return Verdict(promise, "untested", (), reason)
    if "degraded" in history.clock:
        reason = f"the clock was {history.clock}: what happened may depend on the machine"
        return Verdict(promise, "untested", (), reason)
    observations = tuple(promise.contract.check(history))
    if not observations:
        return Verdict(
            promise, "untested", (), "nothing came of the history that the rule is about"
        )
    broken = any(not seen.kept for seen in observations)
    return Verdict(promise, "broken" if broken else "kept", observations)


def confirmed(verdict: Verdict, calm: History) -> Verdict:
    """What remains of a verdict when the same was played without the scenario's stimulus: what is
    still observed then was no proof that a promise was broken."""
    if verdict.outcome != "broken" or not any(verdict.promise.contract.check(calm)):
        return verdict
    reason = "the same is observed without the scenario's stimulus"
    return replace(verdict, outcome="untested", reason=reason)
