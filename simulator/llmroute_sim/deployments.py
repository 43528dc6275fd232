"""Deployments: the hosts that answer, and what stands behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from llmroute_sim.history import Attempt
from llmroute_sim.incidents import Incident, Place
from llmroute_sim.names import Unknown
from llmroute_sim.providers import Model, Provider, Tariff, catalogue, model, providers
from llmroute_sim.quotas import Quota
from llmroute_sim.wire import Event, Exchange, Request

__all__ = ("Deployment", "HostedGateway", "check_place")


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
    override the catalogue's prices (USD per token); ``quota`` is per key and model, ``credit`` what
    each key may spend (USD)."""

    host: str
    provider: Provider
    place: str
    region: str | None = None
    models: frozenset[str] = frozenset()
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)
    quota: Quota | None = None
    gateway: HostedGateway | None = None
    credit: Decimal | None = None

    @property
    def strict(self) -> bool:
        """Whether it refuses fields which its format does not have: the provider's own host may, one
        that only speaks as the provider does has fields of its own."""
        known = providers().get(self.provider.name)
        return self.provider.strict and known is not None and self.host in known.hosts

    @property
    def sold(self) -> tuple[Model, ...]:
        """Every model that is sold here, by name."""
        names = {*catalogue(self.provider), *self.models, *self.tariffs}
        return tuple(model for name in sorted(names) if (model := self.model(name)) is not None)

    def model(self, name: str) -> Model | None:
        """A model as it is sold here, None if it is not."""
        sold = model(self.provider, name)
        if sold is None and name in self.models:
            sold = Model(name, size=self.provider.sizes.get(name))
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


def check_place(place: Place, deployments: Iterable[Deployment], *beside: str) -> None:
    """Raises ``Unknown`` unless there is such a place among the deployments: somebody of that name, in
    that region, who sells that model. ``beside`` are further names that would have been right."""
    there = list(deployments)
    if place.who != "*":
        names = {name for one in there for name in (one.provider.name, one.place, one.host)}
        if place.who not in names:
            raise Unknown("place", place.who, {"*", *names, *beside})
        there = [one for one in there if one.within(Place(place.who))]
    if place.region is not None:
        regions = {one.region for one in there if one.region is not None}
        if place.region not in regions:
            raise Unknown(f"region of {place.who}", place.region, regions)
        there = [one for one in there if one.region == place.region]
    if place.model is not None and all(one.model(place.model) is None for one in there):
        sold = {
            name for one in there for name in (*one.models, *one.tariffs, *catalogue(one.provider))
        }
        raise Unknown(f"model of {place.who}", place.model, sold)
