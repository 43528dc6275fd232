from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal

import pytest

from pytest_llmroute import census
from pytest_llmroute.census import Census
from pytest_llmroute.report.closing import closing_lines
from pytest_llmroute.report.matrix import ASCII
from suites import run, write

pytestmark = pytest.mark.once

WORLDS = """
    import http.client, json
    import pytest
    import pytest_llmroute

    def ask(host):
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}),
            {"authorization": "Bearer sk"})
        return connection.getresponse().read()

    @pytest.mark.parametrize("n", range(3))
    def test_outage(llmroute, n):
        llmroute.inject("outage", at="openai", first=1)
        ask("api.openai.com"), ask("api.openai.com")

    def test_calm(llmroute):
        llmroute.serve("llm.corp.example", models=["gpt-4o"])
        ask("llm.corp.example")

    def test_by_hand():
        with pytest_llmroute.world() as world:
            world.inject("rate-limit", at="openai")
            ask("api.openai.com")

    def test_nothing():
        pass
"""

CLOSING = [
    "=* llmroute =*",
    "        outage  rate-limit",
    "openai       3           1",
    "llm     never faulted",
    "5 worlds, 8 attempts, 4 met a fault, 0 strays, $0.* not spent",
    "=* 6 passed *=",
]


@pytest.fixture
def suite(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    pytester.makepyfile(test_it=WORLDS)
    census.handed_over()  # what the tests before these left
    return pytester


def test_a_run_ends_with_who_met_what_and_who_never_did(suite):
    result = run(suite)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(CLOSING, consecutive=True)


def test_workers_add_up_to_the_same(suite):
    left_out = ("-pno:respx", "-pno:faker", "-pno:randomly")
    result = suite.runpytest_subprocess(*left_out, "-n2", timeout=120)
    result.stdout.fnmatch_lines(CLOSING, consecutive=True)


def test_a_quiet_run_ends_with_one_line(suite):
    result = run(suite, "-q")
    result.stdout.fnmatch_lines(["llmroute: 5 worlds, 8 attempts, 4 met a fault, *"])
    result.stdout.no_fnmatch_line("*rate-limit*")
    assert sum("llmroute" in line for line in result.outlines) == 1


def test_a_run_without_a_world_says_nothing(suite):
    result = run(suite, "-k", "test_nothing")
    result.stdout.no_fnmatch_line("*=== llmroute ===*")
    result.stdout.no_fnmatch_line("*met a fault*")


def test_configs_and_worlds_are_counted_together(suite):
    write(suite.path / "own")
    result = run(suite, "own/llmroute.toml::fallback.order::all-down", "test_it.py")
    (worlds,) = re.findall(r"^(\d+) worlds", result.stdout.str(), re.M)
    assert int(worlds) == 6


def test_a_report_carries_one_property_of_json(suite):
    run(suite, "-k", "test_calm", "--junitxml=out.xml")
    (value,) = re.findall(r'name="llmroute" value="([^"]*)"', (suite.path / "out.xml").read_text())
    told = json.loads(value.replace("&quot;", '"'))
    assert told["worlds"] == 1
    assert told["met"] == {"llm": {}}


def test_many_faults_are_wrapped_into_blocks_that_fit():
    faults = Counter({f"fault-number-{number}": number + 1 for number in range(20)})
    found = Census(3, 9, 5, 1, Decimal("12.3456"), {"openai": faults, "groq": Counter(a=2)})
    lines = list(closing_lines(found, 60, ASCII))
    assert all(len(line) <= 60 for line in lines)
    assert {head for line in lines for head in re.findall(r"[a-z]+-number-\d+", line)} == set(
        faults
    )
    assert all(line.isascii() for line in lines)
    assert lines[-2:] == ["3 worlds, 9 attempts, 5 met a fault, 1 stray, $12.35 not", "spent"]


def test_many_places_that_met_nothing_are_counted():
    found = Census(1, 30, met={f"host{number}": Counter() for number in range(30)})
    lines = list(closing_lines(found))
    assert lines[-2] == "and 18 more  never faulted"
    assert len(lines) == 14


def test_money_too_little_for_cents_is_still_seen():
    for amount, shown in (("0", "0.00"), ("0.5", "0.50"), ("0.04119", "0.041"), ("0.0000021", "0.0000021")):  # fmt: skip
        (line,) = closing_lines(Census(1, spent=Decimal(amount)))
        assert f"${shown} not spent" in line
