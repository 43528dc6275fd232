"""What a history says of each time that something went wrong: when the router left the sick place
alone, and when it came back after the place was well.

Both are told by the incidents that a history keeps, which no router could know, and by the attempts
that met them. Endless stands for what could have happened and did not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from llmroute_sim.history import Attempt, Call, Episode
from pytest_llmroute.contracts.reading import ended
from pytest_llmroute.report.readings import Place, Reading, alike, place

__all__ = ("Outages",)


@dataclass(frozen=True, slots=True)
class _Outage:
    """An incident that attempts met. ``first`` is the one that ended first, ``sick`` are the places
    where they met it, ``groups`` what was asked for; ``healed`` are those of the places that were in
    rotation, and well when it was over."""

    started: float
    over: float
    first: Attempt
    sick: tuple[Place, ...]
    groups: frozenset[str | None]
    healed: tuple[Place, ...]


class Outages:
    """The incidents of a history, as far as they were met."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._met = [
            (episode, met)
            for episode in reading.history.incidents
            if (met := _victims(reading, episode))
        ]
        self._outages = [self._outage(episode, met) for episode, met in self._met]

    def ejections(self, calls: Sequence[Call]) -> Iterator[float]:
        """For each incident the seconds from its beginning to the first call, after one had failed,
        that was answered without a visit to the places that had shown it. Endless where calls were
        answered meanwhile, and all of them had gone there."""
        reading = self._reading
        for outage in self._outages:
            answers = [
                call
                for call in calls
                if call.group in outage.groups
                and ended(outage.first) <= call.started < outage.over
                and reading.end(call) == "answered"
                and self._after(call, outage.first)
            ]
            free = [
                call.started
                for call in answers
                if not any(
                    alike(place(made), one) for made in reading.made(call) for one in outage.sick
                )
            ]
            if answers:
                yield min(free, default=math.inf) - outage.started

    def recoveries(self, calls: Sequence[Call]) -> Iterator[float]:
        """For each place in rotation, and each incident that acted there and ended, the seconds from
        its end to the first attempt there that brought an answer. Endless where calls came later, and
        none was served there. An incident that ended while another acted on the place healed
        nothing."""
        done: set[tuple[Place, float]] = set()
        for outage in self._outages:
            asking = [call for call in calls if call.group in outage.groups]
            for one in outage.healed:
                if (one, outage.over) in done:
                    continue
                done.add((one, outage.over))
                served = [
                    attempt.started
                    for call in asking
                    if self._reading.end(call) == "answered"
                    for attempt in self._reading.answering(call)
                    if attempt.started >= outage.over and alike(place(attempt), one)
                ]
                later = any(
                    call.started >= outage.over and self._reading.made(call) for call in asking
                )
                if served or later:
                    yield min(served, default=math.inf) - outage.over

    def _outage(self, episode: Episode, met: Sequence[Attempt]) -> _Outage:
        reading, over = self._reading, _over(episode)
        ids = {attempt.call for attempt in met}
        groups = frozenset(call.group for call in reading.history.calls if call.id in ids)
        sick = _places(met)
        rotation = set().union(*map(reading.rotation, groups))
        healed = (
            one
            for one in sick
            if math.isfinite(over)
            and any(alike(one, other) for other in rotation)
            and not self._acting(one, over)
        )
        return _Outage(episode.started, over, min(met, key=ended), sick, groups, tuple(healed))

    def _acting(self, one: Place, moment: float) -> bool:
        """Whether an incident that was met at a place acts at a moment."""
        return any(
            episode.started <= moment < _over(episode)
            and any(alike(place(attempt), one) for attempt in met)
            for episode, met in self._met
        )

    def _after(self, call: Call, attempt: Attempt) -> bool:
        """Whether a call made attempts, and all of them later than one. (A failure may take no
        time.)"""
        made = self._reading.made(call)
        position = self._reading.position
        return bool(made) and position[made[0].id] > position[attempt.id]


def _over(episode: Episode) -> float:
    return math.inf if episode.ended is None else episode.ended


def _victims(reading: Reading, episode: Episode) -> list[Attempt]:
    """The router's attempts that met an incident."""
    return [
        attempt
        for attempt in reading.met.get(episode.name, ())
        if episode.started <= attempt.started <= _over(episode) and attempt.via is None
    ]


def _places(attempts: Collection[Attempt]) -> tuple[Place, ...]:
    """Where attempts went, each place once. A connection that was refused, which told neither model
    nor key, went to one of those that are known at its host, if any is."""
    found = dict.fromkeys(map(place, attempts))
    told = {host for host, model, _ in found if model is not None}
    return tuple(one for one in found if one[1] is not None or one[0] not in told)
