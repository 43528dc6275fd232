"""What an adopted event loop waits with: the virtual clock first, descriptors beside it."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmroute_sim.carriers.loop import Adoption

__all__ = ("PATIENCE", "TURNS", "Selector")

PATIENCE = 0.25
"""Real seconds that a real socket gets to answer before the virtual clock moves on."""

TURNS = 32
"""Turns of a loop after which it looks at its own pipe, through which signals come."""


class Selector(selectors.BaseSelector):
    """Waits on the virtual clock instead of on descriptors, for a loop while it is adopted."""

    def __init__(self, real: selectors.BaseSelector, adoption: Adoption) -> None:
        self._real = real
        self._adoption = adoption
        self.clock = adoption.world.clock
        self._turns = 0
        self._count()
        # A real socket may answer soon: it gets a moment, and another after each sign of life.
        self._hopeful = self.foreign
        if self.foreign:
            adoption.world.clock.foreign_sockets = True

    def _count(self) -> None:
        self.foreign = len(self._real.get_map()) > 1
        """Whether anything but the loop's own pipe is registered."""

    def look(self) -> list[tuple[selectors.SelectorKey, int]]:
        """What the loop's own pipe says, without waiting."""
        return self._real.select(0)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        adoption, clock = self._adoption, self._adoption.world.clock
        self._turns += 1
        events = []
        # Signals come through the loop's own pipe, so it is looked at now and then.
        if self.foreign or not self._turns % TURNS:
            events = self._real.select(0)
        if events:
            self._hopeful = self.foreign
            return events
        if timeout is not None and timeout <= 0:
            return []
        if self._hopeful:
            self._hopeful = False
            if events := self._real.select(PATIENCE if timeout is None else min(PATIENCE, timeout)):
                self._hopeful = True
                return events
        waiter = adoption.waiter = clock.waiter()
        try:
            if not adoption.loop._ready:
                clock.block(waiter, timeout)
            return []
        finally:
            adoption.waiter = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._adoption.world.clock.foreign_sockets = self._hopeful = True
        key = self._real.register(fileobj, events, data)
        self._count()
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._real.unregister(fileobj)
        self._count()
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._hopeful = True
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def get_map(self) -> Any:
        return self._real.get_map()
