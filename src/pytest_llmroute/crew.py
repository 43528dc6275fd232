"""A crew: interpreters that play side by side, each cell by whichever is free."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from pytest_llmroute.child import Interpreter

if TYPE_CHECKING:
    from llmroute_sim.history import History
    from pytest_llmroute.play import Cell

__all__ = ("Crew",)


class Crew:
    """Up to ``size`` processes of an interpreter, begun when there is something to do for them.

    The first begins at once. Raises ``CannotPlay`` if it cannot.
    """

    def __init__(self, python: str, size: int, *, named: str | None = None) -> None:
        self._python = python
        self._named = named
        self.size = size
        self.first = Interpreter(python, named=named)
        self._all = [self.first]
        self._idle: SimpleQueue[Interpreter] = SimpleQueue()
        self._idle.put(self.first)
        self._growing = threading.Lock()

    def play(self, cell: Cell) -> History:
        """Play a cell in one of them. Raises ``CannotPlay`` if its process fails."""
        child = self._free()
        try:
            return child.play(cell)
        finally:
            self._idle.put(child)

    def _free(self) -> Interpreter:
        try:
            return self._idle.get_nowait()
        except Empty:
            with self._growing:
                if len(self._all) < self.size:
                    child = Interpreter(self._python, named=self._named)
                    self._all.append(child)
                    return child
            return self._idle.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._all:
            child.close()
