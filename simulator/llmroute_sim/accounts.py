"""What each key may still ask for: its rate limits, and its credit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from llmroute_sim.deployments import Deployment
from llmroute_sim.prompt import FREE, Facts, Prompt, Refusal
from llmroute_sim.quotas import Limit, Meter, Room

__all__ = ("Account", "Accounts")

_KINDS: dict[Limit, str] = {
    "requests": "rate_limit_requests",
    "tokens": "rate_limit_tokens",
    "requests_per_day": "rate_limit_requests_day",
    "tokens_per_day": "rate_limit_tokens_day",
}


@dataclass(slots=True)
class Purse:
    """What a key has left to spend, in USD."""

    left: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """A key at a model, where either has limits: a ``meter`` of its rates, a ``purse``."""

    meter: Meter | None
    purse: Purse | None

    def lacking(self, prompt: Prompt, now: float) -> Refusal | None:
        """What the provider says to a prompt for which there is no room or no money; None if there
        is. What costs nothing needs neither."""
        if prompt.operation in FREE:
            return None
        if self.purse is not None and self.purse.left <= 0:
            return Refusal("insufficient_quota")
        if self.meter is None or (lacking := self.meter.lacking(prompt.tokens, now)) is None:
            return None
        limit, wait = lacking
        facts: Facts = {
            "model": prompt.model,
            "limit": getattr(self.meter.quota, limit),
            "used": self.meter.used(limit),
            "requested": 1 if limit.startswith("requests") else prompt.tokens,
        }
        hint = math.ceil(wait) if math.isfinite(wait) else None
        return Refusal(_KINDS[limit], retry_after=hint, facts=facts)

    def take(self, tokens: int) -> None:
        """Count an admitted request."""
        if self.meter is not None:
            self.meter.take(tokens)

    def pay(self, amount: Decimal) -> None:
        """Take what an answer costs (USD). The last one may cost more than there was."""
        if self.purse is not None:
            self.purse.left -= amount

    def room(self, wall: float) -> Room | None:
        """What is left, as the provider's headers tell it."""
        return None if self.meter is None else self.meter.room(wall)


class Accounts:
    """The accounts of a world. ``now`` is seconds since it began, ``wall`` since 1970."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self._now = now
        self._wall = wall
        self._meters: dict[tuple[str, str | None, str], Meter] = {}
        self._purses: dict[tuple[str, str | None], Purse] = {}

    def of(self, found: Deployment, key: str | None, model: str) -> Account | None:
        """The account of a key at a deployment and a model; None where nothing is limited."""
        if found.quota is None and found.credit is None:
            return None
        return Account(self._meter(found, key, model), self._purse(found, key))

    def forget(self, place: str) -> None:
        """Every key at a place has its whole credit again."""
        self._purses = {which: purse for which, purse in self._purses.items() if which[0] != place}

    def _meter(self, found: Deployment, key: str | None, model: str) -> Meter | None:
        if found.quota is None:
            return None
        which = (found.host, key, model)
        meter = self._meters.get(which)
        if meter is None or meter.quota != found.quota:
            now = self._now()
            counting = found.provider.counting
            meter = Meter(found.quota, counting, now, self._wall() - now)
            self._meters[which] = meter
        return meter

    def _purse(self, found: Deployment, key: str | None) -> Purse | None:
        if found.credit is None:
            return None
        # Hosts of one place are one company's, which has one ledger.
        return self._purses.setdefault((found.place, key), Purse(found.credit))
