"""Contracts: checks over a history.

A contract is a small frozen value. It reads the history and nothing else, and yields observations,
each pinned to a call or an attempt. It observes only where its own stimulus was really met: a
contract that yields nothing was not tried, and that is not a pass.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Protocol

from llmroute_sim.history import Attempt, Call, History

__all__ = ("FAMILIES", "Contract", "Observation", "Target", "contracts")

FAMILIES = (
    "fallback", "retry", "stream", "budget", "cache", "balance", "health", "latency", "errors",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Observation:
    """What a contract saw: kept or broken, at which call or attempt (its id), in words, and the
    attempts and calls that prove it."""

    kept: bool
    at: str
    says: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Deployments as a configuration names them, to be found again in a history: the host that is
    dialled, the model asked of it, the fingerprint of the key.

    ``alone`` says that the configuration has nothing else at these hosts, so that a refused
    connection there, which told neither model nor key, is surely one of its own.
    """

    name: str
    deployments: tuple[tuple[str, str | None, str | None], ...]
    alone: bool = False

    def owns(self, attempt: Attempt) -> bool:
        """Whether an attempt went to it. A connection that was refused never told its model or its
        key, so there the host decides."""
        return any(
            attempt.deployment == host
            and (model is None or attempt.model is None or attempt.model == model)
            and (key is None or attempt.key is None or attempt.key == key)
            for host, model, key in self.deployments
        )


class Contract(Protocol):
    """A check over a history; the fields of an implementation are its parameters."""

    id: ClassVar[str]
    """Dotted, never renamed: ``fallback.order``."""
    about: ClassVar[str]
    """The rule in a line."""

    def check(self, history: History) -> Iterator[Observation]:
        """Say what the history shows of the rule."""
        ...


@functools.cache
def contracts() -> Mapping[str, type[Contract]]:
    """Every contract by its id."""
    found: dict[str, type[Contract]] = {}
    for family in FAMILIES:
        module = import_module(f"pytest_llmroute.contracts.{family}")
        found |= {kind.id: kind for kind in module.CONTRACTS}
    return found


def answered(call: Call) -> bool:
    """Whether the caller got an answer and was not told otherwise."""
    return call.outcome == "answered"
