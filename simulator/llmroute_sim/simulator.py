"""The one door: a request goes in, an exchange comes out, and the history has both.

Everything is decided lazily, at the moment on the clock when it matters, also for a gateway that
tries three providers in turn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

from llmroute_sim import prose, tokens
from llmroute_sim.dialects import Dialect, Unreadable, find
from llmroute_sim.faults import AdmitFault, ConnectFault, Refused, Scene, StreamFault
from llmroute_sim.history import Attempt, History, fingerprint
from llmroute_sim.incidents import Incident, Live, Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Answer, Facts, Finish, Prompt, Refusal, ToolCall, Usage
from llmroute_sim.providers import Model, Provider, Tariff, model, providers
from llmroute_sim.quotas import Meter, Quota, Room
from llmroute_sim.watch import watch
from llmroute_sim.wire import Abort, Address, Data, Event, Exchange, Head, Request, Wait

__all__ = ("Deployment", "HostedGateway", "Pace", "Simulator")


_DIMENSIONS = 256
"""Numbers in an embedding whose size was not asked for."""


class Moment(Protocol):
    """What the simulator asks of a clock."""

    def now(self) -> float:
        """Virtual seconds since the world began."""
        ...

    def wall(self) -> datetime:
        """The world's date and time, UTC."""
        ...


class HostedGateway(Protocol):
    """A closed routing service: a provider that makes attempts of its own, through the same door."""

    name: str

    def answer(self, request: Request, forward: Callable[[Request], Exchange]) -> Iterator[Event]:
        """Answer a request; ``forward`` opens an exchange with an upstream, tied to this attempt."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast models answer when nothing is wrong: seconds to the first token, and per token."""

    first_token: float = 0.0
    token: float = 0.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A host that answers: who stands behind it, the name a path shows, and what the configuration
    under test says of it. ``models`` are served beside those that the catalogue knows; ``tariff``
    overrides the catalogue's prices (USD per token); ``quota`` is per key and model."""

    host: str
    provider: Provider
    place: str
    region: str | None = None
    models: frozenset[str] = frozenset()
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)
    quota: Quota | None = None
    gateway: HostedGateway | None = None


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
        self.on_inject: list[Callable[[], None]] = []
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
            if who in ("*", found.provider.name, found.place, host):
                self._deployments[host] = replace(found, quota=quota)

    def inject(self, incident: Incident) -> Live:
        """Let an incident loose. Raises ``Unknown`` if its place does not exist."""
        for place in incident.at:
            self.check(place)
        live = Live(incident, len(self._incidents), self.seed)
        self._incidents.append(live)
        if isinstance(incident.fault, ConnectFault):
            for callback in self.on_inject:
                callback()
        return live

    @property
    def incidents(self) -> Iterable[Live]:
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
        found = self._deployments[address.host]
        return not any(
            isinstance(live.incident.fault, ConnectFault)
            and not live.healed
            and _aimed(live.incident, found)
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
            and _aimed(live.incident, found)
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
                and _aimed(live.incident, found)
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
        return self.history.begin_attempt(
            self.clock.now(),
            call,
            place=found.place,
            provider=found.provider.name,
            deployment=found.host,
            region=found.region,
            via=via,
        )

    # -- one attempt

    def _answer(self, request: Request, found: Deployment, attempt: Attempt) -> Iterator[Event]:
        dialect = self._dialect(found.provider.dialect)
        request_id = self._request_id(attempt)
        prompt = self._read(request, dialect, attempt)
        if isinstance(prompt, Refusal):
            return self._refuse(prompt, dialect, attempt, request_id)
        secret = dialect.key(request)
        struck = self._struck(found, attempt)
        sold = self._model(found, prompt.model)
        meter = self._meter(found, attempt.key, prompt.model)
        refusal = self._admit(prompt, secret, sold, meter, attempt, struck)
        if refusal is not None:
            events = self._refuse(refusal, dialect, attempt, request_id, meter)
        else:
            assert sold is not None
            if meter is not None:
                meter.take(prompt.tokens)
            answer = self._say(prompt, attempt)
            attempt.tokens_in, attempt.tokens_out = answer.usage.input, answer.usage.output
            attempt.billed_as_stated = self.stated_usage is not None
            attempt.spent = sold.tariff.charge(answer.usage)
            room = self._room(meter)
            events = dialect.answer(prompt, answer, dialect.headers(request_id, room))
            if self.pace.first_token or self.pace.token:
                events = _paced(events, self.pace, len(answer.words))
        return self._bend(events, struck, dialect, attempt, request_id)

    def _read(self, request: Request, dialect: Dialect, attempt: Attempt) -> Prompt | Refusal:
        """Understand a request, and note in the attempt what it asks."""
        secret = dialect.key(request)
        attempt.key = fingerprint(secret) if secret else None
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
            and _meets(live.incident, found, attempt)
            and live.strikes(now)
        ]

    def _admit(
        self,
        prompt: Prompt,
        secret: str | None,
        sold: Model | None,
        meter: Meter | None,
        attempt: Attempt,
        struck: list[Live],
    ) -> Refusal | None:
        """Why an attempt is turned away, if it is: by the provider itself, or by a fault."""
        if not secret:
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

    # -- what is said

    def _say(self, prompt: Prompt, attempt: Attempt) -> Answer:
        # Never from the global order, which other calls would change; an attempt that belongs to
        # no call has nothing else.
        who = attempt.id if attempt.call is None else attempt.call
        author = prose.Author(self.seed, who, attempt.ordinal, attempt.place)
        words: tuple[str, ...] = ()
        calls: tuple[ToolCall, ...] = ()
        vectors: tuple[tuple[float, ...], ...] = ()
        finish: Finish = "stop"
        if prompt.operation == "embeddings":
            vectors = tuple(self._embed(text, author, prompt) for text in prompt.texts)
        elif prompt.must_call or prompt.may_call:
            calls = (_tool_call(prompt, author),)
            finish = "tools"
        else:
            length = 8 + (author.draw(1)[0] & 0xF)
            if prompt.max_tokens is not None and prompt.max_tokens < length:
                length, finish = prompt.max_tokens, "length"
            words = author.write(length)
        attempt.marks = tuple(author.marks)
        spoken = len(words) + sum(
            tokens.count("".join(call.arguments)) + tokens.count(call.name) for call in calls
        )
        usage = self.stated_usage or Usage(prompt.tokens, spoken)
        if self.stated_usage is not None and prompt.operation == "embeddings":
            usage = Usage(usage.input, 0)
        created = int(self.clock.wall().timestamp())
        return Answer(
            author.identity(), created, prompt.model, words, finish, usage, calls, vectors
        )

    def _embed(self, text: str, author: prose.Author, prompt: Prompt) -> tuple[float, ...]:
        return prose.vector(text, author.mark(), prompt.dimensions or _DIMENSIONS)

    def _request_id(self, attempt: Attempt) -> str:
        return blake2b(f"{self.seed} {attempt.id}".encode(), digest_size=16).hexdigest()

    def _room(self, meter: Meter | None) -> Room | None:
        return None if meter is None else meter.room(self.clock.wall().timestamp())

    def _dialect(self, name: str) -> Dialect:
        dialect = self._dialects.get(name)
        if dialect is None:
            dialect = self._dialects[name] = find(name)
        return dialect

    def _model(self, found: Deployment, name: str) -> Model | None:
        sold = model(found.provider, name)
        if sold is None and name in found.models:
            sold = Model(name)
        if sold is not None and name in found.tariffs:
            sold = replace(sold, tariff=found.tariffs[name])
        return sold

    def _meter(self, found: Deployment, key: str | None, name: str) -> Meter | None:
        if found.quota is None:
            return None
        which = (found.host, key, name)
        meter = self._meters.get(which)
        if meter is None or meter.quota != found.quota:
            meter = self._meters[which] = Meter(found.quota, began=self.clock.now())
        return meter


def _nothing() -> Exchange:
    """The connection stands."""
    yield from ()


def _aimed(incident: Incident, found: Deployment) -> bool:
    """Whether an incident is aimed at a host, as far as a host can tell."""
    return any(_includes(place, found) for place in incident.at)


def _includes(place: Place, found: Deployment) -> bool:
    return place.who in ("*", found.provider.name, found.place, found.host) and (
        place.region is None or place.region == found.region
    )


def _meets(incident: Incident, found: Deployment, attempt: Attempt) -> bool:
    """Whether an incident is aimed at a request, which also tells its model and its key."""
    return any(
        _includes(place, found)
        and (place.model is None or place.model == attempt.model)
        and (place.key is None or place.key == attempt.key)
        for place in incident.at
    )


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


def _tool_call(prompt: Prompt, author: prose.Author) -> ToolCall:
    wanted = {tool.name: tool for tool in prompt.tools}
    tool = wanted.get(prompt.must_call or "", prompt.tools[0])
    arguments = json.dumps(_argument(tool.schema, author))
    half = len(arguments) // 2
    return ToolCall(author.identity(), tool.name, (arguments[:half], arguments[half:]))


def _argument(schema: Any, author: prose.Author) -> object:
    """A value that a JSON Schema allows, carrying coined words where it allows words."""
    match schema:
        case {"enum": [first, *_]}:
            return first
        case {"const": value}:
            return value
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
            return _argument(first, author)
        case {"type": "object"} | {"properties": _}:
            properties = schema.get("properties", {})
            return {name: _argument(inner, author) for name, inner in properties.items()}
        case {"type": "array", "items": items}:
            return [_argument(items, author)]
        case {"type": "array"}:
            return []
        case {"type": "integer"}:
            return author.draw(1)[0]
        case {"type": "number"}:
            return author.draw(1)[0] / 4
        case {"type": "boolean"}:
            return True
        case {"type": "null"}:
            return None
        case _:
            return author.coin()


def _paced(events: Iterator[Event], pace: Pace, length: int) -> Iterator[Event]:
    first = True
    for event in events:
        match event:
            case Head(framing=framing):
                whole = pace.first_token + (pace.token * length if framing.value == "length" else 0)
                yield Wait(whole)
            case Data(part="token"):
                if not first:
                    yield Wait(pace.token)
                first = False
        yield event
