from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.history import Episode, Failure, History
from pytest_llmroute import measure
from pytest_llmroute.report.quantiles import nearest_rank, wilson
from pytest_llmroute.report.tally import rows
from reports import cell, promised, sheet

HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com", "groq": "api.groq.com"}


def ask(history, at=0.0, until=None, **seen):
    """A call that is answered unless something else is said of it."""
    call = history.begin_call(at, entry="chat", group=seen.pop("group", "chat"))
    call.ended, call.outcome = at if until is None else until, seen.pop("outcome", "answered")
    if call.outcome == "failed":
        call.failure = Failure(("APIError",), 503)
    for name, value in seen.items():
        setattr(call, name, value)
    return call


def go(history, call, place="openai", outcome="200", at=None, until=None, **seen):
    """An attempt; an answer that the caller is shown has words of its own."""
    begin = call.started if at is None and call else at or 0.0
    made = history.begin_attempt(
        begin, call and call.id, place=place, provider=place, deployment=HOSTS[place], model="m"
    )
    made.outcome, made.ended = outcome, begin if until is None else until
    head = outcome.partition("-")[0]
    made.status = int(head) if head.isdigit() else None
    shown = seen.pop("shown", made.status == 200)
    if made.status == 200:
        made.marks = (f"{made.id}first", f"{made.id}last")
        made.complete = outcome == "200"
    if shown and call is not None:
        call.marks += made.marks
    for name, value in seen.items():
        setattr(made, name, value)
    return made


def answered(history, at=0.0, until=None, place="openai", **seen):
    call = ask(history, at, until, **seen)
    go(history, call, place, until=until)
    return call


def failing(history, at=0.0, until=None, outcome="503", **seen):
    call = ask(history, at, until, outcome="failed")
    go(history, call, outcome=outcome, **seen)
    return call


def spread(times):
    return (times.count, times.p50, times.p95, times.p99, times.worst)


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


# -- failing over


def test_failover_is_from_the_first_failure_to_the_attempt_elsewhere_that_answered():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "503", at=0.0, until=2.0)
    go(history, call, "openai", "503", at=3.0, until=3.5)
    go(history, call, "groq", "503", at=4.0, until=4.5)
    go(history, call, "anthropic", at=5.25, until=9.0)
    assert spread(measure(history).failover) == (1, 3.25, 3.25, 3.25, 3.25)


def test_a_retry_at_the_same_place_is_no_failover():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "refused", at=0.0, model=None)
    go(history, call, "openai", at=1.0)
    assert measure(history).failover is None


def test_failing_over_to_a_gateway_ends_when_the_gateway_is_asked():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "503", at=0.0)
    outer = go(history, call, "groq", at=1.0, shown=False)
    outer.marks = ()
    go(history, call, "anthropic", at=3.0, via=outer.id)
    assert measure(history).failover.worst == 1.0


def test_another_model_of_the_same_host_is_another_place():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "404", at=0.0, model="gone")
    go(history, call, "openai", at=1.0, model="there")
    assert measure(history).failover.worst == 1.0


def test_a_call_that_was_not_answered_did_not_fail_over():
    history = History()
    call = ask(history, 0.0, 9.0, outcome="failed")
    go(history, call, "openai", "503")
    go(history, call, "anthropic", "503", at=1.0)
    assert measure(history).failover is None


def test_a_second_place_asked_at_once_took_no_time():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "503", at=0.0, until=5.0)
    go(history, call, "anthropic", at=1.0, until=4.0)
    assert measure(history).failover.worst == 0.0


# -- recovery


def outage(history, started, ended=None, name="outage at openai"):
    history.incidents.append(Episode(name, started, ended))
    return name


def met(history, at, name="outage at openai", *, then="anthropic", place="openai"):
    """A call that meets an incident and is answered elsewhere, or nowhere."""
    call = ask(history, at, at + 1, outcome="answered" if then else "failed")
    go(history, call, place, "503", faults=(name,))
    if then:
        go(history, call, then)
    return call


def test_recovery_is_from_the_end_of_an_incident_to_the_first_answer_of_its_place():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    met(history, 65.0)
    for at in (80.0, 110.0, 125.0):
        answered(history, at, place="anthropic")
    answered(history, 150.0)
    figures = measure(history)
    assert spread(figures.recovery) == (1, 30.0, 30.0, 30.0, 30.0)
    assert spread(figures.ejection) == (1, 20.0, 20.0, 20.0, 20.0)
    assert figures.never_recovered == figures.never_ejected == 0


def test_a_place_that_nobody_asks_again_never_recovered():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    met(history, 65.0)
    answered(history, 150.0, place="anthropic")
    figures = measure(history)
    assert (figures.recovery, figures.never_recovered) == (None, 1)


def test_a_sick_place_that_every_call_visits_first_was_never_left_out():
    history = History()
    outage(history, 60.0, 120.0)
    for at in (60.0, 70.0, 80.0):
        met(history, at)
    figures = measure(history)
    assert (figures.ejection, figures.never_ejected) == (None, 1)


def test_a_place_that_is_left_out_only_after_an_incident_was_not_left_out_in_it():
    history = History()
    outage(history, 60.0, 120.0)
    met(history, 65.0)
    met(history, 80.0)
    answered(history, 130.0, place="anthropic")
    assert measure(history).never_ejected == 1


def test_only_answers_show_that_a_place_is_left_out_and_that_it_is_back():
    history = History()
    outage(history, 60.0, 120.0)
    met(history, 65.0)
    go(history, ask(history, 70.0, outcome="failed"), "anthropic", "503")
    answered(history, 80.0, place="anthropic")
    go(history, ask(history, 130.0), "openai", "200-cut")
    answered(history, 150.0)
    figures = measure(history)
    assert figures.ejection.worst == 20.0
    assert figures.recovery.worst == 30.0


def test_two_incidents_that_end_together_are_recovered_from_once():
    history = History()
    outage(history, 60.0, 120.0)
    slow = outage(history, 70.0, 120.0, "slow at openai")
    met(history, 80.0)
    history.attempts[0].faults += (slow,)
    answered(history, 130.0)
    assert spread(measure(history).recovery) == (1, 10.0, 10.0, 10.0, 10.0)


def test_an_incident_that_comes_again_is_recovered_from_each_time_that_it_was_met():
    history = History()
    for start in (60.0, 180.0, 300.0):
        outage(history, start, start + 60.0)
    met(history, 65.0)
    answered(history, 130.0)
    met(history, 200.0)
    answered(history, 260.0)
    answered(history, 400.0)
    assert spread(measure(history).recovery) == (2, 10.0, 20.0, 20.0, 20.0)


def test_refused_and_turned_away_at_one_place_are_one_place():
    history = History()
    name = outage(history, 0.0, 60.0, "down at openai")
    call = ask(history, 0.0, outcome="failed")
    go(history, call, "openai", "refused", faults=(name,), model=None)
    go(history, call, "openai", "503", faults=(name,))
    answered(history, 75.0)
    assert measure(history).recovery.count == 1


def test_without_a_call_afterwards_recovery_was_not_measured():
    history = History()
    outage(history, 60.0, 120.0)
    met(history, 65.0)
    figures = measure(history)
    assert (figures.recovery, figures.never_recovered) == (None, 0)
    assert (figures.ejection, figures.never_ejected) == (None, 0)


def test_an_incident_that_nobody_met_is_not_recovered_from():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    answered(history, 130.0)
    assert measure(history).recovery is None


def test_an_incident_without_an_end_is_not_recovered_from():
    history = History()
    outage(history, 60.0)
    met(history, 65.0)
    answered(history, 130.0)
    figures = measure(history)
    assert (figures.recovery, figures.never_recovered) == (None, 0)


def test_an_incident_that_ends_while_another_acts_heals_nothing():
    history = History()
    outage(history, 60.0, 120.0)
    slow = outage(history, 60.0, 180.0, "slow at openai")
    met(history, 65.0).started = 65.0
    history.attempts[0].faults += (slow,)
    met(history, 150.0, slow)
    answered(history, 200.0)
    assert spread(measure(history).recovery) == (1, 20.0, 20.0, 20.0, 20.0)


def test_a_place_that_is_only_asked_when_others_fail_has_nothing_to_return_to():
    history = History()
    name = outage(history, 0.0, 60.0, "outage at *")
    call = ask(history, 0.0, outcome="failed")
    go(history, call, "openai", "503", faults=(name,))
    go(history, call, "anthropic", "503", faults=(name,))
    resting = ask(history, 10.0, outcome="failed")
    go(history, resting, "anthropic", "503", faults=(name,))
    answered(history, 70.0, 71.0)
    figures = measure(history)
    assert spread(figures.recovery) == (1, 10.0, 10.0, 10.0, 10.0)
    assert figures.never_recovered == 0


def test_a_place_whose_connections_were_refused_is_found_again_by_its_host():
    history = History()
    name = outage(history, 0.0, 60.0, "refused at openai")
    call = ask(history, 0.0, outcome="failed")
    go(history, call, "openai", "refused", faults=(name,), model=None)
    answered(history, 75.0)
    assert measure(history).recovery.worst == 15.0


def test_only_calls_that_ask_for_the_same_tell_of_an_incident():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    met(history, 65.0)
    answered(history, 70.0, place="groq", group="other")
    answered(history, 130.0, place="groq", group="other")
    figures = measure(history)
    assert (figures.ejection, figures.recovery) == (None, None)
    assert (figures.never_ejected, figures.never_recovered) == (0, 0)


# -- money


def charged(attempt, spent, tokens_in, tokens_out):
    attempt.spent = Decimal(spent)
    attempt.tokens_in, attempt.tokens_out = tokens_in, tokens_out
    return attempt


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


# -- laws

MOMENTS = st.integers(0, 400).map(lambda tenths: tenths / 10)
PLACES = st.sampled_from(["openai", "anthropic", "groq"])
OUTCOMES = st.sampled_from(["200", "503", "429", "200-cut", "200-left", "refused", "400"])


@st.composite
def histories(draw):
    history = History()
    name = outage(history, draw(MOMENTS), draw(MOMENTS | st.none()))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(MOMENTS)
        call = ask(
            history,
            at,
            at + draw(MOMENTS),
            outcome=draw(st.sampled_from(["answered", "answered", "failed", "hung", "left"])),
            stream=draw(st.booleans()),
            labels={"tenant": draw(st.sampled_from(["acme", "globex"]))},
            first_token=draw(st.none() | MOMENTS.map(lambda later, at=at: at + later)),
        )
        for _ in range(draw(st.integers(0, 3))):
            begin = at + draw(MOMENTS)
            made = go(
                history,
                call,
                draw(PLACES),
                draw(OUTCOMES),
                at=begin,
                until=begin + draw(MOMENTS),
                shown=draw(st.booleans()),
            )
            made.faults = draw(st.sampled_from([(), (name,)]))
            made.error = draw(st.sampled_from([None, "invalid_request"]))
            charged(made, draw(st.sampled_from(["0", "0.0021"])), draw(st.integers(0, 90)), 7)
    return history


COUNTS = (
    "cells", "calls", "answered", "partial", "failed", "rejected", "hung", "left", "open", "faulted",
    "cached", "errors", "attempts", "untied", "never_ejected", "never_recovered", "spent", "wasted",
    "tokens_in", "tokens_out",
)  # fmt: skip
TIMES = ("latency", "latency_faulted", "first_token", "first_token_faulted", "failover", "ejection", "recovery")  # fmt: skip


def count(times):
    return 0 if times is None else times.count


@given(histories(), histories())
def test_figures_of_two_histories_are_those_of_each_taken_together(one, two):
    both, first, second = measure(one, two), measure(one), measure(two)
    for name in COUNTS:
        parts = [getattr(figures, name) for figures in (first, second)]
        assert (getattr(both, name) or 0) == sum(part or 0 for part in parts), name
    for name in TIMES:
        parts = [getattr(figures, name) for figures in (first, second)]
        assert count(getattr(both, name)) == sum(map(count, parts)), name
        if getattr(both, name):
            worst = max(part.worst for part in parts if part)
            assert getattr(both, name).worst == worst, name
    assert both.observed == pytest.approx(first.observed + second.observed)


@given(st.lists(histories(), max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_histories_does_not_matter(several, chance):
    shuffled = list(several)
    chance.shuffle(shuffled)
    assert measure(*several) == measure(*shuffled)


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_calls_and_incidents_does_not_matter(history, chance):
    before = measure(history)
    chance.shuffle(history.calls)
    chance.shuffle(history.incidents)
    assert measure(history) == before


@given(histories())
def test_twice_the_same_changes_no_rate(history):
    once, twice = measure(history), measure(history, history)
    for name in ("error_rate", "uptime", "attempts_per_call", "most_attempts", "cost_per_1k", "share_of_answers", "share_of_attempts"):  # fmt: skip
        assert getattr(twice, name) == getattr(once, name), name


@given(histories())
def test_figures_stay_where_figures_can_be(history):
    figures = measure(history)
    ends = ("answered", "partial", "failed", "rejected", "hung", "left", "open")
    assert sum(getattr(figures, name) for name in ends) == figures.calls
    assert figures.error_rate is None or 0 <= figures.error_rate <= 1
    assert (figures.error_rate is None) == (figures.valid == 0)
    if figures.error_rate_interval is not None:
        low, high = figures.error_rate_interval
        assert low <= figures.error_rate <= high
    assert figures.uptime is None or 0 <= figures.uptime <= 1
    for share in (figures.share_of_answers, figures.share_of_attempts):
        assert not share or math.isclose(sum(share.values()), 1, abs_tol=1e-5)
    assert figures.wasted is None or 0 <= figures.wasted <= figures.spent
    for name in TIMES:
        times = getattr(figures, name)
        assert times is None or 0 <= times.p50 <= times.p95 <= times.p99 <= times.worst, name
    assert (figures.most_attempts or 0) >= (figures.attempts_per_call or 0)


@given(histories())
def test_labels_that_every_call_carries_divide_the_calls_among_them(history):
    parts = [measure(history, label=("tenant", name)) for name in ("acme", "globex")]
    everything = measure(history)
    for name in ("calls", "answered", "errors", "rejected", "attempts", "spent", "tokens_in", "faulted"):  # fmt: skip
        assert sum(getattr(part, name) for part in parts) == getattr(everything, name), name


@given(histories())
def test_a_history_read_again_gives_the_same_figures(history):
    again = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert measure(again) == measure(history)
