"""What a history says of each of its calls: the single values that figures are made of.

Times are seconds, None is what cannot be told. Where a history leaves a doubt it is read in the
router's favour, as contracts read it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts.fallback import REJECTIONS
from pytest_llmroute.contracts.reading import ended, failed, whole

__all__ = ("End", "Place", "Reading", "alike", "place")

End: TypeAlias = Literal["answered", "partial", "failed", "rejected", "hung", "left", "open"]
"""What a call came to. ``answered`` is with a whole answer, ``partial`` with anything else that was
shown as one, ``rejected`` is an error that the caller has made himself."""

Place: TypeAlias = tuple[str, str | None, str | None]
"""The host that is dialled, the model, the fingerprint of the key."""


class Reading:
    """A history, indexed once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.untied = [attempt for attempt in history.untied if not attempt.aside]
        self.position = {attempt.id: at for at, attempt in enumerate(history.attempts)}
        self._owner = {mark: attempt for attempt in history.attempts for mark in attempt.marks}
        self._heard = {mark for call in history.calls for mark in call.marks}
        self._ends: dict[str, End] = {}
        self._rotations: dict[str | None, frozenset[Place]] = {}
        self.labelled: dict[tuple[str, str], list[Call]] = defaultdict(list)
        """The calls that carry a label, by its name and value."""
        self._of: dict[str | None, list[Attempt]] = defaultdict(list)
        self.met: dict[str, list[Attempt]] = defaultdict(list)
        """The attempts that met a fault, by its name."""
        for attempt in history.attempts:
            if not attempt.aside:
                self._of[attempt.call].append(attempt)
            for fault in attempt.faults:
                self.met[fault].append(attempt)

        for call in history.calls:
            for name, value in call.labels.items():
                self.labelled[name, str(value)].append(call)

    def rotation(self, group: str | None) -> frozenset[Place]:
        """Where the calls for a group began before a failure could have taught them otherwise."""
        if group not in self._rotations:
            made = [self.made(call) for call in self.history.calls if call.group == group]
            failures = [one for attempts in made for one in attempts if failed(one)]
            until = min((self.position[one.id] for one in failures), default=math.inf)
            firsts = [attempts[0] for attempts in made if attempts]
            self._rotations[group] = frozenset(
                place(one) for one in firsts if self.position[one.id] <= until
            )
        return self._rotations[group]

    # -- a call

    def attempts(self, call: Call) -> Sequence[Attempt]:
        """All attempts of a call, in order, those of gateways on its behalf included."""
        return self._of.get(call.id, ())

    def made(self, call: Call) -> list[Attempt]:
        """The attempts of a call that the router made itself."""
        return [attempt for attempt in self.attempts(call) if attempt.via is None]

    def sources(self, call: Call) -> list[Attempt]:
        """The attempts whose words its answer carries, each once, in order of appearance."""
        found = {
            self._owner[mark].id: self._owner[mark] for mark in call.marks if mark in self._owner
        }
        return list(found.values())

    def end(self, call: Call) -> End:
        """What a call came to."""
        if call.id not in self._ends:
            self._ends[call.id] = self._end(call)
        return self._ends[call.id]

    def _end(self, call: Call) -> End:
        if call.outcome == "answered":
            return "answered" if self._whole(call) else "partial"
        if call.outcome == "failed" and self._rejected(call):
            return "rejected"
        return call.outcome

    def _whole(self, call: Call) -> bool:
        """Whether no words come from an answer that broke off. Where no word tells where it comes
        from, one of its attempts must have been answered, unless it made none."""
        if sources := self.sources(call):
            return not any(map(failed, sources))
        made = self.made(call)
        return not made or any(map(whole, made))

    def _rejected(self, call: Call) -> bool:
        made = self.made(call)
        return bool(made) and all(attempt.error in REJECTIONS for attempt in made)

    def answering(self, call: Call) -> list[Attempt]:
        """The router's own attempts that brought the answer; none for one from a cache."""
        own = {attempt.id: attempt for attempt in self.attempts(call)}
        found = [self._outermost(own[one.id], own) for one in self.sources(call) if one.id in own]
        if not found and not self.sources(call):
            found = [attempt for attempt in self.made(call) if whole(attempt)][-1:]
        return found

    def _outermost(self, attempt: Attempt, own: dict[str, Attempt]) -> Attempt:
        while attempt.via in own:
            attempt = own[attempt.via]
        return attempt

    def cached(self, call: Call) -> bool:
        """Whether its answer is one that another call has got."""
        sources = self.sources(call)
        return bool(sources) and all(source.call != call.id for source in sources)

    def faulted(self, call: Call) -> bool:
        """Whether a fault acted on one of its attempts."""
        return any(attempt.faults for attempt in self.attempts(call))

    def shadowed(self, call: Call) -> bool:
        """Whether attempts that may be its own, since nobody is known to have made them, began while
        it ran."""
        return any(
            attempt.via is None
            and call.started <= attempt.started <= (math.inf if call.ended is None else call.ended)
            for attempt in self.untied
        )

    def failover(self, call: Call) -> float | None:
        """From the end of its first failed attempt to the beginning of the one at another place that
        brought the answer. None where that did not happen."""
        failures = [attempt for attempt in self.made(call) if failed(attempt)]
        if not failures or self.end(call) != "answered":
            return None
        first, *_ = failures
        moved = [one for one in self.answering(call) if not alike(place(one), place(first))]
        if not moved or self.position[moved[-1].id] < self.position[first.id]:
            return None
        return max(0.0, moved[-1].started - ended(first))

    # -- money

    def wasted(self, attempt: Attempt) -> bool:
        """Whether it was charged, and its words reached no caller. One without words of its own does
        not tell."""
        return bool(attempt.spent and attempt.marks) and self._heard.isdisjoint(attempt.marks)

    # -- time

    def uptime(self, calls: Collection[Call]) -> tuple[float, float]:
        """How long the router was seen to work, and how long it was seen at all: what became of the
        calls of a moment stands until the next moment at which a call began, the last one's until
        the last call ended. One moment alone says nothing of time."""
        ends = {call.id: self.end(call) for call in calls}
        seen = [
            call for call in calls if ends[call.id] in ("answered", "partial", "failed", "hung")
        ]
        moments: dict[float, list[bool]] = defaultdict(list)
        for call in seen:
            moments[call.started].append(ends[call.id] == "answered")
        if len(moments) < 2:
            return 0.0, 0.0
        begins = sorted(moments)
        last = max(begins[-1], *(call.ended or 0.0 for call in seen))
        up = math.fsum(
            (after - begin) * sum(moments[begin]) / len(moments[begin])
            for begin, after in pairwise([*begins, last])
        )
        return up, last - begins[0]


def place(attempt: Attempt) -> Place:
    """Where an attempt went. A connection that was refused told neither model nor key."""
    return attempt.deployment, attempt.model, attempt.key


def alike(one: Place, other: Place) -> bool:
    """Whether two may be the same place; what is not told may be anything."""
    return one[0] == other[0] and all(
        None in (mine, yours) or mine == yours
        for mine, yours in zip(one[1:], other[1:], strict=True)
    )
