from __future__ import annotations

import importlib.util
import re

import pytest

from suites import CONFIG, ROUTER, WRONG_WAY_ROUND, ids, run, write

pytestmark = pytest.mark.once

BROKEN = "own/llmroute.toml::fallback.order::all-down[chat:8]"

HINT = """
    [[promise]]
    contract = "retry.hint"
    targets = ["openai"]
"""
"""A promise that a router which never asks OpenAI gives nobody an occasion to judge."""

ONLY_GROQ = ROUTER.replace('["openai", "groq"]', '["groq"]')

BASELINE = """
[[accepted]]
config = "own/llmroute.toml"
promise = "fallback.order[chat]"
{more}
reason = "the contract with groq ends in March"
expires = {until}
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ini(pytester)
    write(pytester.path / "own")
    return pytester


def ini(suite, *lines):
    suite.makeini("\n".join(["[pytest]", "llmroute_configs = own", *lines]))


def outcomes(result):
    found = result.parseoutcomes()
    return {name: found[name] for name in found if name != "warnings"}


# -- kept and broken


def test_a_router_that_keeps_its_promises_passes(suite):
    result = run(suite)
    assert result.ret == 0
    # What a call may ask for is nothing that a plain function promises to do.
    assert set(outcomes(result)) == {"passed", "skipped"}


def test_a_broken_promise_fails_and_says_all_that_is_needed(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    result = run(suite, BROKEN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "_* fallback.order[[]chat:8] in all-down _*",
            "broken: OpenAI is asked first.",
            "  own/llmroute.toml:8 promise (user)",
            "       8 | [[][[]promise]]",
            "  all-down, chat-sync: *",
            "  ✗ #1 asked api.groq.com/* while openai was to be asked",
            f"  pytest '{BROKEN.replace('[', '[[]')}'",
            "  llmroute run own/llmroute.toml --scenario all-down --contract fallback.order --seed 0",
            "-* llmroute timeline -*",
            "*── #1 ──*✗ fallback.order",
            "-* a test that would have caught it -*",
            "from pytest_llmroute import check",
        ]
    )
    assert any(line.startswith(f"FAILED {BROKEN}") for line in result.outlines)
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*collect.py*")
    result.stdout.no_fnmatch_line("*sk-secret-key*")


def test_a_failure_in_one_line_stands_at_the_line_that_promises(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    result = run(suite, BROKEN, "--tb=line")
    result.stdout.fnmatch_lines(
        [f"{suite.path}/own/llmroute.toml:8: broken: OpenAI is asked first."]
    )


@pytest.mark.skipif(importlib.util.find_spec("litellm") is not None, reason="it is installed")
def test_a_router_that_is_not_installed_is_told_in_one_message(suite):
    suite.path.joinpath("config.yaml").write_text(
        "model_list:\n- model_name: g\n  litellm_params: {model: openai/gpt-4o}\n"
        "router_settings: {num_retries: 2}\n"
    )
    result = run(suite, "config.yaml::retry.bounded::outage-500")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LiteLLM*not installed*pip install 'pytest-llmroute[[]litellm]'"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_seed_of_the_run_is_in_every_item_and_in_what_shows_it_again(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    result = run(suite, BROKEN, "--llmroute-seed=5", "--junitxml=out.xml")
    result.stdout.fnmatch_lines(
        [f"  pytest '{BROKEN.replace('[', '[[]')}' --llmroute-seed=5", "  llmroute run * --seed 5"]
    )
    assert 'name="seed" value="5"' in (suite.path / "out.xml").read_text()


def test_a_router_that_draws_draws_the_same_wherever_its_item_runs(suite):
    router = ROUTER.replace(
        "for name in CHAIN:",
        "import random; print('drawn', random.random())\n        for name in CHAIN:",
    )
    write(suite.path / "own", router=router)

    def drawn(*args):
        result = run(suite, "-s", *args)
        return re.findall(r"drawn ([\d.]+)", result.stdout.str())

    alone = drawn(BROKEN)
    assert alone
    assert alone == drawn(BROKEN)
    assert set(alone) <= set(drawn())
    assert alone != drawn(BROKEN, "--llmroute-seed=1")


def test_what_a_router_prints_is_captured_and_shown_with_its_failure(suite):
    router = WRONG_WAY_ROUND.replace(
        "for name in CHAIN:", "print('hi')\n        for name in CHAIN:"
    )
    write(suite.path / "own", router=router)
    result = run(suite, BROKEN)
    result.stdout.fnmatch_lines(["-* Captured stdout call -*", "hi"])


def test_a_cell_is_played_once_for_all_the_promises_that_it_tries(suite):
    more = [CONFIG, *(CONFIG.split("retries = 0")[0].rpartition("[[promise]]")[1:])]
    write(suite.path / "own", "".join(more) + "retries = 1\n")
    result = run(suite, "own")
    (worlds,) = re.findall(r"^(\d+) worlds", result.stdout.str(), re.M)
    assert int(worlds) < outcomes(result)["passed"]


# -- untested


def test_a_promise_that_nothing_tries_fails_and_says_why(suite):
    write(suite.path / "own", CONFIG + HINT, ONLY_GROQ)
    result = run(suite, "-k", "retry.hint")
    assert set(outcomes(result)) == {"failed", "deselected"}
    result.stdout.fnmatch_lines(
        [
            "untested: *",
            "  own/llmroute.toml:18 promise (user)",
            "  rate-limit-hint (chat-sync): nothing came of the history *",
            "  To let it pass: llmroute_allow_untested = retry.hint",
            "llmroute: no promise could be tested: the only item was untested",
        ]
    )


def test_a_contract_that_may_be_untested_is_skipped_with_the_reason(suite):
    write(suite.path / "own", CONFIG + HINT, ONLY_GROQ)
    for allowed in ("retry.hint fallback.order", "*"):
        ini(suite, f"llmroute_allow_untested = {allowed}")
        result = run(suite, "-k", "retry.hint", "-rs")
        assert set(outcomes(result)) == {"skipped", "deselected"}
        result.stdout.fnmatch_lines(
            ["SKIPPED [[]1] own/llmroute.toml:18: untested, which is allowed: nothing came of *"]
        )


def test_a_contract_that_does_not_exist_cannot_be_allowed(suite):
    ini(suite, "llmroute_allow_untested = fallback.ordr")
    result = run(suite)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*unknown contract 'fallback.ordr'; did you mean 'fallback.order'?*"]
    )


def test_a_scenario_that_does_not_try_what_others_try_is_skipped_and_not_green(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    result = run(suite, "-rs", "-k", "fallback.order")
    assert set(outcomes(result)) == {"failed", "skipped", "deselected"}
    result.stdout.fnmatch_lines(["SKIPPED * not tried in outage-503 (as it is in all-down): *"])


def test_a_promise_without_a_scenario_is_an_item_too(suite):
    cooldown = '\n[[promise]]\ncontract = "cache.expires"\nttl = 60\n'
    write(suite.path / "own", f"{CONFIG}{cooldown}".replace("    ", ""))
    found = ids(run(suite, "--collect-only", "-q", "-k", "cache.expires"))
    result = run(suite, "-k", "cache.expires")
    assert set(outcomes(result)) == {"failed", "deselected"}
    assert found


def test_a_run_in_which_nothing_could_be_tested_does_not_pass(suite):
    write(suite.path / "own", CONFIG + HINT, ONLY_GROQ)
    suite.makepyfile(test_unit="def test_unit(): pass")
    ini(suite, "llmroute_allow_untested = *")
    result = run(suite, "-k", "retry.hint or test_unit")
    result.assert_outcomes(passed=1, skipped=1, deselected=result.parseoutcomes()["deselected"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["llmroute: no promise could be tested: the only item was untested"]
    )
    assert run(suite, "-k", "retry.bounded or test_unit").ret in (0, 1)
    assert run(suite, "-k", "test_unit").ret == 0


def test_a_config_that_promises_nothing_is_not_green(suite):
    write(suite.path / "own", CONFIG.partition("[[promise]]")[0])
    result = run(suite)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["untested: this configuration promises nothing that is judged here"]
    )


# -- more to be tried


def test_good_practice_is_judged_only_if_asked_for(suite):
    write(suite.path / "own", 'policy = ["retry.hopeless"]\n' + CONFIG.lstrip())
    suite.path.joinpath("config.yaml").write_text(
        "model_list:\n- model_name: g\n  litellm_params: {model: openai/gpt-4o}\n"
    )
    assert not ids(run(suite, "--collect-only", "-q", "config.yaml", "-k", "retry.hopeless"))
    ini(suite, "llmroute_policy = true")
    assert ids(run(suite, "--collect-only", "-q", "config.yaml", "-k", "retry.hopeless"))


def test_scenarios_of_ones_own_are_played_beside_the_shipped_ones(suite):
    suite.mkdir("scenarios").joinpath("friday.toml").write_text(
        'title = "a bad friday"\ntests = ["fallback.order"]\n'
        '[[incident]]\nat = "openai"\nfault = "outage"\n'
    )
    ini(suite, "llmroute_scenarios = scenarios")
    found = ids(run(suite, "--collect-only", "-q", "-k", "fallback.order"))
    mine = "own/llmroute.toml::fallback.order::scenarios/friday.toml[chat:8]"
    assert mine in found
    assert BROKEN in found
    run(suite, mine).assert_outcomes(passed=1)
    write(suite.path / "own", router=ONLY_GROQ)
    result = run(suite, mine)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["  scenarios/friday.toml (chat-sync): nothing came of *"])


def test_a_scenario_with_a_mistake_in_it_is_told_once_for_a_config(suite):
    suite.path.joinpath("bad.toml").write_text('[[incident]]\nat = "openai"\nfault = "outege"\n')
    ini(suite, "llmroute_scenarios = bad.toml")
    result = run(suite)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["llmroute: bad.toml: *'outege'; did you mean 'outage'?*"])
    result.stdout.no_fnmatch_line("*Traceback*")


# -- a baseline


def accept(suite, until="2999-01-01", more="", router=WRONG_WAY_ROUND):
    write(suite.path / "own", router=router)
    suite.path.joinpath("known.toml").write_text(BASELINE.format(until=until, more=more))
    ini(suite, "llmroute_baseline = known.toml")


def test_what_the_baseline_accepts_is_an_expected_failure_with_its_reason(suite):
    accept(suite)
    result = run(suite, BROKEN, "-rx")
    result.assert_outcomes(xfailed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["XFAIL * accepted until 2999-01-01: the contract with groq ends in March"]
    )


def test_what_is_accepted_can_be_shown_like_any_failure(suite):
    accept(suite)
    result = run(suite, BROKEN, "--runxfail")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["broken: OpenAI is asked first.", "-* llmroute timeline -*"])


def test_what_was_accepted_until_a_day_that_is_over_fails(suite):
    accept(suite, until="2020-01-01")
    result = run(suite, BROKEN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["was accepted until 2020-01-01, which is over (*known.toml:2)*",
                                 "broken: OpenAI is asked first."])  # fmt: skip


def test_what_is_kept_again_fails_until_its_entry_is_removed(suite):
    accept(suite, more='scenario = "all-down"', router=ROUTER)
    result = run(suite, BROKEN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*known.toml:2: * is kept in all-down, not broken; remove the entry"]
    )


def test_an_entry_about_a_whole_promise_is_stale_only_where_all_of_it_holds(suite):
    accept(suite)
    assert set(outcomes(run(suite, "-k", "fallback.order"))) == {"xfailed", "skipped", "deselected"}
    accept(suite, router=ROUTER)
    result = run(suite, "-k", "fallback.order")
    assert outcomes(result)["failed"] == 1
    result.stdout.fnmatch_lines(["*known.toml:2: * is kept, not broken; remove the entry"])


def test_an_entry_about_a_promise_that_is_gone_fails(suite):
    accept(suite, router=ROUTER)
    write(suite.path / "own", CONFIG.replace("fallback.order", "fallback.once").replace("chain", "targets"))  # fmt: skip
    result = run(suite)
    assert outcomes(result)["failed"] == 1
    result.stdout.fnmatch_lines(["*known.toml:2: fallback.order*no such promise any more*"])


def test_an_entry_about_a_config_that_is_gone_is_told_once(suite):
    accept(suite, router=ROUTER)
    write(suite.path / "own" / "other")
    known = suite.path / "known.toml"
    known.write_text(known.read_text().replace("own/llmroute.toml", "old/llmroute.toml"))
    result = run(suite, "-k", "baseline")
    assert outcomes(result)["failed"] == 1
    result.stdout.fnmatch_lines(["*there is no old/llmroute.toml any more; remove the entry"])


def test_a_baseline_with_a_mistake_is_told_before_anything_runs(suite):
    accept(suite, until='"soon"')
    result = run(suite)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *llmroute_baseline: *known.toml:7*'soon'*"])
