from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happened import ask, charged, go, outage
from llmroute_sim.history import History
from pytest_llmroute import measure

pytestmark = pytest.mark.once

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
