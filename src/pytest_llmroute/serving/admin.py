"""What controls a served world by HTTP: incidents, its history, its beginning anew.

It answers requests as a provider does, through the same carrier, and is no provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llmroute_sim.incidents import Incident, Live
from llmroute_sim.names import Unknown, kebab
from llmroute_sim.prompt import Usage
from llmroute_sim.quotas import Quota
from llmroute_sim.simulator import Pace
from llmroute_sim.wire import Data, Exchange, Framing, Head, Request
from pytest_llmroute.serving.asked import ROUTES, Said, TurnedAway, asked, numbers

if TYPE_CHECKING:
    from pytest_llmroute.serving.server import Server

__all__ = ("Admin",)


class Admin:
    """The room behind the path ``/_llmroute/`` of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def open(self, request: Request) -> Exchange:
        """Answer a request."""
        try:
            route, arguments = asked(request)
            does: Callable[..., object] = getattr(self, route.by)
            status, answer = route.status, does(*arguments)
        except TurnedAway as why:
            status, answer = why.status, _error(str(why), why.closest)
        except Unknown as unknown:
            status, answer = 400, _error(str(unknown), unknown.closest)
        except (ValueError, TypeError, ArithmeticError) as error:
            status, answer = 400, _error(str(error))
        body = json.dumps(answer, indent=1).encode() + b"\n"
        headers = (("content-type", "application/json"), ("cache-control", "no-store"))
        yield Head(status, headers, Framing.LENGTH, len(body))
        yield Data(body)

    # -- what there is

    def index(self) -> object:
        """Everything that can be asked for here."""
        return {
            "scenario": self._server.stage.scenario.name or None,
            "now": self._world.clock.now(),
            "base_urls": self._server.urls,
            "endpoints": {f"{r.method} /_llmroute/{r.path}": r.does for r in ROUTES},
        }

    def health(self) -> object:
        """Whoever gets an answer knows that it is ready."""
        return {"ready": True, "now": self._world.clock.now()}

    def environment(self) -> object:
        """The variables that lead SDKs here."""
        return self._server.environment

    # -- incidents

    def incidents(self) -> object:
        """Every incident so far."""
        return [_shown(live) for live in self._world.incidents]

    def incident(self, number: str) -> object:
        """One incident."""
        return _shown(self._live(number))

    def inject(self, said: Said) -> object:
        """Let something go wrong."""
        return _shown(self._server.served.inject(Incident.read(said)))

    def heal(self, number: str) -> object:
        """End one incident."""
        live = self._live(number)
        self._server.served.heal(live)
        return _shown(live)

    def heal_all(self) -> object:
        """End every incident."""
        for live in self._world.incidents:
            self._server.served.heal(live)
        return self.incidents()

    # -- what happened

    def history(self) -> object:
        """In the form that ``llmroute judge`` reads."""
        return self._world.history.to_dict()

    def path(self) -> object:
        """``place:outcome`` of every attempt."""
        return self._world.history.path

    def call(self, name: str, said: Said) -> object:
        """Take what a caller says of its call."""
        call = self._server.served.calls.told(name, said)
        attempts = self._world.history.of(call)
        return {"id": call.id, "outcome": call.outcome, "path": [one.step for one in attempts]}

    # -- the world

    def limit(self, said: Said) -> object:
        """Limit requests and tokens."""
        who, limits = _placed(said)
        known = {field.name.replace("_", "-"): field.name for field in fields(Quota)}
        for key, value in limits.items():
            if key not in known:
                raise Unknown("key of a limit", key, ["at", *known])
            if value is not None and type(value) is not int:
                raise ValueError(f"{key} = {value!r} is not a count")
        self._world.limit(who, Quota(**{known[key]: value for key, value in limits.items()}))
        self._server.served.news(f"limited {who}: {_settings(limits) or 'not any more'}")
        return dict(said)

    def credit(self, said: Said) -> object:
        """Say what each key may spend."""
        who, rest = _placed(said)
        usd = None if rest == {"usd": None} else numbers(rest, ("usd",), "credit").get("usd")
        self._world.credit(who, None if usd is None else Decimal(str(usd)))
        self._server.served.news(f"credit at {who}: {'no end' if usd is None else f'${usd}'}")
        return dict(said)

    def pace(self, said: Said) -> object:
        """Say how fast models answer."""
        seconds = numbers(said, ("first-token", "per-token"), "pace")
        old = self._world.pace
        self._world.pace = Pace(
            seconds.get("first-token", old.first_token), seconds.get("per-token", old.token)
        )
        self._server.served.news(f"pace: {_settings(seconds)}")
        return {"first-token": self._world.pace.first_token, "per-token": self._world.pace.token}

    def bill(self, said: Said) -> object:
        """Say what answers are billed for."""
        tokens = numbers(said, ("input", "output"), "bill")
        usage = Usage(int(tokens.get("input", 0)), int(tokens.get("output", 0))) if said else None
        self._world.stated_usage = usage
        self._server.served.news(f"bill: {_settings(tokens) or 'what an answer has'}")
        return dict(said)

    def reset(self, said: Said) -> object:
        """Begin anew."""
        if said:
            raise ValueError(f"reset takes nothing, not {', '.join(map(repr, said))}")
        self._server.served.reset()
        return self.health()

    @property
    def _world(self) -> Any:
        return self._server.served.world

    def _live(self, number: str) -> Live:
        for live in self._world.incidents:
            if str(live.number) == number:
                found: Live = live
                return found
        known = ", ".join(str(live.number) for live in self._world.incidents)
        raise TurnedAway(404, f"no incident {number!r}; there are {known or 'none'}")


# -- writing


def _error(message: str, closest: str | None = None) -> object:
    error = {"type": "llmroute", "message": message}
    return {"error": error if closest is None else {**error, "closest": closest}}


def _shown(live: Live) -> object:
    """An incident as it may be injected again, with its number and what became of it."""
    incident = live.incident
    return {
        "id": live.number,
        "fault": {"name": kebab(type(incident.fault).__name__), **_given(incident.fault)},
        "at": [str(place) for place in incident.at],
        "when": _given(incident.when),
        "seen": live.seen,
        "met": live.met,
        "healed": live.healed,
    }


def _given(value: Any) -> dict[str, Any]:
    """The fields that are not as they are unless told."""
    return {
        field.name.replace("_", "-"): getattr(value, field.name)
        for field in fields(value)
        if field.default is MISSING or getattr(value, field.name) != field.default
    }


def _placed(said: Said) -> tuple[str, dict[str, Any]]:
    """The place that something is said of, and the rest."""
    rest = {**said}
    who = rest.pop("at", None)
    if not isinstance(who, str):
        raise ValueError("this needs a place: at")
    return who, rest


def _settings(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
