from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from llmroute_sim.history import History
from pytest_llmroute.promises import Because
from pytest_llmroute.report.matrix import ASCII, matrix
from pytest_llmroute.report.terminal import Page, sheet_lines, summary_lines
from reports import cell, healthy, others, promised, report, sheet, tried

BROKEN, KEPT, QUIET = tried(3), tried(2), healthy()


def drawn(found, **page):
    return list(sheet_lines(found, Page(**page)))


def summed_up(found, **page):
    return "\n".join(summary_lines(found, Page(**page)))


# -- one outcome of many cells


@pytest.mark.parametrize(
    ("histories", "expected"),
    [
        ([KEPT], "kept"),
        ([KEPT, QUIET], "kept"),
        ([KEPT, BROKEN, QUIET], "broken"),
        ([QUIET], "untested"),
    ],
)
def test_a_promise_is_broken_by_one_cell_and_kept_by_one(histories, expected):
    played = [cell(history, entry=f"chat-{n}") for n, history in enumerate(histories)]
    (found,) = sheet([promised()], played).findings
    assert found.outcome == expected


def test_a_broken_promise_is_worse_than_an_untested_one():
    found = report(sheet([promised()], [cell(BROKEN)], untried=[(others()[0], "needs next")]))
    assert found.status() == 1


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [((), 3), (("*",), 0), (("fallback.answers",), 0), (("retry.bounded",), 3)],
)
def test_an_untested_promise_fails_unless_it_is_allowed(allowed, expected):
    found = report(sheet([promised()], [cell(KEPT)], untried=[(others()[0], "needs next")]))
    assert found.status(allowed) == expected


def test_a_broken_promise_is_never_allowed():
    assert report(sheet([promised()], [cell(BROKEN)])).status(("*",)) == 1


def test_a_cell_that_tried_nothing_does_not_fail_a_promise_that_another_kept():
    found = report(sheet([promised()], [cell(KEPT), cell(QUIET, scenario="refused")]))
    assert found.status() == 0
    assert "note: 1 cell did not try what it was meant to try" in summed_up(found)


def test_no_promise_at_all_is_not_a_pass():
    assert report(sheet([], [])).status() == 3
    assert "nothing was judged" in summed_up(report(sheet([], [])))


# -- the matrix


def test_scenarios_are_columns_where_they_fit():
    found = sheet([promised()], [cell(BROKEN), cell(KEPT, scenario="refused")])
    assert matrix(found.findings) == [
        "                   outage-503  refused",
        "  1 retry.bounded           ✗        ✓",
    ]


def test_many_scenarios_turn_the_matrix_round():
    played = [cell(KEPT, scenario=f"a-long-scenario-{n}") for n in range(9)]
    lines = matrix(sheet([promised()], played).findings)
    assert lines[0].split() == ["1"]
    assert lines[1] == "a-long-scenario-0  ✓"


def test_many_promises_are_shown_in_blocks_that_fit():
    promises = [promised(line=line) for line in range(1, 61)]
    played = [cell(KEPT, scenario=f"a-long-scenario-{n}") for n in range(9)]
    lines = matrix(sheet(promises, played).findings)
    assert max(map(len, lines)) <= 80
    assert [head for line in lines for head in line.split() if head.isdigit()] == [
        str(number) for number in range(1, 61)
    ]


def test_what_was_not_tried_looks_different_from_what_was_untested():
    found = sheet([promised()], [cell(QUIET)], untried=[(others()[0], "needs next")])
    lines = matrix(found.findings)
    assert lines[1].endswith("?")
    assert lines[2].endswith("·")


def test_the_matrix_can_be_ascii():
    found = sheet([promised()], [cell(BROKEN), cell(KEPT, scenario="refused")])
    assert all(line.isascii() for line in matrix(found.findings, signs=ASCII))


# -- a broken promise


@pytest.fixture
def routes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "routes.yaml"
    file.write_text("router_settings:\n\n  num_retries: 1  # api_key: sk-1234567890\n")
    return file


def test_every_promise_has_a_line_with_its_place(routes):
    lines = drawn(sheet([promised()], [cell(KEPT)]))
    assert "✓   1 retry.bounded  chat  routes.yaml:3 router_settings.num_retries" in lines


def test_an_untested_promise_says_why():
    lines = drawn(sheet([], [], untried=[(others()[0], "needs next")]))
    assert "      untested: needs next" in lines


def test_a_broken_promise_quotes_its_line_without_keys(routes):
    lines = drawn(sheet([promised()], [cell(BROKEN)]))
    assert "       3 |   num_retries: 1  # api_key: [key]" in lines
    assert "  https://docs.example/retries" in lines


def test_a_config_that_is_gone_is_not_quoted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = drawn(sheet([promised()], [cell(BROKEN)]))
    assert not any(" | " in line for line in lines)
    assert "  routes.yaml:3 router_settings.num_retries" in lines


def test_words_and_picture_number_the_attempts_alike(routes):
    lines = drawn(sheet([promised()], [cell(BROKEN)]))
    assert "  ✗ #3: c1 asked openai 3 times; at most 2 allowed" in lines
    (marked,) = [line for line in lines if "▶" in line and "✗" in line]
    assert "#3" in marked
    assert sum("⚡ outage" in line for line in lines) == 3


def test_a_broken_promise_ends_with_the_command_that_shows_it_again(routes):
    found = sheet([promised()], [replace(cell(BROKEN), seed=7)])
    expected = "  llmroute run routes.yaml --scenario outage-503 --contract retry.bounded --seed 7"
    assert expected in drawn(found)
    assert f"{expected} --python venv/bin/python" in drawn(found, python="venv/bin/python")


def test_the_smallest_cell_is_shown_and_the_others_are_named():
    played = [
        cell(tried(5), entry="chat-async"),
        cell(tried(3), scenario="refused"),
        cell(tried(4), entry="chat-sync"),
    ]
    lines = drawn(sheet([promised()], played))
    assert sum("also broken in" in line for line in lines) == 1
    assert "  also broken in outage-503 (chat-async, chat-sync)" in lines
    assert any("--scenario refused " in line for line in lines)
    assert not any("#4" in line for line in lines)


def test_many_violations_are_counted():
    lines = drawn(sheet([promised()], [cell(tried(3, calls=9))]))
    assert sum("at most 2 allowed" in line for line in lines) == 3
    assert "    and 6 more, marked on the timeline" in lines


def test_a_long_history_is_elided_around_the_violation():
    history = tried(2, calls=100)
    history.calls[50].id = "the one"
    for seen in history.attempts:
        seen.call = "the one" if seen.call == "c51" else seen.call
    third = replace(history.attempts[100], id="a201", call="the one")
    history.attempts.insert(102, third)
    lines = drawn(sheet([promised()], [cell(history)]))
    assert len(lines) < 80
    assert any("lines left out" in line for line in lines)
    assert any("✗" in line and "▶" in line for line in lines)


def test_a_report_fits_its_page_but_for_places_and_addresses():
    because = Because(
        "config", "routes.yaml", 3, ("a",), ("https://docs.example/x",), "a note " * 30
    )
    promise = replace(promised(), because=because, text="a text that goes on " * 12)
    played = [cell(BROKEN, scenario=f"scenario-{n}") for n in range(12)]
    for width in (60, 80, 120):
        lines = drawn(sheet([promise], played), width=width)
        assert not [line for line in lines if len(line) > width and "llmroute run" not in line]


def test_a_plain_page_is_ascii(routes):
    routes.write_text("\n\nnum_retries: 1 # wörter\n")
    found = sheet([promised()], [cell(BROKEN)])
    assert all(line.isascii() for line in drawn(found, plain=True))


# -- the summary


def test_the_summary_counts_what_happened():
    text = summed_up(report(sheet([promised()], [cell(BROKEN), cell(QUIET, scenario="refused")])))
    assert "1 promise: 0 kept, 1 broken, 0 untested (1 config, 2 cells)" in text
    assert "2 calls, 4 attempts, 0 strays, $0.000125 not spent" in text
    assert "clock: virtual" in text
    assert "pytest-llmroute 0.1.0, python 3.11.7" in text


def test_the_sum_that_was_not_spent_is_exact():
    history = healthy()
    history.attempts[0].spent = Decimal("0.1")
    played = [cell(history, scenario=f"s{n}") for n in range(3)]
    assert report(sheet([promised()], played)).unspent == Decimal("0.3")


def test_a_clock_that_was_not_exact_is_said():
    degraded = History(KEPT.calls, KEPT.attempts, [], "virtual, degraded: uvloop")
    text = summed_up(report(sheet([promised()], [cell(degraded), cell(KEPT, scenario="refused")])))
    assert "clock: virtual, degraded: uvloop; virtual" in text
    assert "note: the clock was not exact in some cells (virtual, degraded: uvloop)" in text


def test_strays_are_counted_and_leave_a_promise_untested():
    history = tried(2)
    history.add_stray(0.0, "api.example", 443, "c1")
    found = report(sheet([promised()], [cell(history)]))
    assert "1 stray," in summed_up(found)
    assert found.status() == 3
    assert any("tried to reach api.example" in line for line in drawn(found.sheets[0]))


def test_detail_lists_the_cells_that_tried_nothing():
    found = sheet([promised()], [cell(KEPT), cell(QUIET, scenario="refused")])
    expected = "did not try retry.bounded[chat:3]: routes.yaml::refused::chat::chat-sync"
    assert not any(expected in line for line in drawn(found))
    assert any(expected in line for line in drawn(found, width=120, detail=True))
