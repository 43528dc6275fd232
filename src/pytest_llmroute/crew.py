"""A crew: interpreters that play side by side, each cell by whichever is free."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from pytest_llmroute.child import Interpreter
from pytest_llmroute.errors import CannotPlay

if TYPE_CHECKING:
    from llmroute_sim.history import History
    from pytest_llmroute.play import Cell

__all__ = ("Crew",)


class Crew:
    """Up to ``size`` processes of an interpreter, begun when there is something to do for them.

    The first begins at once, and where there are files to ``load`` all do, so that what these
    configure is there when the first cell comes. Methods raise ``CannotPlay`` if a process cannot
    begin.
    """

    def __init__(
        self, python: str, size: int, *, named: str | None = None, load: Iterable[Path] = ()
    ) -> None:
        self._python = python
        self._named = named
        self._load = tuple(load)
        self.size = size
        self._beginning = ThreadPoolExecutor(size, "llmroute-crew")
        self._all: list[Future[Interpreter]] = []
        self._idle: SimpleQueue[Future[Interpreter]] = SimpleQueue()
        self._growing = threading.Lock()
        for _ in range(size if self._load else 1):
            self._idle.put(self._begun())

    @property
    def first(self) -> Interpreter:
        """The first process."""
        return self._all[0].result()

    def play(self, cell: Cell) -> History:
        """Play a cell in one of them. Raises ``CannotPlay`` if its process fails."""
        child = self._free()
        try:
            return child.result().play(cell)
        finally:
            self._idle.put(child)

    def _free(self) -> Future[Interpreter]:
        try:
            return self._idle.get_nowait()
        except Empty:
            with self._growing:
                if len(self._all) < self.size:
                    return self._begun()
            return self._idle.get()

    def _begun(self) -> Future[Interpreter]:
        self._all.append(self._beginning.submit(self._begin))
        return self._all[-1]

    def _begin(self) -> Interpreter:
        child = Interpreter(self._python, named=self._named)
        for path in self._load:
            child.load(path)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._beginning.shutdown()
        for child in self._all:
            with suppress(CannotPlay):
                child.result().close()
