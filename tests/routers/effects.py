"""What the logic of the reference router asks for, what it remembers, and how it gives up."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .formats import Failed
from .upstreams import Upstream


@dataclass(frozen=True)
class Open:
    upstream: Upstream
    body: dict[str, Any]
    patience: float


@dataclass(frozen=True)
class Read:
    """The next bytes of the body; empty at its end."""


@dataclass(frozen=True)
class Emit:
    text: str


@dataclass(frozen=True)
class Try:
    """An attempt of a call that came to nothing."""

    upstream: Upstream
    failure: Failed


@dataclass
class Health:
    failures: int = 0
    rests_until: float = 0.0
    hinted_until: float = 0.0
    spent: Decimal = field(default_factory=Decimal)
    window_began: float | None = None


class NoAnswer(Exception):
    """Nobody answered. ``status_code`` is what the last of them said, ``retry_after`` when somebody
    may be asked again (seconds)."""

    def __init__(self, why: str, status: int | None, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.status_code = status
        self.retry_after = retry_after
