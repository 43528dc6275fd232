# Where the contracts about who is chosen begin and end.

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, balance
from pytest_llmroute.contracts.chance import power

from .balance_cases import SESSION, adorned, slow, spread, tired
from .stories import SHARED, A, B, C, Step, call, story, verdict

pytestmark = pytest.mark.once

even = balance.Split(((A, 1.0), (B, 1.0)))
prices = (A, Decimal(3)), (B, Decimal(1)), (C, Decimal(2))
cheap = balance.Cheapest(prices)
idle, idlest = balance.LeastBusy((A, B)), balance.LeastBusy((A, B, C))
fast, sticky = balance.Fastest((A, B)), balance.Sticky((A, B), 100)
tagged = balance.Tagged((("free", (A,)), ("paid", (B,)), ("default", (C,))))

UNSEEN = call("answered", Step("A", "200", took=3)), call("left", ("Z", "503"), at=1, tied=False)


def quick(place, at, **about):
    return slow(place, at, 1, **about)


def sessions(*told, of=SESSION):
    history = story(*told)
    return adorned(history, **{one.id: of for one in history.calls})


def wants(*places, tags=("free",)):
    history = story(call("answered", *places))
    return adorned(history, c1={"options": {"tags": tags}})


def streams(slow_words, quick_words, picks="AB" * 11):
    """A takes ten seconds, B one; so many of them until the first word."""
    took = {"A": (10, slow_words), "B": (1, quick_words)}
    return story(
        *(
            call(
                "answered",
                Step(place, "200", took=took[place][0], head=took[place][1]),
                stream=True,
            )
            for place in "AB" * 6 + picks
        )
    )


def paced(slow_takes, picks="AB" * 11):
    """B takes a second, A so many."""
    return story(
        *(quick_or_slow(place, {"A": slow_takes, "B": 1.0}[place]) for place in "AB" * 6 + picks)
    )


def quick_or_slow(place, took):
    return call("answered", Step(place, "200", took=took))


CASES: dict[str, tuple[Contract, str, History]] = {
    # -- which calls are picks
    "a call while somebody unknown asked is no pick": (
        balance.Split(((A, 1.0), (B, 1.0))), "nothing", story(*spread("A" * 15), *UNSEEN, *spread("B" * 14)),
    ),
    "a refused connection at a shared host is nobody's pick": (
        balance.Split(((SHARED, 1.0), (B, 1.0))), "nothing",
        story(*(call("answered", ("A", "refused"), ("B", "200")) for _ in range(40))),
    ),
    "who belongs to two targets is nobody's pick": (
        balance.Split(((A, 1.0), (SHARED, 1.0))), "nothing", story(*spread("A" * 40)),
    ),
    "calls that asked nobody begin nowhere": (even, "kept", story(*spread("AB" * 15), call("answered"))),
    "what a gateway asks first is no pick": (
        even, "kept", story(*(call("answered", Step("C", "503", via=True), (place, "200")) for place in "AB" * 15)),
    ),
    "a list of models that is asked first is no pick": (
        even, "kept",
        story(*(call("answered", Step("C", "200", operation="models"), (place, "200")) for place in "AB" * 15)),
    ),
    "a failure that is known at the very moment is known": (
        even, "nothing", story(call("failed", Step("A", "503"), at=0), call("answered", ("B", "200"), at=0)),
    ),
    # -- balance.split
    "one call fewer than enough tells nothing": (even, "nothing", story(*spread("AB" * 14 + "A"))),
    "twenty calls to one of two are no accident": (even, "nothing", story(*spread("A" * 20))),
    "twenty-one are": (even, "broken", story(*spread("A" * 21))),
    "with three to look at each has a third of the alarm": (
        balance.Split(((A, 1.0), (B, 1.0), (C, 1.0)), alarm=4 / 3**4), "nothing", story(*spread("AAAA")),
    ),
    "less than that is broken": (
        balance.Split(((A, 1.0), (B, 1.0), (C, 1.0)), alarm=9 / 3**4), "broken", story(*spread("AAAA")),
    ),
    # -- balance.cheapest
    "the cheapest of three is right": (cheap, "kept", story(*spread("B" * 10))),
    "the second cheapest is not": (cheap, "broken", story(*spread("B" * 9 + "C"))),
    "where all cost the same there is none": (
        balance.Cheapest(((A, Decimal(1)), (B, Decimal(1)))), "nothing", story(*spread("AB" * 6)),
    ),
    "of two cheapest either is right": (
        balance.Cheapest((*prices[:2], (C, Decimal(1)))), "kept", story(*spread("BC" * 5)),
    ),
    "where all have failed any is right": (
        cheap, "nothing",
        story(call("failed", ("A", "503"), ("B", "503"), ("C", "503")), *(call("failed", ("A", "503")) for _ in range(11))),
    ),
    # -- balance.least-busy
    "an answer that is nearly over is in flight": (idle, "broken", story(slow("A", 0), quick("A", 9.98))),
    "an instant before its end it may not be": (idle, "nothing", story(slow("A", 0), quick("A", 9.99))),
    "a second after its end an answer is over": (idle, "broken", story(slow("B", 0, 4), slow("A", 0), quick("A", 5))),
    "less than a second after it may count": (idle, "nothing", story(slow("B", 0, 4.1), slow("A", 0), quick("A", 5))),
    "who has come for another but not asked yet may count": (
        idle, "nothing", story(slow("A", 0), call("answered", Step("B", "200", at=8), at=4), quick("B", 5)),
    ),
    "who comes later does not": (
        idle, "kept", story(slow("A", 0), quick("B", 5), call("answered", Step("B", "200", at=8), at=5.5)),
    ),
    "of three the idlest is right": (idlest, "kept", story(slow("A", 0), slow("B", 0), quick("C", 5))),
    "one busier than one other is broken": (
        idlest, "broken", story(slow("A", 0), slow("A", 0), slow("B", 1), slow("C", 1, 2), quick("B", 5)),
    ),
    "an attempt does not count for its own call": (idle, "nothing", story(slow("A", 0), slow("B", 20))),
    # -- balance.fastest
    "a quarter to the slow one is kept": (fast, "kept", tired("BBBA" * 5 + "BBB")),
    "more than a quarter is broken": (fast, "broken", tired("BBBA" * 4 + "BBAA")),
    "nineteen calls are too few": (fast, "nothing", tired("A" * 18)),
    "twenty are enough": (fast, "broken", tired("A" * 19)),
    "twice as slow is slow": (fast, "broken", paced(2.0)),
    "less than that is not": (fast, "nothing", paced(1.99)),
    "a slow stream whose first word is as quick is not slow": (fast, "nothing", streams(0.5, 0.5)),
    "a slow stream whose first word is slow is": (fast, "broken", streams(1, 0.5)),
    "four answers of the faster are too few": (
        fast, "nothing", story(*(quick_or_slow("B", 1) for _ in range(4)), *(quick_or_slow("A", 10) for _ in range(40))),
    ),
    "five are enough": (
        fast, "broken", story(*(quick_or_slow("B", 1) for _ in range(5)), *(quick_or_slow("A", 10) for _ in range(40))),
    ),
    "where the faster may be any of two one is enough": (
        balance.Fastest((C, A, B)), "broken", tired("AB" * 11),
    ),
    "what the slow one is not seen to take nobody knows": (
        fast, "nothing", story(*(quick_or_slow("B", 1) for _ in range(40))),
    ),
    # -- balance.tags
    "tags in a row that cannot change are tags": (tagged, "broken", wants(("B", "200"), tags=("free",))),
    "a tag that is not in a list is none": (tagged, "nothing", wants(("B", "200"), tags="free")),
    "a tag that is demanded is not judged": (tagged, "nothing", wants(("B", "200"), tags=["free", "&new"])),
    "either of two tags is enough": (tagged, "kept", wants(("A", "503"), ("B", "200"), tags=["free", "paid"])),
    "one known tag of two is known": (tagged, "broken", wants(("B", "200"), tags=["free", "who"])),
    "a refused connection at a shared host is of no tag": (
        balance.Tagged((("free", (SHARED,)), ("paid", (B,)))), "nothing", wants(("A", "refused")),
    ),
    "of another group nothing is said": (
        balance.Tagged(tagged.by, group="b"), "nothing", wants(("B", "200")),
    ),
    # -- balance.sticky
    "a session that stays nearly its idle time is one": (sticky, "broken", sessions(quick("A", 0), quick("B", 99.98))),
    "an instant before it may be over": (sticky, "nothing", sessions(quick("A", 0), quick("B", 99.99))),
    "who comes when the answer comes knows it": (sticky, "broken", sessions(quick("A", 0), quick("B", 1))),
    "who comes before does not": (sticky, "nothing", sessions(quick("A", 0), quick("B", 0.9))),
    "a session without a name is none": (
        sticky, "nothing", sessions(quick("A", 0), quick("B", 5), of={"options": {"session": 7}}),
    ),
    "where a group is said others' sessions are nothing": (
        balance.Sticky((A, B), 100, group="b"), "nothing", sessions(quick("A", 0), quick("B", 5)),
    ),
    "a call that asked nobody breaks the row": (
        sticky, "nothing", sessions(quick("A", 0), call("failed", at=5), quick("B", 9)),
    ),
    "an answer that never came says nothing": (
        sticky, "nothing",
        adorned(sessions(quick("A", 0), quick("B", 5)), c1={"ended": None}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_a_choice_is_judged_from_where_it_is_said_to_be(claim):
    contract, expected, history = CASES[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def said(contract, history):
    return [(seen.at, seen.says, seen.evidence) for seen in contract.check(history)]


def test_a_split_names_the_first_twenty_of_the_target_that_is_off():
    [(at, says, evidence)] = said(even, story(*spread("A" + "B" * 40)))
    assert (at, evidence) == ("a1", ("a1",))
    assert says.startswith("from a1 on: A 1 of 41 (50% declared), B 40 of 41 (50% declared);")
    thirds = balance.Split(((A, 1.0), (B, 1.0), (C, 1.0)))
    [(at, _, evidence)] = said(thirds, story(*spread("AB" + "C" * 40)))
    assert (at, evidence) == ("a3", tuple(f"a{number}" for number in range(3, 23)))
    [(at, _, evidence)] = said(even, story(*spread("B" * 40)))
    assert (at, evidence) == ("a1", tuple(f"a{number}" for number in range(1, 21)))


@pytest.mark.parametrize(("many", "seldom"), [(100, "6e+29 times"), (101, "more than 1e30 times")])
def test_a_split_says_how_seldom_up_to_where_it_does_not_matter(many, seldom):
    [(_, says, _)] = said(even, story(*spread("A" * many)))
    assert says.endswith(f"chance does that once in {seldom}")


def test_four_even_shares_are_told_from_one_that_has_twice_its_share():
    half = [
        power(calls, Fraction(1, 4), Fraction(1, 2), alarm=1e-6 / 4) >= 0.99
        for calls in range(10, 500, 10)
    ]
    assert balance.calls_to_tell((1.0,) * 4) == 10 * (half.index(True) + 1)


def test_calls_that_are_too_few_to_raise_the_alarm_find_nobody():
    half = Fraction(1, 2)
    assert power(3, half, Fraction(1), alarm=1e-6) == 0
    assert power(3, half, Fraction(0), alarm=1e-6) == 0
    assert power(20, Fraction(1, 10), Fraction(1), alarm=1e-6) == 1


def test_the_cheapest_that_was_passed_by_is_said():
    assert said(cheap, story(*spread("B" * 9 + "C"))) == [
        ("a10", "a10 went to C at $2 and passed B by at $1", ("c10", "a10"))
    ]
    [(at, says, evidence)] = said(cheap, story(*spread("B" * 25)))
    assert (at, says) == ("a1", "all 25 calls from a1 on went to the cheapest healthy target")
    assert evidence == tuple(f"a{number}" for number in range(1, 21))


def test_who_was_idler_or_busier_is_said():
    busy = slow("A", 0), slow("A", 0), slow("B", 1)
    assert said(idlest, story(*busy, quick("A", 5)))[-1] == (
        "a4", "a4 went to A with 2 in flight, while C had 0", ("c4", "a4", "a1", "a2"),
    )  # fmt: skip
    assert said(idlest, story(*busy, quick("C", 5)))[-1] == (
        "a4", "a4 went to C while A had 2 in flight", ("c4", "a4", "a1", "a2"),
    )  # fmt: skip


def test_how_slow_the_slow_one_is_is_said():
    [(at, says, evidence)] = said(fast, tired("AB" * 11))
    assert says == "11 of 23 calls from a12 on went to A, which takes 10 s and more"
    assert (at, evidence) == ("a12", tuple(f"a{number}" for number in range(12, 32)))


def test_what_was_wanted_and_who_was_asked_is_said():
    assert said(tagged, wants(("A", "503"), ("B", "503"), ("C", "200"))) == [
        ("a2", "c1 wanted free and asked B (a2)", ("c1", "a2"))
    ]
    assert said(tagged, wants(("A", "503"), ("B", "200"), tags=["free", "paid"])) == [
        ("a1", "c1 wanted free or paid and asked A (a1)", ("c1", "a1", "a2"))
    ]
    plain = adorned(story(*spread("BA")), c2={"options": {"tags": ["free"]}})
    assert said(tagged, plain)[0] == ("a1", "c1 wanted no tag and asked B (a1)", ("c1", "a1"))


def test_where_a_session_went_is_said_with_where_it_was():
    kept = sessions(quick("A", 0), quick("A", 5), quick("B", 9))
    assert said(sticky, kept) == [
        ("a2", "a2 went to A, like a1 of its session 5 s before", ("c1", "a1", "c2", "a2")),
        ("a3", "a3 went to B, unlike a2 of its session 4 s before", ("c2", "a2", "c3", "a3")),
    ]
