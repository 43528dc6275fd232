from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from suites import CONFIG, QUIET, ROUTER, WRONG_WAY_ROUND, ids, run, write

pytestmark = pytest.mark.once

ORDER = "own/llmroute.toml::fallback.order::all-down[chat:8]"


@pytest.fixture
def suite(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    pytester.makeini("[pytest]\nllmroute_configs = own\n")
    write(pytester.path / "own")
    pytester.mkdir("tests").joinpath("test_unit.py").write_text("def test_unit(): pass\n")
    return pytester


def listed(suite, *args):
    return ids(run(suite, "--collect-only", "-q", *args))


# -- what is collected


def test_a_promise_in_a_scenario_is_one_item_with_a_readable_id(suite):
    found = listed(suite)
    assert ORDER in found
    assert "own/llmroute.toml::retry.bounded::all-down[chat:13]" in found
    assert "tests/test_unit.py::test_unit" in found
    assert len(found) == len(set(found)) > 20
    assert all(re.fullmatch(r"own/llmroute.toml::[a-z.-]+::[a-z0-9-]+\[chat:\d+\]", one)
               for one in found if one.startswith("own"))  # fmt: skip


def test_configs_of_the_ini_file_come_without_arguments_and_with_a_folder_above_them(suite):
    everything = set(listed(suite))
    configs = {one for one in everything if one.startswith("own")}
    assert set(listed(suite, ".")) == everything
    assert set(listed(suite, "own")) == configs
    assert set(listed(suite, "own/llmroute.toml")) == configs
    assert set(listed(suite, "tests", "own")) == everything
    assert listed(suite, "tests") == ["tests/test_unit.py::test_unit"]
    assert listed(suite, "tests/test_unit.py::test_unit") == ["tests/test_unit.py::test_unit"]


def test_configs_of_the_ini_file_come_beside_testpaths(suite):
    suite.makeini("[pytest]\nllmroute_configs = own\ntestpaths = tests\n")
    found = listed(suite)
    assert ORDER in found
    assert "tests/test_unit.py::test_unit" in found


def test_a_run_in_a_subfolder_is_about_that_folder(suite, monkeypatch):
    monkeypatch.chdir(suite.path / "tests")
    assert listed(suite, "--rootdir", "..", "-c", "../tox.ini") == ["tests/test_unit.py::test_unit"]
    monkeypatch.chdir(suite.path / "own")
    assert ORDER in listed(suite, "--rootdir", "..", "-c", "../tox.ini")


def test_the_ini_file_names_files_folders_and_globs(suite):
    write(suite.path / ".hidden" / "other", CONFIG.replace('group = "chat"', 'group = "deep"'))
    suite.makeini("[pytest]\nllmroute_configs = .hidden/*/llmroute.toml own/llmroute.toml\n")
    found = listed(suite)
    assert ORDER in found
    assert ".hidden/other/llmroute.toml::fallback.order::all-down[deep:8]" in found
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("onw", "llmroute_configs: 'onw' does not exist (did you mean 'own'?)"),
        ("own/*.yaml", "llmroute_configs: 'own/*.yaml' matches nothing"),
    ],
)
def test_what_the_ini_file_names_must_be_there(suite, named, says):
    suite.makeini(f"[pytest]\nllmroute_configs = {named}\n")
    result = run(suite)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{says.replace('[', '[[]')}"])
    assert "Traceback" not in result.stderr.str()


def test_a_file_that_is_an_argument_needs_no_ini_file(suite):
    suite.makeini("[pytest]\n")
    assert not [one for one in listed(suite) if one.startswith("own")]
    assert not [one for one in listed(suite, "own") if one.startswith("own")]
    assert ORDER in listed(suite, "own/llmroute.toml")
    assert listed(suite, ORDER) == [ORDER]


def test_the_yaml_of_others_is_not_read(suite):
    suite.path.joinpath("tests", "config.yaml").write_text("model_list: [")
    suite.path.joinpath("tests", "llmroute.toml").write_text("nonsense")
    assert listed(suite, "tests") == ["tests/test_unit.py::test_unit"]
    assert ORDER in listed(suite)


def test_an_argument_that_somebody_else_collects_is_theirs_unless_it_was_meant_for_us(suite):
    suite.makeconftest("""
        import pytest

        class Theirs(pytest.Item):
            def runtest(self): pass

        class TheirFile(pytest.File):
            def collect(self):
                yield Theirs.from_parent(self, name="theirs")

        def pytest_collect_file(file_path, parent):
            if file_path.suffix == ".yaml":
                return TheirFile.from_parent(parent, path=file_path)
    """)
    suite.path.joinpath("a.yaml").write_text("stages: []\n")
    suite.path.joinpath("b.yaml").write_text(
        "model_list:\n- model_name: g\n  litellm_params: {model: openai/gpt-4o}\n"
    )
    assert listed(suite, "a.yaml") == ["a.yaml::theirs"]
    found = listed(suite, "b.yaml")
    assert "b.yaml::theirs" in found
    assert "b.yaml::stream.whole::stream-cut[g:2]" in found


def test_files_that_are_to_be_ignored_are(suite):
    for ignoring in ("--ignore=own", "--ignore=own/llmroute.toml", "--ignore-glob=*.toml"):
        assert listed(suite, ignoring) == ["tests/test_unit.py::test_unit"]
    assert ORDER not in listed(suite, f"--deselect={ORDER}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model_list: [", "*config.yaml*"),
        ("modle_list: []", "*config.yaml: model_list: is missing*'modle_list'*"),
        ("- a", "*config.yaml:1: holds a list*"),
    ],
)
def test_a_bad_config_is_one_collection_error_without_a_traceback(suite, text, says):
    suite.path.joinpath("config.yaml").write_text(text)
    result = run(suite, "config.yaml")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([says])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*collect.py*")


def test_a_mistake_in_an_own_config_tells_line_and_closest(suite):
    write(suite.path / "own", CONFIG.replace("fallback.order", "fallback.ordr"))
    result = run(suite, "own/llmroute.toml")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*own/llmroute.toml:9:*'fallback.ordr'*'fallback.order'*"])


def test_the_suite_beside_a_bad_config_still_runs_if_asked(suite):
    write(suite.path / "own", "format = 1\n[router]\nkind = 'callabel'\n")
    result = run(suite, "--continue-on-collection-errors")
    result.assert_outcomes(errors=1, passed=1)


def test_a_group_with_strange_characters_has_an_id_that_selects_it(suite):
    group = "gpt-4o/eu::[x] \\u00e9\\n"
    write(suite.path / "own", CONFIG.replace('group = "chat"', f'group = "{group}"'))
    (found,) = listed(suite, "-k", "fallback.order and all-down")
    assert found.isascii()
    assert found.isprintable()
    assert listed(suite, found) == [found]
    run(suite, found).assert_outcomes(passed=1)


# -- how it is selected and run


def test_an_id_selects_an_item_and_a_contract_and_a_scenario_all_of_it(suite):
    assert listed(suite, ORDER) == [ORDER]
    contract = listed(suite, "own/llmroute.toml::fallback.order")
    assert len(contract) > 5
    assert all("::fallback.order::" in one for one in contract)
    assert listed(suite, "own/llmroute.toml::fallback.order::all-down") == [ORDER]


def test_words_select_contracts_scenarios_groups_and_whole_promises(suite):
    assert listed(suite, "-k", "fallback.order and all-down") == [ORDER]
    promise = listed(suite, "-k", "fallback.order[chat:8]")
    assert len(promise) > 5
    assert all(one.endswith("[chat:8]") for one in promise)
    marked = listed(suite, "-m", "llmroute")
    assert {one.partition("::")[0] for one in marked} == {"own/llmroute.toml"}
    assert listed(suite, "-m", "not llmroute") == ["tests/test_unit.py::test_unit"]


def test_the_first_failure_can_stop_the_run(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    result = run(suite, "-x", "own")
    assert result.parseoutcomes()["failed"] == 1


def test_the_last_failures_are_run_again_alone_or_first(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    quiet = [part for part in QUIET if part not in ("-p", "no:cacheprovider")]
    quiet = [word for part in quiet for word in ("-p", part)]
    failed = suite.runpytest_inprocess(*quiet, "-rN").parseoutcomes()["failed"]
    again = suite.runpytest_inprocess(*quiet, "--lf", "-rN").parseoutcomes()
    assert again["failed"] == failed
    assert "passed" not in again
    first = suite.runpytest_inprocess(*quiet, "--ff", "-v")
    ran = [line for line in first.outlines if re.search(r"(PASSED|FAILED)", line) and "%" in line]
    assert all("FAILED" in line for line in ran[:failed])
    stepwise = suite.runpytest_inprocess(*quiet, "--sw", "-rN").parseoutcomes()
    assert stepwise["failed"] == 1


def test_durations_and_logs_name_the_item(suite):
    result = run(suite, ORDER, "-v", "--durations=1", "--durations-min=0")
    result.stdout.fnmatch_lines([f"{ORDER.replace('[', '[[]')} PASSED*", "*s call *"])


def test_junit_tells_the_file_the_line_and_what_was_promised(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    run(suite, ORDER, "--junitxml=out.xml", "-o", "junit_family=xunit1")
    (case,) = ElementTree.parse(suite.path / "out.xml").iter("testcase")
    assert case.get("classname") == "own.llmroute.toml.fallback.order"
    assert case.get("name") == "all-down[chat:8]"
    assert (case.get("file"), case.get("line")) == ("own/llmroute.toml", "7")
    told = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert told.pop("llmroute").startswith("{")
    assert told == {
        "promise": "fallback.order[chat:8]",
        "contract": "fallback.order",
        "because": "own/llmroute.toml:8 promise (user)",
        "scenario": "all-down",
        "seed": "0",
    }
    (failure,) = case.iter("failure")
    assert failure.get("message", "").startswith("broken: OpenAI is asked first.")


def test_without_the_plugin_nothing_is_collected_and_the_option_is_only_unknown(suite):
    result = run(suite, "-p", "no:llmroute")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*Unknown config option: llmroute_configs*"])


# -- beside other plugins

OTHERS = ("randomly", "asyncio", "anyio", "timeout", "xdist")


def beside(suite, *args, without=(), **env):
    """In a process of its own, with the plugins of others."""
    left_out = [f"-pno:{name}" for name in ("respx", "faker", "hypothesispytest", *without)]
    return suite.runpytest_subprocess(
        *left_out, "-o", "asyncio_default_fixture_loop_scope=function", *args, timeout=120
    )


def test_workers_collect_the_same_and_find_the_same(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    alone = run(suite).parseoutcomes()
    for distribution in ("loadgroup", "loadfile"):
        result = beside(suite, "-n2", f"--dist={distribution}", "-prandomly", "-rN")
        outcomes = result.parseoutcomes()
        assert {name: outcomes[name] for name in ("passed", "failed")} == {
            name: alone[name] for name in ("passed", "failed")
        }


def test_a_failure_comes_whole_from_a_worker(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    result = beside(suite, "-n2", "own", "-k", "all-down and fallback.order")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "_* fallback.order[[]chat:8] in all-down _*",
            "broken: OpenAI is asked first.",
            "  own/llmroute.toml:8 promise (user)",
            "-* llmroute timeline -*",
            "*#1*",
            "-* a test that would have caught it -*",
            "from pytest_llmroute import check",
        ]
    )
    assert all(len(line) <= 80 for line in result.outlines if "│" in line)


def test_seeds_and_verdicts_do_not_depend_on_the_order(suite):
    shown = re.compile(r"llmroute\.toml::.*(PASSED|FAILED)")

    def found(*args):
        result = beside(suite, "own", "-v", *args)
        return sorted({match[0] for line in result.outlines if (match := shown.search(line))})

    assert found("-p", "no:randomly") == found("-prandomly", "--randomly-seed=3") != []


def test_plugins_for_loops_and_time_change_nothing(suite):
    suite.makeconftest("""
        import asyncio, warnings
        import uvloop

        warnings.simplefilter("ignore")
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    """)
    suite.path.joinpath("tests", "test_loops.py").write_text(
        "import asyncio\n"
        "async def test_theirs():\n"
        "    assert 'uvloop' in type(asyncio.get_running_loop()).__module__\n"
    )
    result = beside(
        suite, "-o", "asyncio_mode=auto", "-o", "timeout=60", "-Werror",
        "-Wignore::DeprecationWarning", "-prandomly",
    )  # fmt: skip
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed", "skipped"}
    assert outcomes["passed"] > 20


def test_a_timeout_ends_an_item_and_the_next_goes_on(suite):
    router = ROUTER.replace("def ask(text):", "async def ask(text):\n        while True: pass\n")
    write(suite.path / "own", router=router)
    result = beside(suite, "-o", "timeout=1", "-k", "all-down or test_unit", "-p", "no:randomly")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*Timeout*"])


def test_nothing_of_a_router_package_is_imported_while_collecting(suite):
    code = (
        "import sys, pytest\n"
        f"pytest.main([*{QUIET!r}, '--collect-only', '-q', 'b.yaml'])\n"
        "print({'litellm', 'openai', 'anthropic'} & set(sys.modules))\n"
    )
    suite.path.joinpath("b.yaml").write_text(
        "model_list:\n- model_name: g\n  litellm_params: {model: openai/gpt-4o}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=suite.path, check=True
    )
    assert "b.yaml::stream.whole::stream-cut[g:2]" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_terminal_without_unicode_gets_none(suite):
    write(suite.path / "own", router=WRONG_WAY_ROUND)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "60", "LC_ALL": "C"}
    for more in ([], ["-n1"]):
        done = subprocess.run(
            [Path(sys.executable).with_name("pytest"), "-pno:randomly", "own", *more],
            capture_output=True,
            cwd=suite.path,
            env=environment,
        )
        text = done.stdout.decode("ascii")
        assert "  x #1: groq was asked first" in text or "  x " in text
        assert "? openai" not in text
        drawn = [line for line in text.splitlines() if line.lstrip().startswith(("0.000s", "+"))]
        assert drawn
        assert all(len(line) <= 60 for line in drawn)
