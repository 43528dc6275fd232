"""The one door: a request goes in, an exchange comes out, and the history has both.

Everything is decided lazily, at the moment on the clock when it matters, also for a gateway that
tries three providers in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from typing import Protocol

from llmroute_sim import intake
from llmroute_sim.accounts import Account, Accounts
from llmroute_sim.deployments import Deployment, HostedGateway, check_place
from llmroute_sim.dialects import Dialect, find
from llmroute_sim.history import Attempt, History
from llmroute_sim.incidents import Incident, Live, Place
from llmroute_sim.prompt import FREE, Prompt, Refusal, Usage
from llmroute_sim.prose import Author
from llmroute_sim.providers import Provider, providers
from llmroute_sim.quotas import Quota, Room
from llmroute_sim.speech import Pace, paced, say
from llmroute_sim.struck import Struck
from llmroute_sim.trouble import NoForm, Trouble
from llmroute_sim.turns import Turns
from llmroute_sim.watch import watch
from llmroute_sim.wire import Abort, Address, Event, Exchange, Flaw, Request, Step

__all__ = ("Deployment", "HostedGateway", "NoForm", "Pace", "Simulator")


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
        self.on_attempt: list[Callable[[Attempt], None]] = []
        self.crashes: list[Exception] = []
        """Errors of the simulator's own. A client takes one for a broken connection, so whoever opened
        the world has to raise it when the world ends: nothing that was seen counts."""
        self._trouble = Trouble(clock.now, seed, self.history)
        self.on_change = self._trouble.on_change
        """Called when a fault of the connect stage was injected or healed."""
        self._accounts = Accounts(clock.now, lambda: clock.wall().timestamp())
        self._turns = Turns()
        self._dialects: dict[tuple[str, str | None], Dialect] = {}
        self._ported: set[str] = set()
        """Hosts of which single ports are served."""
        self._deployments: dict[str, Deployment] = {
            host: Deployment(host, known, known.name)
            for known in providers().values()
            for host in known.hosts
        }

    # -- setting the scene

    def serve(self, deployment: Deployment) -> None:
        """Let a host answer, in place of what answered there before: at every port, or, if it is
        named with a port (``10.1.2.3:8000``), at that one."""
        self._deployments[deployment.host] = deployment
        name, colon, port = deployment.host.rpartition(":")
        if colon and port.isdigit():
            self._ported.add(name)

    @property
    def deployments(self) -> Mapping[str, Deployment]:
        """Every host that answers."""
        return self._deployments

    def limit(self, who: str, quota: Quota) -> None:
        """Limit the requests and tokens of each key and model at a provider or deployment. Raises
        ``Unknown`` for one that does not exist."""
        self.check(Place(who))
        for host, found in self._deployments.items():
            if found.within(Place(who)):
                self._deployments[host] = replace(found, quota=quota)

    def credit(self, who: str, usd: Decimal | None) -> None:
        """Let each key spend so much at a provider or deployment from now on; None is no limit.
        Raises ``Unknown`` for one that does not exist, ``ValueError`` for less than nothing."""
        self.check(Place(who))
        if usd is not None and (usd.is_nan() or usd < 0):
            raise ValueError(f"a credit of {usd} USD is less than nothing")
        for host, found in self._deployments.items():
            if found.within(Place(who)):
                self._deployments[host] = replace(found, credit=usd)
                self._accounts.forget(found.place)

    def inject(self, incident: Incident) -> Live:
        """Let an incident loose.

        Raises ``Unknown`` if its place, or the kind of error that it is to show, does not exist,
        :class:`NoForm` if the carriers at hand cannot perform its fault.
        """
        for place in incident.at:
            self.check(place)
        return self._trouble.begin(incident)

    def lack(self, steps: Mapping[Step, str]) -> None:
        """A carrier says for which steps of connecting it has no form, and why; from now on no fault
        of these is let loose. Raises :class:`NoForm` if one already is."""
        self._trouble.lack(steps)

    @property
    def incidents(self) -> tuple[Live, ...]:
        """Every incident so far, healed ones included."""
        return tuple(self._trouble.lives)

    def check(self, place: Place) -> None:
        """Raises ``Unknown`` unless the place exists."""
        check_place(place, self._deployments.values())

    # -- the door

    def knows(self, host: str) -> bool:
        """Whether a host is simulated."""
        return host in self._deployments or host in self._ported

    def _at(self, address: Address) -> Deployment | None:
        """What answers at an address."""
        ported = f"{address.host}:{address.port}"
        return self._deployments.get(ported) or self._deployments.get(address.host)

    def stray(self, address: Address, call: str | None) -> None:
        """Record a client that tried to reach a host that is not simulated."""
        self.history.add_stray(self.clock.now(), address.host, address.port, call)

    def keeps(self, address: Address) -> bool:
        """Whether an idle connection survives: not while a fault of the connect stage may come."""
        found = self._at(address)
        return found is None or self._trouble.keeps(found)

    def refuses(self, address: Address) -> bool:
        """Whether every connection to an address is refused at this moment, whoever makes it."""
        found = self._at(address)
        return found is None or self._trouble.refuses(found)

    def resolve(self, address: Address, call: str | None, *, via: str | None = None) -> Exchange:
        """What becomes of looking a host's name up: ``Wait* Abort?``, in the usual case nothing."""
        return self._dial("name", address, call, via)

    def connect(self, address: Address, call: str | None, *, via: str | None = None) -> Exchange:
        """What becomes of a connection before it stands."""
        return self._dial("connection", address, call, via)

    def handshake(self, address: Address, call: str | None, *, via: str | None = None) -> Exchange:
        """What becomes of TLS on a connection that stands: ``Wait* Abort?``."""
        return self._dial("handshake", address, call, via)

    def _dial(self, step: Step, address: Address, call: str | None, via: str | None) -> Exchange:
        found = self._at(address)
        if found is None:
            if step == "name":
                return _nothing()
            self.stray(address, call)
            return _refused()
        live, fault = self._trouble.met_by_dialling(step, found)
        if live is None or fault is None:
            return _nothing()
        attempt = self._begin(found, call, via)
        Struck((live,), attempt, []).note(live)
        return watch(fault.connect(), attempt, self.clock.now)

    def open(self, request: Request, *, via: str | None = None) -> Exchange:
        """Answer a request."""
        found = self._at(request.address) or self._deployments[request.address.host]
        attempt = self._begin(found, request.call, via)
        flaws: list[Flaw] = []
        try:
            if found.gateway is not None:
                events = self._through(found.gateway, request, found, attempt, flaws)
            else:
                events = self._answer(request, found, attempt, flaws)
        except Exception as error:
            self.crashes.append(error)
            raise
        return watch(self._noted(events), attempt, self.clock.now, flaws)

    def _noted(self, events: Iterator[Event]) -> Iterator[Event]:
        try:
            yield from events
        except Exception as error:
            self.crashes.append(error)
            raise

    def _through(
        self,
        gateway: HostedGateway,
        request: Request,
        found: Deployment,
        attempt: Attempt,
        flaws: list[Flaw],
    ) -> Iterator[Event]:
        """What a gateway answers, unless something is wrong with the gateway itself. A request that
        its dialect cannot read is its own to refuse."""
        dialect = self._dialect(found.provider, request)
        request_id = self._request_id(attempt)
        prompt = intake.read(request, found.provider, dialect, attempt)
        struck = self._trouble.striking(found, attempt, flaws)
        if isinstance(prompt, Prompt):
            refusal = struck.turned_away(prompt, None)
            if refusal is not None:
                events = self._refuse(refusal, dialect, attempt, request_id)
                return struck.bent(events, dialect, request_id)
        events = gateway.answer(
            request, lambda inner: self._forward(inner, request.call, attempt.id)
        )
        return struck.bent(events, dialect, request_id)

    def _forward(self, request: Request, call: str | None, via: str) -> Exchange:
        """An attempt of a gateway: connected and answered through the same door."""
        for step in ("name", "connection", "handshake"):
            for event in self._dial(step, request.address, call, via):
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

    def _answer(
        self, request: Request, found: Deployment, attempt: Attempt, flaws: list[Flaw]
    ) -> Iterator[Event]:
        dialect = self._dialect(found.provider, request)
        request_id = self._request_id(attempt)
        prompt = intake.read(request, found.provider, dialect, attempt)
        if isinstance(prompt, Refusal):
            return self._refuse(prompt, dialect, attempt, request_id)
        prompt, lost = self._turns.resumed(prompt, found, attempt.key)
        struck = self._trouble.striking(found, attempt, flaws)
        sold = found.model(prompt.model) if prompt.operation != "models" else None
        account = self._accounts.of(found, attempt.key, prompt.model)
        otherwise = None
        refusal = intake.admitted(prompt, found, sold, account, struck, self.clock.now()) or lost
        if refusal is not None:
            events = self._refuse(refusal, dialect, attempt, request_id, account)
        elif prompt.operation in FREE:
            models = found.sold if sold is None else (sold,)
            events = dialect.tell(prompt, models, dialect.headers(request_id, None))
        else:
            assert sold is not None
            prompt = intake.fitted(prompt, sold)
            author = self._author(attempt)
            created = int(self.clock.wall().timestamp())
            # Nobody can reckon with a bill that is not told.
            stated = self.stated_usage if prompt.tells_usage else None
            answer = say(prompt, author, created, stated)
            if struck.lives:
                answer = struck.spoken(answer, prompt, author, stated is not None)
            attempt.marks = tuple(author.marks)
            attempt.tokens_in, attempt.tokens_out = answer.usage.input, answer.usage.output
            attempt.billed_as_stated = stated is not None
            attempt.shown = answer.model
            attempt.dimension = len(answer.vectors[0]) if answer.vectors else None
            attempt.spent = sold.tariff.charge(answer.usage)
            self._turns.keep(prompt, answer, found, attempt.key)
            if account is not None:
                account.take(prompt.tokens)
                account.pay(attempt.spent)
            headers = dialect.headers(request_id, self._room(account))
            events = dialect.answer(prompt, answer, headers)
            if struck.lives and not answer.vectors:
                turned = replace(prompt, stream=not prompt.stream)
                otherwise = partial(dialect.answer, turned, answer, headers)
            if self.pace.first_token or self.pace.token:
                events = paced(events, self.pace, answer.length)
        return struck.bent(events, dialect, request_id, otherwise)

    def _refuse(
        self,
        refusal: Refusal,
        dialect: Dialect,
        attempt: Attempt,
        request_id: str,
        account: Account | None = None,
    ) -> Iterator[Event]:
        attempt.error = refusal.kind
        if not isinstance(refusal.retry_after, str):
            attempt.retry_after = refusal.retry_after
        if refusal.hint == "date":
            refusal = replace(refusal, at=self.clock.wall().timestamp())
        return dialect.refuse(refusal, request_id, dialect.headers(request_id, self._room(account)))

    def _author(self, attempt: Attempt) -> Author:
        # Never from the global order, which other calls would change; an attempt that belongs to
        # no call has nothing else.
        who = attempt.id if attempt.call is None else attempt.call
        return Author(f"{self.seed}\x1f{who}\x1f{attempt.ordinal}\x1f{attempt.place}")

    def _request_id(self, attempt: Attempt) -> str:
        return blake2b(f"{self.seed} {attempt.id}".encode(), digest_size=16).hexdigest()

    def _room(self, account: Account | None) -> Room | None:
        return None if account is None else account.room(self.clock.wall().timestamp())

    def _dialect(self, provider: Provider, request: Request) -> Dialect:
        """The format that a request is in: of those that a provider speaks the one that knows its
        path, else the first."""
        for name in (provider.dialect, *provider.also):
            which = (name, provider.errors)
            dialect = self._dialects.get(which)
            if dialect is None:
                dialect = self._dialects[which] = find(*which)
            if dialect.operation(request.method, request.path) is not None:
                return dialect
        return self._dialects[provider.dialect, provider.errors]


def _nothing() -> Exchange:
    """The connection stands."""
    yield from ()


def _refused() -> Exchange:
    """Nobody listens."""
    yield Abort("refused")
