"""The door of a world that can be begun anew, and tells what happens in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from llmroute_sim.history import Attempt, Stray
from llmroute_sim.incidents import Incident, Live
from llmroute_sim.simulator import Simulator
from llmroute_sim.wire import Address, Exchange, Request, Step
from pytest_llmroute.serving.calls import Calls
from pytest_llmroute.serving.stage import Stage

__all__ = ("News", "Room", "Served", "Told")


@dataclass(frozen=True, slots=True)
class News:
    """Something that was done to the world, in words. ``at`` in its seconds."""

    at: float
    text: str


Told: TypeAlias = Attempt | Stray | News
"""What is told, as soon as it is over: an attempt when its outcome stands."""

Room: TypeAlias = Callable[[Request], Exchange]
"""What answers in place of the world at a host that is none of the world's."""


@dataclass(slots=True)
class _Act:
    """A world from one beginning to the next."""

    world: Simulator
    calls: Calls
    running: list[Attempt] = field(default_factory=list)


class Served:
    """A :class:`~llmroute_sim.wire.Door` to the world of a stage.

    After :meth:`reset` the same door leads to a new world; what is being answered then is finished
    in the old one. ``rooms`` are further hosts behind the door, of no world.
    """

    def __init__(
        self, stage: Stage, tell: Callable[[Told], None], rooms: Mapping[str, Room]
    ) -> None:
        self.on_change: list[Callable[[], None]] = []
        """Called when a fault of the connect stage began or ended."""
        self._stage = stage
        self._tell = tell
        self._rooms = rooms
        self._lacking: dict[Step, str] = {}
        self._act = self._begun()

    def _begun(self) -> _Act:
        world = self._stage.world()
        world.lack(self._lacking)
        act = _Act(world, Calls(world.history, world.clock))
        world.on_change.append(self._changed)
        world.on_attempt.append(act.running.append)
        world.on_attempt.append(act.calls.met)
        return act

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()

    # -- the world

    @property
    def world(self) -> Simulator:
        """The world of this moment."""
        return self._act.world

    @property
    def calls(self) -> Calls:
        """Its calls."""
        return self._act.calls

    def reset(self) -> None:
        """Begin anew: a new history, the incidents of the scenario and no others, and time at 0."""
        self._act = self._begun()
        self._changed()
        self.news("reset")

    def inject(self, incident: Incident) -> Live:
        """Let an incident loose. Raises ``Unknown`` if its place does not exist."""
        live = self.world.inject(incident)
        self.news(f"injected {live.number}: {incident.name}")
        return live

    def heal(self, live: Live) -> None:
        """End an incident."""
        if not live.healed:
            live.heal()
            self.news(f"healed {live.number}: {live.incident.name}")

    def news(self, text: str) -> None:
        """Tell what was done."""
        self._tell(News(self.world.clock.now(), text))

    # -- the door

    def lack(self, steps: Mapping[Step, str]) -> None:
        """As the world, this and every later one."""
        self._lacking |= steps
        self.world.lack(steps)

    def knows(self, host: str) -> bool:
        """Whether something answers there."""
        return host in self._rooms or self.world.knows(host)

    def stray(self, address: Address, call: str | None) -> None:
        """Record a client that wanted what there is not."""
        self.world.stray(address, call)
        self._tell(self.world.history.strays[-1])

    def keeps(self, address: Address) -> bool:
        """As the world."""
        return address.host in self._rooms or self.world.keeps(address)

    def refuses(self, address: Address) -> bool:
        """As the world."""
        return address.host not in self._rooms and self.world.refuses(address)

    def connect(self, address: Address, call: str | None) -> Exchange:
        """As the world."""
        if address.host in self._rooms:
            return _nothing()
        return self._told(self._act, self.world.connect(address, call))

    def handshake(self, address: Address, call: str | None) -> Exchange:
        """As the world. A room is reached without TLS."""
        return self._told(self._act, self.world.handshake(address, call))

    def open(self, request: Request) -> Exchange:
        """As the world, or the room of the host."""
        if (room := self._rooms.get(request.address.host)) is not None:
            return room(request)
        return self._told(self._act, self.world.open(request))

    def _told(self, act: _Act, exchange: Exchange) -> Exchange:
        try:
            yield from exchange
        finally:
            over = [attempt for attempt in act.running if attempt.ended is not None]
            for attempt in over:
                act.running.remove(attempt)
                act.calls.seen(attempt)
                self._tell(attempt)


def _nothing() -> Exchange:
    """The connection stands."""
    yield from ()
