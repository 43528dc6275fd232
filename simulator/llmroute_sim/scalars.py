"""Numbers and texts that a JSON Schema allows, texts with a coined word wherever one fits.

Formats: https://json-schema.org/draft/2020-12/json-schema-validation, section 7.3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from llmroute_sim.patterns import matching
from llmroute_sim.prose import COINED, Author

__all__ = ("choices", "number", "text", "whole")

_NUDGE = Fraction(1, 10**9)
"""Past a bound that is excluded, and short of the next integer."""

_FEW = 256
"""How many integers are few."""

_SPAN = 1 << 14
"""How far from its one bound a number may be."""

_FORMATS: Mapping[str, Callable[[Author], str]] = {
    "date-time": lambda author: f"{_date(author)}T{_time(author)}",
    "date": lambda author: _date(author),
    "time": lambda author: _time(author),
    "duration": lambda author: f"P{1 + author.draw(1)[0] % 30}D",
    "email": lambda author: f"{author.coin()}@example.com",
    "idn-email": lambda author: f"{author.coin()}@example.com",
    "hostname": lambda author: f"{author.coin()}.example.com",
    "idn-hostname": lambda author: f"{author.coin()}.example.com",
    "ipv4": lambda author: f"192.0.2.{author.draw(1)[0] % 256}",
    "ipv6": lambda author: f"2001:db8::{author.draw(1)[0]:x}",
    "uuid": lambda author: _uuid(author.identity() + author.identity()),
    "uri": lambda author: f"https://example.com/{author.coin()}",
    "uri-reference": lambda author: f"/{author.coin()}",
    "iri": lambda author: f"https://example.com/{author.coin()}",
    "iri-reference": lambda author: f"/{author.coin()}",
    "uri-template": lambda author: f"/{author.coin()}/{{id}}",
    "json-pointer": lambda author: f"/{author.coin()}",
    "relative-json-pointer": lambda author: f"0/{author.coin()}",
}


def text(schema: Mapping[str, Any], author: Author) -> str:
    """A string within the lengths, of the format and matching the pattern that are asked for."""
    least = _count(schema.get("minLength"), 0)
    most = _count(schema.get("maxLength"), math.inf)
    if (form := _FORMATS.get(str(schema.get("format")))) is not None:
        return form(author)
    if type(pattern := schema.get("pattern")) is str:
        written = matching(pattern, author, int(least), most)
        if written is not None:
            return written
    said = author.coin()
    if len(said) < least:
        # Ordinary words, and at the end another coined one if there is room.
        while len(said) + 1 + COINED < least:
            said += author.ramble(1)[0]
        said += f" {author.coin()}"
    return said if len(said) <= most else said[: int(most)]


def whole(schema: Mapping[str, Any], author: Author) -> int:
    """An integer within the bounds, a multiple where one is asked for."""
    low, high, step = bounds(schema, _NUDGE)
    unit = step if step.denominator == 1 else Fraction(step.numerator)
    first = None if low is None else math.ceil(low / unit)
    last = None if high is None else math.floor(high / unit)
    return int(_between(first, last, author) * unit)


def choices(schema: Mapping[str, Any]) -> list[int]:
    """All the integers that a schema allows, if they are few."""
    low, high, step = bounds(schema, _NUDGE)
    if low is None or high is None or high - low > _FEW:
        return []
    return [n for n in range(math.ceil(low), math.floor(high) + 1) if (n / step).denominator == 1]


def number(schema: Mapping[str, Any], author: Author) -> int | float:
    """A number within the bounds, a multiple where one is asked for."""
    multiple = _exact(schema.get("multipleOf"))
    low, high, step = bounds(schema, _NUDGE * multiple if multiple else Fraction(0))
    if multiple:
        first = None if low is None else math.ceil(low / step)
        last = None if high is None else math.floor(high / step)
        times = _between(first, last, author)
        # Not every decimal that is a multiple still is one when it has become a float.
        for near in (times, *range(times, (first or 0) - 1, -1)[:64], *range(times, times + 64)):
            value = float(near * step)
            divided = value / float(step)
            if divided == int(divided) and (last is None or near <= last):
                return _plain(value)
        return _plain(float(times * step))
    share = Fraction(author.draw(1)[0] + 1, (1 << 16) + 2)
    if low is None and high is None:
        return author.draw(1)[0] / 4
    if low is None or high is None:
        drawn = _SPAN * share
        return _plain(float(low + drawn if low is not None else (high or 0) - drawn))
    return _plain(float(low + (high - low) * share))


def bounds(
    schema: Mapping[str, Any], nudge: Fraction
) -> tuple[Fraction | None, Fraction | None, Fraction]:
    """The least and the greatest number that a schema allows, and what it must be a multiple of. A
    bound that is itself excluded is moved by ``nudge``."""
    low, high = _exact(schema.get("minimum")), _exact(schema.get("maximum"))
    step = _exact(schema.get("multipleOf")) or Fraction(1)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    # In the fourth draft the exclusive bounds are booleans beside the bounds.
    if above is True and low is not None:
        low += nudge
    elif (over := _exact(above)) is not None:
        low = over + nudge if low is None else max(low, over + nudge)
    if below is True and high is not None:
        high -= nudge
    elif (under := _exact(below)) is not None:
        high = under - nudge if high is None else min(high, under - nudge)
    return low, high, step


def _between(first: int | None, last: int | None, author: Author) -> int:
    drawn = author.draw(1)[0]
    if first is None:
        return drawn if last is None else last - drawn
    if last is None:
        return first + drawn
    return first + drawn % (last - first + 1) if last >= first else first


def _exact(value: object) -> Fraction | None:
    match value:
        case bool():
            return None
        case int():
            return Fraction(value)
        case float() if math.isfinite(value):
            return Fraction(str(value))
        case _:
            return None


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _count(value: object, otherwise: float) -> float:
    return max(0, value) if isinstance(value, int | float) else otherwise


def _date(author: Author) -> str:
    month, day = author.draw(2)
    return f"2026-{1 + month % 12:02}-{1 + day % 28:02}"


def _time(author: Author) -> str:
    hour, minute, second = author.draw(3)
    return f"{hour % 24:02}:{minute % 60:02}:{second % 60:02}Z"


def _uuid(digits: str) -> str:
    return re.sub(r"(.{8})(.{4}).(.{3}).(.{3})(.{12}).*", r"\1-\2-4\3-8\4-\5", digits)
