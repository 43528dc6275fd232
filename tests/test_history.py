from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.calling import inside_call
from llmroute_sim.history import Failure, History, fingerprint

TIMES = st.floats(0, 1e6).map(lambda value: round(value, 6))


@st.composite
def histories(draw):
    history = History()
    for _ in range(draw(st.integers(0, 4))):
        call = history.begin_call(draw(TIMES), group=draw(st.sampled_from(["a", "b"])))
        call.labels = {"tenant": "t1"}
        call.outcome = draw(st.sampled_from(["answered", "failed", "hung"]))
        call.marks = tuple(draw(st.lists(st.sampled_from(["dada", "kiki"]))))
        if call.outcome == "failed":
            call.failure = Failure(("APIError",), 503, "down")
        for _ in range(draw(st.integers(0, 3))):
            attempt = history.begin_attempt(
                draw(TIMES), call.id, place="openai", provider="openai", deployment="api.openai.com"
            )
            attempt.outcome = draw(st.sampled_from(["200", "503", "refused"]))
            attempt.spent = draw(st.decimals(0, 10, places=4))
            attempt.marks = ("dada",)
            attempt.faults = ("outage at openai",)
    if draw(st.booleans()):
        history.add_stray(1.0, "example.com", 443, None)
    return history


@given(histories())
def test_a_saved_history_is_the_same_history(history):
    again = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert again == history
    assert again.digest() == history.digest()
    assert again.path == history.path


def test_what_is_not_of_the_form_is_named():
    with pytest.raises(ValueError, match=r"attempts\[0\]: .*plaice"):
        History.from_dict({"attempts": [{"plaice": 1}]})


def test_ordinals_count_within_a_call():
    history = History()
    place = {"place": "openai", "provider": "openai", "deployment": "api.openai.com"}
    one, two = history.begin_call(0), history.begin_call(0)
    made = [history.begin_attempt(0, call, **place) for call in (one.id, two.id, one.id, None)]
    assert [attempt.ordinal for attempt in made] == [1, 1, 2, 0]
    assert history.of(one) == [made[0], made[2]]
    assert history.untied == [made[3]]


def test_an_answer_tells_which_attempts_it_came_from():
    history = History()
    place = {"place": "openai", "provider": "openai", "deployment": "api.openai.com"}
    call = history.begin_call(0)
    one, two = (history.begin_attempt(0, call.id, **place) for _ in range(2))
    one.marks, two.marks = ("babala", "dedela"), ("kokola",)
    call.marks = history.marks_in("Well: babala and so on, kokola.")
    assert call.marks == ("babala", "kokola")
    assert history.sources(call) == (one, two)


def test_a_context_knows_its_call_and_forgets_it():
    from llmroute_sim.calling import current_call

    with inside_call("c7"):
        assert current_call() == "c7"
    assert current_call() is None


def test_the_digest_ignores_what_the_machine_draws_and_sees_what_happened():
    def made(outcome: str, request: str) -> str:
        history = History()
        attempt = history.begin_attempt(0, None, place="o", provider="o", deployment="h")
        attempt.outcome, attempt.request = outcome, request
        return history.digest()

    assert made("200", "x") == made("200", "y")
    assert made("200", "x") != made("503", "x")


def test_a_fingerprint_tells_keys_apart_and_gives_none_away():
    assert fingerprint("sk-1") != fingerprint("sk-2")
    assert fingerprint("sk-1") == fingerprint(b"sk-1")
    assert "sk-" not in fingerprint("sk-1")


def test_money_stays_exact():
    history = History()
    attempt = history.begin_attempt(0, None, place="o", provider="o", deployment="h")
    attempt.spent = Decimal("0.0000025")
    assert History.from_dict(history.to_dict()).attempts[0].spent == Decimal("0.0000025")
