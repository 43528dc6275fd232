from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from decimal import Decimal
from importlib.resources import files

import jsonschema
import pytest
from click.testing import CliRunner

from pytest_llmroute.cli import main
from pytest_llmroute.contracts import Target, contracts
from pytest_llmroute.report.rejudged import contract_of, history_of, judged
from pytest_llmroute.report.saved import dump, parameters
from reports import OPENAI, cell, healthy, others, project, promised, report, sheet, tried

SCHEMA = json.loads(
    files("llmroute_data").joinpath("schema", "report.schema.json").read_text("utf-8")
)


def everything():
    found = sheet(
        [promised(), others()[1]],
        [
            cell(tried(3), calm=healthy()),
            cell(tried(2), scenario="refused"),
            cell(healthy(), entry="x"),
        ],
        untried=[(others()[0], "needs next")],
    )
    return report(found)


def outcomes(found):
    return [
        (seen.played and seen.played.id, one.id, seen.verdict.outcome, seen.verdict.reason)
        for sheet in found.sheets
        for one in sheet.findings
        for seen in one.seen
    ]


def sample(kind):
    """A contract with a value for each of its fields."""
    values = {
        "Target": OPENAI,
        "tuple[Target, ...]": (OPENAI, Target("b", (("b.example", "m", "0badc0de"),))),
        "int": 2,
        "int | None": 3,
        "float": 1.5,
        "float | None": 600.0,
        "Decimal": Decimal("0.10"),
        "tuple[str, ...]": ("auth",),
        "tuple[tuple[Target, Decimal], ...]": ((OPENAI, Decimal("0.002")),),
        "tuple[tuple[Target, float], ...]": ((OPENAI, 0.25),),
        "tuple[tuple[str, tuple[Target, ...]], ...]": (("free", (OPENAI,)), ("paid", ())),
        "tuple[tuple[str, int], ...]": (("timeout", 2),),
        "Share": 0.5,
        "Chance": 1e-6,
        "Unit": "tokens",
        "Scope": "in-flight",
        "str | None": "chat",
        "str": "chat",
        "bool": True,
    }
    return kind(**{field.name: values[str(field.type)] for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("name", sorted(contracts()))
def test_every_contract_survives_json(name):
    contract = sample(contracts()[name])
    assert contract_of(name, json.loads(json.dumps(parameters(contract)))) == contract


def test_a_report_is_of_the_published_form():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(dump(everything())))


@pytest.mark.parametrize("key", ["cells", "verdicts", "configs", "versions", "summary"])
def test_the_published_form_misses_what_is_not_there(key):
    saved = json.loads(dump(everything()))
    del saved[key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(saved)


def test_a_report_says_the_same_when_it_is_judged_again():
    found = everything()
    again = judged(json.loads(dump(found)))
    assert outcomes(again) == outcomes(found)
    assert again.status() == found.status()
    assert dump(again) == dump(found)


def test_a_verdict_comes_from_the_history_and_not_from_what_was_saved():
    saved = json.loads(dump(report(sheet([promised()], [cell(tried(3))]))))
    assert judged(saved).status() == 1
    saved["cells"][0]["attempts"].pop()
    assert judged(saved).status() == 0


def test_what_was_seen_without_the_stimulus_too_is_no_proof():
    found = report(sheet([promised()], [cell(tried(3))]))
    saved = json.loads(dump(found))
    saved["cells"][0]["calm"] = tried(3).to_dict()
    (again,) = judged(saved).sheets[0].findings
    assert again.outcome == "untested"
    assert again.reasons == ("the same is observed without the scenario's stimulus",)


def test_a_verdict_names_its_evidence():
    verdict = json.loads(dump(everything()))["verdicts"][0]
    assert verdict["verdict"] == "broken"
    assert verdict["contract"] == "retry.bounded"
    assert verdict["evidence"] == ["a3", "c1", "a1", "a2"]
    assert verdict["because"]["line"] == 3
    assert verdict["because"]["key"] == ["router_settings", "num_retries"]


def test_money_is_written_as_strings():
    saved = json.loads(dump(everything()))
    assert saved["summary"]["not_spent"] == "0.000125"
    assert {type(one["spent"]) for held in saved["cells"] for one in held["attempts"]} == {str}


def test_places_are_written_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = sheet([promised(tmp_path / "deep" / "routes.yaml")], [cell(tried(3))])
    saved = dump(report(found))
    assert '"deep/routes.yaml"' in saved
    assert str(tmp_path) not in saved


def test_equal_cells_get_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pytest_llmroute.configs import read
    from pytest_llmroute.report.findings import sheet as gathered
    from pytest_llmroute.run import Choice, Result, trials

    config = read(project(tmp_path))
    trial = trials(config, Choice(scenarios=("refused",)))[0][0]
    twice = [Result(config, trial.cell, healthy(), ()) for _ in range(2)]
    first, second = gathered(config, twice).played
    assert first.id == "llmroute.toml::refused::chat::chat-sync"
    assert second.id == f"{first.id}~2"


# -- judging in another process


@pytest.fixture
def saved(tmp_path):
    file = tmp_path / "report.json"
    file.write_text(dump(report(sheet([promised()], [cell(tried(3))]))))
    return file


def test_judging_needs_no_router_and_no_world(saved):
    code = (
        "import sys\n"
        "from pytest_llmroute.cli import main\n"
        "try:\n    main(['judge', sys.argv[1]])\n"
        "except SystemExit as end:\n    print('status', end.code)\n"
        "unwanted = {'litellm', 'httpx', 'faker', 'asyncio', 'pytest_llmroute.run'}\n"
        "print('loaded', sorted(unwanted & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-2:] == ["status 1", "loaded []"]


def test_a_saved_report_has_the_exit_status_of_its_run(saved, tmp_path):
    assert CliRunner().invoke(main, ["judge", str(saved)]).exit_code == 1
    saved.write_text(dump(report(sheet([promised()], [cell(healthy())]))))
    assert CliRunner().invoke(main, ["judge", str(saved)]).exit_code == 3
    assert CliRunner().invoke(main, ["judge", "--allow-untested", str(saved)]).exit_code == 0


def test_a_bare_history_is_judged_by_what_needs_no_configuration(tmp_path):
    file = tmp_path / "history.json"
    file.write_text(json.dumps(tried(3).to_dict()))
    ran = CliRunner().invoke(main, ["judge", str(file)])
    assert "stream.whole" in ran.stdout
    assert "retry.bounded" not in ran.stdout


def test_a_bare_history_is_judged_by_the_promises_of_a_configuration(tmp_path):
    file = tmp_path / "history.json"
    file.write_text(json.dumps(tried(3).to_dict()))
    ran = CliRunner().invoke(main, ["judge", str(file), "--config", str(project(tmp_path))])
    assert ran.exit_code == 1
    assert "✗ #3: c1 asked openai/gpt-4o-mini 3 times; at most 2 allowed" in ran.stdout
    assert f"llmroute judge {file}" in ran.stdout


def test_a_history_survives_json():
    history = tried(3)
    assert history_of(json.loads(json.dumps(history.to_dict()))) == history
