"""Rate limits: how many requests and tokens a minute and a day a key may ask of a model.

Both OpenAI and Anthropic describe theirs as a bucket that refills continuously up to the limit
(https://docs.claude.com/en/api/rate-limits; https://platform.openai.com/docs/guides/rate-limits). So
are the days of OpenAI and Groq; others begin a new one at midnight, which their files say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from llmroute_sim.names import Unknown

__all__ = ("Bucket", "Calendar", "Counting", "Limit", "Meter", "Quota", "Room")

Limit: TypeAlias = Literal["requests", "tokens", "requests_per_day", "tokens_per_day"]
"""A limit that a request may cross."""

_MINUTE, _DAY = 60.0, 86400.0


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits per minute, and per day; None is no limit."""

    requests: int | None = None
    tokens: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            limit = getattr(self, each.name)
            if limit is not None and limit < 1:
                span = "day" if each.name.endswith("_day") else "minute"
                raise ValueError(f"a limit of {limit} a {span} lets nothing through (at least 1)")


@dataclass(frozen=True, slots=True)
class Counting:
    """How a provider counts: whether the room of a day grows all the time (``rolling``) or comes back
    at once at midnight UTC (``utc``), and which limit on requests its headers tell where there are
    both."""

    day: Literal["rolling", "utc"] = "rolling"
    header: Literal["minute", "day"] = "minute"

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Counting:
        """Read the table of a provider's file, which also says where that is documented. Raises
        ``ValueError`` for what is not so."""
        for key in entry:
            if key not in (known := ("day", "header", "source")):
                raise Unknown("key of limits", key, known)
        day, header = entry.get("day", "rolling"), entry.get("header", "minute")
        if day not in ("rolling", "utc"):
            raise ValueError(f"day = {day!r}: a day is 'rolling' or 'utc'")
        if header not in ("minute", "day"):
            raise ValueError(f"header = {header!r}: headers tell the 'minute' or the 'day'")
        return cls(day, header)


@dataclass(slots=True)
class Bucket:
    """Room for ``limit`` units, refilled continuously over a ``period`` of seconds."""

    limit: int
    level: float
    filled: float
    period: float = _MINUTE

    def refill(self, now: float) -> None:
        """Let the room grow until now."""
        self.level = min(self.limit, self.level + (now - self.filled) * self.limit / self.period)
        self.filled = now

    def wait(self, amount: float) -> float:
        """Seconds until so much can be taken, as of the last refill; infinite if it never can."""
        if amount > self.limit:
            return math.inf
        # A bucket that lacks less than a millionth is not empty but a victim of float arithmetic.
        return max(0.0, (amount - self.level - 1e-6) * self.period / self.limit)

    @property
    def reset(self) -> float:
        """Seconds until the bucket is full."""
        return (self.limit - self.level) * self.period / self.limit


@dataclass(slots=True)
class Calendar:
    """Room for ``limit`` units a day, all back at ``midnight`` (seconds since the world began)."""

    limit: int
    level: float
    filled: float
    midnight: float

    def refill(self, now: float) -> None:
        """Begin a new day if it is time."""
        if now >= self.midnight:
            self.level = float(self.limit)
            self.midnight += _DAY * (1 + (now - self.midnight) // _DAY)
        self.filled = now

    def wait(self, amount: float) -> float:
        """Seconds until so much can be taken, as of the last refill; infinite if it never can."""
        if amount > self.limit:
            return math.inf
        return 0.0 if self.level >= amount else self.reset

    @property
    def reset(self) -> float:
        """Seconds until midnight."""
        return self.midnight - self.filled


@dataclass(frozen=True, slots=True)
class Room:
    """What is left, for the headers. ``wall`` is the moment of asking in seconds since 1970, since
    some providers tell resets as dates; the resets themselves are seconds from then."""

    wall: float
    requests: Bucket | Calendar | None
    tokens: Bucket | Calendar | None


@dataclass(slots=True)
class Meter:
    """The live side of a quota: one for each key and model. ``began`` is now in seconds since the
    world began, ``epoch`` when that was in seconds since 1970."""

    quota: Quota
    counting: Counting = field(default_factory=Counting)
    began: float = 0.0
    epoch: float = 0.0
    _rooms: dict[Limit, Bucket | Calendar] = field(init=False)

    def __post_init__(self) -> None:
        quota, now = self.quota, self.began
        self._rooms = {}
        if quota.requests is not None:
            self._rooms["requests"] = Bucket(quota.requests, float(quota.requests), now)
        if quota.tokens is not None:
            self._rooms["tokens"] = Bucket(quota.tokens, float(quota.tokens), now)
        if quota.requests_per_day is not None:
            self._rooms["requests_per_day"] = self._day(quota.requests_per_day)
        if quota.tokens_per_day is not None:
            self._rooms["tokens_per_day"] = self._day(quota.tokens_per_day)

    def _day(self, limit: int) -> Bucket | Calendar:
        if self.counting.day == "rolling":
            return Bucket(limit, float(limit), self.began, _DAY)
        today = (self.epoch + self.began) % _DAY
        return Calendar(limit, float(limit), self.began, self.began + _DAY - today)

    def lacking(self, tokens: int, now: float) -> tuple[Limit, float] | None:
        """Which limit a request of so many tokens would cross, and in how many seconds it would
        not; of several the one to wait longest for. None if there is room. Takes nothing."""
        found: tuple[Limit, float] | None = None
        for name, room in self._rooms.items():
            room.refill(now)
            wait = room.wait(1 if name.startswith("requests") else tokens)
            if wait > 0 and (found is None or wait > found[1]):
                found = name, wait
        return found

    def take(self, tokens: int) -> None:
        """Count an admitted request."""
        for name, room in self._rooms.items():
            room.level -= 1 if name.startswith("requests") else tokens

    def used(self, limit: Limit) -> int:
        """How much of a limit is taken, as of the last refill."""
        room = self._rooms[limit]
        return math.floor(room.limit - room.level)

    def room(self, wall: float) -> Room:
        """What is left, as the provider's headers tell it: of a minute, or of a day where that is
        what they are about or where it is all there is."""
        requests: tuple[Limit, Limit] = ("requests", "requests_per_day")
        if self.counting.header == "day":
            requests = ("requests_per_day", "requests")
        return Room(wall, self._first(*requests), self._first("tokens", "tokens_per_day"))

    def _first(self, *names: Limit) -> Bucket | Calendar | None:
        return next((self._rooms[name] for name in names if name in self._rooms), None)
