from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import (
    Contract,
    balance,
    budget,
    contracts,
    fallback,
    health,
    latency,
    retry,
    stream,
)
from pytest_llmroute.contracts import cache as caching

from .asked_cases import MINE
from .stories import CHAIN, A, B, Step, Told, call, story

pytestmark = pytest.mark.once

ALL: tuple[Contract, ...] = (
    fallback.Answers(CHAIN),
    fallback.Order(CHAIN),
    fallback.Elsewhere((A, B)),
    fallback.Once(CHAIN),
    retry.Bounded(A, 1),
    retry.Tried(A, 1),
    retry.Hint(CHAIN),
    retry.Hopeless(CHAIN),
    stream.OneVoice(),
    stream.Whole(),
    stream.Stall(10),
    budget.Cutoff((A,), Decimal(1), 100),
    budget.Returns((A,), Decimal(1), 100),
    budget.Ledger(),
    budget.Free(),
    caching.Hit(60),
    caching.Expires(60),
    caching.Apart(),
    caching.Clean(),
    health.Cooldown(A, 60),
    health.Cooldown(A, 60, failures=2),
    balance.Split(((A, 1.0), (B, 1.0))),
    balance.InFlight(A, 1),
    balance.Rate(A, 2, window=64),
    balance.Rate(A, 1, "tokens", window=64),
    balance.Room(CHAIN, 1),
    balance.Room(CHAIN, 1, "in-flight"),
    balance.Cheapest(((A, Decimal(2)), (B, Decimal(1)))),
    balance.LeastBusy(CHAIN),
    balance.Fastest(CHAIN),
    balance.Tagged((("free", (A,)), ("paid", (B,)))),
    balance.Sticky(CHAIN),
    latency.FirstToken(5),
    latency.AnswerWithin(20),
    latency.AttemptWithin(5),
    *MINE,
)

OUTCOMES = (
    "200", "429", "500", "503", "401", "404", "400", "refused", "silence", "reset", "left",
    "200-cut", "200-stall", "200-error", "200-left", "200-unfinished",
)  # fmt: skip

steps = st.builds(
    Step,
    place=st.sampled_from(("A", "A", "A", "B", "B", "C", "A2", "A mini", "Z")),
    outcome=st.sampled_from(("200",) * 6 + OUTCOMES),
    took=st.sampled_from((None, 0.5, 12.0)),
    hint=st.sampled_from((None, None, 20.0)),
    spent=st.sampled_from(("0", "0.4", "0.7")),
    spoke=st.sampled_from((None, False)),
)
calls = st.builds(
    Told,
    outcome=st.sampled_from(("answered", "answered", "answered", "failed", "hung", "left", "open")),
    steps=st.lists(steps, max_size=4).map(tuple),
    at=st.none() | st.floats(0, 200).map(lambda at: round(at, 1)),
    group=st.sampled_from(("chat", "chat", "chat", "b", None)),
    stream=st.sampled_from((False, False, True)),
    question=st.sampled_from(("q", "q", "")),
    request=st.sampled_from(("r", "r", "s", "")),
    finish=st.sampled_from(("stop", None, "length")),
    words=st.sampled_from((None, None, None, ("a1",), ("a2", "a3"))),
    tied=st.sampled_from((True,) * 9 + (False,)),
    features=st.sampled_from(((), (), ("tools",), ("json", "schema"))),
    options=st.sampled_from(
        ({}, {}, {"disable_fallbacks": True}, {"num_retries": 0}, {"fallbacks": ["spare"]})
    ),
    model=st.sampled_from((None, "model-a", "model-b")),
    dimension=st.sampled_from((None, 256, 512)),
)


def in_order(told: list[Told]) -> History:
    """A history in the order in which its calls began, as a real one is."""
    return story(*sorted(told, key=lambda one: one.at or 0.0))


histories = st.lists(calls, max_size=7).map(in_order)


def observed(history: History) -> list[object]:
    return [list(contract.check(history)) for contract in ALL]


def test_the_laws_are_about_every_contract():
    assert {contract.id for contract in ALL} == set(contracts())


@pytest.mark.parametrize("contract", ALL, ids=lambda contract: contract.id)
def test_an_empty_history_shows_nothing(contract):
    assert list(contract.check(History())) == []


@given(histories)
def test_keeping_a_history_changes_no_verdict(history):
    kept = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert observed(kept) == observed(history)


@given(histories)
def test_every_observation_names_what_it_is_about_and_says_so_in_one_line(history):
    known = {entry.id for entry in (*history.calls, *history.attempts)}
    for contract in ALL:
        for seen in contract.check(history):
            assert seen.at in known
            assert set(seen.evidence) <= known
            assert seen.evidence
            assert seen.says
            assert "\n" not in seen.says
            assert any(one in seen.says for one in seen.evidence)


@given(histories, st.floats(0, 200), st.integers(0, 7))
def test_an_unrelated_call_changes_nothing(history, at, position):
    before = observed(history)
    other = story(
        call("answered", ("Z", "200"), at=at, group="other", question="else", request="e")
    )
    [stranger] = other.calls
    [attempt] = other.attempts
    history.calls.insert(min(position, len(history.calls)), replace(stranger, id="c99"))
    spot = min(position, len(history.attempts))
    words = ("zzz",)
    history.attempts.insert(spot, replace(attempt, id="a99", call="c99", marks=words))
    history.calls[min(position, len(history.calls) - 1)].marks = words
    assert observed(history) == before


@given(histories, st.data())
def test_what_a_gateway_asks_behind_the_router_changes_nothing(history, data):
    before = observed(history)
    if history.attempts:
        outer = data.draw(st.sampled_from(history.attempts))
        inner = replace(
            outer, id="a99", via=outer.id, outcome="503", status=503, first_token=None, marks=()
        )
        history.attempts.insert(history.attempts.index(outer) + 1, inner)
    assert observed(history) == before


NEEDS_A_LOAD = {"balance.in-flight", "balance.rate", "balance.room", "balance.least-busy"}
"""What happens to these is that calls come."""


@given(st.lists(calls, max_size=7))
def test_a_world_in_which_nothing_happens_shows_nothing(told):
    calm = [
        replace(
            one,
            outcome="answered",
            question=f"q{number}",
            request=f"r{number}",
            features=(),
            steps=tuple(
                replace(step, outcome="200", spent="0", hint=None, faults=(), spoke=None, took=None)
                for step in one.steps
            ),
        )
        for number, one in enumerate(told)
    ]
    history = in_order(calm)
    for contract in ALL:
        if contract.id not in NEEDS_A_LOAD:
            assert list(contract.check(history)) == []


NEEDS_NO_CALLER = {
    "retry.hint", "stream.stall", "budget.cutoff", "balance.in-flight", "balance.rate",
    "latency.answer",
}  # fmt: skip


@given(histories)
def test_attempts_that_nobody_made_say_nothing_of_what_callers_saw(history):
    for attempt in history.attempts:
        attempt.call = None
    for one in history.calls:
        one.marks = ()
    for contract in ALL:
        if contract.id not in NEEDS_NO_CALLER:
            assert list(contract.check(history)) == []


def shifted(history: History, by: float) -> History:
    def later(entry: Attempt | Call, *names: str) -> Attempt | Call:
        moments = {name: getattr(entry, name) for name in names}
        return replace(entry, **{n: None if at is None else at + by for n, at in moments.items()})

    moved = History()
    moved.calls = [later(one, "started", "ended", "first_token") for one in history.calls]  # type: ignore[misc]  # calls stay calls
    moved.attempts = [
        later(one, "started", "ended", "head", "first_token", "last")  # type: ignore[misc]  # and attempts attempts
        for one in history.attempts
    ]
    return moved


@settings(max_examples=50)
@given(histories)
def test_when_the_world_began_does_not_matter(history):
    outcomes = [[(seen.kept, seen.at) for seen in found] for found in observed(history)]  # type: ignore[attr-defined]  # lists of observations
    later = observed(shifted(history, 4096.0))
    assert [[(seen.kept, seen.at) for seen in found] for found in later] == outcomes  # type: ignore[attr-defined]  # the same
