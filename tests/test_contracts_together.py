from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import contracts

from .stories import call, story
from .test_contracts import CASES
from .test_contracts_bounds_asked import CASES as ASKED
from .test_contracts_bounds_budget import BUDGET
from .test_contracts_bounds_cache import CACHE
from .test_contracts_bounds_choice import CASES as CHOICE
from .test_contracts_bounds_errors import CASES as ERRORS
from .test_contracts_bounds_fallback import FALLBACK
from .test_contracts_bounds_health import COOLDOWN, ROTATION
from .test_contracts_bounds_limits import CASES as LIMITS
from .test_contracts_bounds_retry import RETRY
from .test_contracts_bounds_stream import STREAM

pytestmark = pytest.mark.once

LATER = 1e6

OF_A_WHOLE_RUN = {
    "balance.cheapest", "balance.fastest", "balance.in-flight", "balance.rate", "balance.split",
    "budget.window", "fallback.dimension", "health.cooldown", "health.never", "health.rotation",
    "health.transient",
}  # fmt: skip
"""These are not told call by call: what was earlier makes another story of what comes later."""

IN_SERVICE = story(*(call("answered", (place, "200")) for place in ("A", "B", "C", "A mini")))
"""Everybody answers, so that no earlier failure is a reason to keep away."""

TABLES = (
    CASES, ASKED, BUDGET, CACHE, CHOICE, ERRORS, FALLBACK, COOLDOWN, ROTATION, LIMITS, RETRY, STREAM,
)  # fmt: skip
BEFORE = [entry for table in TABLES for entry in table.items()]

APART = {
    "without a group, calls that began later in the chain may be about another",
    "another key of a host is another",
}
"""Stories of somebody else, who stays in the one that they are put together with."""


def later(history):
    """The same a million seconds later, with ids, words and questions of its own."""

    def moved(entry, **names):
        moments = {
            name: moment + LATER
            for name in ("started", "ended", "head", "first_token", "last")
            if (moment := getattr(entry, name, None)) is not None
        }
        marks = tuple(f"{mark}-later" for mark in entry.marks)
        return replace(entry, id=f"{entry.id}-later", marks=marks, **moments, **names)

    def call(one: Call):
        texts = {name: getattr(one, name) for name in ("request", "question")}
        return moved(one, **{name: text and f"{text}-later" for name, text in texts.items()})

    def attempt(one: Attempt):
        return moved(one, call=one.call and f"{one.call}-later")

    return History([call(one) for one in history.calls], [attempt(one) for one in history.attempts])


def after(*parts):
    """Histories as one, the first as it is and each other a million seconds after the one before."""
    found = History()
    for part in reversed(parts):
        found = later(found)
        found.calls[:0], found.attempts[:0] = part.calls, part.attempts
    return found


def outcomes(contract, history):
    return [(seen.kept, seen.at) for seen in contract.check(history)]


@pytest.mark.parametrize("name", sorted(set(contracts()) - OF_A_WHOLE_RUN))
def test_what_came_before_does_not_change_what_is_seen_of_later_calls(name):
    wrong = []
    for one, (contract, _, before) in BEFORE:
        for other, (same, expected, history) in CASES.items():
            if (
                contract.id != name
                or contract != same
                or expected == "nothing"
                or APART & {one, other}
            ):
                continue
            # Who is in service gives no hint when to come back.
            between = History() if name == "errors.hint" else IN_SERVICE
            seen = outcomes(contract, after(before, between, history))
            alone = outcomes(contract, later(later(history)))
            if [found for found in seen if found[1].endswith("-later-later")] != alone:
                wrong.append((one, other))
    assert wrong == []


def test_a_history_that_was_kept_is_judged_like_one_that_was_not():
    for _, (contract, _, history) in BEFORE:
        kept = History.from_dict(json.loads(json.dumps(history.to_dict())))
        assert list(contract.check(kept)) == list(contract.check(history))
