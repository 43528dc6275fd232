"""The one door: a request goes in, an exchange comes out, and the history has both.

Everything is decided lazily, at the moment on the clock when it matters, also for a gateway that
tries three providers in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from llmroute_sim.deployments import Deployment, HostedGateway
from llmroute_sim.dialects import Dialect, Unreadable, find
from llmroute_sim.faults import AdmitFault, ConnectFault, Refused, Scene, StreamFault
from llmroute_sim.history import Attempt, History, fingerprint
from llmroute_sim.incidents import Incident, Live, Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Facts, Prompt, Refusal, Usage
from llmroute_sim.prose import Author
from llmroute_sim.providers import Model, providers
from llmroute_sim.quotas import Meter, Quota, Room
from llmroute_sim.speech import Pace, paced, say
from llmroute_sim.watch import watch
from llmroute_sim.wire import Abort, Address, Event, Exchange, Request

__all__ = ("Deployment", "HostedGateway", "Pace", "Simulator")


class Moment(Protocol):
    """What the simulator asks of a clock."""

    def now(self) -> float:
        """Virtual seconds since the world began."""
        ...

    def wall(self) -> datetime:
        """The world's date and time, UTC."""
        ...


class Simulator:
    """A world of providers.

    ``clock`` says when it is, ``seed`` what chance gives. Every shipped provider answers at its own
    hosts; :meth:`serve` adds hosts that a configuration names.
    """

    def __init__(self, clock: Moment, *, seed: int = 0, pace: Pace | None = None) -> None:
        self.clock = clock
        self.seed = seed
        self.pace = pace or Pace()
        self.stated_usage: Usage | None = None
        """If set, every answer is billed for so many tokens, so that budgets are reached in a few
        calls; the history marks it."""
        self.history = History()
        self.on_change: list[Callable[[], None]] = []
        """Called when a fault of the connect stage was injected or healed."""
        self.on_attempt: list[Callable[[Attempt], None]] = []
        self._incidents: list[Live] = []
        self._meters: dict[tuple[str, str | None, str], Meter] = {}
        self._dialects: dict[str, Dialect] = {}
        self._deployments: dict[str, Deployment] = {
            host: Deployment(host, known, known.name)
            for known in providers().values()
            for host in known.hosts
        }

    # -- setting the scene

    def serve(self, deployment: Deployment) -> None:
        """Let a host answer, in place of what answered there before."""
        self._deployments[deployment.host] = deployment

    @property
    def deployments(self) -> Mapping[str, Deployment]:
        """Every host that answers."""
        return self._deployments

    def limit(self, who: str, quota: Quota) -> None:
        """Limit the requests and tokens per minute of each key and model at a provider or
        deployment. Raises ``Unknown`` for one that does not exist."""
        self.check(Place(who))
        for host, found in self._deployments.items():
            if found.within(Place(who)):
                self._deployments[host] = replace(found, quota=quota)

    def inject(self, incident: Incident) -> Live:
        """Let an incident loose. Raises ``Unknown`` if its place does not exist."""
        for place in incident.at:
            self.check(place)
        live = Live(incident, len(self._incidents), self.seed)
        self._incidents.append(live)
        if isinstance(incident.fault, ConnectFault):
            live.on_heal = self._changed
            self._changed()
        return live

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()

    @property
    def incidents(self) -> tuple[Live, ...]:
        """Every incident so far, healed ones included."""
        return tuple(self._incidents)

    def check(self, place: Place) -> None:
        """Raises ``Unknown`` unless the place exists."""
        known = {"*"}
        for host, found in self._deployments.items():
            known |= {found.provider.name, found.place, host}
        if place.who not in known:
            raise Unknown("place", place.who, known)

    # -- the door

    def knows(self, host: str) -> bool:
        """Whether a host is simulated."""
        return host in self._deployments

    def stray(self, address: Address, call: str | None) -> None:
        """Record a client that tried to reach a host that is not simulated."""
        self.history.add_stray(self.clock.now(), address.host, address.port, call)

    def keeps(self, address: Address) -> bool:
        """Whether an idle connection survives: not while a fault of the connect stage may come."""
        if not self._incidents:
            return True
        found = self._deployments[address.host]
        return not any(
            isinstance(live.incident.fault, ConnectFault)
            and not live.healed
            and found.aimed_at(live.incident)
            for live in self._incidents
        )

    def refuses(self, address: Address) -> bool:
        """Whether every connection to an address is refused at this moment, whoever makes it."""
        found, now = self._deployments[address.host], self.clock.now()
        return any(
            isinstance(live.incident.fault, Refused)
            and not live.healed
            and live.incident.when == When(between=live.incident.when.between)
            and live.incident.when.open(now)
            and found.aimed_at(live.incident)
            for live in self._incidents
        )

    def connect(self, address: Address, call: str | None, *, via: str | None = None) -> Exchange:
        """What becomes of a connection before it stands."""
        found = self._deployments[address.host]
        now = self.clock.now()
        for live in self._incidents:
            fault = live.incident.fault
            if (
                isinstance(fault, ConnectFault)
                and found.aimed_at(live.incident)
                and live.strikes(now)
            ):
                attempt = self._begin(found, call, via)
                _note(live, attempt)
                return watch(fault.connect(), attempt, self.clock.now)
        return _nothing()

    def open(self, request: Request, *, via: str | None = None) -> Exchange:
        """Answer a request."""
        found = self._deployments[request.address.host]
        attempt = self._begin(found, request.call, via)
        if found.gateway is not None:
            events = self._through(found.gateway, request, found, attempt)
        else:
            events = self._answer(request, found, attempt)
        return watch(events, attempt, self.clock.now)

    def _through(
        self, gateway: HostedGateway, request: Request, found: Deployment, attempt: Attempt
    ) -> Iterator[Event]:
        """What a gateway answers, unless something is wrong with the gateway itself. A request that
        its dialect cannot read is its own to refuse."""
        dialect = self._dialect(found.provider.dialect)
        request_id = self._request_id(attempt)
        prompt = self._read(request, dialect, attempt)
        struck = self._struck(found, attempt)
        if isinstance(prompt, Prompt):
            refusal = self._turned_away(prompt, None, attempt, struck)
            if refusal is not None:
                events = self._refuse(refusal, dialect, attempt, request_id)
                return self._bend(events, struck, dialect, attempt, request_id)
        events = gateway.answer(
            request, lambda inner: self._forward(inner, request.call, attempt.id)
        )
        return self._bend(events, struck, dialect, attempt, request_id)

    def _forward(self, request: Request, call: str | None, via: str) -> Exchange:
        """An attempt of a gateway: connected and answered through the same door."""
        if not self.knows(request.address.host):
            self.stray(request.address, call)
            yield Abort("refused")
            return
        for event in self.connect(request.address, call, via=via):
            yield event
            if isinstance(event, Abort):
                return
        yield from self.open(replace(request, call=call), via=via)

    def _begin(self, found: Deployment, call: str | None, via: str | None = None) -> Attempt:
        attempt = self.history.begin_attempt(
            self.clock.now(),
            call,
            place=found.place,
            provider=found.provider.name,
            deployment=found.host,
        )
        attempt.region, attempt.via = found.region, via
        for callback in self.on_attempt:
            callback(attempt)
        return attempt

    # -- one attempt

    def _answer(self, request: Request, found: Deployment, attempt: Attempt) -> Iterator[Event]:
        dialect = self._dialect(found.provider.dialect)
        request_id = self._request_id(attempt)
        prompt = self._read(request, dialect, attempt)
        if isinstance(prompt, Refusal):
            return self._refuse(prompt, dialect, attempt, request_id)
        struck = self._struck(found, attempt)
        sold = found.model(prompt.model)
        meter = self._meter(found, attempt.key, prompt.model)
        refusal = self._admit(prompt, sold, meter, attempt, struck)
        if refusal is not None:
            events = self._refuse(refusal, dialect, attempt, request_id, meter)
        else:
            assert sold is not None
            if meter is not None:
                meter.take(prompt.tokens)
            author = self._author(attempt)
            created = int(self.clock.wall().timestamp())
            answer = say(prompt, author, created, self.stated_usage)
            attempt.marks = tuple(author.marks)
            attempt.tokens_in, attempt.tokens_out = answer.usage.input, answer.usage.output
            attempt.billed_as_stated = self.stated_usage is not None
            attempt.spent = sold.tariff.charge(answer.usage)
            room = self._room(meter)
            events = dialect.answer(prompt, answer, dialect.headers(request_id, room))
            if self.pace.first_token or self.pace.token:
                events = paced(events, self.pace, len(answer.words))
        return self._bend(events, struck, dialect, attempt, request_id)

    def _read(self, request: Request, dialect: Dialect, attempt: Attempt) -> Prompt | Refusal:
        """Understand a request, and note in the attempt what it asks."""
        secret = dialect.key(request)
        attempt.key = _fingerprint_of_key(secret) if secret else None
        operation = dialect.operation(request.method, request.path)
        if operation is None:
            return Refusal("not_found", facts={"method": request.method, "path": request.path})
        attempt.operation = operation
        try:
            prompt = dialect.parse(operation, request)
        except Unreadable as unreadable:
            return unreadable.refusal
        attempt.model, attempt.stream, attempt.prompt = prompt.model, prompt.stream, prompt.digest
        attempt.request = fingerprint(request.body)
        return prompt

    def _struck(self, found: Deployment, attempt: Attempt) -> list[Live]:
        """The incidents that act on an attempt, decided now."""
        if not self._incidents:
            return []
        now = self.clock.now()
        return [
            live
            for live in self._incidents
            if not isinstance(live.incident.fault, ConnectFault)
            and found.meets(live.incident, attempt)
            and live.strikes(now)
        ]

    def _admit(
        self,
        prompt: Prompt,
        sold: Model | None,
        meter: Meter | None,
        attempt: Attempt,
        struck: list[Live],
    ) -> Refusal | None:
        """Why an attempt is turned away, if it is: by the provider itself, or by a fault."""
        if attempt.key is None:
            return Refusal("auth")
        if sold is None:
            return Refusal("model_not_found", facts={"model": prompt.model})
        if (refusal := self._turned_away(prompt, sold.window, attempt, struck)) is not None:
            return refusal
        if sold.window is not None and prompt.tokens + (prompt.max_tokens or 0) > sold.window:
            return _overflow(prompt, sold.window)
        if meter is not None and (lacking := meter.lacking(prompt.tokens, self.clock.now())):
            return _over_quota(prompt, meter, *lacking)
        return None

    def _turned_away(
        self, prompt: Prompt, window: int | None, attempt: Attempt, struck: list[Live]
    ) -> Refusal | None:
        """What the first fault of the admit stage says that will not let a prompt in."""
        for live in struck:
            if isinstance(live.incident.fault, AdmitFault):
                refusal = live.incident.fault.admit(prompt, window)
                if refusal is not None:
                    _note(live, attempt)
                    return replace(refusal, facts={**refusal.facts, "model": prompt.model})
        return None

    def _refuse(
        self,
        refusal: Refusal,
        dialect: Dialect,
        attempt: Attempt,
        request_id: str,
        meter: Meter | None = None,
    ) -> Iterator[Event]:
        attempt.error = refusal.kind
        attempt.retry_after = refusal.retry_after
        return dialect.refuse(refusal, request_id, dialect.headers(request_id, self._room(meter)))

    def _bend(
        self,
        events: Iterator[Event],
        struck: list[Live],
        dialect: Dialect,
        attempt: Attempt,
        request_id: str,
    ) -> Iterator[Event]:
        for live in struck:
            fault = live.incident.fault
            if isinstance(fault, StreamFault):
                scene = Scene(
                    lambda refusal: dialect.refuse_midway(refusal, request_id),
                    dialect.garbled,
                    lambda live=live: _note(live, attempt),  # type: ignore[misc]
                )
                events = fault.bend(events, scene)
        return events

    def _author(self, attempt: Attempt) -> Author:
        # Never from the global order, which other calls would change; an attempt that belongs to
        # no call has nothing else.
        who = attempt.id if attempt.call is None else attempt.call
        return Author(f"{self.seed}\x1f{who}\x1f{attempt.ordinal}\x1f{attempt.place}")

    def _request_id(self, attempt: Attempt) -> str:
        return blake2b(f"{self.seed} {attempt.id}".encode(), digest_size=16).hexdigest()

    def _room(self, meter: Meter | None) -> Room | None:
        return None if meter is None else meter.room(self.clock.wall().timestamp())

    def _dialect(self, name: str) -> Dialect:
        dialect = self._dialects.get(name)
        if dialect is None:
            dialect = self._dialects[name] = find(name)
        return dialect

    def _meter(self, found: Deployment, key: str | None, name: str) -> Meter | None:
        if found.quota is None:
            return None
        which = (found.host, key, name)
        meter = self._meters.get(which)
        if meter is None or meter.quota != found.quota:
            meter = self._meters[which] = Meter(found.quota, began=self.clock.now())
        return meter


_fingerprint_of_key = lru_cache(maxsize=256)(fingerprint)
"""The few keys of a world come again and again."""


def _nothing() -> Exchange:
    """The connection stands."""
    yield from ()


def _overflow(prompt: Prompt, window: int) -> Refusal:
    facts: Facts = {"model": prompt.model, "maximum": window, "tokens": prompt.tokens}
    return Refusal("context_length", facts=facts)


def _over_quota(prompt: Prompt, meter: Meter, what: str, wait: float) -> Refusal:
    limit = getattr(meter.quota, what)
    facts: Facts = {
        "model": prompt.model,
        "limit": limit,
        "used": math.floor(limit - getattr(meter, what).level),
        "requested": 1 if what == "requests" else prompt.tokens,
    }
    hint = math.ceil(wait) if math.isfinite(wait) else None
    return Refusal(f"rate_limit_{what}", retry_after=hint, facts=facts)


def _note(live: Live, attempt: Attempt) -> None:
    if live.incident.name not in attempt.faults:
        live.met += 1
        attempt.faults = (*attempt.faults, live.incident.name)
