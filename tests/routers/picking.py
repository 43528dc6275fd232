"""Which deployment of a group the reference router asks, among those that may be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .formats import Answer, Asked
from .upstreams import Group, Upstream


class Picking:
    """Chooses, and knows what is under way."""

    def __init__(self, knobs: Any) -> None:
        self.knobs = knobs

    def choose(self, free: Sequence[Upstream], group: Group, asked: Asked) -> Upstream:
        """One of those that may be asked; there is at least one."""
        return free[0]

    def admits(self, upstream: Upstream, asked: Asked) -> bool:
        """Whether its limits leave room for one more."""
        return True

    def opens(self, upstream: Upstream, asked: Asked) -> None:
        """An attempt begins."""

    def closes(self, upstream: Upstream, asked: Asked, answer: Answer, began: float) -> None:
        """An attempt is over, however it ended; it ``began`` then on the monotonic clock."""
