from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmroute import Unknown, check
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.report import reproduction
from suites import CONFIG, QUIET, ROUTER, WRONG_WAY_ROUND, run, write

SHIPPED = Path(__file__).parent.parent / "fixtures" / "llmroute_data" / "configs"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write(tmp_path)


@pytest.fixture
def broken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write(tmp_path, router=WRONG_WAY_ROUND)


def test_a_config_whose_promises_hold_passes(kept):
    check(kept)
    check(str(kept), promise="fallback.order[chat:8]", scenario="outage-503", entry="chat-sync")


def test_a_broken_promise_raises_with_the_evidence_and_the_drawing(broken):
    with pytest.raises(AssertionError) as raised:
        check(broken, promise="fallback.order[chat:8]")
    said = str(raised.value)
    assert said.startswith("broken: OpenAI is asked first.\n  llmroute.toml:8 promise (user)\n")
    assert "✗ #1 asked api.groq.com/llama-3.3-70b-versatile while openai was" in said
    assert "  llmroute run llmroute.toml --scenario all-down --contract fallback.order" in said
    assert "──▶" in said


def test_of_several_promises_the_first_is_told_and_the_others_named(tmp_path):
    more = '\n[[promise]]\ncontract = "fallback.order"\nchain = ["openai", "groq", "together"]\n'
    file = write(tmp_path, CONFIG.replace("    ", "") + more, WRONG_WAY_ROUND)
    with pytest.raises(AssertionError, match=r"broken: fallback\.order\[chat:18\]: #1 asked"):
        check(file)


def test_the_line_of_a_promise_may_be_left_out_or_be_wrong_by_now(broken):
    for promise in ("fallback.order[chat]", "fallback.order[chat:3]"):
        with pytest.raises(AssertionError, match="OpenAI is asked first"):
            check(broken, promise=promise)


def test_a_promise_that_nothing_tried_fails_and_says_why(broken):
    with pytest.raises(AssertionError, match=r"outage-503 \(chat-sync\): nothing came of the"):
        check(broken, promise="fallback.order[chat:8]", scenario="outage-503")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"promise": "fallback.ordr[chat]"}, r"did you mean 'fallback\.order\[chat:8\]'"),
        ({"scenario": "outage-50"}, r"unknown scenario 'outage-50'; did you mean 'outage-50[03]'"),
        ({"entry": "chat-snc"}, r"unknown entry 'chat-snc'; did you mean 'chat-sync'"),
        ({"scenario": "repeat"}, r"repeat tries none of its promises"),
        (
            {"promise": "fallback.order[chat]", "scenario": "stream-cut"},
            r"stream-cut does not try fallback\.order\[chat\] \(scenarios that do: all-down, ",
        ),
    ],
)
def test_names_that_do_not_exist_or_fit_are_told_with_what_does(kept, asked, says):
    with pytest.raises(ValueError, match=says) as raised:
        check(kept, **asked)
    assert isinstance(raised.value, Unknown) == ("unknown" in str(raised.value))


def test_a_file_that_is_none_is_told_with_the_closest(kept):
    with pytest.raises(ConfigError, match=r"llmroute\.tml: no such .*'llmroute\.toml'"):
        check("llmroute.tml")
    with pytest.raises(ConfigError, match="is a folder"):
        check(kept.parent)


def test_a_running_loop_is_refused_with_the_way_out(kept):
    async def inside():
        check(kept)

    with pytest.raises(RuntimeError, match="plain function"):
        asyncio.run(inside())


def test_scenarios_of_ones_own_can_be_named(broken):
    Path("friday.toml").write_text(
        'tests = ["fallback.order"]\n[[incident]]\nat = "*"\nfault = "outage"\n'
    )
    with pytest.raises(AssertionError, match=r"friday\.toml, chat-sync"):
        check(broken, scenario="friday.toml")


def test_nothing_of_it_stays_in_the_process(kept):
    before = set(sys.modules), list(sys.path)
    check(kept, scenario="outage-503")
    assert "router" not in sys.modules
    assert list(sys.path) == before[1]


# -- the test that would have caught it


def test_the_printed_test_fails_while_the_promise_is_broken_and_passes_when_it_holds(
    pytester, monkeypatch
):
    write(pytester.path, router=WRONG_WAY_ROUND)
    result = run(pytester, "llmroute.toml::fallback.order::all-down")
    lines = result.outlines
    begin = lines.index("from pytest_llmroute import check")
    end = next(n for n in range(begin, len(lines)) if lines[n] == "    )")
    text = "\n".join(lines[begin : end + 1]) + "\n"
    pytester.path.joinpath("test_pasted.py").write_text(text, "utf-8")
    failing = pytester.runpytest_subprocess(*QUIET, "test_pasted.py", timeout=120)
    failing.assert_outcomes(failed=1)
    failing.stdout.fnmatch_lines(["E * AssertionError: broken: OpenAI is asked first."])
    failing.stdout.no_fnmatch_line("*checking.py*")
    write(pytester.path, router=ROUTER)
    pytester.runpytest_subprocess(*QUIET, "test_pasted.py", timeout=120).assert_outcomes(passed=1)


def test_a_printed_test_compiles_whatever_the_names_are():
    text = reproduction.test_text(
        'a "b" é/c.yaml',
        "cache.hit[gpt::4/ö [x]:3]~2",
        "mine/friday.toml",
        "",
        7,
        "one\ntwo é " * 40,
    )
    found: dict[str, object] = {}
    exec(compile(text.partition("\n")[2], "pasted", "exec"), found)
    assert "test_cache_hit_of_gpt_4_x_in_friday" in found
    assert "seed=7" in text
    assert "entry" not in text
    assert all(len(line) <= 80 for line in text.splitlines() if "#" in line)


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="needs litellm")
def test_a_test_of_litellm_fails_where_its_promise_is_broken(pytester):
    shutil.copy(SHIPPED / "two-providers.yaml", pytester.path / "config.yaml")
    pytester.path.joinpath("test_pasted.py").write_text(
        "from pytest_llmroute import check\n\n"
        "def test_stream_whole():\n"
        '    check("config.yaml", promise="stream.whole[assistant:3]", '
        'scenario="stream-unfinished", entry="chat-sync-stream")\n\n'
        "def test_order():\n"
        '    check("config.yaml", promise="fallback.order[assistant]", scenario="outage-503")\n'
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("pytest"), *QUIET, "-Werror", "config.yaml::stream.whole::stream-unfinished[assistant:3]", "test_pasted.py"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    assert "finish reason 'stop'" in done.stdout
