# Where the contracts about budgets begin and end.

from __future__ import annotations

from decimal import Decimal

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, budget

from .balance_cases import adorned
from .stories import MINI, SHARED, A, B, Step, call, story, verdict

pytestmark = pytest.mark.once

PAID = Step("A", "200", spent="0.4")
FREE = call("answered", ("A", "200"), at=0)
SPENT = tuple(call("answered", PAID, at=at) for at in (0, 2, 4))
SPENT_BY_HALVES = tuple(call("answered", Step("A", "200", spent="0.5"), at=at) for at in (0, 2))
AWAY = Step("A", "200-left", spent="0.8", faults=())
LEFT = tuple(call("left", AWAY, stream=True, at=at) for at in (0, 2))
UNTIED = tuple(call("answered", PAID, at=at, tied=False) for at in (0, 2))
OVERLAPPING = (
    call("answered", Step("A", "200", took=9, spent="0.6"), at=0),
    call("answered", Step("A", "200", took=1, spent="0.6"), at=1),
)

cutoff = budget.Cutoff((A,), Decimal(1), 100)
aborted = budget.Cutoff((A,), Decimal(1), 100, aborted=1.0)
returns = budget.Returns((A,), Decimal(1), 100)
ledger, free = budget.Ledger(), budget.Free()


def elsewhere(at, **about):
    return call("answered", ("B", "200"), at=at, **about)


def again(at, **about):
    return call("answered", ("A", "200"), at=at, **about)


BUDGET: dict[str, tuple[Contract, str, History]] = {
    # -- budget.cutoff
    "a limit is reached by exactly as much": (cutoff, "broken", story(*SPENT_BY_HALVES, again(4))),
    "who asks when the answer comes did not know": (cutoff, "nothing", story(*SPENT, again(5))),
    "who asks a moment later did": (cutoff, "broken", story(*SPENT, again(5.001))),
    "nearly at the window's end it is not over": (cutoff, "broken", story(*SPENT, again(99.98))),
    "an instant before the window's end it may be over": (cutoff, "nothing", story(*SPENT, again(99.99))),
    "who goes elsewhere when the answer comes did not know": (cutoff, "nothing", story(*SPENT, elsewhere(5))),
    "who goes elsewhere nearly at the window's end keeps it": (cutoff, "kept", story(*SPENT, elsewhere(99.98))),
    "who goes elsewhere when it may be over does not": (cutoff, "nothing", story(*SPENT, elsewhere(99.99))),
    "a window begins with the first that costs": (
        cutoff, "broken", story(FREE, *(call("answered", PAID, at=at) for at in (50, 52, 54)), again(120)),
    ),
    "a window begins with what was asked first, whenever that came": (
        cutoff, "nothing", story(*OVERLAPPING, again(100.5)),
    ),
    "a limit is reached when the last answer comes": (cutoff, "nothing", story(*OVERLAPPING, again(5))),
    "and nothing is asked after that": (cutoff, "broken", story(*OVERLAPPING, again(9.5))),
    "what is asked at the window's end is of the next": (
        budget.Cutoff((A,), Decimal("0.8"), 100), "nothing",
        story(call("answered", PAID, at=0), call("answered", PAID, at=100), again(102)),
    ),
    "what is asked before it is not": (
        budget.Cutoff((A,), Decimal("0.8"), 100), "kept",
        story(call("answered", PAID, at=0), call("answered", PAID, at=98), elsewhere(99.5)),
    ),
    "the next window has a limit too": (
        cutoff, "broken",
        story(call("answered", PAID, at=0), *(call("answered", PAID, at=at) for at in (200, 202, 204)), again(250)),
    ),
    "a window of no time is none": (budget.Cutoff((A,), Decimal(1), 0), "nothing", story(*SPENT, again(6))),
    "a window of a second is one": (
        budget.Cutoff((A,), Decimal("0.2"), 1), "broken",
        story(call("answered", Step("A", "200", took=0.2, spent="0.4"), at=0), again(0.5)),
    ),
    "what may have been meant for somebody else proves nothing": (
        budget.Cutoff((SHARED,), Decimal(1), 100), "nothing",
        story(*SPENT, call("failed", ("A", "refused"), at=6), elsewhere(9)),
    ),
    "any of the targets that is asked is asked": (
        budget.Cutoff((B, MINI, A), Decimal(1), 100), "broken", story(*SPENT, call("failed", ("A", "503"), at=6)),
    ),
    "a list of models costs nothing": (
        cutoff, "nothing", story(*SPENT, call("answered", Step("A", "200", operation="models"), at=6)),
    ),
    "what a gateway asks is not asked by the router": (
        cutoff, "nothing", story(*SPENT, call("left", Step("A", "503", via=True), at=6)),
    ),
    "who was spent by nobody known says nothing of who kept off": (
        cutoff, "nothing", story(*UNTIED, call("answered", PAID, at=4, tied=False), elsewhere(9)),
    ),
    "who left has kept off from nothing": (cutoff, "nothing", story(*SPENT, call("left", ("B", "503"), at=9))),
    "one known spender is enough": (cutoff, "kept", story(*UNTIED, call("answered", PAID, at=4), elsewhere(9))),
    "attempts of nobody's leave open who kept off": (
        cutoff, "nothing",
        story(*SPENT, call("answered", Step("B", "200", took=3), at=9), call("answered", ("B", "200"), at=10, tied=False, group="b")),
    ),
    "streams that were left count for their part": (aborted, "broken", story(*LEFT, again(9))),
    "streams that were left before a word count for nothing": (
        aborted, "nothing",
        story(*(call("left", Step("A", "200-left", spent="0.8", spoke=False), stream=True, at=at) for at in (0, 2)), again(9)),
    ),
    "streams that broke off count for nothing": (
        aborted, "nothing",
        story(*(call("failed", Step("A", "200-cut", spent="0.8"), stream=True, at=at) for at in (0, 2)), again(9)),
    ),
    "streams of nobody's count for nothing": (
        aborted, "nothing",
        story(*(call("left", Step("A", "200-left", spent="0.8"), stream=True, at=at, tied=False) for at in (0, 2)), again(9)),
    ),
    # -- budget.window
    "an instant after the window nothing is owed": (returns, "nothing", story(*SPENT, call("failed", at=101.01))),
    "a moment later it is": (returns, "broken", story(*SPENT, call("failed", at=101.02))),
    "at the same moment being asked proves nothing": (returns, "nothing", story(*SPENT, again(101.01))),
    "a window may count from when its first answer had come": (returns, "nothing", story(*OVERLAPPING, call("failed", at=101.5))),
    "streams that were left do not fill a window": (returns, "nothing", story(*LEFT, call("failed", at=105))),
    "the first call after the window decides": (returns, "broken", story(*SPENT, elsewhere(105), again(106))),
    "who left does not decide": (returns, "kept", story(*SPENT, call("left", ("B", "503"), at=105), again(106))),
    "others' calls do not decide": (returns, "nothing", story(*SPENT, elsewhere(105, group="b"))),
    "attempts of nobody's leave it open who was asked": (
        returns, "nothing",
        story(*SPENT, call("answered", Step("B", "200", took=3), at=105), call("answered", ("B", "200"), at=106, tied=False)),
    ),
    "calls after the limit may begin anywhere": (returns, "broken", story(*SPENT, elsewhere(5), elsewhere(105))),
    "calls before the limit may not": (returns, "nothing", story(*SPENT[:2], elsewhere(4.9), SPENT[2], elsewhere(105))),
    "calls that asked nobody before the limit may have chosen": (
        returns, "nothing", story(call("failed", at=0), *SPENT, elsewhere(105)),
    ),
    "calls that asked somebody else first may have chosen too": (
        returns, "nothing", story(call("answered", ("B", "503"), PAID, at=0), *SPENT[1:], elsewhere(105)),
    ),
    "a window after which nobody came says nothing of the next": (
        returns, "kept",
        story(*(call("answered", PAID, at=at, group="b") for at in (0, 2, 4)),
              *(call("answered", PAID, at=at) for at in (200, 202, 204)), again(305)),
    ),
    "one target that is down is reason enough": (
        budget.Returns((A, B), Decimal(1), 100), "nothing",
        story(*SPENT, call("failed", ("B", "503"), at=99), call("answered", ("C", "200"), at=105)),
    ),
    # -- budget.ledger
    "a caller who left was told nothing": (
        ledger, "nothing", adorned(story(call("left", PAID)), c1={"cost": Decimal(9)}),
    ),
    "a cent is enough to show": (
        ledger, "kept", adorned(story(call("answered", Step("A", "200", spent="0.01"))), c1={"cost": Decimal("0.01")}),
    ),
    "less than a cent is not": (
        ledger, "nothing", adorned(story(call("answered", Step("A", "200", spent="0.009"))), c1={"cost": Decimal(9)}),
    ),
    "a cent more is not seen": (ledger, "kept", adorned(story(call("answered", PAID)), c1={"cost": Decimal("0.41")})),
    "more than a cent is": (ledger, "broken", adorned(story(call("answered", PAID)), c1={"cost": Decimal("0.411")})),
    "tokens in alone are judged": (
        ledger, "broken", adorned(story(call("answered", PAID)), a1={"tokens_in": 5}, c1={"tokens_in": 4}),
    ),
    "tokens out alone are judged": (
        ledger, "broken", adorned(story(call("answered", PAID)), a1={"tokens_out": 5}, c1={"tokens_out": 6}),
    ),
    "an answer of two voices has no price": (
        ledger, "nothing", adorned(story(call("answered", PAID, PAID, words=("a1", "a2"))), c1={"cost": Decimal(9)}),
    ),
    "an answer that nobody gave has none": (
        ledger, "nothing", adorned(story(call("answered", PAID, words=())), c1={"cost": Decimal(9)}),
    ),
    "half an answer has none": (
        ledger, "nothing",
        adorned(story(call("answered", Step("A", "200-cut", spent="0.4"))), c1={"cost": Decimal(9)}),
    ),
    "somebody else's answer has none": (
        ledger, "nothing",
        adorned(story(call("answered", PAID), call("answered", words=("a1",))), c2={"cost": Decimal(9)}),
    ),
    # -- budget.free
    "less than nothing is no price either": (
        free, "broken", adorned(story(call("answered", PAID), call("answered", words=("a1",))), c2={"cost": Decimal(-1)}),
    ),
    "words of nobody's may cost": (
        free, "nothing", adorned(story(call("answered", canned=True)), c1={"cost": Decimal(1)}),
    ),
    "a call that failed was not given an answer": (
        free, "nothing",
        adorned(story(call("answered", PAID), call("failed", words=("a1",))), c2={"cost": Decimal(1)}),
    ),
    "attempts of nobody's leave open who was asked for it": (
        free, "nothing",
        adorned(story(call("answered", PAID), call("answered", words=("a1",), at=5, took=3), call("answered", PAID, at=6, tied=False)),
                c2={"cost": Decimal(1)}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", BUDGET)
def test_a_bound_of_a_budget_is_where_it_is_said_to_be(claim):
    contract, expected, history = BUDGET[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def test_the_first_of_those_that_were_asked_too_late_is_named():
    late = [call("answered", PAID, PAID, at=at) for at in (8, 12)]
    [seen] = cutoff.check(story(*OVERLAPPING, *late, call("answered", PAID, at=15)))
    assert seen.says == "a5 asked a.example/model-a 3 s after $1.2 of $1 were spent at 9 s (a1)"
    assert (seen.at, seen.evidence) == ("a5", ("a2", "a1", "a5"))


@pytest.mark.parametrize(("calls", "said"), [(1, "a later call"), (2, "2 later calls")])
def test_calls_that_kept_off_are_counted(calls, said):
    [seen] = cutoff.check(story(*SPENT, *(elsewhere(9 + number) for number in range(calls))))
    assert (
        seen.says
        == f"$1.2 of $1 were spent at 5 s (a3), and {said} asked nothing of them until 100 s"
    )
    assert (seen.at, seen.evidence) == ("a3", ("a1", "a2", "a3", "c4", "c5")[: 3 + calls])


def test_two_windows_are_two_observations():
    next_day = (call("answered", PAID, at=at) for at in (200, 202, 204))
    history = story(*SPENT, elsewhere(50), *next_day, again(250))
    assert [(seen.kept, seen.at) for seen in cutoff.check(history)] == [(True, "a3"), (False, "a8")]


def test_who_is_asked_again_is_said_with_how_late():
    [seen] = returns.check(story(*SPENT, call("answered", ("B", "503"), ("A", "200"), at=105.01)))
    assert seen.says == "a5 asked a.example/model-a again 4 s after the window"
    assert (seen.at, seen.evidence) == ("a5", ("a1", "a2", "a3", "c4", "a5"))


def test_who_is_not_asked_again_is_said_with_who_was_instead():
    instead = call("answered", ("B", "503"), ("Z", "200"), at=105.01)
    [seen] = returns.check(story(*SPENT, instead, elsewhere(109)))
    assert seen.says == "c4 went to b.example/model-b 4 s after the window (it answered)"
    assert (seen.at, seen.evidence) == ("c4", ("a1", "a2", "a3", "c4"))
    [seen] = returns.check(story(*SPENT, call("failed", at=105.01)))
    assert seen.says == "c4 asked nobody 4 s after the window (it failed)"


def test_a_wrong_bill_says_what_is_wrong_with_it():
    wrong = {"cost": Decimal(2), "tokens_in": 7, "tokens_out": 8}
    true = {"tokens_in": 10, "tokens_out": 5}
    [seen] = ledger.check(adorned(story(call("answered", ("B", "503"), PAID)), a2=true, c1=wrong))
    assert (
        seen.says
        == "c1 was told 7 tokens in instead of 10, 8 tokens out instead of 5, $2 instead of $0.4 for a2"
    )
    assert (seen.at, seen.evidence) == ("c1", ("c1", "a1", "a2"))
    [seen] = ledger.check(adorned(story(call("answered", PAID)), a1=true, c1=true))
    assert seen.says == "c1 was told what a1 was charged for ($0.4)"


def test_an_answer_for_nothing_says_whose_words_it_was():
    told = adorned(
        story(call("answered", PAID), call("answered", words=("a1",))), c2={"cost": Decimal(1)}
    )
    [seen] = free.check(told)
    assert seen.says == "c2 was given the words of a1 again for $1"
    assert (seen.at, seen.evidence) == ("c2", ("c2", "a1"))
