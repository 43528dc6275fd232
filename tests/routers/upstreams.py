"""Who the reference router may ask: deployments, and the groups that they stand in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from llmroute_sim.deployments import Deployment
from llmroute_sim.providers import Tariff, provider, providers


@dataclass(frozen=True)
class Upstream:
    """A deployment: who can be asked, in which format, and at what price (USD per token).

    ``window`` is how many tokens a prompt may have, None where that is not checked.
    """

    name: str
    url: str
    model: str
    key: str
    price: tuple[Decimal, Decimal]
    anthropic: bool = False
    window: int | None = None

    @property
    def host(self) -> str:
        return self.url.split("/")[2]

    @property
    def embeds(self) -> bool:
        return self.url.endswith("/embeddings")


@dataclass(frozen=True)
class Group:
    """Deployments that stand in for each other, under the name that callers use."""

    name: str
    deployments: tuple[Upstream, ...]


def alone(upstream: Upstream) -> Group:
    """A group of one."""
    return Group(upstream.name, (upstream,))


OPENAI = Upstream(
    "openai", "https://api.openai.com/v1/chat/completions", "gpt-4o", "sk-openai-1",
    (Decimal("0.0000025"), Decimal("0.00001")),
)  # fmt: skip
ANTHROPIC = Upstream(
    "anthropic", "https://api.anthropic.com/v1/messages", "claude-sonnet-4-6", "sk-anthropic-1",
    (Decimal("0.000003"), Decimal("0.000015")), anthropic=True,
)  # fmt: skip
GROQ = Upstream(
    "groq", "https://api.groq.com/openai/v1/chat/completions", "llama-3.3-70b-versatile", "sk-groq-1",
    (Decimal("0.00000059"), Decimal("0.00000079")),
)  # fmt: skip
MISTRAL = Upstream(
    "mistral", "https://api.mistral.ai/v1/chat/completions", "mistral-large-latest", "sk-mistral-1",
    (Decimal("0.000002"), Decimal("0.000006")),
)  # fmt: skip
SMALL = Upstream(
    "small", "https://one.vectors.example/v1/embeddings", "text-embedding-3-small", "sk-vectors-1",
    (Decimal("0.00000002"), Decimal(0)),
)  # fmt: skip
LARGE = Upstream(
    "large", "https://two.vectors.example/v1/embeddings", "text-embedding-3-large", "sk-vectors-2",
    (Decimal("0.00000013"), Decimal(0)),
)  # fmt: skip

VECTORS_SOLD = tuple(
    Deployment(
        one.host, provider("openai"), place, models=frozenset({one.model}),
        tariffs={one.model: Tariff(*one.price)},
    )
    for one, place in ((SMALL, "one"), (LARGE, "two"))
)  # fmt: skip
"""The hosts of a company that resells nothing else: vectors of 1536 and of 3072 numbers, unless a size is
asked for."""


def sold(upstreams: Iterable[Upstream]) -> tuple[Deployment, ...]:
    """The hosts of those whom everybody knows, each of which charges what the router believes."""
    by_host: dict[str, list[Upstream]] = {}
    for one in upstreams:
        by_host.setdefault(one.host, []).append(one)
    return tuple(
        Deployment(
            host, known, known.name, tariffs={one.model: Tariff(*one.price) for one in there}
        )
        for host, there in by_host.items()
        for known in providers().values()
        if host in known.hosts
    )
