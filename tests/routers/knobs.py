"""How the reference router is set up."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from .picking import Picks
from .upstreams import ANTHROPIC, GROQ, LARGE, OPENAI, SMALL, Group, Upstream, alone


@dataclass(frozen=True)
class Knobs:
    """How the router is set up; None switches a feature off.

    ``chain`` are the groups that answer chats, the first of which callers ask for; ``embedders`` those
    that make vectors. ``failures`` in a row take a deployment out for ``cooldown`` seconds.
    ``picks`` is how a deployment of a group is chosen. A call is over after ``deadline`` seconds, a
    stream has ``first_token`` seconds for its first word, what is not streamed ``whole`` seconds.
    ``joins`` are deployments that are added to the first group at run time, each so many seconds after
    the start; ``estimates`` says that streams are charged for that their callers left.
    """

    chain: tuple[Group, ...] = (alone(OPENAI), alone(ANTHROPIC), alone(GROQ))
    embedders: tuple[Group, ...] = (alone(SMALL), alone(LARGE))
    dimensions: int = 512
    retries: int = 2
    classes: tuple[tuple[str, int], ...] = ()
    patience: float = 10.0
    budget: Decimal | None = None
    window: float = 3600.0
    ttl: float | None = None
    failures: int | None = None
    cooldown: float = 60.0
    picks: Picks = field(default_factory=Picks)
    deadline: float | None = None
    first_token: float | None = None
    whole: float | None = None
    joins: tuple[tuple[float, Upstream], ...] = ()
    estimates: bool = False
