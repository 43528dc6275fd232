from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_llmroute.baseline import Accepted, Baseline, written
from pytest_llmroute.cli import main
from pytest_llmroute.configs import read
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.identity import lasting_names, meant
from pytest_llmroute.report.saved import dump
from pytest_llmroute.standing import Standing, Terms
from reports import cell, healthy, others, project, promised, report, sheet, tried

pytestmark = pytest.mark.once

OUTAGE = ("--scenario", "outage-503")
LATER, PAST = date(2099, 12, 31), date(2020, 1, 1)
TODAY = date(2027, 1, 1)
BOUNDED = "retry.bounded[chat] of openai/gpt-4o-mini"
LITELLM = """
model_list:
  - model_name: chat
    litellm_params:
      model: openai/gpt-4o-mini
      api_key: os.environ/OPENAI_API_KEY
      timeout: 5
  - model_name: chat
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, timeout: 6}
router_settings:
  num_retries: 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def bad():
    return project(Path("bad"), tries=3)


def llmroute(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def entry(**changed):
    plain = {"config": "bad/llmroute.toml", "promise": BOUNDED, "reason": "known", "expires": LATER}
    lines = []
    for key, value in (plain | changed).items():
        if value is not None:
            said = value.isoformat() if isinstance(value, date) else json.dumps(value)
            lines.append(f"{key} = {said}\n")
    return "[[accepted]]\n" + "".join(lines)


def baseline(*entries, name="baseline.toml"):
    Path(name).write_text("\n".join(entries or (entry(),)))
    return Path(name)


def ran(*arguments):
    found = llmroute("run", "bad", *arguments, "--baseline", "baseline.toml")
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.stdout


# -- what is accepted


def test_a_broken_promise_that_is_accepted_does_not_fail_the_run(bad):
    baseline()
    status, shown = ran(*OUTAGE)
    assert status == 0
    assert "1 promise: 0 kept, 1 broken, 0 untested (1 config, 1 cell)" in shown
    assert "      accepted until 2099-12-31: known" in shown
    assert "baseline baseline.toml: 1 promise accepted" in shown


def test_the_evidence_against_an_accepted_promise_is_shown_on_demand(bad):
    baseline()
    assert "c1 asked" not in ran(*OUTAGE)[1]
    assert "c1 asked" in ran(*OUTAGE, "-v")[1]


def test_the_owner_and_the_link_are_told(bad):
    baseline(entry(owner="ada", link="https://bugs.example/1"))
    assert "until 2099-12-31: known (ada, https://bugs.example/1)" in ran(*OUTAGE)[1]


def test_acceptance_that_is_over_fails_and_says_so(bad):
    baseline(entry(expires=PAST))
    status, shown = ran(*OUTAGE)
    assert status == 1
    assert "was accepted until 2020-01-01, which is over (baseline.toml:1): known" in shown
    assert "c1 asked" in shown
    assert "0 promises accepted, 1 no longer" in shown


def test_the_last_day_still_counts():
    given = sheet([promised()], [cell(tried(3))])
    baseline(entry(config="routes.yaml", promise=lasting_names(given.promises)[0], expires=TODAY))
    for day, status in ((TODAY, 0), (TODAY + timedelta(days=1), 1)):
        terms = Terms(baseline=Baseline.read("baseline.toml"), today=day)
        assert Standing(report(given), terms).status == status


def test_another_promise_that_breaks_fails_the_run(bad):
    baseline()
    text = bad.read_text()
    bad.write_text(text + text[text.index("[[promise]]") :].replace("= 1", "= 0"))
    status, shown = ran(*OUTAGE)
    assert status == 1
    assert "1 promise accepted" in shown


def test_a_promise_is_accepted_in_the_scenarios_that_are_named(bad):
    both = (*OUTAGE, "--scenario", "unauthorized")
    baseline(entry(scenario="outage-503"))
    status, shown = ran(*both)
    assert status == 1
    assert "accepted until 2099-12-31: known; but not in unauthorized" in shown
    baseline(entry(scenario=["outage-503", "unauthorized"]))
    assert ran(*both)[0] == 0
    baseline(entry(scenario="outage-503"), entry(scenario="unauthorized", reason="else"))
    assert ran(*both)[0] == 0


def test_an_untested_promise_is_accepted_by_an_entry_that_says_so(bad):
    given = sheet(others(), [], untried=[(promised(line=9), "needs next")])
    name = lasting_names(given.promises)[2]
    for outcome, status in (("untested", 0), ("broken", 3)):
        baseline(entry(config="routes.yaml", promise=name, outcome=outcome))
        terms = Terms(baseline=Baseline.read("baseline.toml"), today=TODAY)
        assert Standing(report(given), terms).status == status


def test_without_a_baseline_a_report_stands_as_it_is():
    for history, status in ((tried(3), 1), (healthy(), 3), (tried(2), 0)):
        given = report(sheet([promised()], [cell(history)]))
        assert Standing(given).status == given.status() == status
        allowed = given.status(["retry.bounded"])
        assert Standing(given, Terms(frozenset({"retry.bounded"}))).status == allowed


def test_an_item_asks_for_one_promise_in_one_scenario(bad):
    config = read(bad)
    (promise,) = (one for one in config.promises if one.contract.id == "retry.bounded")
    known = Baseline.read(baseline(entry(scenario="outage-503")))
    found = known.accepted(config, promise, TODAY, "outage-503")
    assert (found.reason, found.expired) == ("known", False)
    assert known.accepted(config, promise, LATER + timedelta(days=1), "outage-503").expired
    assert known.accepted(config, promise, TODAY, "unauthorized") is None
    assert known.accepted(config, promise, TODAY, "outage-503", "untested") is None
    other = next(one for one in config.promises if one != promise)
    assert known.accepted(config, other, TODAY, "outage-503") is None


# -- what is no longer true


def test_an_entry_for_a_promise_that_is_kept_fails_and_is_to_be_removed(bad):
    project(Path("bad"), tries=2)
    baseline(entry(scenario="outage-503"))
    status, shown = ran(*OUTAGE)
    assert status == 1
    assert (
        f"✗ baseline.toml:1: {BOUNDED}: kept in outage-503, not broken; remove the entry" in shown
    )
    baseline(entry(scenario=["outage-503", "unauthorized"]))
    assert "kept in outage-503, not broken; remove it from the entry" in ran(*OUTAGE)[1]


def test_an_entry_for_any_scenario_is_outlived_only_when_all_were_played(bad):
    kept = report(sheet([promised()], [cell(tried(2))]))
    name = lasting_names([promised()])[0]
    baseline(entry(config="routes.yaml", promise=name))
    terms = Terms(baseline=Baseline.read("baseline.toml"), today=TODAY)
    assert Standing(kept, terms).status == 1
    assert Standing(kept, replace(terms, extent="some")).status == 0


def test_another_seed_says_nothing_of_what_was_accepted(bad):
    project(Path("bad"), tries=2)
    baseline(entry(scenario="outage-503"))
    assert ran(*OUTAGE, "--seed", "3")[0] == 0


def test_an_entry_for_a_promise_that_is_gone_gets_the_closest(bad):
    baseline(entry(), entry(promise="retry.bounded[chat] of openai/gpt-4o"))
    status, shown = ran(*OUTAGE)
    assert status == 1
    assert "bad/llmroute.toml makes no such promise any more" in shown
    assert f"(the closest is '{BOUNDED}'); remove the entry" in " ".join(shown.split())


def test_an_entry_for_a_configuration_that_is_gone_is_to_be_removed(bad):
    baseline(entry(), entry(config="worse/llmroute.toml"))
    status, shown = ran(*OUTAGE)
    assert status == 1
    assert "there is no worse/llmroute.toml any more; remove the entry" in shown


def test_entries_about_what_is_not_run_are_left_alone(bad):
    project(Path("worse"), tries=3)
    baseline(
        entry(),
        entry(config="worse/llmroute.toml"),
        entry(promise="retry.hopeless[chat] policy", outcome="untested"),
        entry(promise=BOUNDED, scenario="x/mine.toml", outcome="untested"),
    )
    status, shown = ran(*OUTAGE, "--contract", "retry.bounded")
    assert "worse" not in shown
    assert "retry.hopeless[chat] policy: bad/llmroute.toml makes no such promise" in shown
    assert status == 1


# -- edits


def test_a_baseline_survives_lines_above_the_promise(bad):
    baseline()
    bad.write_text("# a comment\n\n" + bad.read_text())
    assert ran(*OUTAGE)[0] == 0


def test_names_survive_comments_and_other_entries_of_a_list():
    path = Path("gateway.yaml")
    path.write_text(LITELLM)
    before = lasting_names(read(path).promises)
    assert len(set(before)) == len(before)
    first = "model_list:\n  - model_name: other\n    litellm_params: {model: groq/llama-3.3-70b-versatile}\n"
    path.write_text("# a comment\n" + LITELLM.replace("model_list:\n", first))
    after = lasting_names(read(path).promises)
    assert set(before) <= set(after)


def test_promises_that_only_their_order_tells_apart_are_numbered():
    path = Path("gateway.yaml")
    path.write_text(LITELLM)
    names = lasting_names(read(path).promises)
    stall = "stream.stall[chat] model_list.litellm_params.timeout"
    told = [name for name in names if name.startswith("stream.stall[")]
    # For the ways in of which the page says nothing the same is policy, and called so.
    policy = stall.replace("[chat]", "[chat:policy]")
    assert told == [stall, policy, f"{stall}~2", f"{policy}~2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b[chat] x.y", ["a.b[chat] x.y"]),
        ("a.b[chat:12] x.y", ["a.b[chat] x.y"]),
        ("a.b[chat] x.0.y", ["a.b[chat] x.y"]),
        ("a.b[chat:3]", ["a.b[chat] x.y", "a.b[chat] z~2"]),
        ("a.c[gpt-4.1] list.1.gpt-4.1 of b/gpt-4.1", ["a.c[gpt-4.1] list.gpt-4.1 of b/gpt-4.1"]),
        ("a.b[chat:3:policy] x.0.y", ["a.b[chat:policy] x.y"]),
        ("a.b[cha]", []),
        ("a.b", []),
    ],
)
def test_a_name_may_say_less_than_all(text, expected):
    names = (
        "a.b[chat] x.y",
        "a.b[chat:policy] x.y",
        "a.b[chat] z~2",
        "a.c[gpt-4.1] list.gpt-4.1 of b/gpt-4.1",
    )
    assert list(meant(text, names)) == expected


def test_a_promises_id_with_its_line_is_understood(bad):
    baseline(entry(promise="retry.bounded[chat:99]"))
    assert ran(*OUTAGE)[0] == 0


# -- writing


def accept(*arguments):
    ran = llmroute("accept", "report.json", "--reason", "known", "--expires", LATER, *arguments)
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    return ran


def saved(*arguments):
    llmroute("run", "bad", *arguments, "--json", "report.json")


def test_what_is_broken_now_is_accepted(bad):
    saved(*OUTAGE)
    assert accept("--owner", "ada").stdout.splitlines() == [
        f"bad/llmroute.toml: {BOUNDED}: broken in outage-503",
        "llmroute-baseline.toml: 1 entry added",
    ]
    assert tomllib.loads(Path("llmroute-baseline.toml").read_text())["accepted"] == [
        {
            "config": "bad/llmroute.toml",
            "promise": BOUNDED,
            "scenario": "outage-503",
            "reason": "known",
            "expires": LATER,
            "owner": "ada",
        }
    ]
    ran = llmroute("run", "bad", *OUTAGE, "--baseline", "llmroute-baseline.toml")
    assert ran.exit_code == 0


def test_what_is_there_stays_as_it_is(bad):
    text = "# ours\n" + entry(scenario="outage-503", reason="another reason") + "# the end\n"
    Path("baseline.toml").write_text(text)
    saved(*OUTAGE)
    assert "0 entries added" in accept("--baseline", "baseline.toml").stdout
    assert Path("baseline.toml").read_text() == text
    saved(*OUTAGE, "--scenario", "unauthorized")
    accept("--baseline", "baseline.toml")
    assert Path("baseline.toml").read_text().startswith(text)
    entries = Baseline.read("baseline.toml").entries
    assert [(one.scenario, one.reason) for one in entries] == [
        (("outage-503",), "another reason"),
        (("unauthorized",), "known"),
    ]
    assert ran(*OUTAGE, "--scenario", "unauthorized")[0] == 0


def test_a_baseline_in_another_folder_finds_its_configurations(bad):
    saved(*OUTAGE)
    Path("ci").mkdir()
    accept("--baseline", "ci/baseline.toml")
    assert Baseline.read("ci/baseline.toml").entries[0].config == "../bad/llmroute.toml"
    assert llmroute("run", "bad", *OUTAGE, "--baseline", "ci/baseline.toml").exit_code == 0


def test_one_promise_of_several_is_accepted(bad):
    given = sheet((promised("bad/llmroute.toml"), *others()), [cell(tried(3))], path=str(bad))
    Path("report.json").write_text(dump(report(given)))
    assert "1 entry added" in accept("--promise", "fallback.answers[chat:9]").stdout
    assert "1 entry added" in accept().stdout
    assert "1 entry added" in accept("--untested").stdout
    entries = Baseline.read("llmroute-baseline.toml").entries
    assert [(one.promise.partition("[")[0], one.outcome) for one in entries] == [
        ("fallback.answers", "broken"),
        ("retry.bounded", "broken"),
        ("budget.cutoff", "untested"),
    ]


def test_what_is_written_is_read_again():
    entries = (
        Accepted("a.yaml", BOUNDED, 'a "reason"\nof two lines', LATER, ("spend",)),
        Accepted("b.yaml", BOUNDED, "r", PAST, ("spend", "repeat"), "untested", "ada", "https://x"),
        Accepted("c.yaml", BOUNDED, "ünïcode", LATER),
    )
    Path("baseline.toml").write_text(written(entries), "utf-8")
    read = Baseline.read("baseline.toml").entries
    assert tuple(replace(one, place="") for one in read) == entries


# -- what is wrong with one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[accepted]\n", ":1: not TOML"),
        ("acepted = 1\n", ":1: acepted: unknown key of a baseline (allowed: accepted) (did you mean 'accepted'?)"),
        ("accepted = 1\n", ":1: accepted: not a list of tables ([[accepted]])"),
        (entry(resaon="x"), ":6: accepted.resaon: unknown key"),
        (entry(resaon="x"), "did you mean 'reason'?"),
        (entry(reason=None), ":1: accepted: reason is missing"),
        (entry(reason=""), ":4: accepted.reason: '' is not a reason"),
        (entry(reason=" "), ":4: accepted.reason: ' ' is not a reason"),
        (entry(expires=None), ":1: accepted: expires is missing"),
        (entry(expires="2027-03-01"), ":5: accepted.expires: '2027-03-01' is not a date without quotes"),
        ("[[accepted]]\nconfig = 'x'\npromise = 'stream.whole[x]'\nreason = 'x'\nexpires = 2027-03-01T10:00:00\n", ":5: accepted.expires"),
        (entry(config=None), "config is missing"),
        (entry(config=3), ":2: accepted.config: 3 is not the path of a configuration"),
        (entry(promise=None), "promise is missing"),
        (entry(promise="bounded"), ":3: accepted.promise: 'bounded' is not the name of a promise"),
        (entry(promise="retry.bouned[chat]"), "did you mean 'retry.bounded'?"),
        (entry(scenario="outage-502"), ":6: accepted.scenario: unknown scenario 'outage-502'"),
        (entry(scenario="outage-502"), "did you mean 'outage-503'?"),
        (entry(scenario=[]), "leave the key out"),
        (entry(scenario=[3]), ":6: accepted.scenario: [3] is not a scenario"),
        (entry(outcome="unteste"), ":6: accepted.outcome: 'unteste' is no outcome (allowed: broken, untested) (did you mean 'untested'?)"),
        (entry(owner=3), ":6: accepted.owner"),
        (entry(link=""), ":6: accepted.link"),
        (entry() + entry(), ":6: accepted.promise: accepted already by baseline.toml:1"),
        (entry() + entry(scenario="outage-503"), ":6: accepted.promise: accepted already by baseline.toml:1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line_before_anything_runs(text, message, bad, monkeypatch):
    monkeypatch.setattr("pytest_llmroute.sweep.play", lambda cell: pytest.fail("it ran"))
    Path("baseline.toml").write_text(text)
    found = llmroute("run", "bad", "--baseline", "baseline.toml")
    assert (found.exit_code, found.stdout) == (2, "")
    (said,) = found.stderr.splitlines()
    assert said.startswith("llmroute: baseline.toml")
    assert message in said


def test_an_entry_that_may_mean_several_promises_is_refused(bad):
    text = bad.read_text()
    other = text[text.index("[[promise]]") :].replace("openai/gpt-4o-mini", "openai/gpt-4o")
    bad.write_text(text + other)
    baseline(entry(promise="retry.bounded[chat]"))
    found = llmroute("run", "bad", "--baseline", "baseline.toml")
    assert found.exit_code == 2
    assert "baseline.toml:1: accepted.promise: 'retry.bounded[chat]' may mean 2" in found.stderr
    assert f"'{BOUNDED}'" in found.stderr


def test_a_baseline_that_cannot_be_read_is_said(bad):
    for name, message in (("none.toml", "cannot be read"), ("bad", "cannot be read")):
        found = llmroute("run", "bad", "--baseline", name)
        assert found.exit_code == 2
        assert found.stderr.startswith(f"llmroute: {name}: {message}")
    Path("latin.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Baseline.read("latin.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reason", " ", "--expires", "2099-01-01"), "--reason: say why"),
        (("--reason", "x", "--expires", "2020-01-01"), "--expires 2020-01-01: this day is over"),
        (("--reason", "x", "--expires", "soon"), "'--expires': 'soon' does not match"),
        (("--expires", "2099-01-01"), "Missing option '--reason'"),
        (("--reason", "x"), "Missing option '--expires'"),
        (("--reason", "x", "--expires", "2099-01-01", "--promise", "retry.bound[chat]"), "the report has no such promise"),
        (("--reason", "x", "--expires", "2099-01-01", "--promise", "retry.bound[chat]"), "did you mean 'retry.bounded[chat]"),
        (("--reason", "x", "--expires", "2099-01-01", "--baseline", "no/where.toml"), "--baseline no/where.toml"),
        (("--reason", "x", "--expires", "2099-01-01"), "routes.yaml: not here"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_said_and_nothing_is_written(arguments, message):
    Path("report.json").write_text(dump(report(sheet([promised()], [cell(tried(3))]))))
    found = llmroute("accept", "report.json", *arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    (said,) = found.stderr.splitlines()
    assert message in said
    assert not list(Path().glob("*.toml"))
