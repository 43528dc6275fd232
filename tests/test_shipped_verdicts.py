from __future__ import annotations

import ast
import copy
import importlib.util
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from pages import ROOT, text
from pytest_llmroute.configs import read
from pytest_llmroute.contracts import contracts
from pytest_llmroute.run import Choice
from pytest_llmroute.sweep import plan

SHIPPED = ROOT / "fixtures" / "llmroute_data" / "configs"
FILES = sorted(SHIPPED.glob("*.yaml"))
BY_HAND = ROOT / "benchmarks" / "by_hand"
SCRIPTS = sorted(path.name for path in BY_HAND.glob("*.py") if path.name != "provider.py")


def verdicts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdicts", ROOT / ".ci" / "verdicts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def release() -> str:
    try:
        return version("litellm")
    except PackageNotFoundError:
        pytest.skip("needs litellm")


def said(config: str, scenario: str | None, way: str, verdict: str) -> dict[str, str | None]:
    cell = None if scenario is None else f"{config}::{scenario}::chat::{way}"
    return {"config": config, "cell": cell, "promise": "a[b:1]", "verdict": verdict}


REPORT = {
    "verdicts": [
        said("one.yaml", "outage", "chat-sync", "kept"),
        said("one.yaml", "outage", "chat-async", "kept"),
        said("one.yaml", "cut", "chat-sync", "broken"),
        said("one.yaml", "cut", "chat-async", "kept"),
        said("two.yaml", None, "", "untested"),
    ]
}


# -- the files


def test_twelve_files_of_litellm_are_shipped():
    assert len(FILES) >= 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_on_its_first_line_what_it_is_for(path):
    first, *_ = path.read_text("utf-8").splitlines()
    assert first.startswith("# ")
    assert first.endswith(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_no_key_and_only_keys_that_are_documented(path):
    entries = yaml.safe_load(path.read_text("utf-8"))["model_list"]
    assert {entry["litellm_params"]["api_key"][:11] for entry in entries} == {"os.environ/"}
    config = read(path)
    assert config is not None
    assert not [one for one in config.not_judged if "not a key" in one.reason]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_promises_something_and_scenarios_try_it(path):
    config = read(path)
    assert config is not None
    [planned] = plan([config], Choice(), installed=lambda _: True)
    tried = {promise.contract.id for trial in planned.trials for promise in trial.promises}
    assert len(tried) >= 3
    assert tried <= set(contracts())


# -- the table of verdicts


def test_ways_in_that_agree_are_told_by_one_word():
    assert verdicts().table(REPORT) == {
        "one.yaml": {
            "a[b:1]": {
                "outage": "kept",
                "cut": {"broken": ["chat::chat-sync"], "kept": ["chat::chat-async"]},
            }
        },
        "two.yaml": {"a[b:1]": {"no scenario": "untested"}},
    }


def test_a_verdict_that_changed_is_told():
    module = verdicts()
    known, changed = module.table(REPORT), copy.deepcopy(REPORT)
    changed["verdicts"][0]["verdict"] = "broken"
    [line] = module.differences(known, module.table(changed))
    assert line.startswith("one.yaml | a[b:1] | outage: expected")


def test_a_promise_that_is_gone_is_told():
    module = verdicts()
    gone = {"verdicts": REPORT["verdicts"][:2]}
    assert len(module.differences(module.table(REPORT), module.table(gone))) == 1


def test_what_was_not_run_is_not_compared():
    module = verdicts()
    some = {"verdicts": REPORT["verdicts"][:4]}
    assert module.differences(module.table(REPORT), module.table(some)) == []


@pytest.mark.wide
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_verdicts_are_those_of_the_table(path, tmp_path, monkeypatch):
    kept = ROOT / "tests" / "verdicts" / f"litellm-{release()}.json"
    known = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    if str(path.relative_to(ROOT)) not in known:
        pytest.skip(f"no table is kept of {path.name} with litellm {release()}")
    monkeypatch.chdir(ROOT)
    report = tmp_path / "report.json"
    llmroute = Path(sys.executable).with_name("llmroute")
    command = [str(llmroute), "run", str(path.relative_to(ROOT)), "--json", str(report)]
    assert subprocess.run(command, check=False, capture_output=True).returncode in (0, 1, 3)
    module = verdicts()
    found = module.table(json.loads(report.read_text("utf-8")))
    assert module.differences(known, found) == []


# -- what was found again by hand


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_found_by_hand_is_told_with_the_promise_and_the_command(name):
    page = text("findings.md")
    assert f"python benchmarks/by_hand/{name}" in page


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_found_by_hand_names_the_page_that_says_otherwise(name):
    said = ast.get_docstring(ast.parse((BY_HAND / name).read_text("utf-8"))) or ""
    addresses = re.findall(r"https://[^\s,)]+", said)
    assert addresses
    assert all(address in text("findings.md") for address in addresses)


@pytest.mark.parametrize("name", [*SCRIPTS, "provider.py"])
def test_what_is_found_by_hand_needs_nothing_of_ours(name):
    assert "llmroute" not in (BY_HAND / name).read_text("utf-8")


@pytest.mark.wide
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCRIPTS)
def test_what_was_found_by_hand_is_still_so(name):
    if release() != "1.106.2":
        pytest.skip("the page of findings is about litellm 1.106.2")
    command = [sys.executable, str(BY_HAND / name)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
