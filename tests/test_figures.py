from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happened import answered, ask, charged, failing, go, spread
from llmroute_sim.history import History
from pytest_llmroute import measure
from pytest_llmroute.report.quantiles import nearest_rank, wilson
from pytest_llmroute.report.tally import rows
from reports import cell, promised, sheet

pytestmark = pytest.mark.once

# -- errors


def test_nothing_that_happened_is_nothing_that_was_measured():
    figures = measure(History())
    assert figures.calls == figures.errors == figures.attempts == 0
    unknown = (
        "error_rate", "error_rate_interval", "uptime", "latency", "first_token", "failover",
        "ejection", "recovery", "attempts_per_call", "most_attempts", "cost_per_1k", "wasted",
    )  # fmt: skip
    assert [name for name in unknown if getattr(figures, name) is not None] == []
    assert figures.share_of_answers == figures.share_of_attempts == {}


def test_the_error_rate_is_of_the_calls_that_came_to_an_end():
    history = History()
    answered(history)
    failing(history)
    ask(history, outcome="hung")
    ask(history, outcome="left")
    ask(history, outcome="open").ended = None
    figures = measure(history)
    assert (figures.calls, figures.answered, figures.failed) == (5, 1, 1)
    assert (figures.hung, figures.left, figures.open) == (1, 1, 1)
    assert (figures.errors, figures.valid) == (2, 3)
    assert figures.error_rate == pytest.approx(2 / 3, abs=1e-6)


@pytest.mark.parametrize("outcome", ["200-cut", "200-unfinished", "200-reset", "200-garbled"])
def test_an_answer_that_broke_off_is_an_error_whatever_its_caller_was_told(outcome):
    history = History()
    go(history, ask(history, finish="stop"), outcome=outcome)
    go(history, ask(history, finish="length"), outcome=outcome)
    figures = measure(history)
    assert (figures.partial, figures.answered, figures.error_rate) == (2, 0, 1.0)


@pytest.mark.parametrize("outcomes", [("200-cut", "200"), ("200", "200-cut")])
def test_an_answer_with_words_of_a_broken_one_and_of_another_is_an_error(outcomes):
    history = History()
    call = ask(history)
    for place, outcome in zip(("openai", "anthropic"), outcomes, strict=True):
        go(history, call, place, outcome)
    assert measure(history).partial == 1


def test_an_answer_that_replaced_a_broken_one_is_an_answer():
    history = History()
    call = ask(history)
    go(history, call, outcome="200-cut", shown=False)
    go(history, call, "anthropic")
    assert measure(history).answered == 1


def test_an_apology_in_place_of_an_answer_is_an_error():
    history = History()
    go(history, ask(history), outcome="503")
    assert measure(history).partial == 1


def test_a_caller_who_stopped_reading_has_his_answer():
    history = History()
    go(history, ask(history), outcome="200-left", left=True)
    assert measure(history).answered == 1


@pytest.mark.parametrize("kind", ["invalid_request", "context_length", "moderation"])
def test_a_request_that_is_refused_as_wrong_is_no_error_of_the_router(kind):
    history = History()
    failing(history, outcome="400", error=kind)
    answered(history)
    figures = measure(history)
    assert (figures.rejected, figures.errors, figures.error_rate) == (1, 0, 0.0)


@pytest.mark.parametrize("kind", ["auth", "model_not_found", "rate_limit_requests", "unavailable"])
def test_any_other_refusal_is_an_error(kind):
    history = History()
    failing(history, outcome="400", error=kind)
    assert measure(history).error_rate == 1.0


def test_a_wrong_request_beside_an_outage_is_an_error():
    history = History()
    call = failing(history, outcome="503", error="unavailable")
    go(history, call, "anthropic", "400", error="invalid_request")
    assert measure(history).error_rate == 1.0


def test_with_nothing_but_wrong_requests_no_error_rate_was_measured():
    history = History()
    failing(history, outcome="400", error="invalid_request")
    assert measure(history).error_rate is None


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(0, 10, 0.0, 0.277533), (1, 10, 0.017876, 0.404150), (10, 10, 0.722467, 1.0), (5, 10, 0.236593, 0.763407)],
)  # fmt: skip
def test_how_sure_a_rate_is_follows_wilson(part, whole, low, high):
    history = History()
    for number in range(whole):
        (failing if number < part else answered)(history)
    assert measure(history).error_rate_interval == pytest.approx((low, high), abs=1e-6)


# -- uptime


def test_what_became_of_a_call_stands_until_the_next_began():
    history = History()
    answered(history, 0.0, 1.0)
    failing(history, 60.0)
    answered(history, 90.0, 100.0)
    figures = measure(history)
    assert figures.observed == 100.0
    assert figures.uptime == pytest.approx((60 + 10) / 100)


def test_calls_of_one_moment_count_by_their_share():
    history = History()
    for _ in range(3):
        answered(history, 0.0)
    failing(history, 0.0)
    answered(history, 100.0)
    assert measure(history).uptime == 0.75


def test_one_moment_says_nothing_of_time():
    history = History()
    answered(history, 0.0, 1.0)
    answered(history, 0.0, 1.0)
    assert measure(history).uptime is None


def test_who_leaves_or_asks_something_wrong_does_not_see_whether_it_is_up():
    history = History()
    answered(history, 0.0)
    ask(history, 10.0, outcome="left")
    failing(history, 20.0, outcome="400", error="invalid_request")
    answered(history, 100.0)
    assert measure(history).uptime == 1.0


def test_uptime_of_several_histories_is_by_the_time_that_each_was_seen():
    long, short = History(), History()
    for at in (0.0, 900.0):
        answered(long, at)
    for at in (0.0, 100.0):
        failing(short, at)
    assert measure(long, short).uptime == 0.9


# -- how long


def test_latency_is_of_answered_calls_from_begin_to_end():
    history = History()
    for number in range(1, 101):
        answered(history, 1000.0 * number, 1000.0 * number + number)
    failing(history, 0.0, 600.0)
    ask(history, 0.0, 7200.0, outcome="hung")
    assert spread(measure(history).latency) == (100, 50.0, 95.0, 99.0, 100.0)


def test_latency_of_calls_that_met_a_fault_is_also_given_apart():
    history = History()
    answered(history, 0.0, 1.0)
    slow = answered(history, 10.0, 30.0)
    history.of(slow)[0].faults = ("slow at openai",)
    figures = measure(history)
    assert figures.faulted == 1
    assert spread(figures.latency) == (2, 1.0, 20.0, 20.0, 20.0)
    assert spread(figures.latency_faulted) == (1, 20.0, 20.0, 20.0, 20.0)


def test_the_first_token_is_measured_where_there_is_a_stream_to_be_seen():
    history = History()
    answered(history, 0.0, 9.0, stream=True, first_token=0.5)
    answered(history, 0.0, 9.0, first_token=9.0)
    ask(history, 0.0, 9.0, stream=True, first_token=1.5, outcome="failed")
    ask(history, 0.0, 9.0, stream=True, outcome="failed")
    assert spread(measure(history).first_token) == (2, 0.5, 1.5, 1.5, 1.5)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([50, 95, 99, 100]))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, percent):
    found = nearest_rank(sorted(values), percent)
    assert found in values
    below = [one for one in values if one <= found]
    assert 100 * len(below) >= percent * len(values)
    smaller = [one for one in values if one < found]
    assert 100 * len(smaller) < percent * len(values)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share_and_is_narrower_with_more(counts):
    part, whole = counts
    low, high = wilson(part, whole)
    assert 0 <= low <= part / whole <= high <= 1
    narrow_low, narrow_high = wilson(4 * part, 4 * whole)
    assert narrow_high - narrow_low < high - low


# -- attempts


def test_attempts_per_call_counts_what_the_router_asked():
    history = History()
    call = ask(history)
    for outcome in ("503", "503", "200"):
        go(history, call, outcome=outcome)
    answered(history)
    figures = measure(history)
    assert (figures.attempts, figures.attempts_per_call, figures.most_attempts) == (4, 2.0, 3)


def test_an_answer_from_a_cache_takes_no_attempt():
    history = History()
    first = answered(history)
    ask(history).marks = first.marks
    figures = measure(history)
    assert (figures.cached, figures.answered, figures.attempts_per_call) == (1, 2, 0.5)
    assert figures.share_of_answers == {"openai": 1.0}


def test_an_answer_with_words_of_its_own_is_not_from_a_cache():
    history = History()
    first = answered(history)
    answered(history).marks += first.marks
    assert measure(history).cached == 0


def test_a_broken_answer_from_a_cache_is_an_error():
    history = History()
    first = ask(history)
    go(history, first, outcome="200-cut")
    ask(history).marks = first.marks
    assert measure(history).partial == 2


def test_what_a_gateway_asks_is_not_asked_by_the_router():
    history = History()
    call = ask(history)
    outer = go(history, call, "groq", shown=False)
    outer.marks = ()
    go(history, call, "openai", "503", via=outer.id)
    go(history, call, "anthropic", via=outer.id)
    figures = measure(history)
    assert (figures.attempts, figures.attempts_per_call) == (1, 1.0)
    assert figures.share_of_attempts == {"groq": 1.0}
    assert figures.share_of_answers == {"anthropic": 1.0}
    assert figures.failover is None


def test_calls_beside_attempts_that_nobody_made_tell_nothing_of_attempts_per_call():
    history = History()
    answered(history, 0.0, 1.0)
    go(history, None, at=0.5)
    figures = measure(history)
    assert (figures.attempts, figures.untied) == (2, 1)
    assert figures.attempts_per_call is None


# -- money


def test_cost_is_of_all_that_was_charged_and_waste_is_what_reached_nobody():
    history = History()
    call = ask(history)
    charged(go(history, call, outcome="200-cut", shown=False), "0.0010", 100, 50)
    charged(go(history, call, "anthropic"), "0.0020", 100, 150)
    go(history, call, outcome="503", tokens_in=70)
    figures = measure(history)
    assert (figures.spent, figures.wasted) == (Decimal("0.0030"), Decimal("0.0010"))
    assert (figures.tokens_in, figures.tokens_out) == (200, 200)
    assert figures.cost_per_1k == Decimal("0.0075")


def test_a_bill_that_a_scenario_stated_is_no_cost():
    history = History()
    charged(go(history, ask(history)), "0.0010", 10, 10)
    charged(go(history, ask(history)), "50.0", 9_000_000, 10).billed_as_stated = True
    figures = measure(history)
    assert (figures.spent, figures.cost_per_1k) == (Decimal("0.0010"), Decimal("0.05"))


def test_an_answer_that_another_call_gets_from_the_cache_was_not_wasted():
    history = History()
    call = ask(history, outcome="failed")
    made = charged(go(history, call, shown=False), "0.0010", 10, 10)
    ask(history).marks = made.marks
    assert measure(history).wasted == 0


def test_what_belongs_to_no_call_is_charged_all_the_same():
    history = History()
    answered(history, 0.0, 1.0)
    charged(go(history, None, at=5.0), "0.0010", 10, 10)
    figures = measure(history)
    assert figures.spent == figures.wasted == Decimal("0.0010")


# -- shares


def test_shares_are_by_provider_of_answers_and_of_attempts():
    history = History()
    answered(history)
    answered(history)
    call = ask(history)
    go(history, call, "openai", "503")
    go(history, call, "anthropic")
    failing(history)
    figures = measure(history)
    assert figures.share_of_answers == pytest.approx(
        {"openai": 2 / 3, "anthropic": 1 / 3}, abs=1e-6
    )
    assert figures.share_of_attempts == {"openai": 0.8, "anthropic": 0.2}


def test_an_answer_made_of_two_is_shared_by_both():
    history = History()
    call = ask(history)
    go(history, call, "openai")
    go(history, call, "anthropic")
    answered(history)
    assert measure(history).share_of_answers == {"openai": 0.75, "anthropic": 0.25}


# -- labels and scenarios


def test_labels_group_calls_and_what_belongs_to_them():
    history = History()
    for number in range(4):
        answered(history, 10.0 * number, labels={"tenant": "acme", "day": str(number)})
    failing(history, 50.0).labels = {"tenant": "globex"}
    acme = measure(history, label=("tenant", "acme"))
    globex = measure(history, label=("tenant", "globex"))
    assert (acme.calls, acme.errors, acme.attempts) == (4, 0, 4)
    assert (globex.calls, globex.errors, globex.attempts) == (1, 1, 1)
    assert measure(history, label=("tenant", "initech")).cells == 0


def test_rows_are_of_all_cells_of_each_scenario_and_of_each_label():
    one, two = History(), History()
    for day in ("2", "10", "1"):
        answered(one, labels={"day": day})
    failing(two)
    found = sheet([promised()], [cell(one, scenario="days"), cell(two, scenario="outage")])
    shown = [
        (row.scenario, row.label, row.figures.calls, row.figures.errors) for row in rows(found)
    ]
    days = [("day", "1"), ("day", "2"), ("day", "10")]
    assert shown == [
        (None, None, 4, 1),
        *((None, day, 1, 0) for day in days),
        ("days", None, 3, 0),
        *(("days", day, 1, 0) for day in days),
        ("outage", None, 1, 1),
    ]
    assert {row.config for row in rows(found)} == {"routes.yaml"}


def test_what_happened_without_the_stimulus_is_in_no_figure():
    history, calm = History(), History()
    failing(history)
    answered(calm)
    (row, *_) = rows(sheet([promised()], [cell(history, calm=calm)]))
    assert (row.figures.calls, row.figures.error_rate) == (1, 1.0)
