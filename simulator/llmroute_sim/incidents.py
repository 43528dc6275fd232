"""Incidents: a fault with its place and its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmroute_sim.faults import Fault, make
from llmroute_sim.history import Episode
from llmroute_sim.names import Unknown, kebab
from llmroute_sim.prose import seeded

__all__ = ("ALWAYS", "Incident", "Live", "Place", "When")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an incident acts, written ``who/model@region#key``, every part but the first optional.

    ``who`` is a provider, the short name or host of a deployment, or ``*``; ``key`` a fingerprint.
    """

    who: str = "*"
    model: str | None = None
    region: str | None = None
    key: str | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read the written form. Raises ``ValueError`` when it names nobody."""
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is not a place (write 'provider/model')")
        rest, _, key = text.partition("#")
        rest, _, region = rest.partition("@")
        who, _, model = rest.partition("/")
        if not who:
            raise ValueError(f"the place {text!r} names no provider (write '*' for everywhere)")
        return cls(who, model or None, region or None, key or None)

    def __str__(self) -> str:
        return "".join(
            (
                self.who,
                f"/{self.model}" if self.model else "",
                f"@{self.region}" if self.region else "",
                f"#{self.key}" if self.key else "",
            )
        )


@dataclass(frozen=True, slots=True)
class When:
    """At which attempts and in which times an incident acts; all that is said must hold.

    Attempts are counted from 1 among those that reach the incident's place within its times:
    ``first`` the first so many, ``nth`` exactly one, ``after`` all but the first so many, ``every``
    each so-manieth. ``between`` is a window of virtual seconds, its end excluded. ``chance`` is a
    probability, drawn from the scenario's seed. Nothing said is: always, until it is healed.
    """

    first: int | None = None
    nth: int | None = None
    after: int | None = None
    every: int | None = None
    between: tuple[float, float] | None = None
    chance: float | None = None

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> When:
        """Read a table of a scenario file.

        Raises ``Unknown`` for a key that does not exist, ``ValueError`` for an impossible value.
        """
        known = ("first", "nth", "after", "every", "between", "chance")
        for key in entry:
            if key not in known:
                raise Unknown("key of when", key, known)
        for key in ("first", "nth", "after", "every"):
            if key in entry and (type(entry[key]) is not int or entry[key] < (key != "after")):
                raise ValueError(f"{key} = {entry[key]!r} is not a count")
        settings = dict(entry)
        if "between" in settings:
            window = settings["between"]
            if not (
                isinstance(window, list | tuple)
                and len(window) == 2
                and all(type(end) in (int, float) for end in window)
                and window[0] < window[1]
            ):
                raise ValueError(f"between = {window!r} is not [start, end] with start before end")
            settings["between"] = (float(window[0]), float(window[1]))
        if "chance" in settings and not (
            type(settings["chance"]) in (int, float) and 0 < settings["chance"] <= 1
        ):
            raise ValueError(f"chance = {settings['chance']!r} is not above 0 and at most 1")
        return cls(**settings)

    def open(self, now: float) -> bool:
        """Whether now is in its window."""
        return self.between is None or self.between[0] <= now < self.between[1]

    @property
    def last(self) -> int | None:
        """The number of the last attempt that it can name, if there is one."""
        return min((count for count in (self.first, self.nth) if count is not None), default=None)

    def covers(self, count: int) -> bool:
        """Whether the attempt of this number is one of those it names."""
        return (
            (self.first is None or count <= self.first)
            and (self.nth is None or count == self.nth)
            and (self.after is None or count > self.after)
            and (self.every is None or count % self.every == 0)
        )


ALWAYS = When()


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault with its places and its time. Attempts are counted over all the places together."""

    fault: Fault
    at: tuple[Place, ...] = (Place(),)
    when: When = ALWAYS

    @property
    def name(self) -> str:
        """What histories call it: the fault's name and its places."""
        return f"{kebab(type(self.fault).__name__)} at {', '.join(map(str, self.at))}"

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Incident:
        """Read a table of a scenario file: ``fault``, ``at``, ``when``.

        Raises ``ValueError`` with what is wrong.
        """
        known = ("fault", "at", "when")
        for key in entry:
            if key not in known:
                raise Unknown("key of an incident", key, known)
        fault = entry.get("fault")
        if isinstance(fault, str):
            fault = {"name": fault}
        if not isinstance(fault, Mapping):
            raise ValueError("an incident needs a fault")
        at = entry.get("at", "*")
        places = [at] if isinstance(at, str) else at
        if not (isinstance(places, list | tuple) and places):
            raise ValueError(f"at = {at!r} is not a place or a list of places")
        when = entry.get("when", {})
        if not isinstance(when, Mapping):
            raise ValueError(f"when = {when!r} is not a table")
        return cls(make(fault), tuple(map(Place.parse, places)), When.read(when))


@dataclass(slots=True)
class Live:
    """An incident in a world: how many attempts reached its place, how many met it, and whether it
    was healed. ``episode`` is what the history keeps of it."""

    incident: Incident
    number: int
    seed: int
    seen: int = 0
    met: int = 0
    healed: bool = field(default=False)
    episode: Episode | None = field(default=None, repr=False, compare=False)
    on_heal: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    def heal(self) -> None:
        """End the incident for good."""
        if not self.healed:
            self.healed = True
            if self.on_heal is not None:
                self.on_heal()

    def strikes(self, now: float) -> bool:
        """Count an attempt that is at the place, and say whether the incident acts on it."""
        when = self.incident.when
        if self.healed or not when.open(now):
            return False
        self.seen += 1
        if self.episode is not None and self.seen == when.last:
            self.episode.end(now)
        if not when.covers(self.seen):
            return False
        return when.chance is None or (
            seeded(self.seed, "chance", self.number, self.seen).random() < when.chance
        )
