"""What the reference router promises, and the scenarios in which that can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from llmroute_sim.faults import (
    Cut,
    Drip,
    ErrorInStream,
    LatencySpike,
    MissingTerminal,
    ModelGone,
    Outage,
    RateLimit,
    Refused,
    Reset,
    Silence,
    Stall,
    Unauthorized,
)
from llmroute_sim.history import History, fingerprint
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask, Scenario
from pytest_llmroute.contracts import (
    Contract,
    Observation,
    Target,
    budget,
    fallback,
    health,
    retry,
    stream,
)
from pytest_llmroute.contracts import cache as caching
from pytest_llmroute.play import Cell, play
from pytest_llmroute.routers import Entry

from .driven import ENTRIES, Routed
from .mutants import MUTANTS
from .reference import ANTHROPIC, GROQ, OPENAI, Knobs, Upstream

GROUP = "chat"
BUDGET = Decimal("1.00")
WINDOW = 3600.0
TTL = 600.0
COOLDOWN = 60.0


def target(upstream: Upstream) -> Target:
    host = upstream.url.split("/")[2]
    return Target(upstream.name, ((host, upstream.model, fingerprint(upstream.key)),), alone=True)


CHAIN = tuple(map(target, (OPENAI, ANTHROPIC, GROQ)))


def promised(knobs: Knobs) -> dict[str, Contract]:
    """What a router that is set up so promises, by contract."""
    found: list[Contract] = [
        fallback.Answers(CHAIN),
        fallback.Order(CHAIN),
        fallback.Elsewhere(CHAIN),
        fallback.Once(CHAIN),
        retry.Bounded(CHAIN[0], knobs.retries),
        retry.Tried(CHAIN[0], knobs.retries),
        retry.Hint(CHAIN),
        retry.Hopeless(CHAIN),
        stream.OneVoice(),
        stream.Whole(),
        stream.Stall(knobs.patience),
    ]
    if knobs.budget is not None:
        found.append(budget.Cutoff(CHAIN[:1], knobs.budget, knobs.window))
        found.append(budget.Returns(CHAIN[:1], knobs.budget, knobs.window))
    if knobs.ttl is not None:
        found += [caching.Hit(knobs.ttl), caching.Expires(knobs.ttl), caching.Apart()]
        found.append(caching.Clean())
    if knobs.failures is not None:
        found.append(health.Cooldown(CHAIN[0], knobs.cooldown, knobs.failures))
    return {contract.id: contract for contract in found}


FIRST, SECOND, THIRD = Place("openai"), Place("anthropic"), Place("groq")
ALL = (FIRST, SECOND, THIRD)


def broken(name: str, *incidents: Incident, asks: tuple[Ask, ...] = (Ask(),)) -> Scenario:
    return Scenario(name, incidents=incidents, asks=asks)


def repeated(name: str, *asks: Ask) -> Scenario:
    return Scenario(name, stimulus="repeats", asks=asks)


def spending(name: str, *asks: Ask) -> Scenario:
    # 0.4 of the budget at the first of the chain: 0.2 for the prompt, 0.2 for the answer.
    return Scenario(name, stimulus="spend", asks=asks, bills=Usage(80_000, 20_000))


NO_RETRIES = Knobs(retries=0)
CACHED = Knobs(ttl=TTL)
PAID = Knobs(budget=BUDGET, window=WINDOW)
RESTING = Knobs(retries=0, failures=2, cooldown=COOLDOWN)

TRIALS: dict[str, tuple[Scenario, Knobs]] = {
    "fallback.answers": (broken("outage", Incident(Outage(500), (FIRST,))), Knobs()),
    "fallback.order": (broken("rate-limited", Incident(RateLimit(), (FIRST,))), Knobs()),
    "fallback.elsewhere": (broken("all-down", Incident(Outage(503), ALL)), Knobs()),
    "fallback.once": (broken("two-limited", Incident(RateLimit(), (FIRST, SECOND))), Knobs()),
    "retry.bounded": (broken("silence", Incident(Silence(), (FIRST,))), Knobs()),
    "retry.tried": (broken("refused", Incident(Refused(), (FIRST,))), Knobs()),
    "retry.hint": (
        broken(
            "hint",
            Incident(RateLimit(20, hint="milliseconds"), (FIRST,), When(between=(0, 20))),
            asks=(Ask(times=3, every=5), Ask(at=25)),
        ),
        Knobs(),
    ),
    "retry.hopeless": (broken("model-gone", Incident(ModelGone(), (FIRST,))), Knobs()),
    "stream.one-voice": (broken("reset", Incident(Reset(3), (FIRST,))), Knobs()),
    "stream.whole": (broken("unfinished", Incident(MissingTerminal(3), (FIRST,))), Knobs()),
    "stream.stall": (broken("stall", Incident(Silence(), (FIRST,))), Knobs()),
    "budget.cutoff": (spending("spend", Ask(times=6, every=2)), PAID),
    "budget.window": (
        spending("window", Ask(times=5, every=2), Ask(at=WINDOW - 1), Ask(at=WINDOW + 5, times=2)),
        PAID,
    ),
    "cache.hit": (
        repeated("repeat", Ask(question="A"), Ask(), Ask(at=5, question="A")),
        CACHED,
    ),
    "cache.expires": (
        repeated("expires", *(Ask(at=at, question="A") for at in (0, TTL - 1, TTL + 2))),
        CACHED,
    ),
    "cache.apart": (
        repeated(
            "near",
            Ask(question="A"),
            *(
                Ask(question="A", options=options)
                for options in ({"temperature": 0.1}, {"system": "In French."}, {"max_tokens": 5})
            ),
        ),
        CACHED,
    ),
    "cache.clean": (
        broken(
            "cut-then-repeat",
            Incident(Cut(3), ALL, When(between=(0, 60))),
            asks=(Ask(question="A"), Ask(at=120, question="A")),
        ),
        CACHED,
    ),
    "health.cooldown": (
        broken(
            "crowd",
            Incident(Outage(500), (FIRST,), When(first=2)),
            asks=(Ask(together=2), Ask(at=COOLDOWN - 1), Ask(at=COOLDOWN + 3, times=2)),
        ),
        RESTING,
    ),
}
"""For each contract a scenario that tries it, and the knobs that it takes."""

EVERYTHING = Knobs(retries=1, budget=BUDGET, window=WINDOW, ttl=TTL, failures=2, cooldown=COOLDOWN)
BUSY = (Ask(together=6), Ask(at=2, times=20, every=7), Ask(at=200, together=6, question="A"))

MORE: dict[str, tuple[Scenario, Knobs]] = {
    "stall after words": (broken("stall", Incident(Stall(3), (FIRST,))), Knobs()),
    "bad key": (broken("unauthorized", Incident(Unauthorized(), (FIRST,))), Knobs()),
    "error at once": (broken("error-event", Incident(ErrorInStream(0), (FIRST,))), Knobs()),
    "reset early": (broken("reset-early", Incident(Reset(-1), ALL)), Knobs()),
    "now and then": (
        broken("now-and-then", Incident(Outage(503), (FIRST,), When(every=2)), asks=BUSY),
        EVERYTHING,
    ),
    "chance": (
        broken(
            "chance",
            Incident(Outage(500), ALL, When(chance=0.3)),
            Incident(RateLimit(15), (FIRST, SECOND), When(chance=0.2)),
            Incident(Cut(2), ALL, When(chance=0.2)),
            asks=BUSY,
        ),
        EVERYTHING,
    ),
    "flapping": (
        broken(
            "flapping",
            Incident(Refused(), (FIRST,), When(between=(0, 50))),
            Incident(Silence(), (FIRST,), When(between=(100, 170))),
            Incident(Outage(500), (SECOND,), When(between=(40, 120))),
            asks=BUSY,
        ),
        EVERYTHING,
    ),
    "dear": (spending("dear", *BUSY, Ask(at=WINDOW + 60, times=5, every=3)), EVERYTHING),
    "slow": (broken("slow", Incident(LatencySpike(11), (FIRST,)), asks=BUSY), EVERYTHING),
    "dripping": (broken("dripping", Incident(Drip(4), (FIRST,)), asks=BUSY), EVERYTHING),
}
"""Further scenarios in which a good router must look good."""


@dataclass(frozen=True)
class Seen:
    """What a contract says of a router in a scenario, over all the ways in."""

    outcome: str
    observations: tuple[Observation, ...]


@cache
def history(router: str, scenario: str, entry: Entry, *, calm: bool = False) -> History:
    """What happened; ``router`` is a contract's mutant, or the reference."""
    found, knobs = _trial(scenario)
    routed = Routed(knobs, MUTANTS[router]) if router in MUTANTS else Routed(knobs)
    return play(Cell(routed, found.calmed() if calm else found, GROUP, entry))


def seen(router: str, scenario: str, contract: str, *, calm: bool = False) -> Seen:
    found = promised(_trial(scenario)[1]).get(contract)
    observations = tuple(
        observation
        for entry in ENTRIES
        if found is not None
        for observation in found.check(history(router, scenario, entry, calm=calm))
    )
    if not observations:
        return Seen("untested", ())
    kept = all(observation.kept for observation in observations)
    return Seen("kept" if kept else "broken", observations)


def scenarios() -> tuple[str, ...]:
    return (*TRIALS, *MORE)


def _trial(name: str) -> tuple[Scenario, Knobs]:
    return TRIALS[name] if name in TRIALS else MORE[name]
