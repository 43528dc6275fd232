# Where the contracts about health begin and end.

from __future__ import annotations

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, health

from .stories import A, Step, call, story, verdict

pytestmark = pytest.mark.once

rest, habit = health.Cooldown(A, 60, failures=2), health.Cooldown(A, 60)

even = health.Cooldown(A, 60, failures=2, share=0.5)


def fails(at, outcome="503", **about):
    return call("answered", ("A", outcome), ("B", "200"), at=at, **about)


def away(at, **about):
    return call("answered", ("B", "200"), at=at, **about)


def home(at, **about):
    return call("answered", ("A", "200"), at=at, **about)


DOWN, AWAY = (fails(0), fails(2)), away(20)
STREAM_CUT = call("failed", ("A", "200-cut"), at=1, stream=True)
STREAM_LEFT = call("left", Step("A", "200-left", faults=()), at=1, stream=True)
LONG_AGO = (fails(0), fails(100), fails(102), away(110))
"""The first two are too far apart to count together; who counts otherwise counted earlier."""

COOLDOWN: dict[str, tuple[Contract, str, History]] = {
    "nearly at its end a rest is not over": (rest, "broken", story(*DOWN, AWAY, home(61.98))),
    "an instant before its end it may be": (rest, "kept", story(*DOWN, AWAY, home(61.99))),
    "a second after its end nobody need be back": (rest, "kept", story(*DOWN, AWAY, away(63))),
    "a moment later he must": (rest, "broken", story(*DOWN, AWAY, away(63.01))),
    "where calls began elsewhere before, nobody must be back": (
        rest, "kept", story(away(0), fails(1), fails(3), AWAY, away(90)),
    ),
    "where chance decides, one call elsewhere proves nothing": (even, "kept", story(*DOWN, AWAY, away(90))),
    "nor do nineteen of one in two": (even, "kept", story(*DOWN, AWAY, *(away(90 + n) for n in range(19)))),
    "twenty do": (even, "broken", story(*DOWN, AWAY, *(away(90 + n) for n in range(20)))),
    "what was under way may make the rest longer": (
        rest, "kept", story(fails(0), call("answered", Step("A", "silence", took=10), ("B", "200"), at=1), fails(2), AWAY, away(72)),
    ),
    "and no longer than that": (
        rest, "broken", story(fails(0), call("answered", Step("A", "silence", took=10), ("B", "200"), at=1), fails(2), AWAY, away(72.01)),
    ),
    "a rest of no time is none": (
        health.Cooldown(A, 0.01, failures=1), "nothing", story(call("answered", ("A", "503"), Step("B", "200", took=0), at=0), away(9)),
    ),
    "a rest of two instants is one": (
        health.Cooldown(A, 0.02, failures=1), "broken",
        story(call("answered", ("A", "503"), Step("B", "200", took=0), at=0), home(0.005)),
    ),
    "failures within the time count together": (rest, "broken", story(fails(0), fails(60), home(70))),
    "failures that are farther apart do not": (rest, "nothing", story(fails(0), fails(60.01), home(70))),
    "limits count": (rest, "broken", story(fails(0, "429"), fails(2, "429"), AWAY, home(61))),
    "silence counts": (rest, "broken", story(fails(0, "silence"), fails(2, "silence"), AWAY, home(61))),
    "a wrong key does not": (rest, "nothing", story(fails(0, "401"), fails(2, "401"), AWAY, home(61))),
    "a damaged answer ends a row": (rest, "nothing", story(fails(0), call("answered", ("A", "200-degraded"), at=1), fails(3), home(9))),
    "a stream that broke off does not": (rest, "broken", story(fails(0), STREAM_CUT, fails(2), AWAY, home(61))),
    "a stream that failed before its first word counts": (
        rest, "broken", story(fails(0, stream=True), fails(2, stream=True), AWAY, home(61)),
    ),
    "a stream that its caller left does": (rest, "nothing", story(fails(0), STREAM_LEFT, fails(3), home(9))),
    "silence that its caller left does not count": (
        rest, "nothing", story(fails(0), call("left", Step("A", "silence", took=1), at=1), home(9), fails(12), home(14)),
    ),
    "others' calls to it count for the others": (
        rest, "nothing", story(*DOWN, away(20, group="b")),
    ),
    "a sibling must have served since": (
        rest, "nothing", story(fails(0), call("failed", ("A", "503"), ("B", "503"), at=2), home(9)),
    ),
    "who comes back is nothing where nobody was kept off": (rest, "nothing", story(*DOWN, home(70))),
    "who may have counted earlier may be done earlier": (rest, "kept", story(*LONG_AGO, home(159.99))),
    "and not before that": (rest, "broken", story(*LONG_AGO, home(159.98))),
    "a second rest is a rest": (
        rest, "broken", story(*DOWN, AWAY, home(62), fails(100), fails(102), away(105), home(110)),
    ),
    "five calls are no habit": (
        habit, "nothing", story(*DOWN, *(away(at) for at in (4, 6, 8)), home(62)),
    ),
    "six are": (habit, "kept", story(*DOWN, *(away(at) for at in (4, 6, 8, 10)), home(62))),
    "who is away until it is asked again makes a row": (
        habit, "nothing", story(*DOWN, away(4), away(6), home(8), away(10), away(12), home(62)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", COOLDOWN)
def test_a_rest_ends_where_it_is_said_to(claim):
    contract, expected, history = COOLDOWN[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def said(contract, *told):
    return [(seen.at, seen.says, seen.evidence) for seen in contract.check(story(*told))]


RESTED = (
    "a3",
    "a.example/model-a failed at 2 s (a3) and got nothing for 60 s, while c3 was answered elsewhere",
)


def test_a_rest_and_its_end_are_said():
    assert said(rest, *DOWN, AWAY, away(30), home(62)) == [
        (*RESTED, ("a3", "c3", "c4")),
        ("a7", "a7 asked a.example/model-a again 60 s after it left", ("a3", "a7")),
    ]


def test_a_rest_that_is_broken_off_is_said():
    [seen, *_] = said(rest, *DOWN, AWAY, home(30))
    assert seen == (
        "a6",
        "a6 asked a.example/model-a 28 s after it left rotation (a3); 60 s promised",
        ("a3", "c4", "a6"),
    )


def test_who_does_not_come_back_is_said_with_all_that_missed_him():
    assert said(rest, *DOWN, AWAY, away(65), away(70)) == [
        (*RESTED, ("a3", "c3")),
        ("c4", "c4 did not ask a.example/model-a, nor did any later call, though its 60 s were over 3 s before", ("a3", "c4", "c5")),
    ]  # fmt: skip


# -- who leaves rotation

leaves, never = health.Leaves(A, 2, 10), health.Stays((A,))
transient = health.Transient((A,))
BEFORE = home(0)

ROTATION: dict[str, tuple[Contract, str, History]] = {
    "nearly at its end it is left out": (leaves, "broken", story(fails(0), fails(2), fails(9.9))),
    "at its end it may be back": (leaves, "nothing", story(fails(0), fails(2), fails(10))),
    "who asks when it fails did not know": (leaves, "nothing", story(fails(0), fails(2), fails(2))),
    "failures farther apart than its rest may be forgotten": (
        leaves, "nothing", story(fails(0), fails(10.5), fails(11)),
    ),
    "a damaged answer is no failure": (leaves, "nothing", story(fails(0), fails(1, "200-damaged"), fails(3), fails(4))),
    "limits count": (leaves, "broken", story(fails(0, "429"), fails(2, "429"), fails(4))),
    "attempts of nobody's leave open who was asked": (
        leaves, "nothing",
        story(fails(0), fails(2), call("answered", Step("B", "200", took=3), at=4), call("left", ("Z", "503"), at=5, tied=False)),
    ),
    "500 passes": (transient, "broken", story(BEFORE, fails(5, "500"), away(9))),
    "499 does not": (transient, "nothing", story(BEFORE, fails(5, "499"), away(9))),
    "a refused connection passes": (transient, "broken", story(BEFORE, fails(5, "refused"), away(9))),
    "a bad certificate does not": (
        transient, "nothing", story(BEFORE, call("answered", Step("A", "left", took=0), ("B", "200"), at=5), away(9)),
    ),
    "who begins at the moment of the failure did not know": (
        transient, "nothing", story(BEFORE, call("answered", Step("A", "503", took=3), ("B", "200"), at=5), away(8)),
    ),
    "attempts of nobody's leave open where a call began": (
        never, "nothing",
        story(fails(0), call("answered", Step("B", "200", took=3), at=4), call("left", ("Z", "503"), at=5, tied=False)),
    ),
    "where chance decides, a call that may have asked anybody is not counted": (
        health.Transient((A,), share=0.999, answers=0), "nothing",
        story(call("failed", ("A", "500"), at=0), away(2), call("answered", Step("B", "200", took=3), at=4),
              call("left", ("Z", "503"), at=5, tied=False)),
    ),
    "a hint that is over is over": (
        never, "broken", story(call("answered", Step("A", "503", hint=5), ("B", "200"), at=0), away(5.1)),
    ),
    "a hint that ends now is not": (
        never, "nothing", story(call("answered", Step("A", "503", hint=5), ("B", "200"), at=0), away(5)),
    ),
    "who is away once is away": (never, "broken", story(fails(0), away(5), home(9))),
}  # fmt: skip


@pytest.mark.parametrize("claim", ROTATION)
def test_who_is_left_out_and_when_is_where_it_is_said_to_be(claim):
    contract, expected, history = ROTATION[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def test_who_leaves_rotation_and_who_does_not_is_said():
    assert said(leaves, fails(0), fails(2), away(4)) == [
        ("c3", "a.example/model-a had failed 2 times of 2, and c3 was answered without it", ("a1", "a3", "c3"))
    ]  # fmt: skip
    assert said(leaves, fails(0), fails(2), fails(4)) == [
        ("a5", "a5 asked a.example/model-a, which had failed 2 times of 2", ("a1", "a3", "a5"))
    ]
    assert said(never, fails(0), away(4)) == [
        ("c2", "a1 got 503 from a.example/model-a; c2 began elsewhere", ("a1", "c2"))
    ]
    assert said(transient, BEFORE, fails(5), home(9)) == [
        ("c3", "a2 got 503 from a.example/model-a, once; c3 began there all the same", ("a2", "c3"))
    ]
