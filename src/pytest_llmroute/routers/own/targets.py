"""Places that a user writes in ``llmroute.toml``, as targets: ``provider``, ``provider/model`` or
``host/model``, with ``#VARIABLE`` where one of several keys is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llmroute_sim.history import fingerprint
from llmroute_sim.incidents import Place
from llmroute_sim.names import Unknown
from llmroute_sim.providers import Provider, Tariff, model, providers
from llmroute_sim.simulator import Deployment
from pytest_llmroute.contracts import Target

__all__ = ("Map", "places")


@dataclass(frozen=True, slots=True)
class Map:
    """What places may name: the hosts of a configuration's own beside the providers' hosts, and the
    variables that hold keys."""

    own: tuple[Deployment, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def target(self, text: str) -> Target:
        """The target of a place. Raises ``Unknown`` for a name in it that does not exist and
        ``ValueError`` for a place that is none."""
        place = Place.parse(text)
        return Target(text, tuple((h, place.model, self._key(place)) for h in self._hosts(place)))

    def price(self, text: str) -> Tariff | None:
        """What tokens cost there, None where nobody knows. Raises ``Unknown``."""
        place = Place.parse(text)
        if place.model is None:
            return None
        sold = model(self._provider(place.who), place.model)
        return sold.tariff if sold is not None and sold.tariff != Tariff() else None

    def _key(self, place: Place) -> str | None:
        if place.key is None:
            return None
        if place.key not in self.environment:
            raise Unknown("variable of [environment]", place.key, self.environment)
        return fingerprint(self.environment[place.key])

    def _hosts(self, place: Place) -> tuple[str, ...]:
        own = self._own(place.who)
        if own is not None:
            if place.model and own.models and place.model not in own.models:
                raise Unknown(f"model at {place.who}", place.model, own.models)
            return (own.host,)
        known = self._provider(place.who)
        if place.model and model(known, place.model) is None:
            raise Unknown(f"model of {known.name}", place.model, _catalogue(known.prices))
        return known.hosts if place.who == known.name else (place.who,)

    def _own(self, who: str) -> Deployment | None:
        return next((one for one in self.own if who in (one.host, one.place)), None)

    def _provider(self, who: str) -> Provider:
        """Who stands behind a name or a host. Raises ``Unknown``."""
        if (own := self._own(who)) is not None:
            return own.provider
        for known in providers().values():
            if who == known.name or who in known.hosts:
                return known
        names = {name for one in self.own for name in (one.host, one.place)}
        raise Unknown("provider or host", who, {*providers(), *names})


def _catalogue(seller: str | None) -> list[str]:
    """The names of a provider's models, for the closest one to a name that does not exist."""
    from genai_prices.data_snapshot import get_snapshot

    sellers = (one for one in get_snapshot().providers if one.id == seller)
    return [sold.id for one in sellers for sold in one.models]


def places(targets: Iterable[Target]) -> tuple[str, ...]:
    """How scenarios write deployments: ``host/model#fingerprint``."""
    found: dict[str, None] = {}
    for target in targets:
        for host, name, key in target.deployments:
            found[f"{host}{f'/{name}' if name else ''}{f'#{key}' if key else ''}"] = None
    return tuple(found)
