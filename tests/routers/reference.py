"""A small router that does everything right, over plain httpx: the measure of every contract.

Its logic is one generator of effects, so that blocking and asyncio, streamed and whole, are the same
code; the two drivers only perform effects. Each decision is a method of its own, for mutants to get
wrong.

Where more can be added:

- a *group* has several deployments (:class:`~.upstreams.Group`); an :class:`~.upstreams.Upstream` may
  carry more of what picking reads (weight, limits, tags, latency...), all with a default;
- ``Knobs`` gains fields, each with a default that switches the feature off;
- ``pick`` gathers who of a group may be asked now; ``choose`` (which of them), ``admits`` (limits),
  ``opens``, ``speaks`` (its head came) and ``closes`` (around every attempt, also one that is dropped
  with its stream) hand on to :class:`~.picking.Picking`;
- ``pay``, ``price``, ``window_over`` are the budget; ``cache_key``, ``look_up``, ``served_again``,
  ``store``, ``spoil`` are the cache.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from llmroute_sim.tokens import count

from .effects import Emit, Health, NoAnswer, Open, Read, Try
from .formats import UNREADABLE, Answer, Asked, Failed, body, carries, hear_body, hear_event
from .knobs import Knobs
from .picking import Picking
from .upstreams import MISTRAL, Group, Upstream, alone

_KINDS = {408: "timeout", 500: "internal", 503: "unavailable"}


class Reference:
    """One router. ``answer`` is the whole of a call."""

    picks: type[Picking] = Picking

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.picking = self.picks(knobs)
        self.due: dict[int, float] = {}
        self.began = time.monotonic()
        groups = (*knobs.chain, *knobs.embedders, alone(MISTRAL))
        everybody = [upstream for group in groups for upstream in group.deployments]
        self.health = {upstream.name: Health() for upstream in everybody}
        self.cache: dict[str, tuple[float, Answer]] = {}
        self.running = 0

    def answer(self, asked: Asked) -> Generator[Any, Any, Answer]:
        key = self.cache_key(asked)
        found = self.look_up(key, asked)
        if found is not None:
            yield Emit(found.text)
            return self.served_again(found)
        self.running += 1
        self.due[id(asked)] = time.monotonic() + (self.knobs.deadline or math.inf)
        try:
            return (yield from self.route(key, asked))
        finally:
            self.running -= 1
            del self.due[id(asked)]

    def route(self, key: str, asked: Asked) -> Generator[Any, Any, Answer]:
        failures: list[Failed] = []
        visits = list(self.chain(asked))
        while visits:
            group, trail = visits.pop(0), list[Try]()
            while (upstream := self.pick(group, asked, trail)) is not None:
                answer, began = Answer(model=upstream.model), time.monotonic()
                self.opens(upstream, asked)
                try:
                    patience = self.in_time(self.patience(upstream, len(trail) + 1, asked), asked)
                    opened = Open(upstream, self.body(upstream, asked, failures), patience)
                    yield from self.attempt(opened, asked, answer)
                except Failed as failure:
                    failures.append(failure)
                    trail.append(Try(upstream, failure))
                    failure.spoken = asked.stream and bool(answer.text)
                    self.count_failure(upstream, failure, asked)
                    if failure.spoken and not self.speaks_on(failure):
                        self.spoil(key, answer, asked)
                        if (told := self.told([failure], asked)) is None:
                            return answer
                        raise told from failure
                    if not self.tries_again(failure, group, trail, asked):
                        break
                except GeneratorExit:
                    self.pay_aborted(upstream, answer, began, asked)
                    raise
                else:
                    self.succeeds(upstream, asked)
                    self.pay(upstream, answer, began, asked)
                    self.store(key, answer, asked)
                    return answer
                finally:
                    self.closes(upstream, asked, answer, began)
            if trail:
                visits = self.visits_after(trail[-1].failure, failures, visits, asked)
        raise self.told(failures, asked) or Failed("nobody answered") from None

    # -- decisions: where to go

    def chain(self, asked: Asked) -> Sequence[Group]:
        groups = self.knobs.embedders if asked.embeds else self.knobs.chain
        if asked.orders.get("disable_fallbacks"):
            return groups[:1]
        if (named := asked.orders.get("fallbacks")) is not None:
            known = {group.name: group for group in groups}
            return (groups[0], *(known[name] for name in named))
        return groups

    def pick(self, group: Group, asked: Asked, trail: Sequence[Try]) -> Upstream | None:
        """Who of a group is asked next: one that was not asked yet, else the one that was asked longest
        ago and may succeed now; None where nobody is left."""
        done = [one.upstream for one in trail]
        hopeless = [one.upstream for one in trail if not one.failure.transient]
        free = [
            upstream
            for upstream in self.members(group)
            if upstream not in hopeless
            and self.serves(upstream, asked)
            and self.in_service(upstream, asked)
            and self.admits(upstream, asked)
        ]
        if not free or self.time_left(asked, len(trail)) <= 0:
            return None
        if fresh := [upstream for upstream in free if upstream not in done]:
            return self.choose(fresh, group, asked)
        return next(upstream for upstream in done if upstream in free)

    def members(self, group: Group) -> Sequence[Upstream]:
        """The deployments of a group, with those that were added since."""
        since = time.monotonic() - self.began
        added = (
            one for at, one in self.knobs.joins if group is self.knobs.chain[0] and since >= at
        )
        return (*group.deployments, *added)

    def serves(self, upstream: Upstream, asked: Asked) -> bool:
        """Whether an upstream can do what is asked for at all."""
        return carries(upstream, asked) and self.fits(upstream, asked)

    def fits(self, upstream: Upstream, asked: Asked) -> bool:
        said = " ".join((asked.text, *(text for _, text in asked.past)))
        return upstream.window is None or count(said) <= upstream.window

    def in_service(self, upstream: Upstream, asked: Asked) -> bool:
        health, now = self.health[upstream.name], time.monotonic()
        if now < health.rests_until or now < health.hinted_until:
            return False
        if health.window_began is not None and self.window_over(health, now):
            health.window_began, health.spent = None, Decimal(0)
        return self.knobs.budget is None or health.spent < self.knobs.budget

    def retries(self, asked: Asked, failure: Failed) -> int:
        if (told := asked.orders.get("num_retries")) is not None:
            return int(told)
        return dict(self.knobs.classes).get(self.kind(failure) or "", self.knobs.retries)

    def kind(self, failure: Failed) -> str | None:
        """What went wrong, where retries are counted by that."""
        return "timeout" if "ReadTimeout" in failure.why else _KINDS.get(failure.status or 0)

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        if len(trail) > self.retries(asked, failure) or failure.wrong_request:
            return False
        siblings = {upstream.name for upstream in self.members(group)}
        return failure.transient or siblings != {one.upstream.name for one in trail}

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return visits

    def speaks_on(self, failure: Failed) -> bool:
        return False

    def patience(self, upstream: Upstream, tries: int, asked: Asked) -> float:
        return float(asked.orders.get("timeout", self.knobs.patience))

    # -- decisions: how long to wait

    def time_left(self, asked: Asked, tries: int) -> float:
        return self.due[id(asked)] - time.monotonic()

    def in_time(self, patience: float, asked: Asked) -> float:
        """The longest silence that is waited for."""
        own = self.knobs.first_token if asked.stream else self.knobs.whole
        return min(patience, own or math.inf, self.time_left(asked, 0))

    def minds(self, asked: Asked, answer: Answer, took: float) -> bool:
        """Whether an attempt that still speaks takes too long."""
        if asked.stream:
            return not answer.text and took > (self.knobs.first_token or math.inf)
        return took > (self.knobs.whole or math.inf)

    def told(self, failures: list[Failed], asked: Asked) -> Exception | None:
        """What is raised when nobody answers: what the last said, or when somebody may."""
        if failures:
            why, last = "; ".join(failure.why for failure in failures), failures[-1]
            return NoAnswer(why, last.status if last.status != 200 else 502, last.hint)
        everybody = [one for group in self.chain(asked) for one in group.deployments]
        if not any(self.serves(one, asked) for one in everybody):
            return NoAnswer("nobody can do that", 400)
        return NoAnswer("nobody is in service", 503, self.until_service())

    def until_service(self) -> float:
        now = time.monotonic()
        waits = (max(one.rests_until, one.hinted_until) - now for one in self.health.values())
        return min((wait for wait in waits if wait > 0), default=1.0)

    # -- decisions: health

    def succeeds(self, upstream: Upstream, asked: Asked) -> None:
        self.health[upstream.name].failures = 0

    def count_failure(self, upstream: Upstream, failure: Failed, asked: Asked) -> None:
        health, now = self.health[upstream.name], time.monotonic()
        if failure.hint is not None and failure.status in (429, 503):
            health.hinted_until = now + failure.hint
        if not self.counts(failure):
            return
        health.failures += 1
        if self.knobs.failures is not None and health.failures >= self.knobs.failures:
            health.failures = 0
            self.rest(health, now)

    def counts(self, failure: Failed) -> bool:
        return failure.status not in (400, 401, 403, 404, 413, 422)

    def rest(self, health: Health, now: float) -> None:
        health.rests_until = now + self.knobs.cooldown

    def hint(self, headers: httpx.Headers) -> float | None:
        if (milliseconds := headers.get("retry-after-ms", "")).isdigit():
            return float(milliseconds) / 1000
        said = headers.get("retry-after", "")
        try:
            if said.endswith("GMT"):
                return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
            return float(said) if said.replace(".", "", 1).isdigit() else None
        except ValueError:
            return None

    # -- decisions: among the deployments of a group

    def choose(self, free: Sequence[Upstream], group: Group, asked: Asked) -> Upstream:
        return self.picking.choose(free, group, asked)

    def admits(self, upstream: Upstream, asked: Asked) -> bool:
        return self.picking.admits(upstream, asked)

    def opens(self, upstream: Upstream, asked: Asked) -> None:
        self.picking.opens(upstream, asked)

    def speaks(self, upstream: Upstream, asked: Asked) -> None:
        self.picking.speaks(asked)

    def closes(self, upstream: Upstream, asked: Asked, answer: Answer, began: float) -> None:
        self.picking.closes(upstream, asked, answer, began)

    # -- decisions: money

    def pay(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        health = self.health[upstream.name]
        if health.window_began is None:
            health.window_began = began
        answer.cost = self.price(upstream, answer)
        health.spent += answer.cost

    def pay_aborted(self, upstream: Upstream, answer: Answer, began: float, asked: Asked) -> None:
        """A caller left a stream: nobody says what that cost, but what was heard can be counted."""
        if self.knobs.estimates:
            answer.tokens = count(asked.text), count(answer.text)
            self.pay(upstream, answer, began, asked)

    def price(self, upstream: Upstream, answer: Answer) -> Decimal:
        into, out = answer.tokens
        return upstream.price[0] * into + upstream.price[1] * out

    def window_over(self, health: Health, now: float) -> bool:
        return health.window_began is not None and now >= health.window_began + self.knobs.window

    # -- decisions: memory

    def cache_key(self, asked: Asked) -> str:
        whole = [asked.api, asked.text, asked.past, dict(asked.options), asked.stream]
        return json.dumps(whole, sort_keys=True)

    def look_up(self, key: str, asked: Asked) -> Answer | None:
        stored = self.cache.get(key)
        if self.knobs.ttl is None or stored is None or time.monotonic() >= stored[0]:
            return None
        return stored[1]

    def served_again(self, found: Answer) -> Answer:
        return replace(found, cost=Decimal(0))

    def store(self, key: str, answer: Answer, asked: Asked) -> None:
        if self.knobs.ttl is not None:
            self.cache[key] = (time.monotonic() + self.knobs.ttl, answer)

    def spoil(self, key: str, answer: Answer, asked: Asked) -> None:
        """A stream broke off after its first words: there is nothing worth keeping."""

    # -- one attempt

    def body(self, upstream: Upstream, asked: Asked, failures: list[Failed]) -> dict[str, Any]:
        """What an upstream is sent; ``failures`` are those that the call has met before."""
        sized = {"dimensions": self.knobs.dimensions} if upstream.embeds else {}
        return sized | body(upstream, asked)

    def finished(self, answer: Answer) -> bool:
        return answer.done

    def attempt(self, opened: Open, asked: Asked, answer: Answer) -> Generator[Any, Any, None]:
        name, began = opened.upstream.name, time.monotonic()
        try:
            status, headers = yield opened
            self.speaks(opened.upstream, asked)
            if status != 200:
                raise Failed(f"{name} {status}", status, hint=self.hint(headers))
            pending, whole = b"", b""
            while piece := (yield Read()):
                whole += piece
                if self.minds(asked, answer, time.monotonic() - began):
                    raise Failed(f"{name} took too long", 408)
                if asked.stream:
                    *lines, pending = (pending + piece).split(b"\n")
                    for line in lines:
                        before = answer.text
                        hear_event(line, answer, status)
                        if said := answer.text[len(before) :]:
                            yield Emit(said)
            if not asked.stream:
                hear_body(json.loads(whole), answer)
                yield Emit(answer.text)
            elif not self.finished(answer):
                raise Failed(f"{name} ended before its end", 200)
        except (httpx.HTTPError, *UNREADABLE) as error:
            raise Failed(f"{name} {type(error).__name__}") from error
