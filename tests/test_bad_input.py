from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_llmroute.cli import main
from pytest_llmroute.report.saved import dump
from reports import cell, project, promised, report, sheet, tried

LITELLM = """
model_list:
  - model_name: chat
    litellm_params:
      model: openai/gpt-4o-mini
      api_key: os.environ/OPENAI_API_KEY
router_settings:
  num_retries: 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def played(monkeypatch):
    """Cells that were played; there must be none where something is wrong."""
    cells = []
    monkeypatch.setattr("pytest_llmroute.sweep.play", cells.append)
    return cells


def llmroute(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments):
    """The one message of a command that was refused."""
    ran = llmroute(*arguments)
    assert ran.exit_code == 2, ran.output
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert isinstance(ran.exception, SystemExit)
    (line,) = ran.stderr.splitlines()
    return line


def written(name, text):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return name


# -- paths


@pytest.mark.parametrize("command", ["run", "promises"])
def test_a_path_that_does_not_exist_gets_the_nearest_that_does(command):
    written("gateway.yaml", LITELLM)
    said = refused(command, "gatway.yaml")
    assert said.startswith("llmroute: gatway.yaml: no such file or folder")
    assert "did you mean 'gateway.yaml'" in said


def test_a_file_that_is_no_routing_configuration_is_an_error_when_it_was_named():
    written("notes.txt", "hello")
    assert "notes.txt: not a routing configuration of a known kind" in refused("run", "notes.txt")


def test_a_folder_without_configurations_is_an_error():
    written("empty/compose.yaml", "services: {}\n")
    assert "empty: no routing configuration below this folder" in refused("run", "empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error():
    Path(written("gateway.yaml", LITELLM)).chmod(0)
    assert "gateway.yaml" in refused("run", "gateway.yaml")


def test_a_file_that_is_no_text_is_an_error():
    Path("gateway.yaml").write_bytes(b"\xff\xfe\x00model_list")
    assert "gateway.yaml" in refused("run", "gateway.yaml")


def test_other_peoples_files_in_a_folder_are_skipped_and_counted():
    project(Path("app"))
    written("app/compose.yaml", "services: {}\n")
    written("app/chart.yaml", "{{ if .Values.on }}\n")
    written("app/.github/ci.yaml", "on: push\n")
    ran = llmroute("promises", "app")
    assert ran.exit_code == 0
    assert ran.stderr == "2 YAML files skipped: no routing configuration\n"


def test_a_broken_configuration_in_a_folder_is_not_skipped():
    project(Path("app"))
    written("app/gateway.yaml", "model_list: [\n")
    assert "app/gateway.yaml" in refused("promises", "app")


# -- what is in them


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model_list: [\n", "gateway.yaml:"),
        ("model_list: []\n", "gateway.yaml:1"),
        (LITELLM.replace("num_retries: 1", "num_retries: many"), "gateway.yaml:8"),
    ],
)
def test_what_is_wrong_in_a_configuration_is_named_with_its_line(text, place, played):
    assert place in refused("run", written("gateway.yaml", text))
    assert not played


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"retry.bounded"', '"retry.bouned"', "'retry.bounded'"),
        ('"openai/gpt-4o-mini"', '"opnai/gpt-4o-mini"', "'openai'"),
        ('"openai/gpt-4o-mini"', '"openai/gpt-4o-minni"', "gpt-4o-mini"),
        ("retries = 1", "retires = 1", "'retries'"),
        ("retries = 1", "retries = ", "llmroute.toml:14"),
        (":ask", ":aks", "'ask'"),
        ("routes_of_mine", "routes_of_yours", "routes_of_yours"),
    ],
)
def test_what_is_wrong_in_a_file_of_ones_own_is_named(before, after, message, played):
    file = project(Path("app"))
    file.write_text(file.read_text().replace(before, after))
    assert message in refused("run", "app")
    assert not played


def test_one_broken_configuration_keeps_all_others_from_running(played):
    project(Path("app"))
    written("gateway.yaml", "model_list: [\n")
    refused("run", "app", "gateway.yaml")
    assert not played


# -- names


@pytest.mark.parametrize(
    ("option", "name", "nearest"),
    [
        ("--scenario", "unauthorised", "unauthorized"),
        ("--contract", "retry.bound", "retry.bounded"),
        ("--allow-untested=retry.bound", None, "retry.bounded"),
    ],
)
def test_a_name_that_does_not_exist_gets_the_nearest_that_does(option, name, nearest, played):
    project(Path("app"))
    said = refused("run", "app", option, *([name] if name else []))
    assert "unknown" in said
    assert f"did you mean '{nearest}'?" in said
    assert not played


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[incident]]\nfault = "outtage"\n', "'outage'"),
        ('[[incident]]\nfault = "outage"\nat = "opnai"\n', "'openai'"),
        ('[[incident]]\nfault = { name = "outage", statuss = 500 }\n', "'status'"),
        ('tests = ["retry.bound"]\n', "'retry.bounded'"),
        ('titel = "x"\n', "'title'"),
        ("title = \n", "line 1"),
        ('[[ask]]\nat = "= 1 +"\n', "'1 +'"),
        ('[[ask]]\ntimes = "many"\n', "ask[0].times = 'many' is not a whole number"),
        ("incident = 3\n", "incident is not a list of tables"),
        ("tests = 3\n", "tests = 3 is not a list of strings"),
        (
            "[[ask]]\ntimes = 1000000\n",
            "ask[0]: times = 1000000, together = 1 are 1000000 calls; at most",
        ),
        (
            '[[incident]]\nfault = "tls-failure"\nat = "openai"\n',
            "incident[0].fault: tls-failure at openai cannot be performed here: in memory no TLS",
        ),
        ('[[incident]]\nfault = "outage"\nat = [["openai"]]\n', "incident[0].at"),
    ],
)
def test_what_is_wrong_in_a_scenario_of_ones_own_is_named(text, message, played):
    project(Path("app"))
    said = refused("run", "app", "--scenario", written("mine.toml", text))
    assert said.startswith("llmroute: mine.toml: ")
    assert message in said
    assert not played


@pytest.mark.parametrize("command", [("run", "app", "--scenario"), ("serve",)])
def test_a_scenario_that_is_no_text_is_an_error(command):
    project(Path("app"))
    Path("mine.toml").write_bytes(b"\xff\xfe")
    said = refused(*command, "mine.toml")
    assert "mine.toml" in said
    assert "not UTF-8 text" in said


def test_a_file_of_ones_own_without_a_router_says_what_is_missing():
    written("llmroute.toml", "format = 1\n[routers]\n")
    said = refused("run", "llmroute.toml")
    assert said == "llmroute: llmroute.toml: describes no router: [router] is missing"


def test_a_scenario_file_that_does_not_exist_is_an_error():
    project(Path("app"))
    assert "mine.toml: no such scenario file" in refused("run", "app", "--scenario", "mine.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu", "."], "llmroute: unknown command 'rnu'; did you mean 'run'?"),
        (["run"], "llmroute: Missing argument 'PATHS...' (see llmroute run --help)"),
        (["run", ".", "--junti", "x.xml"], "--junti"),
        (["run", ".", "--junti", "x.xml"], "Did you mean"),
        (["run", ".", "--seed", "x"], "'--seed': 'x' is not"),
        (["list", "faluts"], "'faluts' is not one of 'scenarios', 'faults'"),
        (["--verison"], "Did you mean"),
        (["judge"], "Missing argument 'FILE' (see llmroute judge --help)"),
    ],
)
def test_a_command_that_is_used_wrongly_is_said_in_one_message(arguments, message):
    assert message in refused(*arguments)


def test_nothing_to_run_is_a_mistake():
    assert llmroute("run").exit_code == 2
    assert llmroute("list", "faluts").exit_code == 2
    assert llmroute("run", ".", "--seed", "-1").exit_code == 2


# -- what is not there


def test_a_router_that_is_not_installed_is_said_before_anything_runs(played, monkeypatch):
    monkeypatch.setattr("pytest_llmroute.routers.find_spec", lambda name: None)
    said = refused("run", written("gateway.yaml", LITELLM))
    assert "gateway.yaml: litellm is not installed" in said
    assert "pip install litellm" in said
    assert not played


def test_a_router_that_cannot_be_run_is_blamed_with_its_cell(monkeypatch):
    def play(cell):
        raise RuntimeError("no budget file")

    monkeypatch.setattr("pytest_llmroute.sweep.play", play)
    project(Path("app"))
    said = refused("run", "app", "--scenario", "outage-503")
    assert "app/llmroute.toml, outage-503 chat-sync" in said
    assert "RuntimeError: no budget file" in said


@pytest.mark.parametrize(
    ("python", "message"),
    [("no/such/python", "cannot be started"), ("/bin/true", "is not a Python interpreter")],
)
def test_an_interpreter_that_is_none_is_said(python, message, played):
    project(Path("app"))
    said = refused("run", "app", "--python", python)
    assert said.startswith(f"llmroute: --python {python}: {message}")


def test_an_interpreter_of_another_version_is_said(monkeypatch, played):
    project(Path("app"))
    monkeypatch.setattr("pytest_llmroute.child.sys.version_info", (3, 99, 0))
    said = refused("run", "app", "--python", sys.executable)
    assert "but llmroute runs on Python 3.99" in said


# -- what is written and read again


@pytest.mark.parametrize("target", ["no/such/folder/report.json", "app"])
def test_a_report_that_cannot_be_written_is_said_before_anything_runs(target, played):
    project(Path("app"))
    assert refused("run", "app", "--json", target).startswith(f"llmroute: --json {target}: ")
    assert not played


def test_a_run_that_fails_leaves_no_report_and_no_half_of_one(monkeypatch):
    def play(cell):
        raise RuntimeError

    monkeypatch.setattr("pytest_llmroute.sweep.play", play)
    project(Path("app"))
    written("report.json", "the one before")
    refused("run", "app", "--json", "report.json")
    assert Path("report.json").read_text() == "the one before"
    assert sorted(path.name for path in Path().iterdir()) == ["app", "report.json"]


def good():
    return json.loads(dump(report(sheet([promised()], [cell(tried(3))]))))


def edited(*path, value):
    saved = good()
    place = saved
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1"),
        ("[]", "neither a saved report nor a saved history"),
        ("{}", "format"),
        (edited("format", value=2), "format: 2"),
        (edited("cells", value=3), "cells"),
        (edited("verdicts", value=[{}]), "verdicts[0]: 'config' is missing"),
        (edited("verdicts", 0, "promise", value="x"), "no promise 'x'"),
        (edited("verdicts", 0, "cell", value="x"), "no cell 'x'"),
        (edited("cells", 0, "attempts", 1, "started", value="soon"), "attempts[1].started"),
        (edited("cells", 0, "attempts", 1, "spent", value="much"), "attempts[1].spent"),
        (edited("cells", 0, "attempts", 1, "spent", value="1e9999"), "attempts[1].spent: '1e9999' is no amount"),
        (edited("cells", 0, "attempts", 1, "started", value=-1e308), "attempts[1].started: -1e+308 is no number"),
        (edited("cells", 0, "attempts", 1, "started", value=float("nan")), "attempts[1].started: nan is no number"),
        (edited("cells", 0, "attempts", 1, "tokens_in", value=10**400), "attempts[1].tokens_in: 1000"),
        (edited("cells", 0, "calls", value=3), "calls"),
        (edited("cells", 0, "seed", value="x"), "cells[0].seed"),
        (edited("verdicts", 0, "promise", value=["x"]), "verdicts[0].promise"),
        (edited("configs", 0, "not_judged", value=[3]), "configs[0].not_judged[0]"),
        (edited("configs", 0, "promises", 0, "contract", "id", value="retry.bound"), "'retry.bounded'"),
        (edited("configs", 0, "promises", 0, "contract", "parameters", value={}), "'target' is missing"),
        (edited("configs", 0, "promises", 0, "contract", "parameters", "retries", value=1.5), "retries"),
        (edited("configs", 0, "promises", 0, "contract", "parameters", "x", value=1), "no 'x'"),
        (edited("configs", 0, "promises", 0, "because", "kind", value="me"), "'me'"),
    ],
)  # fmt: skip
def test_a_broken_report_is_said_with_the_entry(text, message):
    said = refused("judge", written("report.json", text))
    assert said.startswith("llmroute: report.json: ")
    assert message in said


def test_a_report_that_does_not_exist_is_an_error():
    assert "no.json" in refused("judge", "no.json")


def test_a_report_has_promises_of_its_own():
    written("report.json", json.dumps(good()))
    project(Path("app"))
    assert "--config" in refused("judge", "report.json", "--config", "app")
