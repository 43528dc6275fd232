"""What is done to the world around the reference router and its mutants: places, scenarios, knobs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from llmroute_sim.history import fingerprint
from llmroute_sim.incidents import Incident, Place
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask, Scenario
from pytest_llmroute.contracts import Target

from .reference import Knobs
from .upstreams import Group

GROUP, VECTORS = "chat", "vectors"
"""What callers ask for."""

BUDGET = Decimal("1.00")
WINDOW = 3600.0
TTL = 600.0
COOLDOWN = 60.0

FIRST, SECOND, THIRD = Place("openai"), Place("anthropic"), Place("groq")
ALL = (FIRST, SECOND, THIRD)
FIRST_VECTORS, SECOND_VECTORS = Place("one"), Place("two")

PLAIN = Knobs()
NO_RETRIES = Knobs(retries=0)
CACHED = Knobs(ttl=TTL)
PAID = Knobs(budget=BUDGET, window=WINDOW)
RESTING = Knobs(retries=0, failures=2, cooldown=COOLDOWN)

ONCE = (Ask(),)


def target(group: Group) -> Target:
    """A group as contracts know it."""
    return Target(
        group.name,
        tuple((one.host, one.model, fingerprint(one.key)) for one in group.deployments),
        alone=len(group.deployments) == 1,
    )


def targets(groups: tuple[Group, ...]) -> tuple[Target, ...]:
    return tuple(map(target, groups))


def scene(
    *incidents: Incident, asks: tuple[Ask, ...] = ONCE, stimulus: str = "incidents", **more: Any
) -> Scenario:
    """A scenario for callers who chat, unless told otherwise."""
    whole: dict[str, Any] = {"entries": ("chat",), **more}
    return Scenario("trial", incidents=incidents, asks=asks, stimulus=stimulus, **whole)


def repeated(*asks: Ask, **more: Any) -> Scenario:
    """Equal questions."""
    return scene(asks=asks, stimulus="repeats", **more)


def spending(*asks: Ask, **more: Any) -> Scenario:
    """Answers that cost 0.4 of the budget at the first of the chain, half of it for the prompt."""
    return scene(asks=asks, stimulus="spend", bills=Usage(80_000, 20_000), **more)
