"""What a mutant says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from llmroute_sim.scenario import Scenario
from pytest_llmroute.routers import Entry

from ..driven import WAYS
from ..reference import Knobs, Reference

Only: TypeAlias = Literal["stream", "json", "sync", "async", "messages", "responses", "embeddings"]
"""The ways in through which alone a mutant misbehaves."""


@dataclass(frozen=True)
class Mutant:
    """The reference router with one decision wrong. Its docstring says which.

    ``breaks`` is the contract meant for it, ``when`` the condition under which it misbehaves, in words
    (empty: always), ``only`` the part of the condition that is a way in. ``scenario`` and ``knobs`` try
    it. ``also`` are other contracts that the same conduct breaks, each with the reason.
    """

    router: type[Reference]
    breaks: str
    when: str
    scenario: Scenario
    knobs: Knobs
    only: Only | None = None
    also: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its class, in words."""
        return re.sub(r"(?<!^)(?=[A-Z])", " ", self.router.__name__).lower()

    @property
    def conduct(self) -> str:
        """What it does wrong."""
        return " ".join((self.router.__doc__ or "").split())

    @property
    def ways(self) -> tuple[Entry, ...]:
        """The ways in through which its scenario is played."""
        return ways(self.scenario)

    def misbehaves(self, entry: Entry) -> bool:
        """Whether it may misbehave through a way in."""
        match self.only:
            case "stream" | "json":
                return entry.stream == (self.only == "stream")
            case "sync" | "async":
                return entry.sync == (self.only == "sync")
            case None:
                return True
            case api:
                return entry.api == api


def ways(scenario: Scenario) -> tuple[Entry, ...]:
    """The ways in through which a scenario makes sense."""
    return tuple(
        entry
        for entry in WAYS
        if entry.api in scenario.entries
        and ("stream" if entry.stream else "json") in scenario.modes
    )


def mutant(
    breaks: str,
    scenario: Scenario,
    knobs: Knobs,
    *,
    when: str = "",
    only: Only | None = None,
    also: Mapping[str, str] | None = None,
) -> Callable[[type[Reference]], Mutant]:
    """Declare a mutant above its class."""

    def declared(router: type[Reference]) -> Mutant:
        return Mutant(router, breaks, when, scenario, knobs, only, also or {})

    return declared
