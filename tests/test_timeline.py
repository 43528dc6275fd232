from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.history import Attempt, Failure, History
from pytest_llmroute.report.timeline import LINES, Numbers, draw


def attempt(
    history: History, at: float, place: str, outcome: str, ended: float | None = None, **seen: Any
) -> Attempt:
    made = history.begin_attempt(
        at, seen.pop("call", None), place=place, provider=place, deployment=place, **seen
    )
    made.outcome, made.ended = outcome, at if ended is None else ended
    return made


def one_call() -> History:
    history = History()
    call = history.begin_call(0.0, entry="ask", labels={"tenant": "a"})
    attempt(history, 0, "openai", "429", call="c1", faults=("rate-limit at openai",))
    attempt(history, 2, "groq", "200", 33, call="c1", marks=("dada",))
    call.ended, call.outcome, call.finish, call.marks = 33, "answered", "stop", ("dada",)
    return history


def test_lanes_show_who_was_asked_when_and_what_came_back() -> None:
    assert draw(one_call(), marks={"a2": "no"}).splitlines() == [
        "           router           openai             groq",
        "   0.000s    ┌ c1 ask tenant=a",
        "   0.000s    │────── #1 ──────▶│                 │",
        "   0.000s    │◀───── 429 ──────│                 │   ⚡ rate-limit at openai",
        "   2.000s    │─────────────── #2 ───────────────▶│   ✗ no",
        "  33.000s    │◀────────────── 200 ───────────────│",
        "  33.000s    └ c1 answered (stop) from #2",
    ]


def test_where_lanes_do_not_fit_an_attempt_is_a_line() -> None:
    assert draw(one_call(), width=60, marks={"a2": "no", "c1": "bad"}).splitlines() == [
        "   0.000s  ┌ c1 ask tenant=a",
        "   0.000s  │ #1 openai: 429  ⚡ rate-limit at openai",
        "   2.000s  ✗ #2 groq: 200 at 33.000s  ✗ no",
        "  33.000s  └ c1 answered (stop) from #2   ✗ bad",
    ]


def test_more_than_four_places_are_no_lanes() -> None:
    history = History()
    for number in range(5):
        attempt(history, number, f"p{number}", "200")
    drawn = draw(history, width=300).splitlines()
    assert len(drawn) == 5
    assert "router" not in drawn[0]


def test_a_gateways_attempts_start_at_the_gateway_and_end_before_it_answers() -> None:
    history = History()
    gateway = attempt(history, 0, "gate", "200", 10)
    attempt(history, 0, "openai", "silence", 10, via=gateway.id)
    attempt(history, 10, "groq", "200", 10, via=gateway.id)
    assert draw(history, width=100).splitlines()[1:] == [
        "   0.000s    │────── #1 ──────▶│                 │                 │",
        "   0.000s    │                 │────── #2 ──────▶│                 │",
        "  10.000s    │                 │◀─── silence ────│                 │",
        "  10.000s    │                 │─────────────── #3 ───────────────▶│",
        "  10.000s    │                 │◀────────────── 200 ───────────────│",
        "  10.000s    │◀───── 200 ──────│                 │                 │",
    ]


def test_what_failed_and_what_strayed_is_said() -> None:
    history = History()
    call = history.begin_call(0, entry="ask")
    call.ended, call.outcome = 1, "failed"
    call.failure = Failure(("RateLimitError", "APIError"), 429, "no")
    history.add_stray(0.5, "api.opnai.com", 443, "c1")
    drawn = draw(history)
    assert "c1 failed: RateLimitError 429" in drawn
    assert "stray: api.opnai.com:443" in drawn


def test_a_call_without_attempts_stands_after_those_before_it() -> None:
    history = one_call()
    hit = history.begin_call(33, entry="ask")
    hit.ended, hit.outcome, hit.marks = 33, "answered", ("dada",)
    assert [line.split("  ")[-1] for line in draw(history).splitlines()[-3:]] == [
        "└ c1 answered (stop) from #2",
        "┌ c2 ask",
        "└ c2 answered from #2",
    ]


def test_models_are_told_apart_where_a_place_has_several() -> None:
    history = History()
    attempt(history, 0, "openai", "200", model="gpt-4o")
    attempt(history, 1, "openai", "200", model="o3")
    assert "─ #2 o3 ─" in draw(history)


def test_a_clock_that_was_not_quite_virtual_is_said() -> None:
    history = one_call()
    history.clock = "virtual, degraded (1)"
    assert draw(history).endswith("clock: virtual, degraded (1)")


def test_a_long_history_keeps_its_ends_and_what_is_marked() -> None:
    history = History()
    for number in range(500):
        attempt(history, number, "openai", "200")
    drawn = draw(history, marks={"a250": "here"}).splitlines()
    assert len(drawn) <= LINES
    assert any("#250" in line and "✗ here" in line for line in drawn)
    assert "#1 " in drawn[1]
    assert "lines left out" in "".join(drawn)


def test_marks_that_were_left_out_are_counted() -> None:
    history = History()
    for number in range(500):
        attempt(history, number, "openai", "200")
    marks = {f"a{number}": "no" for number in range(100, 400, 20)}
    drawn = draw(history, marks=marks)
    shown = drawn.count("✗")
    left = sum(
        int(line.split(", ")[1].split()[0]) for line in drawn.splitlines() if "of them" in line
    )
    assert shown + left == len(marks)


def test_nothing_is_said_to_be_nothing() -> None:
    assert draw(History()) == "nothing was asked"


def test_ids_in_a_message_become_the_numbers_of_the_drawing() -> None:
    assert Numbers(one_call()).said("a2 asked groq, not a9 or data2 of c1") == (
        "#2 asked groq, not a9 or data2 of c1"
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History()
    now = 0.0
    for _ in range(draw(st.integers(0, 12))):
        now += draw(st.sampled_from([0, 0, 1.5, 1e6]))
        kind = draw(st.sampled_from(["call", "attempt", "attempt", "stray"]))
        if kind == "call":
            call = history.begin_call(now, entry="ask", group=draw(st.sampled_from([None, "g"])))
            if draw(st.booleans()):
                call.ended, call.outcome = now + 1, "answered"
        elif kind == "stray":
            history.add_stray(now, "x.example", 443, None)
        else:
            made = attempt(
                history,
                now,
                draw(st.sampled_from(["a", "openai", "a-quite-long-place"])),
                draw(st.sampled_from(["200", "200-cut", "refused"])),
                now + draw(st.sampled_from([0, 3])),
                via=draw(st.sampled_from([None, *(a.id for a in history.attempts)])),
                faults=draw(st.sampled_from([(), ("some fault at some place",)])),
            )
            if draw(st.booleans()):
                made.ended = None
    return history


@given(histories(), st.integers(30, 120), st.booleans())
def test_every_drawing_fits_and_every_attempt_is_in_it(
    history: History, width: int, plain: bool
) -> None:
    drawn = draw(history, width=width, ascii=plain, marks={"a1": "broken " * 20})
    assert all(len(line) <= width for line in drawn.splitlines())
    assert drawn.isascii() or not plain
    times = [
        float(line.split("s")[0]) for line in drawn.splitlines() if line.lstrip()[:1].isdigit()
    ]
    assert times == sorted(times)
    for number in range(1, len(history.attempts) + 1):
        assert f"#{number}" in drawn


@pytest.mark.parametrize("width", [80, 40])
def test_plain_characters_say_the_same(width: int) -> None:
    plain = draw(one_call(), width=width, ascii=True, marks={"a2": "no"})
    assert plain.isascii()
    assert "x no" in plain or "x #2" in plain
    assert "! rate-l" in plain
