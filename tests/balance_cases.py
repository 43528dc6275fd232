"""Histories told by hand, and what the contracts of the families balance, latency and budget (of what
callers are told) make of them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, balance, budget, latency
from pytest_llmroute.contracts import cache as caching

from .stories import A, B, C, Step, Told, call, story

Case = tuple[Contract, str, History]


def spread(places: str, **about: Any) -> list[Told]:
    """Calls one after the other, each answered by the place of its letter."""
    return [call("answered", (place, "200"), **about) for place in places]


def adorned(history: History, **about: Mapping[str, Any]) -> History:
    """A history with more said of some of its calls and attempts, by their ids."""
    for entry in (*history.calls, *history.attempts):
        for name, value in about.get(entry.id, {}).items():
            setattr(entry, name, value)
    return history


def slow(place: str, at: float, took: float = 10, **about: Any) -> Told:
    """A call whose answer takes a while."""
    return call("answered", Step(place, "200", took=took), at=at, **about)


even = balance.Split(((A, 1.0), (B, 1.0)))
nine = balance.Split(((A, 9.0), (B, 1.0)))
one_flying = balance.InFlight(A, 1)
two_a_minute = balance.Rate(A, 2)
tokens = balance.Rate(A, 100, "tokens")
room = balance.Room((A, B), 1)
seats = balance.Room((A, B), 1, "in-flight")
cheap = balance.Cheapest(((A, Decimal(2)), (B, Decimal(1))))
idle = balance.LeastBusy((A, B))
fast = balance.Fastest((A, B))
tagged = balance.Tagged((("free", (A,)), ("paid", (B,)), ("default", (A,))))
sticky = balance.Sticky((A, B), 100)


def tired(slow_picks: str) -> History:
    """A takes ten seconds, B one; first both are asked in turn."""
    return story(
        *(
            call("answered", Step(place, "200", took=10 if place == "A" else 1))
            for place in "AB" * 6 + slow_picks
        )
    )


FREE = {"options": {"tags": ["free"]}}
PAID = {"options": {"tags": ["paid"]}}
SESSION = {"options": {"session": "s"}}

BALANCE: dict[str, Case] = {
    # -- balance.split
    "an even split is kept": (even, "kept", story(*spread("AB" * 15))),
    "all to one of two equals is broken": (even, "broken", story(*spread("A" * 30))),
    "too few calls tell nothing": (even, "nothing", story(*spread("A" * 15))),
    "an even spread in place of nine to one is broken": (nine, "broken", story(*spread("AB" * 30))),
    "nine to one is kept": (nine, "kept", story(*spread("AAAAAAAAAB" * 6))),
    "declared the other way round is broken": (nine, "broken", story(*spread("ABBBBBBBBB" * 2))),
    "picks while one of them was down tell nothing": (
        even, "nothing", story(call("answered", ("A", "503"), ("B", "200")), *spread("B" * 40)),
    ),
    "picks count again when it has answered a call": (
        even, "broken",
        story(call("answered", ("A", "503"), ("B", "200")), call("answered", ("A", "200")), *spread("B" * 40)),
    ),
    "what a call asked second is not its pick": (
        even, "kept",
        story(*spread("AB" * 14), *(call("answered", (place, "200"), ("A", "200")) for place in "AB")),
    ),
    "where calls ask for two names nothing is told": (
        even, "nothing", story(*spread("A" * 20), *spread("A" * 20, group="b")),
    ),
    "where some calls begin with nobody of these nothing is told": (
        even, "nothing", story(*spread("A" * 40), *spread("C")),
    ),
    "calls of the group alone are told apart": (
        balance.Split(((A, 1.0), (B, 1.0)), group="chat"), "kept",
        story(*spread("AB" * 15), *spread("A" * 40, group="b")),
    ),
    # -- balance.in-flight
    "a second one while the first flies is broken": (one_flying, "broken", story(slow("A", 0), slow("A", 5))),
    "a second one elsewhere is kept": (one_flying, "kept", story(slow("A", 0), slow("B", 5))),
    "a second one that was refused is kept": (one_flying, "kept", story(slow("A", 0), call("failed", at=5))),
    "one after the other fills nothing": (one_flying, "nothing", story(slow("A", 0), slow("A", 10))),
    "a caller who left has freed the place": (
        one_flying, "nothing",
        story(call("left", Step("A", "200-left", took=10), at=0, took=2, stream=True), slow("A", 3)),
    ),
    "a try that was given up has freed the place": (
        balance.InFlight(A, 2), "nothing",
        story(call("answered", Step("A", "silence", took=9), Step("B", "200", at=3), at=0), slow("A", 4)),
    ),
    "another name at another place does not fill it": (
        one_flying, "nothing", story(slow("A", 0), slow("B", 5, group="b")),
    ),
    # -- balance.rate
    "three at a moment where two may be is broken": (
        two_a_minute, "broken", story(*(slow("A", 1, 1) for _ in "123")),
    ),
    "a third that goes elsewhere is kept": (
        two_a_minute, "kept", story(slow("A", 1, 1), slow("A", 3, 1), slow("B", 5, 1)),
    ),
    "two on either side of a minute's edge are allowed": (
        two_a_minute, "nothing", story(*(slow("A", at, 1) for at in (50, 55, 61, 66))),
    ),
    "five in half a minute are too many wherever minutes begin": (
        two_a_minute, "broken", story(*(slow("A", at, 1) for at in (41, 47, 53, 59, 65))),
    ),
    "a third in the next minute proves nothing": (
        two_a_minute, "nothing", story(slow("A", 0, 1), slow("A", 9, 1), slow("A", 70, 1)),
    ),
    "what may be too many proves nothing of who stayed away": (
        two_a_minute, "nothing",
        story(*(slow("A", at, 1) for at in (50, 55, 61, 66)), slow("B", 68, 1)),
    ),
    "requests that failed were requests too": (
        two_a_minute, "broken", story(*(call("failed", ("A", "503"), at=1) for _ in "123")),
    ),
    "more tokens than a minute has are broken": (
        tokens, "broken",
        adorned(story(*(slow("A", at, 1) for at in range(0, 24, 3))),
                **{f"a{n}": {"tokens_in": 60, "tokens_out": 20} for n in range(1, 9)}),
    ),
    "staying away with a minute's tokens used is kept": (
        tokens, "kept",
        adorned(story(slow("A", 0, 1), slow("A", 2, 1), slow("B", 5, 1)),
                a1={"tokens_in": 50}, a2={"tokens_out": 60}),
    ),
    "tokens of an answer that is under way are not known": (
        tokens, "nothing", adorned(story(slow("A", 0, 9), slow("A", 5, 9)), a1={"tokens_in": 500}),
    ),
    # -- balance.room
    "refusing while a sibling has room is broken": (
        room, "broken", story(slow("A", 0, 1), call("failed", at=5)),
    ),
    "a sibling that serves when one is full is kept": (room, "kept", story(slow("A", 0, 1), slow("B", 5, 1))),
    "refusing when all are full is allowed": (
        room, "kept", story(slow("A", 0, 1), slow("B", 5, 1), call("failed", at=7)),
    ),
    "a refusal by a provider is no refusal by the router": (
        room, "nothing", story(slow("A", 0, 1), call("failed", ("B", "429"), at=5)),
    ),
    "a sibling that failed has no room": (
        room, "nothing", story(call("answered", ("B", "503"), ("A", "200"), at=0), call("failed", at=9)),
    ),
    "a call of the same moment may have had the room": (
        room, "kept", story(slow("A", 0, 1), call("failed", at=5), slow("B", 5, 1, group="b")),
    ),
    "refusing while a sibling has a free place is broken": (
        seats, "broken", story(slow("A", 0), call("failed", at=5)),
    ),
    "a place is free again when its answer has come": (
        seats, "broken", story(slow("A", 0), slow("B", 1), call("failed", at=30)),
    ),
    # -- balance.cheapest
    "always the cheapest is kept": (cheap, "kept", story(*spread("B" * 10))),
    "the dearer once is broken": (cheap, "broken", story(*spread("B" * 9 + "A"))),
    "a few calls may have gone there by accident": (cheap, "nothing", story(*spread("B" * 9))),
    "the dearer is right when the cheaper has failed": (
        cheap, "nothing", story(call("answered", ("B", "503"), ("A", "200")), *spread("A" * 12)),
    ),
    # -- balance.least-busy
    "going to the idle one is kept": (idle, "kept", story(slow("A", 0), slow("B", 5))),
    "going to the busy one is broken": (idle, "broken", story(slow("A", 0), slow("A", 5))),
    "two at a moment may both think it idle": (idle, "nothing", story(slow("A", 0), slow("A", 0))),
    "an answer that has just come may still count": (
        idle, "nothing", story(slow("B", 0, 4.5), slow("A", 0, 9), slow("A", 5, 1)),
    ),
    "equally busy ones are equally right": (idle, "kept", story(slow("A", 0), slow("B", 1), slow("A", 5))),
    "nothing in flight, nothing to choose by": (idle, "nothing", story(slow("A", 0, 1), slow("A", 5, 1))),
    # -- balance.fastest
    "leaving the slow one alone is kept": (fast, "kept", tired("B" * 22)),
    "half to the slow one is broken": (fast, "broken", tired("AB" * 11)),
    "a look at the slow one now and then is kept": (fast, "kept", tired("BBBBA" * 5)),
    "equals may get what they like": (fast, "nothing", story(*spread("AB" * 6 + "A" * 22))),
    "nobody can know one that was never asked": (
        fast, "nothing", story(*(slow("A", 20 * n) for n in range(40))),
    ),
    # -- balance.tags
    "a tag that is carried is kept": (tagged, "kept", adorned(story(*spread("B")), c1=PAID)),
    "a tag that is not carried is broken": (tagged, "broken", adorned(story(*spread("B")), c1=FREE)),
    "a fallback to another tag is broken": (
        tagged, "broken", adorned(story(call("answered", ("A", "503"), ("B", "200"))), c1=FREE),
    ),
    "a fallback to another group is nobody's business": (
        tagged, "kept", adorned(story(call("answered", ("A", "503"), ("C", "200"))), c1=FREE),
    ),
    "no tag means the default": (tagged, "broken", adorned(story(*spread("BB")), c1=PAID)),
    "without any tags there is nothing to judge": (tagged, "nothing", story(*spread("AB"))),
    "an unknown tag promises nothing": (
        tagged, "nothing", adorned(story(*spread("B")), c1={"options": {"tags": ["else"]}}),
    ),
    "a tag that excludes is not judged": (
        balance.Tagged((("free", (A,)), ("paid", (B,)))), "nothing",
        adorned(story(*spread("B")), c1={"options": {"tags": ["!paid"]}}),
    ),
    # -- balance.sticky
    "a session that stays is kept": (sticky, "kept", adorned(story(*spread("AA")), c1=SESSION, c2=SESSION)),
    "a session that moves is broken": (sticky, "broken", adorned(story(*spread("AB")), c1=SESSION, c2=SESSION)),
    "another session may be elsewhere": (
        sticky, "nothing", adorned(story(*spread("AB")), c1=SESSION, c2={"options": {"session": "t"}}),
    ),
    "after its idle time a session may move": (
        sticky, "nothing", adorned(story(slow("A", 0, 1), slow("B", 100, 1)), c1=SESSION, c2=SESSION),
    ),
    "a session moves from one that failed": (
        sticky, "nothing",
        adorned(story(*spread("A"), call("answered", ("A", "503"), ("B", "200")), *spread("B")),
                c1=SESSION, c2=SESSION, c3=SESSION),
    ),
    "two calls of a session at a moment know nothing of each other": (
        sticky, "nothing", adorned(story(slow("A", 0), slow("B", 0)), c1=SESSION, c2=SESSION),
    ),
}  # fmt: skip

first = latency.FirstToken(5)
within = latency.AttemptWithin(5)
answer = latency.AnswerWithin(20)
LATE = Step("A", "200", took=9)
NO_WORD = Step("A", "200-stall", took=5, spoke=False)

LATENCY: dict[str, Case] = {
    # -- latency.first-token
    "leaving a stream without a word in time is kept": (
        first, "kept", story(call("answered", NO_WORD, ("B", "200"), stream=True)),
    ),
    "waiting twice as long for a word is broken": (
        first, "broken",
        story(call("answered", Step("A", "200-stall", took=10, spoke=False), ("B", "200"), stream=True)),
    ),
    "a first token that came too late is broken": (
        first, "broken", adorned(story(call("answered", LATE, stream=True)), a1={"first_token": 8.0}),
    ),
    "a first token in time proves nothing": (first, "nothing", story(call("answered", LATE, stream=True))),
    "a stall after the first token is another matter": (
        first, "nothing", story(call("failed", Step("A", "200-stall", took=30), stream=True)),
    ),
    "what is not streamed has no first token": (
        first, "nothing", story(call("answered", Step("A", "silence", took=30), ("B", "200"))),
    ),
    "a stream that was left before its time proves nothing": (
        first, "nothing", story(call("failed", Step("A", "silence", took=2), stream=True)),
    ),
    "who waits until the caller goes away waits too long": (
        first, "broken", story(call("left", Step("A", "silence", took=30), stream=True)),
    ),
    # -- latency.attempt
    "an attempt that is left in time is kept": (
        within, "kept", story(call("answered", Step("A", "200-left", took=5), ("B", "200"))),
    ),
    "an attempt that drips on is broken": (within, "broken", story(call("answered", LATE))),
    "an attempt that is done in time proves nothing": (within, "nothing", story(call("answered", ("A", "200")))),
    "a stream may last": (within, "nothing", story(call("answered", LATE, stream=True))),
    "a caller who left early did not time out": (
        within, "nothing", story(call("left", Step("A", "200-left", took=5), took=5)),
    ),
    "a second of slack is allowed": (
        within, "kept", story(call("answered", Step("A", "silence", took=5.9), ("B", "200"))),
    ),
    # -- latency.answer
    "an answer in time after a failure is kept": (
        answer, "kept", story(call("answered", Step("A", "silence", took=10), ("B", "200"))),
    ),
    "an error in time is kept": (answer, "kept", story(call("failed", Step("A", "silence", took=20)))),
    "an answer that took too long is broken": (
        answer, "broken", story(call("answered", Step("A", "silence", took=20), ("B", "200"))),
    ),
    "a call that hangs is broken": (answer, "broken", story(call("hung", ("A", "silence")))),
    "a quick answer proves nothing": (answer, "nothing", story(call("answered", ("A", "200")))),
    "a caller who left was not kept waiting": (
        answer, "nothing", story(call("left", Step("A", "silence", took=30))),
    ),
}  # fmt: skip

ledger = budget.Ledger()
free = budget.Free()
DEAR = Step("A", "200", spent="1", at=1)
SEEN = {"tokens_in": 10, "tokens_out": 5}
TOLD = {"cost": Decimal("1"), **SEEN}

TOLD_COSTS: dict[str, Case] = {
    # -- budget.ledger
    "the true cost is kept": (ledger, "kept", adorned(story(call("answered", DEAR)), a1=SEEN, c1=TOLD)),
    "another cost is broken": (
        ledger, "broken",
        adorned(story(call("answered", DEAR)), a1=SEEN, c1=TOLD | {"cost": Decimal("1.02")}),
    ),
    "a cent less is not seen": (
        ledger, "kept",
        adorned(story(call("answered", DEAR)), a1=SEEN, c1=TOLD | {"cost": Decimal("0.99")}),
    ),
    "one token more is broken": (
        ledger, "broken", adorned(story(call("answered", DEAR)), a1=SEEN, c1=TOLD | {"tokens_in": 11}),
    ),
    "usage alone is judged too": (
        ledger, "kept", adorned(story(call("answered", DEAR)), a1=SEEN, c1={"tokens_out": 5}),
    ),
    "a caller who is told nothing is told nothing wrong": (
        ledger, "nothing", adorned(story(call("answered", DEAR)), a1=SEEN),
    ),
    "the cost may be that of all tries": (
        ledger, "kept",
        adorned(story(call("answered", Step("A", "200-cut", spent="1"), Step("B", "200", spent="1"), words=("a2",))),
                a2=SEEN, c1=TOLD | {"cost": Decimal(2)}),
    ),
    "what costs nothing shows nothing": (
        ledger, "nothing", adorned(story(call("answered", ("A", "200"))), c1={"cost": Decimal(0)}),
    ),
    # -- budget.free
    "a hit for nothing is kept": (
        free, "kept",
        adorned(story(call("answered", DEAR), call("answered", words=("a1",))), c2={"cost": Decimal(0)}),
    ),
    "a hit that costs is broken": (
        free, "broken",
        adorned(story(call("answered", DEAR), call("answered", words=("a1",))), c2={"cost": Decimal(1)}),
    ),
    "a hit of unknown cost shows nothing": (
        free, "nothing", story(call("answered", DEAR), call("answered", words=("a1",))),
    ),
    "an answer that was asked for may cost": (
        free, "nothing", adorned(story(call("answered", DEAR)), c1={"cost": Decimal(1)}),
    ),
    # -- cache.apart, of more than one model
    "the answer of another model is broken": (
        caching.Apart(), "broken",
        story(call("answered", Step("A", "200", at=1), group="a", question="q", request="r"),
              call("answered", group="b", question="q", request="r", words=("a1",))),
    ),
    "each model's own answer is kept": (
        caching.Apart(), "kept",
        story(call("answered", Step("A", "200", at=1), group="a", question="q", request="r"),
              call("answered", Step("B", "200"), group="b", question="q", request="r")),
    ),
    # -- budget.cutoff, of streams that were left
    "a stream that was left counts for nothing unless told": (
        budget.Cutoff((A,), Decimal(1), 100), "nothing",
        story(*(call("left", Step("A", "200-left", took=1, spent="1"), stream=True) for _ in "123")),
    ),
    "a stream that was left counts for as much as is told": (
        budget.Cutoff((A,), Decimal(1), 100, aborted=0.5), "broken",
        story(*(call("left", Step("A", "200-left", took=1, spent="1"), stream=True, at=2 * n) for n in range(3))),
    ),
    "embeddings and streams are spent like anything else": (
        budget.Cutoff((A, C), Decimal(1), 100), "broken",
        adorned(story(call("answered", Step("C", "200", spent="0.6"), stream=True),
                      call("answered", Step("A", "200", spent="0.6"), entry="embeddings"),
                      call("answered", ("C", "200"), at=9)),
                a2={"operation": "embeddings"}),
    ),
}  # fmt: skip
