"""Deployments: the hosts that answer, and what stands behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from llmroute_sim.history import Attempt
from llmroute_sim.incidents import Incident, Place
from llmroute_sim.providers import Model, Provider, Tariff, model
from llmroute_sim.quotas import Quota
from llmroute_sim.wire import Event, Exchange, Request

__all__ = ("Deployment", "HostedGateway")


class HostedGateway(Protocol):
    """A closed routing service: a provider that makes attempts of its own, through the same door."""

    name: str

    def answer(self, request: Request, forward: Callable[[Request], Exchange]) -> Iterator[Event]:
        """Answer a request; ``forward`` opens an exchange with an upstream, tied to this attempt."""
        ...


@dataclass(frozen=True, slots=True)
class Deployment:
    """A host that answers: who stands behind it, the name a path shows, and what the configuration
    under test says of it. ``models`` are served beside those that the catalogue knows; ``tariffs``
    override the catalogue's prices (USD per token); ``quota`` is per key and model."""

    host: str
    provider: Provider
    place: str
    region: str | None = None
    models: frozenset[str] = frozenset()
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)
    quota: Quota | None = None
    gateway: HostedGateway | None = None

    def model(self, name: str) -> Model | None:
        """A model as it is sold here, None if it is not."""
        sold = model(self.provider, name)
        if sold is None and name in self.models:
            sold = Model(name)
        if sold is not None and name in self.tariffs:
            sold = replace(sold, tariff=self.tariffs[name])
        return sold

    def within(self, place: Place) -> bool:
        """Whether a place includes it, as far as a host can tell."""
        return place.who in ("*", self.provider.name, self.place, self.host) and (
            place.region is None or place.region == self.region
        )

    def aimed_at(self, incident: Incident) -> bool:
        """Whether an incident is aimed at it."""
        return any(map(self.within, incident.at))

    def meets(self, incident: Incident, attempt: Attempt) -> bool:
        """Whether an incident is aimed at an attempt here, which also tells its model and key."""
        return any(
            self.within(place)
            and (place.model is None or place.model == attempt.model)
            and (place.key is None or place.key == attempt.key)
            for place in incident.at
        )
