from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from llmroute_sim.scenario import shipped
from pytest_llmroute.child import Interpreter, entry_of
from pytest_llmroute.cli import main
from pytest_llmroute.configs import read
from pytest_llmroute.crew import Crew
from pytest_llmroute.errors import CannotPlay
from pytest_llmroute.play import play
from pytest_llmroute.sweep import choose, plan
from reports import project
from test_json_report import SCHEMA

LLMROUTE = Path(sys.executable).with_name("llmroute")
OUTAGE = ("--scenario", "outage-503")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    project(tmp_path / "good")
    project(tmp_path / "bad", tries=3)
    return tmp_path


def llmroute(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines(ran):
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.stdout.splitlines()


# -- run


def test_a_kept_promise_is_green():
    ran = llmroute("run", "good", *OUTAGE)
    line = "✓   1 retry.bounded  chat  good/llmroute.toml:11 promise"
    assert any(shown.startswith(line) for shown in lines(ran))
    assert ran.exit_code == 0


def test_a_broken_promise_is_shown_with_its_proof():
    ran = llmroute("run", "bad/llmroute.toml", *OUTAGE)
    assert ran.exit_code == 1
    shown = lines(ran)
    assert "  1 retry.bounded           ✗" in shown
    assert "      11 | [[promise]]" in shown
    assert "      14 | retries = 1" in shown
    assert "  ✗ #3: c1 asked openai/gpt-4o-mini 3 times; at most 2 allowed" in shown
    assert any("#3" in line and "✗ retry.bounded" in line for line in shown)
    assert "1 promise: 0 kept, 1 broken, 0 untested (1 config, 1 cell)" in shown
    assert "1 call, 3 attempts, 0 strays, $0 not spent" in shown
    assert "clock: virtual" in shown
    assert any(re.match(r"pytest-llmroute \S+, python 3\.", line) for line in shown)


def test_the_reproduction_shows_the_same_again():
    first = lines(llmroute("run", "bad", "--scenario", "outage-503", "--scenario", "unauthorized"))
    (command,) = [line.split() for line in first if line.startswith("  llmroute run ")]
    again = lines(llmroute(*command[1:]))
    start = next(n for n, line in enumerate(first) if "router" in line and "openai" in line)
    picture = first[start : start + 9]
    assert [line for line in again if line in picture] == picture


def test_a_promise_that_nothing_tried_is_not_green():
    ran = llmroute("run", "good", "--scenario", "cut-json", "--contract", "cache.hit")
    assert "nothing was judged" in ran.stdout
    assert ran.exit_code == 3


def test_untested_promises_pass_only_where_they_are_allowed():
    file = Path("good/llmroute.toml")
    file.write_text(file.read_text() + '\n[promise.avoid]\noutage-503 = "not here"\n')
    names = [name for name in shipped().default if "retry.bounded" in shipped()[name].tests]
    reasons = "\n".join(f'{name} = "not here"' for name in names)
    file.write_text(file.read_text().replace('outage-503 = "not here"\n', reasons))
    ran = llmroute("run", "good")
    assert "not here" in ran.stdout
    assert "note: no promise could be tested: this run proves nothing" in lines(ran)
    assert ran.exit_code == 3
    assert llmroute("run", "--allow-untested", "good").exit_code == 0
    assert llmroute("run", "good", "--allow-untested=retry.bounded").exit_code == 0
    assert llmroute("run", "good", "--allow-untested=retry.tried").exit_code == 3


def test_configurations_below_a_folder_are_all_judged():
    ran = llmroute("run", ".", *OUTAGE)
    assert ran.exit_code == 1
    assert ran.stderr.splitlines() == [
        "bad/llmroute.toml: 0 kept, 1 broken, 0 untested (1 cell)",
        "good/llmroute.toml: 1 kept, 0 broken, 0 untested (1 cell)",
    ]
    assert "2 promises: 1 kept, 1 broken, 0 untested (2 configs, 2 cells)" in lines(ran)


def test_a_configuration_that_is_named_twice_is_judged_once():
    ran = llmroute("run", "good", "good/llmroute.toml", Path("good").resolve(), *OUTAGE)
    assert "1 promise: 1 kept, 0 broken, 0 untested (1 config, 1 cell)" in lines(ran)


def test_policy_is_judged_only_when_it_is_asked_for():
    assert "stream.whole" not in llmroute("run", "good", "--scenario", "cut-json").stdout
    assert "stream.whole" in llmroute("run", "good", "--scenario", "cut-json", "--policy").stdout


def test_the_whole_library_is_played_only_when_it_is_asked_for(monkeypatch):
    default = {name for name, template in shipped().items() if template.default}
    assert {one.name for one in choose((), ()).templates} == default < set(shipped())
    assert {one.name for one in choose((), (), full=True).templates} == set(shipped())
    assert {one.name for one in choose(["spend"], ()).templates} == {"spend"}
    asked = []

    def chosen(*names, full, **more):
        asked.append(full)
        return choose(["outage-503"], (), **more)

    monkeypatch.setattr("pytest_llmroute.sweep.choose", chosen)
    for arguments in (["run", "good"], ["run", "good", "--full"]):
        assert llmroute(*arguments).exit_code == 0
    assert asked == [False, True]


def test_what_a_router_prints_is_not_in_the_report():
    ran = llmroute("run", "good", *OUTAGE)
    assert "a router that talks" not in ran.stdout + ran.stderr
    assert "a router that talks" in llmroute("run", "good", *OUTAGE, "-v").stderr


def test_a_scenario_of_ones_own_is_played():
    Path("mine.toml").write_text('[[incident]]\nat = "openai"\nfault = "outage"\n')
    ran = llmroute("run", "bad", "--scenario", "mine.toml")
    assert ran.exit_code == 1
    assert "--scenario mine.toml --contract retry.bounded --seed 0" in ran.stdout


def test_the_seed_of_a_scenario_of_ones_own_is_used_unless_another_is_given():
    Path("mine.toml").write_text('seed = 7\n[[incident]]\nat = "openai"\nfault = "outage"\n')
    assert "--seed 7" in llmroute("run", "bad", "--scenario", "mine.toml").stdout
    assert "--seed 5" in llmroute("run", "bad", "--scenario", "mine.toml", "--seed", "5").stdout


def test_interrupted_what_was_found_so_far_is_shown(monkeypatch):
    played = []

    def once(cell):
        if played:
            raise KeyboardInterrupt
        played.append(cell)
        return play(cell)

    monkeypatch.setattr("pytest_llmroute.sweep.play", once)
    ran = llmroute("run", "good", "--json", "report.json")
    assert ran.exit_code == 130
    assert "note: interrupted; this is what was found so far" in lines(ran)
    assert "1 promise: 1 kept, 0 broken, 0 untested (1 config, 1 cell)" in lines(ran)
    assert not Path("report.json").exists()


# -- the saved report


def test_the_same_seed_gives_the_same_bytes():
    for name in ("one.json", "two.json"):
        llmroute("run", ".", "--seed", "3", *OUTAGE, "--json", name)
    assert Path("one.json").read_bytes() == Path("two.json").read_bytes()


def test_a_saved_run_is_of_the_published_form_and_judges_the_same():
    ran = llmroute("run", ".", *OUTAGE, "--json", "report.json")
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(Path("report.json").read_text()))
    again = llmroute("judge", "report.json")
    assert again.exit_code == ran.exit_code == 1
    assert lines(again) == lines(ran)


# -- another interpreter


def test_another_interpreter_sees_the_same():
    here = llmroute("run", ".", *OUTAGE, "--json", "here.json")
    there = llmroute("run", ".", *OUTAGE, "--json", "there.json", "--python", sys.executable)
    assert here.exit_code == there.exit_code == 1, there.stderr
    assert Path("here.json").read_bytes() == Path("there.json").read_bytes()


def test_an_interpreter_that_dies_is_said():
    Path("good/routes_of_mine.py").write_text("import os\n\ndef ask(text):\n    os._exit(3)\n")
    ran = llmroute("run", "good", *OUTAGE, "--python", sys.executable)
    assert ran.exit_code == 2
    assert "ended while it played good/llmroute.toml::outage-503::chat::chat-sync" in ran.stderr


def test_an_interpreter_has_ended_when_the_run_has():
    with Interpreter(sys.executable) as child:
        assert child.versions["python"].startswith("3.")
    assert child._process.returncode is not None


def test_an_interpreter_that_still_loads_what_nobody_waits_for_is_not_waited_for(monkeypatch):
    Path("good/routes_of_mine.py").write_text("import time\n\ntime.sleep(3600)\n")
    waited: list[float | None] = []
    with Interpreter(sys.executable) as child:
        child.load(Path("good/llmroute.toml"))
        wait = child._process.wait
        monkeypatch.setattr(
            child._process, "wait", lambda timeout=None: waited.append(timeout) or wait(timeout)
        )
    assert child._process.returncode
    assert len(waited) == 1


def test_only_another_interpreter_is_asked_what_it_has():
    with (
        Interpreter(sys.executable) as other,
        Interpreter(sys.executable, named="llmroute") as ours,
    ):
        assert "pytest" in other.own
        assert not ours.own


def a_cell():
    config = read(Path("good/llmroute.toml"))
    [planned] = plan([config], choose(["outage-503"], ["retry.bounded"]))
    return planned.trials[0].cell


def test_what_was_loaded_is_played_and_what_cannot_be_loaded_is_not_told_before():
    with Crew(
        sys.executable, 2, load=[Path("nothing/config.yaml"), Path("good/llmroute.toml")]
    ) as crew:
        cell = a_cell()
        assert crew.play(cell).to_dict() == play(cell).to_dict()
        assert len(crew._all) == 2
        assert crew.play(replace(cell, group="other")).calls


def test_a_crew_that_cannot_begin_says_so_and_ends():
    cell = a_cell()
    told = pytest.raises(CannotPlay, match="nowhere/python: cannot be started")
    with Crew("nowhere/python", 2, load=[Path("good")]) as crew, told:
        crew.play(cell)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_scenario_reaches_another_interpreter_unchanged(name):
    from llmroute_sim.scenario import Template

    template = shipped()[name]
    places = {"target": ("openai/a#0badc0de", "openai/b"), "next": ("groq",), "others": ("groq",)}
    scenario = template.bind(places, dict.fromkeys(template.needs, 3.0))
    for one in (scenario, scenario.calmed()):
        entry = json.loads(json.dumps(entry_of(one)))
        assert repr(Template(name, entry).bind()) == repr(one)


# -- promises and lists


def test_promises_are_listed_with_their_places():
    shown = lines(llmroute("promises", "good"))
    assert any(re.match(r"good/llmroute.toml:11 promise.* \(user\)", line) for line in shown)
    assert "good/llmroute.toml: 5 promises, 0 keys not judged" in shown


def test_promises_need_no_router_and_load_little():
    Path("gateway.yaml").write_text(
        "model_list:\n"
        "  - model_name: chat\n"
        "    litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}\n"
        "router_settings:\n"
        "  num_retries: 2\n"
        "general_settings:\n"
        "  master_key: sk-1234\n"
    )
    code = (
        "import sys\n"
        "from pytest_llmroute.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    print('status', end.code)\n"
        "unwanted = {'litellm', 'hypothesis', 'pytest', 'httpx', 'faker'}\n"
        "print('loaded', sorted(unwanted & set(sys.modules)))\n"
    )
    for arguments in (["promises", "gateway.yaml"], ["list", "contracts"], ["--help"]):
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        shown = ran.stdout.splitlines()
        assert shown[-2:] == ["status 0", "loaded []"]
        if arguments[0] == "promises":
            assert "gateway.yaml:5 router_settings.num_retries (config)" in shown
            assert "  gateway.yaml:7 general_settings.master_key" in shown
            assert "sk-1234" not in ran.stdout


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("scenarios", "outage-503 "),
        ("faults", "rate-limit "),
        ("contracts", "fallback.order "),
        ("providers", "openai "),
    ],
)
def test_what_there_is_can_be_listed(what, expected):
    shown = lines(llmroute("list", what))
    assert any(line.startswith(expected) for line in shown)
    assert max(map(len, shown)) <= 80


# -- terminals


def test_a_terminal_without_utf8_gets_ascii():
    ran = subprocess.run(
        [LLMROUTE, "run", "bad", *OUTAGE],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stdout.isascii()
    assert b"x #3: c1 asked" in ran.stdout


def test_a_terminal_sees_bad_news_before_the_end():
    parent, child = pty.openpty()
    with subprocess.Popen(
        [LLMROUTE, "run", "bad", *OUTAGE],
        stdout=subprocess.DEVNULL,
        stderr=child,
        env={**os.environ, "TERM": "xterm"},
    ) as ran:
        os.close(child)
        seen = b""
        try:
            while piece := os.read(parent, 4096):
                seen += piece
        except OSError:
            pass  # how a terminal says that nobody writes any more
        os.close(parent)
    assert ran.returncode == 1
    assert "bad/llmroute.toml: retry.bounded[chat:11] in outage-503" in seen.decode()
