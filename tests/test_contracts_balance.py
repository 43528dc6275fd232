from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmroute.contracts import balance
from pytest_llmroute.contracts.chance import band, calls_needed, fractions, power, tails
from pytest_llmroute.contracts.load import crowded, most, spans

from .balance_cases import even, nine, one_flying, slow, spread
from .stories import A, B, C, Step, call, story, verdict

pytestmark = pytest.mark.once

# -- chance, against every possible outcome

shares = st.builds(Fraction, st.integers(0, 7), st.just(7))


@given(st.integers(1, 9), shares, st.data())
def test_the_tails_are_those_of_all_outcomes_one_by_one(draws, share, data):
    hits = data.draw(st.integers(0, draws))
    likely = {
        outcome: prod((share if hit else 1 - share for hit in outcome), start=Fraction(1))
        for outcome in product((True, False), repeat=draws)
    }
    at_most, at_least = tails(hits, draws, share)
    assert at_most == sum(chance for outcome, chance in likely.items() if sum(outcome) <= hits)
    assert at_least == sum(chance for outcome, chance in likely.items() if sum(outcome) >= hits)


@given(st.integers(1, 60), shares, st.sampled_from((1e-1, 1e-3, 1e-6)))
def test_a_band_lets_an_alarm_through_as_seldom_as_it_says(draws, share, alarm):
    low, high = band(draws, share, alarm)
    half = Fraction(alarm) / 2
    inside = [hits for hits in range(draws + 1) if min(tails(hits, draws, share)) > half]
    assert inside == list(range(low, high + 1))
    assert power(draws, share, share, alarm) <= alarm


@settings(max_examples=12)
@given(st.integers(2, 3), st.integers(3, 4), st.data())
def test_a_router_that_draws_as_declared_is_blamed_no_more_often_than_the_alarm(many, draws, data):
    parts = data.draw(st.lists(st.integers(1, 5), min_size=many, max_size=many))
    alarm = data.draw(st.sampled_from((0.5, 0.2, 0.05)))
    targets = (A, B, C)[:many]
    split = balance.Split(tuple(zip(targets, map(float, parts), strict=True)), alarm=alarm)
    whole = sum(parts)
    blamed = Fraction(0)
    for outcome in product(range(many), repeat=draws):
        history = story(*spread("".join("ABC"[one] for one in outcome)))
        if verdict(split, history) == "broken":
            blamed += prod((Fraction(parts[one], whole) for one in outcome), start=Fraction(1))
    assert blamed <= Fraction(alarm)


def test_shares_are_read_as_they_are_written():
    assert fractions([0.7, 0.3]) == (Fraction(7, 10), Fraction(3, 10))
    assert fractions([9, 1]) == (Fraction(9, 10), Fraction(1, 10))


@pytest.mark.parametrize("wrong", [[0.0, 0.0], [-1.0, 2.0]])
def test_nothing_is_shared_out_by_what_are_no_shares(wrong):
    with pytest.raises(ValueError, match="are no shares"):
        fractions(wrong)


@pytest.mark.parametrize(
    ("declared", "calls"),
    [((1, 1), 30), ((9, 1), 60), ((3, 1), 190), ((2, 1), 460), ((1, 1, 1), 120), ((5, 3, 2), 490)],
)
def test_so_many_calls_find_who_ignores_the_shares(declared, calls):
    found = balance.calls_to_tell(tuple(map(float, declared)))
    assert found == calls
    if len(declared) == 2 and declared[0] != declared[1]:
        share = Fraction(declared[0], sum(declared))
        assert power(calls, share, Fraction(1, 2), 1e-6) >= 0.99
        assert power(calls - 10, share, Fraction(1, 2), 1e-6) < 0.99


def test_shares_that_are_nearly_even_cannot_be_told_from_even_ones():
    with pytest.raises(ValueError, match="do not tell"):
        balance.calls_to_tell((1.0, 1.05))
    nearly = balance.Split(((A, 1.0), (B, 1.05)))
    assert verdict(nearly, story(*spread("AB" * 40))) == "nothing"
    assert verdict(nearly, story(*spread("A" * 40))) == "broken"


def test_fewer_calls_are_needed_for_a_grosser_wrong():
    assert calls_needed([9, 1], [1, 9]) < calls_needed([9, 1], [1, 1])


@pytest.mark.parametrize("split", [even, nine])
def test_the_order_of_the_list_does_not_matter_to_a_split(split):
    turned = balance.Split(split.shares[::-1])
    for places in ("AB" * 30, "A" * 40, "AAAAAAAAAB" * 6, "B" * 40):
        history = story(*spread(places))
        assert verdict(split, history) == verdict(turned, history)


def test_a_wrong_split_says_what_each_got_and_how_seldom_chance_does_that():
    [seen] = even.check(story(*spread("A" * 30)))
    assert seen.says == (
        "from a1 on: A 30 of 30 (50% declared), B 0 of 30 (50% declared);"
        " chance does that once in 5e+08 times"
    )


# -- load, against counting moment by moment

times = st.lists(st.integers(0, 40), max_size=12).map(sorted)


@given(times, st.integers(1, 15))
def test_the_kindest_windows_are_found(moments, window):
    worst = [
        max(
            (
                sum(start <= moment < start + window for moment in moments)
                for start in range(phase - window, 60, window)
            ),
            default=0,
        )
        for phase in range(window)
    ]
    count, first = most(moments, window)
    assert count == min(worst)
    assert len(moments[first : first + count]) == count
    assert not count or moments[first + count - 1] - moments[first] < window


flights = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)), max_size=8)


@given(flights, st.integers(1, 4))
def test_a_target_is_full_when_so_many_answers_are_under_way(found, least):
    history = story(*(slow("A", float(at), float(took)) for at, took in sorted(found)))
    full = [
        moment
        for moment in range(40)
        if sum(at <= moment < at + took for at, took in found) >= least
    ]
    seen = list(crowded(spans(history, A), least))
    assert [m for m in range(40) if any(one.start <= m < one.end for one in seen)] == full
    assert all(len(one.inside) >= least for one in seen)
    assert all(one.end < other.start for one, other in pairwise(seen))


@given(flights, st.integers(1, 4))
def test_more_in_flight_than_allowed_is_always_seen(found, limit):
    history = story(*(slow("A", float(at), float(took)) for at, took in sorted(found)))
    most_at_once = max(
        (sum(at <= moment < at + took for at, took in found) for moment in range(40)), default=0
    )
    broken = verdict(balance.InFlight(A, limit), history) == "broken"
    assert broken == (most_at_once > limit)


def test_too_many_in_flight_says_which_one_was_too_many():
    [seen] = one_flying.check(story(slow("A", 0), slow("A", 5)))
    assert seen.says == "a2 was number 2 in flight at A at 5 s; 1 allowed"
    assert (seen.at, seen.evidence) == ("a2", ("a1", "a2"))


def test_nothing_is_in_flight_at_a_target_that_another_attempt_went_to():
    history = story(call("answered", Step("B", "200", took=9), at=0), slow("A", 3))
    assert [span.attempt.id for span in spans(history, A)] == ["a2"]
