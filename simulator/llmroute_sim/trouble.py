"""What goes wrong in a world: the incidents that are let loose in it, and whom they meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from llmroute_sim.deployments import Deployment
from llmroute_sim.dialects.errors import table
from llmroute_sim.faults import ConnectFault, Refused
from llmroute_sim.history import Attempt, History
from llmroute_sim.incidents import Incident, Live, When
from llmroute_sim.names import Unknown
from llmroute_sim.struck import Struck
from llmroute_sim.wire import Flaw, Step

__all__ = ("NoForm", "Trouble")


class NoForm(ValueError):
    """A fault that the carriers at hand cannot perform, and nothing here pretends to."""


class Trouble:
    """The incidents of a world. ``now`` tells its virtual seconds, ``seed`` what chance gives."""

    def __init__(self, now: Callable[[], float], seed: int, history: History) -> None:
        self.lives: list[Live] = []
        """Every incident so far, healed ones included."""
        self.on_change: list[Callable[[], None]] = []
        """Called when a fault of the connect stage began or ended."""
        self._now = now
        self._seed = seed
        self._history = history
        self._lacking: dict[Step, str] = {}

    # -- beginning and ending

    def begin(self, incident: Incident) -> Live:
        """Let an incident loose. Raises ``Unknown`` for a kind of error that does not exist,
        :class:`NoForm` for a fault that cannot be performed."""
        kind = getattr(incident.fault, "kind", None)
        if kind is not None and kind not in (known := table("openai").forms):
            raise Unknown("kind of error", str(kind), known)
        _check_form(incident, self._lacking)
        live = Live(incident, len(self.lives), self._seed)
        start, end = incident.when.between or (0.0, math.inf)
        live.episode = self._history.add_incident(
            incident.name, max(start, self._now()), None if math.isinf(end) else end
        )
        live.on_heal = lambda: self._healed(live)
        self.lives.append(live)
        self._changed(live)
        return live

    def lack(self, steps: Mapping[Step, str]) -> None:
        """No fault of these steps is let loose from now on, for the reasons given. Raises
        :class:`NoForm` if one already is."""
        for live in self.lives:
            if not live.healed:
                _check_form(live.incident, steps)
        self._lacking |= steps

    def _healed(self, live: Live) -> None:
        if live.episode is not None:
            live.episode.end(self._now())
        self._changed(live)

    def _changed(self, live: Live) -> None:
        if isinstance(live.incident.fault, ConnectFault):
            for callback in self.on_change:
                callback()

    # -- whom they meet

    def keeps(self, found: Deployment) -> bool:
        """Whether an idle connection survives: not while a fault of the connect stage may come."""
        return not any(
            isinstance(live.incident.fault, ConnectFault)
            and not live.healed
            and found.aimed_at(live.incident)
            for live in self.lives
        )

    def refuses(self, found: Deployment) -> bool:
        """Whether every connection is refused at this moment, whoever makes it."""
        now = self._now()
        return any(
            isinstance(live.incident.fault, Refused)
            and not live.healed
            and live.incident.when == When(between=live.incident.when.between)
            and live.incident.when.open(now)
            and found.aimed_at(live.incident)
            for live in self.lives
        )

    def met_by_dialling(
        self, step: Step, found: Deployment
    ) -> tuple[Live, ConnectFault] | tuple[None, None]:
        """The incident that a connection meets at a step before it stands, decided now, and its
        fault."""
        for live in self.lives:
            fault = live.incident.fault
            if (
                isinstance(fault, ConnectFault)
                and fault.step == step
                and found.aimed_at(live.incident)
                and live.strikes(self._now())
            ):
                return live, fault
        return None, None

    def striking(self, found: Deployment, attempt: Attempt, flaws: list[Flaw]) -> Struck:
        """The incidents that act on an attempt, decided now."""
        if not self.lives:
            return Struck((), attempt, flaws)
        now = self._now()
        lives = [
            live
            for live in self.lives
            if not isinstance(live.incident.fault, ConnectFault)
            and found.meets(live.incident, attempt)
            and live.strikes(now)
        ]
        return Struck(lives, attempt, flaws)


def _check_form(incident: Incident, lacking: Mapping[Step, str]) -> None:
    fault = incident.fault
    if isinstance(fault, ConnectFault) and fault.step in lacking:
        raise NoForm(f"{incident.name} cannot be performed here: {lacking[fault.step]}")
