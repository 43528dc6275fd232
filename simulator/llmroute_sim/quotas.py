"""Rate limits: how many requests and tokens a minute a key may ask of a model.

Both OpenAI and Anthropic describe theirs as a bucket that refills continuously up to the limit
(https://docs.claude.com/en/api/rate-limits; https://platform.openai.com/docs/guides/rate-limits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

__all__ = ("Bucket", "Meter", "Quota", "Room")


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits per minute; None is no limit."""

    requests: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for limit in (self.requests, self.tokens):
            if limit is not None and limit < 1:
                raise ValueError(f"a limit of {limit} a minute lets nothing through (at least 1)")


@dataclass(slots=True)
class Bucket:
    """Room for ``limit`` units, refilled continuously over a minute."""

    limit: int
    level: float
    filled: float

    @classmethod
    def full(cls, limit: int, now: float) -> Bucket:
        """A bucket from which nothing has been taken."""
        return cls(limit, float(limit), now)

    def refill(self, now: float) -> None:
        """Let the room grow until now."""
        self.level = min(self.limit, self.level + (now - self.filled) * self.limit / 60)
        self.filled = now

    def wait(self, amount: float) -> float:
        """Seconds until so much can be taken, as of the last refill; infinite if it never can."""
        if amount > self.limit:
            return math.inf
        # A bucket that lacks less than a millionth is not empty but a victim of float arithmetic.
        return max(0.0, (amount - self.level - 1e-6) * 60 / self.limit)

    @property
    def reset(self) -> float:
        """Seconds until the bucket is full."""
        return (self.limit - self.level) * 60 / self.limit


@dataclass(frozen=True, slots=True)
class Room:
    """What is left, for the headers. ``wall`` is the moment of asking in seconds since 1970, since
    some providers tell resets as dates; the resets themselves are seconds from then."""

    wall: float
    requests: Bucket | None
    tokens: Bucket | None


@dataclass(slots=True)
class Meter:
    """The live side of a quota: one for each key and model."""

    quota: Quota
    requests: Bucket | None = field(init=False)
    tokens: Bucket | None = field(init=False)
    began: float = 0.0

    def __post_init__(self) -> None:
        self.requests = _bucket(self.quota.requests, self.began)
        self.tokens = _bucket(self.quota.tokens, self.began)

    def lacking(
        self, tokens: int, now: float
    ) -> tuple[Literal["requests", "tokens"], float] | None:
        """Which limit a request of so many tokens would cross, and in how many seconds it would
        not; None if there is room. Takes nothing."""
        for name, bucket, amount in (
            ("requests", self.requests, 1),
            ("tokens", self.tokens, tokens),
        ):
            if bucket is not None:
                bucket.refill(now)
                if (wait := bucket.wait(amount)) > 0:
                    return ("requests", wait) if name == "requests" else ("tokens", wait)
        return None

    def take(self, tokens: int) -> None:
        """Count an admitted request."""
        if self.requests is not None:
            self.requests.level -= 1
        if self.tokens is not None:
            self.tokens.level -= tokens

    def room(self, wall: float) -> Room:
        """What is left, as the provider's headers tell it."""
        return Room(wall, self.requests, self.tokens)


def _bucket(limit: int | None, now: float) -> Bucket | None:
    return None if limit is None else Bucket.full(limit, now)
