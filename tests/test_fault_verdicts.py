# What contracts make of every fault: of a router that does all it can, and of one that hands on
# whatever it gets. Neither is to blame for what a provider does.

from __future__ import annotations

import functools
import json
from decimal import Decimal

import httpx
import pytest

from every_fault import ALL, BENDING, CUTTING, REFUSING, SPEAKING
from llmroute_sim import faults
from llmroute_sim.incidents import ALWAYS, Incident, When
from llmroute_sim.scenario import Ask, Scenario
from pytest_llmroute import world
from pytest_llmroute.contracts import cache, fallback, health, retry, stream
from pytest_llmroute.play import Cell, play

from .routers.driven import ENTRIES, Routed
from .routers.reference import Knobs
from .routers.trials import COOLDOWN, FIRST, GROUP, TTL, WINDOW, promised
from .stories import CHAIN, A, Step, call, story, verdict

pytestmark = pytest.mark.once

KNOBS = Knobs(
    retries=1, ttl=TTL, failures=2, cooldown=COOLDOWN, budget=Decimal("1.00"), window=WINDOW
)
FAULTS = [*ALL, faults.Refused(), faults.Unreachable(), faults.NameNotFound()]
LAWFUL = {"filler", "split-oddly"}


@functools.cache
def judged(fault, when=ALWAYS):
    """What every contract says of the reference router while a fault is at its first target."""
    asks = (Ask(question="A"), Ask(at=5, times=3, every=9), Ask(at=90, question="A"))
    scenario = Scenario("fault", incidents=(Incident(fault, (FIRST,), when),), asks=asks)
    found = []
    for entry in ENTRIES:
        history = play(Cell(Routed(KNOBS), scenario, GROUP, entry))
        for contract in promised(KNOBS):
            found += [(history, contract.id, seen) for seen in contract.check(history)]
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_good_router_is_blamed_for_no_fault(fault):
    blamed = [(name, seen.says) for _, name, seen in judged(fault) if not seen.kept]
    assert blamed == []


@pytest.mark.parametrize("fault", [*SPEAKING, *BENDING, *CUTTING], ids=repr)
def test_a_good_router_is_blamed_for_no_fault_that_comes_once(fault):
    blamed = [(n, seen.says) for _, n, seen in judged(fault, When(nth=2)) if not seen.kept]
    assert blamed == []


@pytest.mark.parametrize("fault", [*SPEAKING, *BENDING], ids=repr)
def test_an_answer_that_is_no_failure_proves_no_fallback_and_no_retry(fault):
    for history, name, _ in judged(fault):
        if all(not attempt.outcome.endswith(("-damaged", "left")) for attempt in history.attempts):
            # Whoever answers, the answer is to say who it was.
            proves = name.startswith(("fallback.", "retry.", "stream.", "health."))
            assert not proves or name == "fallback.named"


@pytest.mark.parametrize("fault", REFUSING, ids=repr)
def test_who_turns_a_request_away_has_failed_it_unless_the_request_is_wrong(fault):
    kept = {name for _, name, seen in judged(fault) if seen.kept}
    wrong = (
        faults.ContextLengthExceeded, faults.InvalidRequest, faults.Unprocessable,
        faults.Moderated, faults.TooLarge, faults.HeadersTooLarge,
    )  # fmt: skip
    assert ("fallback.answers" in kept) == (not isinstance(fault, wrong))


# -- a router that hands on what it gets


def hand_on(streamed):
    """The bytes of the provider as text, whatever they are."""
    said = {"model": "gpt-4o", "stream": streamed, "messages": [{"role": "user", "content": "hi"}]}
    url, headers = "https://api.openai.com/v1/chat/completions", {"authorization": "Bearer k"}
    with httpx.stream("POST", url, json=said, headers=headers) as answer:
        answer.raise_for_status()
        yield from answer.iter_text()


def read(streamed):
    """The answer as a careless reader makes it out: what it cannot read it leaves out."""
    words, finish = "", None
    text = "".join(hand_on(streamed))
    for line in text.splitlines() if streamed else [text]:
        try:
            found = json.loads(line.removeprefix("data: "))
        except ValueError:
            continue
        for choice in found.get("choices") or ():
            message = choice.get("delta") or choice.get("message") or {}
            words += message.get("content") or ""
            finish = choice["finish_reason"] or finish
    return {"text": words, "finish_reason": finish}


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("app", [hand_on, read])
@pytest.mark.parametrize("fault", [*SPEAKING, *BENDING, faults.MalformedEvent(2)], ids=repr)
def test_who_hands_on_what_came_to_its_end_presents_nothing_broken(fault, app, streamed):
    with world() as here:
        here.inject(fault, at="openai")
        try:
            here.ask(app, streamed, stream=streamed)
        except httpx.HTTPError:
            return
        broken = [one.says for one in stream.Whole().check(here.history) if not one.kept]
        assert broken == []
        assert here.history.attempts[0].outcome != "200" or _lawful(here)


def _lawful(here):
    return not here.history.attempts[0].faults or any(
        name.startswith(tuple(LAWFUL)) for name in here.history.attempts[0].faults
    )


@pytest.mark.parametrize(("after", "kept"), [(2, [False]), (40, [])])
def test_who_stops_at_what_cannot_be_read_and_says_finished_has_lost_the_rest(after, kept):
    def ask():
        text = "".join(hand_on(True)).partition('"choices":[{"index":\n')[0]
        return {"text": text, "finish_reason": "stop"}

    with world() as here:
        here.inject(faults.MalformedEvent(after), at="openai")
        here.ask(ask, stream=True)
        assert [one.kept for one in stream.Whole().check(here.history)] == kept


@pytest.mark.parametrize("fault", [faults.MissingTerminal(3), faults.Stall(3, 1.0)], ids=repr)
def test_what_broke_off_and_is_presented_as_finished_is_still_told(fault):
    def ask():
        return {**read(True), "finish_reason": "stop"}

    with world() as here:
        here.inject(fault, at="openai")
        here.ask(ask, stream=True)
        found = [one.kept for one in stream.Whole().check(here.history)]
        assert found == ([False] if isinstance(fault, faults.MissingTerminal) else [])


# -- told by hand


@pytest.mark.parametrize(
    ("contract", "calls", "expected"),
    [
        # An error that came with status 200 and was handed on is no answer.
        (fallback.Answers(CHAIN), [call("answered", ("A", "200-error"), words=())], "nothing"),
        (fallback.Answers(CHAIN), [call("answered", ("A", "200-damaged"), words=())], "nothing"),
        (fallback.Answers(CHAIN), [call("answered", ("A", "200-error"), ("B", "200"))], "kept"),
        (fallback.Answers(CHAIN), [call("failed", ("A", "200-error"))], "broken"),
        (fallback.Answers(CHAIN), [call("failed", ("A", "200-degraded"))], "nothing"),
        # What can only be told by reading it need not be tried again.
        (retry.Tried(A, 1), [call("failed", ("A", "200-damaged"))], "nothing"),
        (retry.Tried(A, 1), [call("failed", ("A", "200-error"))], "nothing"),
        (retry.Tried(A, 1), [call("failed", ("A", "200-cut"))], "broken"),
        (
            retry.Tried(A, 1),
            [call("failed", Step("A", "200-error", spoke=False), stream=True)],
            "broken",
        ),
        # Nobody waits for days.
        (
            retry.Hint((A,)),
            [call("answered", Step("A", "429", hint=99_999), ("A", "200"))],
            "nothing",
        ),
        (
            retry.Hint((A,)),
            [call("answered", Step("A", "429", hint=9_999), ("A", "200"))],
            "broken",
        ),
        # What came to its end may be kept, and may be told as finished.
        (
            cache.Clean(),
            [
                call("answered", ("A", "200-degraded"), request="r"),
                call("answered", request="r", words=("a1",)),
            ],
            "nothing",
        ),
        (stream.Whole(), [call("answered", ("A", "200-damaged"), stream=True, at=1)], "nothing"),
        (stream.Whole(), [call("answered", ("A", "200-degraded"), stream=True, at=1)], "nothing"),
        (stream.Whole(), [call("answered", ("A", "200-cut"), stream=True, at=1)], "broken"),
        (stream.Whole(), [call("failed", ("A", "200-damaged"), stream=True)], "kept"),
        # A page is no answer, and finished is what it never was.
        (stream.Whole(), [call("answered", ("A", "200-damaged"), words=())], "broken"),
        (
            stream.Whole(),
            [call("answered", ("A", "200-damaged"), words=(), finish=None)],
            "nothing",
        ),
        # What was wrong with an answer may be a reason to keep away.
        (
            fallback.Order(CHAIN),
            [call("answered", ("A", "200-degraded")), call("answered", ("B", "500"), ("C", "200"))],
            "kept",
        ),
        (
            health.Cooldown(A, 60, 2),
            [
                call("failed", ("A", "500")),
                call("answered", ("A", "200-degraded")),
                call("answered", ("A", "500"), ("B", "200")),
                call("answered", ("A", "200")),
            ],
            "nothing",
        ),
    ],
)
def test_what_proves_nothing_is_not_judged(contract, calls, expected):
    assert verdict(contract, story(*calls)) == expected
