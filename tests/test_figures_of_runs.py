# Figures of what was really played, worked out by hand, and how they are shown and saved.

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from click.testing import CliRunner

from llmroute_sim.history import History
from pytest_llmroute import When, faults, world
from pytest_llmroute.cli import main
from pytest_llmroute.report.rejudged import judged
from pytest_llmroute.report.saved import dump
from pytest_llmroute.report.tables import figure_lines, markdown
from pytest_llmroute.report.tally import rows
from pytest_llmroute.report.terminal import Page, sheet_lines
from reports import cell, healthy, promised, report, sheet, tried

ROUTER = """
import os
import time

import httpx

REST = 45
resting = {}


def ask(text):
    if time.monotonic() >= resting.get("openai", 0):
        answer = httpx.post(
            "https://api.openai.com/v1/chat/completions",
            headers={"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
            json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]},
        )
        if answer.status_code == 200:
            return answer.json()
        resting["openai"] = time.monotonic() + REST
    answer = httpx.post(
        "https://api.anthropic.com/v1/messages",
        headers={"x-api-key": os.environ["ANTHROPIC_API_KEY"], "anthropic-version": "2023-06-01"},
        json={
            "model": "claude-haiku-4-5",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": text}],
        },
    )
    answer.raise_for_status()
    return answer.json()
"""

CONFIG = """
format = 1

[router]
kind = "callable"
call = "router_that_rests:ask"
group = "chat"

[environment]
OPENAI_API_KEY = ""
ANTHROPIC_API_KEY = ""

[[promise]]
contract = "fallback.answers"
chain = ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]
"""

OUTAGE = """
title = "openai is down for a minute"

[[incident]]
at = "openai"
fault = "outage"
when = { between = [60, 120] }

[[ask]]
times = 19
every = 10
labels = { tenant = ["acme", "globex"] }
"""

TWICE = """
title = "the first answer of openai is an error"

[[incident]]
at = "openai"
fault = { name = "outage", status = 500 }
when = { first = 1 }

[[ask]]
times = 2
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What ``llmroute run`` prints and saves."""
    folder = tmp_path_factory.mktemp("rests")
    (folder / "router_that_rests.py").write_text(ROUTER)
    (folder / "llmroute.toml").write_text(CONFIG)
    (folder / "outage.toml").write_text(OUTAGE)
    (folder / "twice.toml").write_text(TWICE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        scenarios = ["--scenario", "outage.toml", "--scenario", "twice.toml"]
        arguments = ["llmroute.toml", *scenarios, "--json", "report.json", "-v"]
        ran = CliRunner().invoke(main, ["run", *arguments])
    assert ran.exit_code == 0, ran.output
    return folder, ran.stdout


@pytest.fixture
def saved(played):
    return json.loads((played[0] / "report.json").read_text())


def figures(saved, scenario, label=None):
    (found,) = [
        row for row in saved["figures"] if (row["scenario"], row["label"]) == (scenario, label)
    ]
    return found


# Calls at 0, 10, ... 180. That at 60 fails over, those until 100 find openai resting, that at 110
# fails over again, those until 150 find it resting, that at 160 is openai's.


def test_an_outage_of_a_minute_comes_to_what_one_works_out_by_hand(saved):
    found = figures(saved, "outage.toml")
    assert (found["calls"], found["answered"], found["errors"]) == (19, 19, 0)
    assert (found["faulted"], found["attempts"], found["most_attempts"]) == (2, 21, 2)
    assert found["attempts_per_call"] == round(21 / 19, 6)
    assert found["uptime"] == 1.0
    assert found["failover"]["count"] == 2
    assert found["recovery"] == dict.fromkeys(("p50", "p95", "p99", "worst"), 40.0) | {"count": 1}
    assert found["ejection"] == dict.fromkeys(("p50", "p95", "p99", "worst"), 10.0) | {"count": 1}
    assert found["share_of_answers"] == {"anthropic": round(10 / 19, 6), "openai": round(9 / 19, 6)}
    assert found["share_of_attempts"] == {
        "openai": round(11 / 21, 6),
        "anthropic": round(10 / 21, 6),
    }


def test_a_tenant_sees_the_outage_at_the_calls_of_its_own(saved):
    acme = figures(saved, "outage.toml", {"tenant": "acme"})  # 0, 20, ... 180
    globex = figures(saved, "outage.toml", {"tenant": "globex"})  # 10, 30, ... 170
    assert (acme["calls"], acme["attempts"]) == (10, 11)
    assert (globex["calls"], globex["attempts"]) == (9, 10)
    assert (acme["recovery"]["worst"], globex["recovery"]["worst"]) == (40.0, 50.0)
    assert (acme["ejection"]["worst"], globex["ejection"]["worst"]) == (20.0, 10.0)


def test_latency_and_cost_agree_with_what_was_sent(saved):
    (played,) = [one for one in saved["cells"] if one["scenario"] == "outage.toml"]
    found = figures(saved, "outage.toml")
    spans = sorted(round(call["ended"] - call["started"], 6) for call in played["calls"])
    assert found["latency"] == {
        "count": 19, "p50": spans[9], "p95": spans[18], "p99": spans[18], "worst": spans[18]
    }  # fmt: skip
    spent = sum(round(float(one["spent"]) * 1e9) for one in played["attempts"])
    tokens = sum(one["tokens_in"] + one["tokens_out"] for one in played["attempts"] if one["status"] == 200)  # fmt: skip
    assert float(found["cost_per_1k"]) == pytest.approx(spent / 1e9 / tokens * 1000, abs=1e-9)
    assert found["wasted"] == "0"


def test_an_incident_of_one_attempt_is_over_with_it(saved):
    found = figures(saved, "twice.toml")
    (played,) = [one for one in saved["cells"] if one["scenario"] == "twice.toml"]
    assert [one["started"] for one in played["incidents"]] == [0.0]
    assert [one["ended"] for one in played["incidents"]] == [0.0]
    assert (found["recovery"], found["never_recovered"]) == (None, 1)


def test_all_scenarios_are_taken_together(saved):
    found = figures(saved, None)
    assert (found["calls"], found["cells"]) == (21, 2)
    assert found["clock"] == "virtual"


def test_a_report_that_is_judged_again_shows_the_same_figures(played, saved, monkeypatch):
    folder, printed = played
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    again = CliRunner().invoke(main, ["judge", "report.json", "-v"])
    begin = printed.index("figures: ")
    assert printed[begin : printed.index("summary")] in again.stdout
    assert dump(judged(saved)) == (folder / "report.json").read_text()


def test_the_published_form_knows_every_figure(saved):
    text = files("llmroute_data").joinpath("schema", "report.schema.json").read_text("utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(saved)
    saved["figures"][0]["guessed"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(saved)


def test_a_report_of_before_there_were_figures_is_still_read(saved):
    recent = judged(saved)
    del saved["figures"]
    for one in saved["cells"]:
        del one["incidents"]
    found = rows(judged(saved).sheets[0])[0].figures
    assert found.recovery is None
    assert found.latency == rows(recent.sheets[0])[0].figures.latency


# -- what a history keeps of incidents


def test_a_history_knows_when_incidents_acted():
    with world(seed=1) as one:
        one.inject(faults.Outage(), at="openai", between=(60, 120))
        healed = one.inject("rate-limit", at="anthropic")
        one.inject("refused", at="openai", when=When(chance=0.5))
        one.clock.sleep(30)
        healed.heal()
        healed.heal()
    assert [(each.name, each.started, each.ended) for each in one.history.incidents] == [
        ("outage at openai", 60.0, 120.0),
        ("rate-limit at anthropic", 0.0, 30.0),
        ("refused at openai", 0.0, None),
    ]


def test_an_incident_healed_in_its_window_ends_there_and_one_healed_later_does_not():
    with world(seed=1) as one:
        early = one.inject(faults.Outage(), at="openai", between=(0, 60))
        late = one.inject(faults.Outage(500), at="openai", between=(0, 10))
        one.clock.sleep(30)
        early.heal()
        late.heal()
    assert [each.ended for each in one.history.incidents] == [30.0, 10.0]


def test_incidents_are_not_part_of_the_digest():
    plain, broken = History(), History()
    broken.add_incident("outage at openai", 0.0, 60.0)
    assert plain.digest() == broken.digest()


# -- as a table


def table(found, **page):
    return list(figure_lines(found, Page(**page)))


def several(count=12):
    """Scenarios, one of which goes wrong."""
    wrong = [cell(tried(3, calls=2), scenario="that-goes-wrong")]
    return sheet(
        [promised()], [cell(healthy(), scenario=f"fine-{n:02}") for n in range(count)] + wrong
    )


def test_the_table_shows_all_calls_and_what_went_most_wrong():
    lines = table(several())
    assert len(lines) <= 12
    assert lines[0] == "figures: 14 calls, 2 met a fault, errors 14.3% (4.0-39.9); virtual seconds"
    names = [line.split()[0] for line in lines[2:]]
    assert names[0] == "all"
    assert "that-goes-wrong" in names
    assert "8 more rows: -v" in lines


def test_with_detail_every_row_is_shown():
    lines = table(several(), detail=True)
    assert sum(line.startswith("fine-") for line in lines) == 12
    assert not any("more row" in line for line in lines)


def test_one_scenario_is_not_shown_twice():
    lines = table(sheet([promised()], [cell(healthy())]))
    assert [line.split()[0] for line in lines[2:3]] == ["outage-503"]
    assert not any(line.startswith("all") for line in lines)


def test_labels_stand_below_their_scenario():
    history = tried(3, calls=2)
    history.calls[1].labels = {"tenant": "acme"}
    lines = table(sheet([promised()], [cell(history)]))
    assert [line.split()[0] for line in lines[2:4]] == ["outage-503", "tenant=acme"]


def test_what_was_not_measured_is_a_dash_and_no_zero():
    lines = table(sheet([promised()], [cell(tried(3))]))
    head, row = lines[1].split(), lines[2].split()[1:]
    shown = dict(zip(head, row, strict=True))
    assert shown == {
        "calls": "1", "err": "1/1", "up": "-", "p50": "-", "p95": "-", "p99": "-", "first": "-",
        "tries": "3.00", "over": "-", "back": "-", "$/1K": "-",
    }  # fmt: skip


def test_a_place_that_did_not_come_back_is_said_to_have_never():
    history = tried(1)
    history.add_incident("outage at openai", 0.0, 60.0)
    history.calls.append(replace(history.calls[0], id="c2", started=70.0, ended=70.0))
    history.attempts.append(replace(history.attempts[0], id="a2", call="c2", started=70.0))
    (row,) = [line for line in table(sheet([promised()], [cell(history)])) if "outage-503" in line]
    assert row.split()[-2] == "never"


def test_a_table_fits_its_page_and_can_be_ascii():
    history = tried(3)
    history.calls[0].labels = {"a very long name of a label": "and a value that is longer still"}
    found = sheet([promised()], [cell(history, scenario="a-scenario-with-a-long-name" * 3)])
    for width in (60, 80, 120):
        lines = table(found, width=width, plain=True, detail=True)
        assert max(map(len, lines)) <= width
        assert all(line.isascii() for line in lines)


def test_a_label_breaks_no_line_and_no_cell():
    history = tried(3)
    history.calls[0].labels = {"who": "wörter\n`a`|b"}
    found = sheet([promised()], [cell(history)])
    assert "  who=w?rter `a`|b" in "\n".join(table(found, plain=True))
    (row,) = [line for line in markdown(found).splitlines() if "who" in line]
    assert row.startswith("| `who=wörter 'a'\\|b` | 1 |")


def test_nothing_played_is_no_table():
    assert table(sheet([promised()], [])) == []
    assert markdown(sheet([promised()], [])) == ""


def test_a_page_of_markdown_has_the_same_rows():
    lines = markdown(several()).splitlines()
    assert lines[0].startswith("|  | calls | errors | uptime | p50 |")
    assert {line.count("|") for line in lines if line.startswith("|")} == {13}
    assert sum(line.startswith("| `fine-") for line in lines) == 4
    assert "| `that-goes-wrong` | 2 | 2/2 |" in markdown(several())
    assert sum(line.startswith("| `fine-") for line in markdown(several(), detail=True).splitlines()) == 12  # fmt: skip


def test_the_figures_stand_in_the_report_of_a_configuration():
    lines = list(sheet_lines(several(), Page()))
    figured = table(several())
    begin = lines.index(figured[0])
    assert lines[begin : begin + len(figured)] == figured


# -- the test that would have caught it


def test_a_broken_promise_ends_with_the_test_that_would_have_caught_it():
    found = sheet([promised()], [cell(tried(3)), cell(tried(4), entry="chat-async")])
    lines = list(sheet_lines(found, Page()))
    assert lines.count("  from pytest_llmroute import check") == 1
    text = "\n".join(
        line[2:] for line in lines[lines.index("  from pytest_llmroute import check") :]
    )
    compile(text, "pasted", "exec")
    for said in ('"routes.yaml"', 'promise="retry.bounded[chat:3]"', 'scenario="outage-503"', 'entry="chat-sync"'):  # fmt: skip
        assert said in text


def test_a_bare_history_names_no_configuration_to_test(tmp_path):
    file = tmp_path / "history.json"
    history = tried(3)
    history.attempts[-1].outcome, history.attempts[-1].status = "200-cut", 200
    history.calls[0].outcome, history.calls[0].finish = "answered", "stop"
    file.write_text(json.dumps(history.to_dict()))
    ran = CliRunner().invoke(main, ["judge", str(file)])
    assert "✗" in ran.stdout
    assert "import check" not in ran.stdout


def test_a_saved_report_holds_no_float_of_money():
    saved = json.loads(dump(report(several())))
    for row in saved["figures"]:
        assert all(isinstance(row[name], str | None) for name in ("spent", "wasted", "cost_per_1k"))
