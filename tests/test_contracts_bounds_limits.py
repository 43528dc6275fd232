# Where the contracts about limits begin and end, and what counts as in flight.

from __future__ import annotations

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, balance
from pytest_llmroute.contracts.load import spans

from .balance_cases import adorned, slow
from .stories import SHARED, A, B, Step, call, story, verdict

pytestmark = pytest.mark.once

one_flying, two_flying = balance.InFlight(A, 1), balance.InFlight(A, 2)
two_a_minute, tokens = balance.Rate(A, 2), balance.Rate(A, 100, "tokens")
room, only = balance.Room((A, B), 1), balance.Room((A,), 1)
seats, seat = balance.Room((A, B), 1, "in-flight"), balance.Room((A,), 1, "in-flight")

NOBODYS = call("left", ("Z", "503"), at=5, tied=False)


def refused(at, **about):
    return call("failed", at=at, **about)


def quick(place, at, **about):
    return slow(place, at, 1, **about)


def counted(*calls, **of):
    """Answers with so many tokens, by their ids."""
    return adorned(story(*calls), **{name: {"tokens_in": many} for name, many in of.items()})


def used(many, *moments):
    """Answers at these moments with so many tokens each."""
    history = story(*(quick("A", at) for at in moments))
    return adorned(history, **{one.id: {"tokens_in": many} for one in history.attempts})


CASES: dict[str, tuple[Contract, str, History]] = {
    # -- balance.in-flight
    "who comes when it fills comes while it is full": (one_flying, "kept", story(slow("A", 0), refused(0))),
    "nearly at the end it is full": (one_flying, "kept", story(slow("A", 0), refused(9.98))),
    "an instant before the end it may not be": (one_flying, "nothing", story(slow("A", 0), refused(9.99))),
    "an instant before the end the next may come": (one_flying, "nothing", story(slow("A", 0), slow("A", 9.99))),
    "a moment earlier it may not": (one_flying, "broken", story(slow("A", 0), slow("A", 9.98))),
    "what takes no time is not in flight": (
        one_flying, "nothing", story(call("answered", Step("A", "200", took=0), at=0), refused(0)),
    ),
    "nor is what takes an instant": (
        one_flying, "nothing", story(*(call("answered", Step("A", "200", took=0.01), at=0) for _ in range(2))),
    ),
    "who left was not kept off": (one_flying, "nothing", story(slow("A", 0), call("left", at=5))),
    "attempts of nobody's leave open what came of it": (
        one_flying, "nothing", story(slow("A", 0), refused(4, took=2), NOBODYS),
    ),
    "nothing may be in flight where nothing is allowed": (
        balance.InFlight(A, 0), "broken", story(slow("A", 0)),
    ),
    "where nothing is allowed nothing is kept": (balance.InFlight(A, 0), "nothing", story(slow("B", 0), slow("B", 5))),
    "two of nobody's are two": (
        one_flying, "broken", story(slow("A", 0, tied=False), slow("A", 5, tied=False)),
    ),
    "a list of models ends no answer": (
        one_flying, "broken",
        story(call("answered", Step("A", "200", took=10), Step("A", "200", took=1, at=3, operation="models"), at=0), slow("A", 5)),
    ),
    "a list of models is not in flight": (
        one_flying, "nothing", story(call("left", Step("A", "200", took=9, operation="models"), at=0), quick("A", 5)),
    ),
    "what a gateway asks is not in flight": (
        one_flying, "nothing", story(call("left", Step("A", "200", took=9, via=True), at=0), quick("A", 5)),
    ),
    # -- balance.rate
    "a window of no time is none": (balance.Rate(A, 1, window=0), "nothing", story(quick("A", 0), quick("A", 0))),
    "a window of a second is one": (balance.Rate(A, 1, window=1), "broken", story(quick("A", 0), quick("A", 0))),
    "who was never connected was not asked": (
        balance.Rate(A, 1), "nothing", story(*(call("failed", ("A", "refused"), at=1) for _ in "123")),
    ),
    "nearly a window later it is too many somewhere": (
        two_a_minute, "nothing", story(*(quick("A", at) for at in (0, 10, 59.98)), quick("B", 59.99)),
    ),
    "an instant short of a window later it is not": (
        two_a_minute, "kept", story(*(quick("A", at) for at in (0, 10, 59.991)), quick("B", 62)),
    ),
    "who comes nearly a window later is kept off": (
        two_a_minute, "kept", story(quick("A", 0), quick("A", 3), quick("B", 59.98)),
    ),
    "who comes a window later is not": (
        two_a_minute, "nothing", story(quick("A", 0), quick("A", 3), quick("B", 60)),
    ),
    "who comes at the same moment is": (two_a_minute, "kept", story(quick("A", 5), quick("A", 5), quick("B", 5))),
    "who comes before is not": (two_a_minute, "nothing", story(quick("B", 4.98), quick("A", 5), quick("A", 5))),
    "who left was not kept off a rate": (two_a_minute, "nothing", story(quick("A", 0), quick("A", 3), call("left", at=5))),
    "others' calls are not kept off": (two_a_minute, "nothing", story(quick("A", 0), quick("A", 3), quick("B", 5, group="b"))),
    "attempts of nobody's leave open who was kept off": (
        two_a_minute, "nothing", story(quick("A", 0), quick("A", 3), refused(4, took=2), NOBODYS),
    ),
    "all tokens are enough, wherever windows begin": (tokens, "broken", used(100, 0, 5, 10)),
    "a token less is not": (tokens, "nothing", used(99, 0, 5, 10)),
    "tokens of one answer are enough only where windows begin with it": (tokens, "nothing", used(100, 0, 5)),
    "an answer that came an instant before may not be counted": (tokens, "nothing", used(100, 0, 1.01, 2.015)),
    "an answer that came before that is": (tokens, "broken", used(100, 0, 1.02, 2.04)),
    "tokens may be of two windows": (
        tokens, "nothing", counted(quick("A", 50), quick("A", 55), quick("A", 61), a1=50, a2=50),
    ),
    "tokens of a window ago are of another": (
        tokens, "nothing", counted(quick("A", 0), quick("A", 60), a1=100),
    ),
    "tokens of a broken answer may not be counted": (
        tokens, "nothing", counted(call("failed", ("A", "200-cut"), at=0), quick("A", 5), a1=100),
    ),
    "tokens are known when the answer has come": (tokens, "kept", counted(quick("A", 0), quick("B", 1), a1=100)),
    "tokens are not known before": (tokens, "nothing", counted(quick("A", 0), quick("B", 0.9), a1=100)),
    "who stays away from broken answers stays away for nothing": (
        tokens, "nothing", counted(call("failed", ("A", "200-cut"), at=0), quick("B", 5), a1=100),
    ),
    # -- balance.room
    "a request a window ago may still count": (only, "nothing", story(quick("A", 0), refused(60))),
    "a moment later it does not": (only, "broken", story(quick("A", 0), refused(60.02))),
    "an answer that has just come may still hold its place": (seat, "nothing", story(slow("A", 0), refused(10))),
    "a moment later its place is free": (seat, "broken", story(slow("A", 0), refused(10.02))),
    "who comes after the refusal does not count": (only, "broken", story(refused(4), quick("A", 5))),
    "who comes before it is told may": (only, "nothing", story(refused(4, took=1), quick("A", 5))),
    "a call that has no end was not refused": (only, "nothing", adorned(story(refused(4), quick("A", 99)), c1={"ended": None})),
    "a call that hangs was not refused": (only, "nothing", story(quick("A", 0), call("hung", at=90))),
    "others' calls are not refused": (only, "nothing", story(quick("A", 0), refused(90, group="b"))),
    "where a group is said others' calls are nothing": (
        balance.Room((A,), 1, group="b"), "nothing", story(quick("A", 0), refused(90)),
    ),
    "and its own are": (balance.Room((A,), 1, group="b"), "broken", story(quick("A", 0), refused(90, group="b"))),
    "where nobody was ever asked there may be nobody": (balance.Room((A,), 1, group="chat"), "nothing", story(refused(4))),
    "attempts of nobody's leave open if it was refused": (only, "nothing", story(quick("A", 0), refused(90, took=9), call("left", ("Z", "503"), at=95, tied=False))),
    "who failed by the end of the refusal has no room": (
        only, "nothing", story(quick("A", 0), call("failed", ("A", "503"), at=1, group="b"), refused(90)),
    ),
    "who is answered elsewhere at the same moment finds it full": (room, "kept", story(quick("A", 0), quick("B", 0))),
    "nearly a window later it is still full": (room, "kept", story(quick("A", 0), quick("B", 59.98))),
    "a window later it is not": (room, "nothing", story(quick("A", 0), quick("B", 59.995))),
    "nearly at the end of an answer its place is taken": (seats, "kept", story(slow("A", 0), slow("B", 9.98))),
    "at its end it may be free": (seats, "nothing", story(slow("A", 0), slow("B", 9.995))),
    "a call does not fill a target for itself": (room, "nothing", story(call("answered", ("A", "503"), ("B", "200")))),
    "who is answered by the full one is not answered elsewhere": (room, "nothing", story(quick("A", 0), quick("A", 5))),
    "where there is room for nobody nothing is full": (
        balance.Room((A, B), 0), "nothing", story(quick("A", 0), quick("B", 5)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_a_limit_is_where_it_is_said_to_be(claim):
    contract, expected, history = CASES[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def said(contract, history):
    return [(seen.at, seen.says, seen.evidence) for seen in contract.check(history)]


def test_each_time_that_there_are_too_many_is_said():
    crowd = (slow("A", at) for at in (0, 1, 2, 50, 51, 53))
    assert said(two_flying, story(*crowd)) == [
        ("a3", "a3 was number 3 in flight at A at 2 s; 2 allowed", ("a1", "a2", "a3")),
        ("a6", "a6 was number 3 in flight at A at 53 s; 2 allowed", ("a4", "a5", "a6")),
    ]


def test_who_came_while_it_was_full_is_said_once():
    history = story(slow("A", 0), slow("A", 2), refused(3), refused(4), slow("A", 50), slow("A", 51), refused(52))  # fmt: skip
    assert said(two_flying, history) == [
        ("a2", "A was full at 2 s with a2, and c3 came", ("a1", "a2", "c3"))
    ]


def test_what_is_too_many_for_a_window_is_said():
    assert said(two_a_minute, story(quick("A", 0), *(quick("A", at) for at in (70, 70, 70, 70)))) == [
        ("a4", "a4 went to A after the 2 requests that it may get in 60 s (from a2 on)", ("a2", "a3", "a4"))
    ]  # fmt: skip
    [seen] = said(tokens, used(60, 0, 70, 72, 74, 76, 78))
    assert seen == (
        "a4",
        "a4 went to A after 100 tokens that it may get in 60 s (from a2 on)",
        ("a2", "a3", "a4"),
    )


def test_the_first_that_was_kept_off_is_said():
    history = story(*(quick("A", at) for at in (0, 90, 95)), quick("B", 99), quick("B", 100))
    assert said(two_a_minute, history) == [
        ("c4", "c4 was kept off A, which had got what it may in 60 s since a2", ("a2", "a3", "c4"))
    ]


def test_a_refusal_is_said_with_who_had_room():
    assert said(balance.Room((A, B), 2), story(quick("A", 0), refused(9))) == [
        ("c2", "c2 was refused while A had 1 of 2", ("c2",))
    ]
    crowd = quick("A", 0), quick("A", 1), quick("B", 1)
    assert said(balance.Room((A, B), 2), story(*crowd, refused(9)))[-1] == (
        "c4", "c4 was refused while B had 1 of 2", ("c4",),
    )  # fmt: skip
    assert said(room, story(quick("A", 0), call("answered", ("A", "503"), ("B", "200"), at=5))) == [
        ("c2", "c2 was answered elsewhere (a3) while A was full", ("c2", "a3"))
    ]


def in_flight(history, target=A):
    return [(one.attempt.id, one.asked, one.start, one.end) for one in spans(history, target)]


def test_an_attempt_is_in_flight_until_the_first_thing_that_ends_it():
    first, second = Step("A", "200", took=9), Step("B", "200", took=2, at=6)
    assert in_flight(story(call("answered", first, second, at=1))) == [("a1", 1, 1, 6)]
    assert in_flight(story(call("left", first, at=1, took=3))) == [("a1", 1, 1, 4)]
    assert in_flight(story(call("answered", first, at=1))) == [("a1", 1, 1, 10)]


def test_what_has_no_end_was_hardly_in_flight():
    history = story(slow("A", 3, tied=False))
    history.attempts[0].ended = None
    assert in_flight(history) == [("a1", 3, 3, 3)]


def test_an_attempt_after_its_caller_left_was_never_in_flight():
    history = story(call("left", Step("A", "200", took=9, at=5), at=1, took=2))
    assert in_flight(history) == [("a1", 1, 5, 5)]


def test_what_was_asked_later_than_its_call_began_may_have_been_counted_since():
    assert in_flight(story(call("answered", Step("B", "503", took=4), ("A", "200"), at=1))) == [
        ("a2", 1, 5, 6)
    ]


def test_a_refused_connection_at_a_shared_host_is_not_in_flight():
    history = story(call("failed", Step("A", "refused", took=5)), slow("A", 9))
    assert [one[0] for one in in_flight(history, SHARED)] == ["a2"]
    assert [one[0] for one in in_flight(history)] == ["a1", "a2"]


def test_attempts_are_counted_in_the_order_of_their_beginnings():
    history = story(slow("A", 5, 4), slow("A", 1, 2))
    assert [one[0] for one in in_flight(history)] == ["a2", "a1"]
