"""Names that users write: how they are spelled, and what to say when one does not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ("Unknown", "kebab")


class Unknown(ValueError):
    """A name that does not exist: says what it should have been, the closest that does, and all that
    do."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        allowed = sorted(known)
        close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {what} {name!r}{hint} (known: {', '.join(allowed) or 'none'})")
        self.what = what
        self.name = name
        self.known = tuple(allowed)
        self.closest = close[0] if close else None


def kebab(name: str) -> str:
    """``RateLimit`` as scenario files spell it: ``rate-limit``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
