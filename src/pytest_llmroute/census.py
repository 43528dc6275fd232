"""A census of simulated worlds: how many ran, who was asked, and which faults were met.

What runs in a process is counted as it ends, and handed over when somebody asks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from typing import Self

from llmroute_sim.history import History

__all__ = ("Census", "count", "handed_over")


@dataclass(slots=True)
class Census:
    """``met`` is how many attempts at each place met each fault; who was asked and met none is there
    too. ``faulted`` are the attempts that met any, ``spent`` is what real providers would have charged
    (USD), ``outcomes`` how many promises came out how in the scenarios that they were tried in."""

    worlds: int = 0
    attempts: int = 0
    faulted: int = 0
    strays: int = 0
    spent: Decimal = Decimal(0)
    met: dict[str, Counter[str]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, history: History) -> None:
        """Count a world by what happened in it."""
        self.worlds += 1
        self.attempts += len(history.attempts)
        self.strays += len(history.strays)
        for attempt in history.attempts:
            self.spent += attempt.spent
            self.faulted += bool(attempt.faults)
            faults = self.met.setdefault(attempt.place, Counter())
            # An incident is named by its fault and its places.
            faults.update(name.partition(" at ")[0] for name in attempt.faults)

    @property
    def proves_nothing(self) -> bool:
        """Whether promises were to be tried, and none was."""
        return bool(self.outcomes) and set(+self.outcomes) == {"untested"}

    def join(self, others: Iterable[Census]) -> Self:
        """Add what others counted."""
        for other in others:
            self.worlds += other.worlds
            self.attempts += other.attempts
            self.faulted += other.faulted
            self.strays += other.strays
            self.spent += other.spent
            self.outcomes += other.outcomes
            for place, faults in other.met.items():
                self.met.setdefault(place, Counter()).update(faults)
        return self

    def dump(self) -> str:
        """A line of JSON, for :meth:`load`."""
        return json.dumps(
            {
                "worlds": self.worlds,
                "attempts": self.attempts,
                "faulted": self.faulted,
                "strays": self.strays,
                "spent": str(self.spent),
                "met": self.met,
                "outcomes": self.outcomes,
            }
        )

    @classmethod
    def load(cls, text: str) -> Self:
        """Read what :meth:`dump` wrote."""
        saved = json.loads(text)
        met = {place: Counter(faults) for place, faults in saved.pop("met").items()}
        spent, outcomes = Decimal(saved.pop("spent")), Counter(saved.pop("outcomes"))
        return cls(**saved, spent=spent, met=met, outcomes=outcomes)


_lock = Lock()
_running = Census()


def count(history: History) -> None:
    """Count a world that has ended."""
    with _lock:
        _running.add(history)


def handed_over(outcome: str | None = None) -> Census | None:
    """What was counted since this was last asked, with the outcome of a promise, or None if there is
    neither."""
    global _running
    with _lock:
        found, _running = _running, Census()
    if outcome is not None:
        found.outcomes[outcome] += 1
    return found if found.worlds or found.outcomes else None
