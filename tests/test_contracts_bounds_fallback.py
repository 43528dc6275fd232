# Where the contracts about fallbacks begin and end.

from __future__ import annotations

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, Target, fallback

from .balance_cases import adorned
from .stories import CHAIN, MINI, SHARED, A, B, Step, call, story, verdict

pytestmark = pytest.mark.once

answers, order = fallback.Answers(CHAIN), fallback.Order(CHAIN)
pair = fallback.Answers((A, B))
chosen = fallback.Chosen(A, (("b", (B,)),))
elsewhere, once = fallback.Elsewhere((A, B)), fallback.Once(CHAIN)

BAD = call("failed", ("A", "503"), at=0)
NOBODYS = call("left", ("Z", "503"), at=1, tied=False)


def embeds(place, outcome):
    return Step(place, outcome, operation="embeddings")


FALLBACK: dict[str, tuple[Contract, str, History]] = {
    # -- fallback.answers
    "an error that came as an answer is not one": (
        answers, "nothing", story(call("answered", ("A", "503"), ("B", "200-error"))),
    ),
    "a page with another's words is an answer": (
        answers, "kept", story(call("answered", ("A", "503"), ("B", "200"), ("C", "200-error"), words=("a2",))),
    ),
    "an answer after an error that came as one is an answer": (
        answers, "kept", story(call("answered", Step("A", "200-error", spoke=False), ("B", "200"))),
    ),
    "an answer of the router's own after an outage is one": (
        answers, "kept", story(call("answered", ("A", "503"), canned=True)),
    ),
    "a failure outside the chain is not promised": (
        pair, "nothing", story(call("failed", ("A", "200"), ("C", "503"))),
    ),
    "who failed for others in the meantime may be out": (
        pair, "nothing",
        story(call("failed", Step("A", "503", took=1), at=0, took=9), call("left", ("B", "503"), at=3)),
    ),
    "who failed for others later is not": (
        pair, "broken",
        story(call("failed", Step("A", "503", took=1), at=0, took=2), call("left", ("B", "503"), at=3)),
    ),
    "a call that has no end is judged by its beginning": (
        answers, "broken", adorned(story(call("hung", ("A", "503"))), c1={"ended": None}),
    ),
    "a wish besides words may be what nobody can do": (
        answers, "nothing", story(call("failed", ("A", "503"), features=("tools",))),
    ),
    "who disables fallbacks by a word that is not true does not": (
        answers, "broken", story(call("failed", ("A", "503"), options={"disable_fallbacks": "no"})),
    ),
    "words in what is not streamed are not out": (
        answers, "broken", adorned(story(call("failed", ("A", "200-cut"))), a1={"stream": True}),
    ),
    "a stream that broke off with words after an outage ends the promise": (
        answers, "nothing", story(call("failed", ("A", "503"), ("B", "200-cut"), stream=True)),
    ),
    # -- fallback.order
    "where nobody knows who else was asked the order is not known": (
        order, "nothing", story(call("failed", Step("A", "503", took=2), ("C", "503"), at=0), NOBODYS),
    ),
    "who wants more than words may pass by whoever cannot do it": (
        order, "nothing", story(call("answered", ("A", "503"), ("C", "200"), features=("tools",))),
    ),
    "who answered all the same was not passed by for a failure": (
        order, "nothing", story(call("answered", ("A", "200"), ("C", "200"))),
    ),
    "a skip on the way back is no first visit": (
        order, "kept", story(call("failed", ("A", "503"), ("B", "503"), ("A", "503"), ("C", "503"))),
    ),
    "two deployments of the first are one target": (
        order, "nothing", story(call("answered", ("A", "503"), ("A", "500"))),
    ),
    "both of two that are skipped must be down": (
        order, "broken", story(call("left", ("A", "503"), at=0), call("answered", ("C", "503"), ("C", "200"), at=5)),
    ),
    "who was seen to fail only later was not skipped for that": (
        order, "broken", story(call("failed", ("A", "503"), Step("C", "503", took=0), ("B", "503"))),
    ),
    "who passes by one that is down and stays there shows no order": (
        order, "nothing", story(call("left", ("A", "503"), at=0), call("failed", ("B", "503"), ("B", "503"), at=5)),
    ),
    "two models of the first are one target": (
        fallback.Order((Target("both", (*A.deployments, *MINI.deployments)), B)), "nothing",
        story(call("failed", ("A", "503"), ("A mini", "503"))),
    ),
    # -- fallback.elsewhere
    "other work may go elsewhere": (
        elsewhere, "kept", story(call("answered", ("A", "503"), embeds("C", "200"))),
    ),
    "vectors do not": (elsewhere, "broken", story(call("answered", embeds("A", "503"), embeds("C", "200")))),
    "whoever was asked outside before the failure is not held against it": (
        elsewhere, "kept", story(call("failed", ("C", "200"), ("A", "503"))),
    ),
    "a caller who left may have been taken outside later": (elsewhere, "nothing", story(call("left", ("A", "503")))),
    "a failure outside is nobody's business": (
        elsewhere, "nothing", story(call("answered", ("A", "200"), ("C", "503"), ("C", "200"))),
    ),
    # -- fallback.chosen
    "where no group is said fallbacks are for who begins there": (
        chosen, "nothing", story(call("failed", ("Z", "503"), ("B", "503"), options={"fallbacks": "b"})),
    ),
    "and for nobody who asks nobody": (chosen, "nothing", story(call("failed", options={"fallbacks": "b"}))),
    "who begins there is owed an answer by them": (
        chosen, "broken", story(call("failed", ("A", "503"), options={"fallbacks": "b"})),
    ),
    # -- fallback.once
    "an answer is nothing to leave": (once, "nothing", story(call("failed", ("A", "200"), ("B", "503")))),
    "leaving without a way back is kept by two": (once, "kept", story(call("failed", ("A", "503"), ("B", "503")))),
    "a caller who left may have gone back": (once, "nothing", story(call("left", ("A", "503"), ("B", "503")))),
    "a refused connection at a shared host may have been the sibling's": (
        fallback.Once((SHARED, MINI, B)), "nothing", story(call("failed", ("A", "503"), ("A", "refused"), ("A", "503"))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", FALLBACK)
def test_a_bound_is_where_it_is_said_to_be(claim):
    contract, expected, history = FALLBACK[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def said(contract, *steps, outcome="failed", **about):
    seen = contract.check(story(call(outcome, *steps, **about)))
    return [(one.at, one.says, one.evidence) for one in seen]


A_503 = "a1 got 503 from a.example/model-a"


def test_what_became_of_a_failure_is_said_with_all_that_failed():
    assert said(answers, ("A", "503"), ("B", "500"), ("C", "200"), outcome="answered") == [
        ("c1", f"c1 was answered after {A_503} and a2 got 500 from b.example/model-b", ("c1", "a1", "a2"))
    ]  # fmt: skip
    assert said(answers, ("A", "503"), ("B", "500")) == [
        ("c1", f"c1 failed after {A_503} and a2 got 500 from b.example/model-b, though C had not failed it", ("c1", "a1", "a2"))
    ]  # fmt: skip


def test_of_two_that_may_be_left_the_first_by_name_is_said():
    [(_, says, _)] = said(fallback.Answers((SHARED, MINI)), ("A", "refused"))
    assert says.endswith("though A had not failed it")


def test_who_was_to_be_asked_first_is_said():
    steps = ("A", "503"), ("C", "503")
    assert said(order, *steps) == [
        ("a2", "a2 asked c.example/model-c while B was to be asked first", ("c1", "a1", "a2"))
    ]
    assert said(order, *steps[::-1]) == [
        ("a1", "a1 asked c.example/model-c while A was to be asked first", ("c1", "a1", "a2"))
    ]
    assert said(order, ("A", "503"), ("A", "503"), ("B", "503")) == [
        ("c1", "c1 asked a.example/model-a, then b.example/model-b", ("c1", "a1", "a2", "a3"))
    ]


def test_each_that_went_outside_is_said_with_the_first_failure():
    steps = ("B", "200"), ("A", "503"), ("B", "500"), ("C", "503"), ("B", "503"), ("Z", "503")
    assert [one[0] for one in said(elsewhere, *steps)] == ["a4", "a6"]
    assert said(elsewhere, *steps)[1] == (
        "a6", "a6 asked z.example/model-z after a2 got 503 from a.example/model-a", ("c1", "a2", "a6"),
    )  # fmt: skip
    assert said(elsewhere, *steps[:3]) == [
        ("c1", "c1 stayed among the allowed targets after a2 got 503 from a.example/model-a", ("c1", "a1", "a2", "a3"))
    ]  # fmt: skip


def test_who_went_back_is_said_with_where():
    assert said(once, ("A", "503"), ("B", "503"), ("A", "503")) == [
        ("a3", "a3 went back to a.example/model-a, which c1 had left", ("c1", "a1", "a2", "a3"))
    ]
    assert said(once, ("A", "503"), ("A", "503"), ("B", "503")) == [
        ("c1", "c1 asked a.example/model-a, then b.example/model-b, and none of them again later", ("c1", "a1", "a2", "a3"))
    ]  # fmt: skip
