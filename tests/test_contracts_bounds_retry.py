# Where the contracts about retries begin and end.

from __future__ import annotations

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, retry

from .balance_cases import adorned
from .stories import SHARED, A, B, Step, call, story, verdict

pytestmark = pytest.mark.once

NOBODYS = call("left", ("Z", "503"), at=1, tied=False)
bounded, tried = retry.Bounded(A, 1), retry.Tried(A, 2)
hint, hopeless = retry.Hint((A, B)), retry.Hopeless((A, B))
WAIT = Step("A", "429", hint=20)


def asks(at):
    return call("left", ("A", "200"), at=at)


def told_late(at):
    return story(call("failed", Step("A", "429", hint=20, head=2, took=3), at=0), asks(at))


RETRY: dict[str, tuple[Contract, str, History]] = {
    # -- retry.bounded
    "retries of the client may count": (
        bounded, "kept", story(call("failed", *[("A", "503")] * 4, options={"max_retries": 3})),
    ),
    "more than those do not": (
        bounded, "broken", story(call("failed", *[("A", "503")] * 5, options={"max_retries": 3})),
    ),
    "who left may have been tried once more": (bounded, "nothing", story(call("left", ("A", "503")))),
    # -- retry.tried
    "the last that is left is tried": (tried, "broken", story(call("failed", ("A", "503"), ("A", "503")))),
    "no more is owed after that": (retry.Tried(A, 1), "kept", story(call("failed", ("A", "503"), ("A", "503")))),
    "a client may need fewer": (
        tried, "nothing", story(call("failed", ("A", "503"), options={"max_retries": 0})),
    ),
    "a stream without a word is tried again": (tried, "broken", story(call("failed", ("A", "503"), stream=True))),
    "words of what was not streamed are not out": (
        tried, "broken", adorned(story(call("failed", ("A", "200-cut"))), a1={"stream": True}),
    ),
    "where nobody knows who asked it may have been tried": (
        tried, "nothing", story(call("failed", Step("A", "503", took=2), at=0), NOBODYS),
    ),
    "who failed for others by the end may be out": (
        tried, "nothing",
        story(call("failed", Step("A", "503", took=1), at=0, took=9), call("left", ("A", "503"), at=3)),
    ),
    "who hangs has no end": (tried, "broken", adorned(story(call("hung", ("A", "503"))), c1={"ended": None})),
    "who failed for others before may be out for who moves on": (
        tried, "nothing", story(call("left", ("A", "503"), at=0), call("answered", ("A", "503"), ("B", "200"), at=5)),
    ),
    "who was asked besides before the failure is no move": (
        tried, "nothing", story(call("answered", Step("A", "503", took=5), Step("B", "200", at=1))),
    ),
    "a refused connection at a shared host may be the try": (
        retry.Tried(SHARED, 1), "nothing", story(call("answered", ("A", "503"), ("A", "refused"), ("B", "200"))),
    ),
    # -- retry.hint
    "no wait is no hint": (hint, "nothing", story(call("failed", Step("A", "429", hint=0)), asks(0.5))),
    "a day is a hint": (hint, "broken", story(call("failed", Step("A", "429", hint=86400), at=0), asks(80000))),
    "more than a day is none": (hint, "nothing", story(call("failed", Step("A", "429", hint=86401), at=0), asks(80000))),
    "half a second is one": (hint, "broken", story(call("failed", Step("A", "429", hint=0.5), at=0), asks(0.4))),
    "a hint to a gateway is the gateway's": (
        hint, "nothing", story(call("failed", Step("A", "429", hint=20, via=True), at=0), asks(5)),
    ),
    "a hint for a list of models is for that": (
        hint, "nothing", story(call("failed", Step("A", "429", hint=20, operation="models"), at=0), asks(5)),
    ),
    "a hint of others is not promised": (
        hint, "nothing", story(call("failed", Step("C", "429", hint=20), ("C", "200"))),
    ),
    "nearly at the end of a hint it is too early": (hint, "broken", story(call("failed", WAIT, at=0), asks(19.98))),
    "an instant before its end it is not": (hint, "kept", story(call("failed", WAIT, at=0), asks(19.99))),
    "who asks when the head comes did not know": (hint, "kept", told_late(2)),
    "who asks before the head comes did not either": (hint, "kept", told_late(1.5)),
    "who asks before the end of the body did": (hint, "broken", told_late(2.5)),
    "a hint counts from the head": (hint, "kept", told_late(22)),
    "a call knows its own hint at once": (
        hint, "broken", story(call("failed", WAIT, Step("A", "200", at=0), at=0)),
    ),
    "a call does not know a hint that is on its way": (
        hint, "kept", story(call("failed", Step("A", "429", hint=20, head=2), Step("A", "200", at=1), at=0)),
    ),
    "what a gateway asks is not asked too early": (
        hint, "kept", story(call("failed", WAIT, at=0), call("failed", Step("A", "200", via=True), at=5)),
    ),
    "nor is a list of models": (
        hint, "kept", story(call("failed", WAIT, at=0), call("failed", Step("A", "200", operation="models"), at=5)),
    ),
    "two of nobody's at a moment know nothing of each other": (
        hint, "nothing",
        story(call("left", WAIT, at=0, tied=False), call("left", Step("A", "200"), at=0, tied=False)),
    ),
    "who left was not tempted": (hint, "nothing", story(call("left", WAIT, at=0))),
    "a later call is tempted": (hint, "kept", story(call("left", WAIT, at=0), call("left", at=0.1))),
    "a call at the same moment is not": (hint, "nothing", story(call("left", WAIT, at=0), call("left", at=0))),
    "nor is one at the end of the hint": (hint, "nothing", story(call("left", WAIT, at=0), call("left", at=20))),
    # -- retry.hopeless
    "what was asked before the refusal could not know": (
        hopeless, "kept", story(call("failed", Step("A", "401", took=5), Step("A", "401", at=1))),
    ),
    "who asks at the moment of the refusal knows": (
        hopeless, "broken", story(call("failed", Step("A", "401", took=5), Step("A", "401", at=5))),
    ),
    "who left may have asked again": (hopeless, "nothing", story(call("left", ("A", "401")))),
    "others' refusals are not promised": (hopeless, "nothing", story(call("failed", ("C", "401"), ("C", "401")))),
}  # fmt: skip


@pytest.mark.parametrize("claim", RETRY)
def test_a_bound_is_where_it_is_said_to_be(claim):
    contract, expected, history = RETRY[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def said(contract, *steps, outcome="failed", **about):
    seen = contract.check(story(call(outcome, *steps, **about)))
    return [(one.at, one.says, one.evidence) for one in seen]


A_503 = "a1 got 503 from a.example/model-a"


def test_tries_are_counted():
    assert said(bounded, ("A", "503")) == [
        ("c1", "c1 asked A once; at most 2 allowed", ("c1", "a1"))
    ]
    assert said(bounded, *[("A", "503")] * 4) == [
        ("a3", "c1 asked A 4 times; at most 2 allowed", ("c1", "a1", "a2", "a3", "a4"))
    ]
    assert said(tried, ("A", "503"), ("A", "500"), ("B", "503"), ("B", "500")) == [
        ("a2", f"a2 tried again after {A_503} (try 1 of 3)", ("c1", "a1", "a2")),
        ("a3", "a3 moved on to b.example/model-b after a2 got 500 from a.example/model-a (try 2 of 3)", ("c1", "a2", "a3")),
    ]  # fmt: skip
    assert said(tried, ("A", "503")) == [
        ("c1", f"c1 failed after {A_503} (try 1 of 3) without another try", ("c1", "a1"))
    ]


def test_a_hint_that_was_heeded_is_said_with_how_long():
    assert said(hint, WAIT, ("B", "503")) == [
        ("a1", "a.example/model-a was left alone for the 20 s that a1 was told", ("a1",))
    ]
    assert said(hint, WAIT, Step("A", "200", at=3), Step("A", "200", at=5))[0] == (
        "a2", "a2 asked a.example/model-a again 3 s after a1 was given a hint of 20 s", ("a1", "a2"),
    )  # fmt: skip


def test_a_refusal_is_judged_once_with_all_that_asked_the_same_again():
    assert said(hopeless, ("A", "401"), ("B", "404"), ("A", "401"), ("A", "401")) == [
        ("a3", "a3 asked a.example/model-a the same after a1 got 401 from a.example/model-a", ("c1", "a1", "a3", "a4")),
        ("a2", "a2 got 404 from b.example/model-b, and c1 did not ask it the same again", ("c1", "a2")),
    ]  # fmt: skip
