"""Names that users write: how they are spelled, and what to say when one does not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ("Unknown", "kebab")

_MANY = 50
"""Names from which on nobody reads a list to its end."""


class Unknown(ValueError):
    """A name that does not exist: says what it should have been, the closest that does, and all that
    do, or of many the nearest."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        allowed = sorted(known)
        close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {what} {name!r}{hint} (known: {_listed(allowed, name)})")
        self.what = what
        self.name = name
        self.known = tuple(allowed)
        self.closest = close[0] if close else None


def _listed(known: list[str], name: str) -> str:
    if len(known) <= _MANY:
        return ", ".join(known) or "none"
    near = difflib.get_close_matches(name, known, n=8, cutoff=0.0)
    return f"{', '.join(sorted(near))} and {len(known) - len(near)} more"


def kebab(name: str) -> str:
    """``RateLimit`` as scenario files spell it: ``rate-limit``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
