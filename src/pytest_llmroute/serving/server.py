"""A served world with its ports: where everything is, and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llmroute_sim.carriers import tcp
from llmroute_sim.faults import Refused
from llmroute_sim.incidents import Live
from llmroute_sim.names import Unknown
from llmroute_sim.providers import providers
from llmroute_sim.wire import Address
from pytest_llmroute.serving.addresses import environment, paths, roots
from pytest_llmroute.serving.admin import Admin
from pytest_llmroute.serving.served import Served, Told
from pytest_llmroute.serving.stage import Stage
from pytest_llmroute.serving.trust import Trust

__all__ = ("ADMIN", "Server")

ADMIN = "_llmroute"
"""The first path segment, on the shared port, of what controls the world."""

_ROOM = Address("admin.llmroute", 0)


class Server:
    """A world on loopback: every provider by its path on one port, and on a port of its own for each
    of ``listeners`` (a provider's name or a label of the stage; 0 is any free port).

    With ``trust`` every provider has a port of its own, which speaks TLS; the shared one never does.

    ``carrier`` runs it: ``with server.carrier:`` in a thread, ``async with`` on the running loop.
    Raises ``Unknown`` for a listener of nobody and for incidents at a place that does not exist.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        port: int = 0,
        listeners: Mapping[str, int] | None = None,
        trust: Trust | None = None,
        tell: Callable[[Told], None] = lambda told: None,
    ) -> None:
        self.stage = stage
        self._hosts = paths() | {name: Address(host) for name, host in stage.labels.items()}
        self._own = dict(listeners or {})
        self._trust = trust
        for name in self._own:
            if name not in self._hosts:
                raise Unknown("provider", name, self._hosts)
        if trust is not None:
            self._own = dict.fromkeys(self._hosts, 0) | self._own
        self.served = Served(stage, tell, {_ROOM.host: Admin(self).open})
        self.carrier = tcp.serve(
            self.served,
            port=port,
            paths={**self._hosts, ADMIN: _ROOM},
            listeners={self._hosts[name]: number for name, number in self._own.items()},
            tls=False if trust is None else trust.certificates,
            time_scale=stage.scale,
        )

    @property
    def origin(self) -> str:
        """The shared port as a URL, without a slash at its end."""
        return f"http://{self.carrier.host}:{self.carrier.port}"

    @property
    def urls(self) -> dict[str, str]:
        """The base URL of each provider and of each label of the stage, by their names. What stands
        in a label's own base URL after the host is to follow it."""
        known = providers()
        return {
            name: root + (known[name].base_path if name in known else "")
            for name, root in self._roots.items()
        }

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the SDKs of every provider here, with keys that open nothing, and
        by which programs trust what they are shown."""
        trusted = {} if self._trust is None else self._trust.environment
        return {**environment(self._roots), **trusted}

    @property
    def _roots(self) -> dict[str, str]:
        found = roots(self.origin) | {name: self.carrier.url(name) for name in self.stage.labels}
        return found | {name: self.carrier.url(self._hosts[name]) for name in self._own}

    @property
    def unseen(self) -> list[Live]:
        """The incidents that a listener performs by not listening, so that nobody sees whom they
        meet."""
        world = self.served.world
        own = [world.deployments[self._hosts[name].host] for name in self._own]
        return [
            live
            for live in world.incidents
            if isinstance(live.incident.fault, Refused)
            and any(found.aimed_at(live.incident) for found in own)
        ]
