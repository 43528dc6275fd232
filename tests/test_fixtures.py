from __future__ import annotations

import re
import textwrap

import pytest

import suites

APP = (
    suites.ROUTER
    + """
    import asyncio

    async def aask(text):
        return await asyncio.to_thread(ask, text)
"""
)

APART = (
    "-p", "no:cacheprovider", "-p", "no:respx", "-p", "no:faker", "-p", "no:time_machine",
    "-p", "no:pytest_httpx", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function",
)  # fmt: skip

SETTINGS = """
    from hypothesis import settings
    quick = settings(max_examples=10, database=None, derandomize=True)
"""


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write(pytester, app=APP, quick=SETTINGS)


def write(pytester: pytest.Pytester, **files: str) -> None:
    pytester.makepyfile(**{name: textwrap.dedent(text) for name, text in files.items()})


def run(pytester: pytest.Pytester, text: str, *args: str) -> pytest.RunResult:
    """In this process, without the plugins of others."""
    write(pytester, test_it=text)
    return suites.run(pytester, "-W", "error", *args)


def run_apart(pytester: pytest.Pytester, text: str, *args: str) -> pytest.RunResult:
    write(pytester, test_it=text)
    return pytester.runpytest_subprocess(*APART, *args, timeout=240)


# -- llmroute_factory


GENERATED = """
    from hypothesis import given, strategies as st
    from pytest_llmroute import strategies
    from pytest_llmroute.contracts import fallback
    from app import aask, ask
    from quick import quick

    @quick
    @given(st.integers(0, 3))
    def test_injected(llmroute_factory, failures):
        with llmroute_factory() as world:
            if failures:
                world.inject("outage", at="openai", first=failures)
            for _ in range(4):
                world.ask(ask, "hello")
            assert world.path.count("groq:200") == failures

    @quick
    @given(scenario=strategies.scenarios("openai"))
    def test_generated(llmroute_factory, scenario):
        with llmroute_factory(scenario) as world:
            assert world.play(scenario, ask)

    @quick
    @given(text=strategies.prompts())
    def test_prompts(llmroute_factory, text):
        with llmroute_factory() as world:
            world.ask(ask, text)
            world.holds(fallback.Elsewhere(world.targets("openai")))
"""


def test_hypothesis_has_nothing_to_say_of_the_factory(pytester: pytest.Pytester) -> None:
    text = GENERATED.replace("world.holds(fallback.Elsewhere", "print(fallback.Elsewhere")
    run_apart(pytester, text, "-p", "no:randomly").assert_outcomes(passed=3)


def test_examples_are_the_same_beside_the_plugins_of_others(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    text = """
        import asyncio, pytest
        from hypothesis import given
        from pytest_llmroute import strategies
        from app import aask
        from quick import quick

        @pytest.mark.asyncio
        @quick
        @given(scenario=strategies.scenarios("openai"))
        async def test_on_asyncio(llmroute_factory, scenario):
            with llmroute_factory(scenario) as world:
                assert await world.play(scenario, aask)

        @pytest.mark.anyio
        @quick
        @given(scenario=strategies.scenarios("openai"))
        async def test_on_anyio(llmroute_factory, anyio_backend, scenario):
            with llmroute_factory(scenario) as world:
                assert await world.play(scenario, aask)

        @pytest.fixture(scope="session")
        def anyio_backend():
            return "asyncio"

        @quick
        @given(scenario=strategies.scenarios("openai"))
        def test_in_a_loop_of_its_own(llmroute_factory, scenario):
            with llmroute_factory(scenario) as world:
                async def main():
                    return await world.play(scenario, aask)
                assert asyncio.run(main())
    """
    run_apart(pytester, text, "-n", "2").assert_outcomes(passed=3)


FAILING = """
    from hypothesis import given
    from pytest_llmroute import strategies
    from app import ask
    from quick import quick

    @quick
    @given(scenario=strategies.scenarios("openai", "groq"))
    def test_groq_is_never_asked(llmroute_factory, scenario):
        with llmroute_factory(scenario) as world:
            world.play(scenario, ask)
            assert "groq:200" not in world.path
"""


def test_a_failing_example_is_shown_as_a_file_and_as_what_makes_it(
    pytester: pytest.Pytester,
) -> None:
    pytest.importorskip("xdist")
    result = run_apart(pytester, FAILING, "-n", "1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test case: test_groq_is_never_asked(",
            "*llmroute_factory=llmroute_factory,",
            "*scenario=Scenario.parse(r'''",
            "*fault = *",
            "*'''),",
            "*- llmroute timeline -*",
            "*#1*▶*",
            "*⚡ * at openai*",
            "*- llmroute scenario -*",
            '# as a file it is played again: llmroute.play("FILE.toml", app)',
            "[[][[]incident]]",
        ]
    )
    shown = re.search(r"FILE.toml\", app\)\n(.*?)\n(?:=|llmroute:)", str(result.stdout), re.S)
    assert shown is not None
    (pytester.path / "found.toml").write_text(shown[1] + "\n", "utf-8")
    again = """
        from app import ask

        def test_again(llmroute):
            llmroute.play("found.toml", ask)
            assert "groq:200" not in llmroute.path
    """
    result = run(pytester, again)
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*llmroute scenario*")


def test_worlds_of_the_factory_are_strict_unless_opened_with_a_scenario(
    pytester: pytest.Pytester,
) -> None:
    text = """
        import http.client, pytest

        def unmet(world):
            world.inject("outage", at="groq")

        def stray(world):
            with pytest.raises(OSError):
                http.client.HTTPSConnection("api.opnai.com").connect()

        def test_unmet(llmroute_factory):
            with llmroute_factory() as world:
                unmet(world)

        def test_stray(llmroute_factory):
            with llmroute_factory("outage-503", target="openai") as world:
                stray(world)

        def test_scenario(llmroute_factory):
            with llmroute_factory("outage-503", target="openai") as world:
                assert len(world.simulator.incidents) == 1

        def test_lenient(llmroute_factory):
            with llmroute_factory(strict=False) as world:
                unmet(world)
                stray(world)

        def test_hosts(llmroute_factory):
            with llmroute_factory(hosts=["*.opnai.com"]) as world:
                stray(world)

        @pytest.mark.llmroute(strict=False)
        def test_marked(llmroute_factory):
            with llmroute_factory() as world:
                unmet(world)

        def test_its_own_failure(llmroute_factory):
            with llmroute_factory() as world:
                unmet(world)
                assert 1 == 2
    """
    result = run(pytester, text)
    result.assert_outcomes(failed=3, passed=4)
    result.stdout.fnmatch_lines(
        [
            "E * no attempt met what this test injected:",
            "E * the code under test tried to reach hosts that nothing simulates:",
            "E * assert 1 == 2",
            "FAILED *::test_unmet*",
            "FAILED *::test_stray*",
            "FAILED *::test_its_own_failure*",
        ]
    )
    result.stdout.no_fnmatch_line("*factory.py*")
    result.stdout.no_fnmatch_line("*contextlib*")


def test_a_world_is_not_opened_beside_trio(pytester: pytest.Pytester) -> None:
    pytest.importorskip("trio")
    text = """
        import pytest

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["trio"])
        async def test_it(llmroute_factory, anyio_backend):
            with llmroute_factory():
                pass
    """
    result = run_apart(pytester, text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["llmroute: this test runs on trio, *"])


def test_the_seed_of_a_world_is_that_of_its_test(pytester: pytest.Pytester) -> None:
    text = """
        import pytest

        seeds = {}

        @pytest.mark.parametrize("x", [1, 2])
        def test_same(llmroute_factory, llmroute, x):
            seeds[x] = llmroute.seed
            with llmroute_factory() as one, llmroute_factory(seed=4) as other:
                assert (one.seed, other.seed) == (llmroute.seed, 4)

        @pytest.mark.llmroute(seed=9)
        def test_marked(llmroute_factory):
            with llmroute_factory() as world:
                assert world.seed == 9
            assert len(set(seeds.values())) == 2
    """
    run(pytester, text).assert_outcomes(passed=3)


def test_a_deadline_of_the_tests_own_is_kept_and_that_of_hypothesis_is_not(
    pytester: pytest.Pytester,
) -> None:
    text = """
        import time
        from hypothesis import given, settings, strategies as st
        from time_machine import escape_hatch

        wait = time.sleep
        settings.load_profile("default")  # not the one for CI, which knows no deadline

        @settings(max_examples=2, database=None)
        @given(st.booleans())
        def test_slow(llmroute_factory, x):
            wait(0.3)

        @settings(max_examples=2, database=None, deadline=100)
        @given(st.booleans())
        def test_hurried(llmroute_factory, x):
            wait(0.3)

        @settings(max_examples=2, database=None)
        @given(st.booleans())
        def test_without_a_world(x):
            wait(0.3)
    """
    result = run_apart(pytester, text, "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*::test_hurried*DeadlineExceeded*", "*::test_without_a_world*"])


def test_a_scenario_that_cannot_be_staged_leaves_no_world_open(pytester: pytest.Pytester) -> None:
    text = """
        import time, pytest
        from pytest_llmroute import Unknown

        def test_it(llmroute_factory):
            for said in ({}, {"target": "opnai"}):
                with pytest.raises(ValueError):
                    with llmroute_factory("outage-503", **said):
                        pass
            began = time.perf_counter()
            time.sleep(0.01)
            assert time.perf_counter() - began >= 0.01
    """
    run(pytester, text).assert_outcomes(passed=1)


# -- llmroute_scenario


PLAYED = """
    from app import ask

    def test_it(llmroute, llmroute_scenario):
        assert llmroute_scenario.name and llmroute_scenario.title and llmroute_scenario.good
        llmroute.play(llmroute_scenario, ask, target="openai", next="groq")
"""


def test_the_library_is_gone_through_with_readable_ids(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLAYED, "-v", "-rs")
    found = result.parseoutcomes()
    assert found["passed"] >= 10
    assert set(found) == {"passed", "skipped", "warnings"} - {"warnings"} | set()
    result.stdout.fnmatch_lines(
        [
            "*test_it.py::test_it[[]all-down] PASSED*",
            "*test_it.py::test_it[[]outage-503] PASSED*",
            "SKIPPED *the scenario near-repeats asks with *, and ask takes none of them",
            "SKIPPED *the scenario stream-cut is about streams, and ask did not stream",
        ]
    )


def test_scenarios_are_chosen_by_name_and_by_marker(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLAYED, "-k", "outage or refused")
    assert result.parseoutcomes()["passed"] == 3
    (pytester.path / "mine.toml").write_text(
        'title = "t"\ngood = "g"\n[[incident]]\nfault = "outage"\nat = "openai"\n'
    )
    text = """
        import pytest
        from app import ask

        @pytest.fixture
        def played(llmroute, llmroute_scenario):
            return llmroute.play(llmroute_scenario, ask, target="openai")

        @pytest.mark.llmroute(scenarios=["outage-500", "mine.toml"])
        class TestSome:
            def test_it(self, played, llmroute):
                assert set(llmroute.path) <= {"openai:500", "openai:503", "groq:200"}

            @pytest.mark.llmroute(scenarios="refused")
            def test_one(self, played, llmroute):
                assert set(llmroute.path) == {"openai:refused", "groq:200"}

        @pytest.mark.parametrize("llmroute_scenario", ["outage-503"])
        def test_of_ones_own(llmroute, llmroute_scenario):
            assert llmroute_scenario == "outage-503"
    """
    result = run(pytester, text, "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["*test_it[[]outage-500]*", "*test_it[[]mine]*", "*test_one[[]refused]*"]
    )


def test_the_projects_own_scenarios_come_from_the_ini_file(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("scenarios")
    for name in ("brownout", "outage-503"):
        (folder / f"{name}.toml").write_text('[[incident]]\nfault = "outage"\nat = "openai"\n')
    (pytester.path / "single.toml").write_text("[[ask]]\ntimes = 2\n")
    pytester.makeini("[pytest]\nllmroute_scenarios = scenarios single.toml\n")
    text = """
        import pytest
        from app import ask

        def test_all(llmroute, llmroute_scenario):
            llmroute.play(llmroute_scenario, ask, target="openai", next="groq")

        @pytest.mark.llmroute(scenarios=["brownout", "single"])
        def test_some(llmroute, llmroute_scenario):
            llmroute.play(llmroute_scenario, ask)

        def test_by_name(llmroute):
            llmroute.play("brownout", ask)
            assert llmroute.path == ["openai:503", "groq:200"]
    """
    result = run(pytester, text, "-v", "-k", "some or by_name or single or brownout or outage-503")
    assert result.parseoutcomes()["passed"] == 7
    result.stdout.fnmatch_lines(
        ["*test_all[[]brownout]*", "*test_all[[]outage-503.toml]*", "*test_all[[]single]*",
         "*test_all[[]outage-503]*"]
    )  # fmt: skip


def test_a_scenario_of_the_ini_file_that_is_wrong_is_told_once_it_is_wanted(
    pytester: pytest.Pytester,
) -> None:
    (pytester.path / "mine.toml").write_text("[[incident]]\nfalt = 'outage'\n")
    text = """
        def test_it(llmroute):
            llmroute.play("mine", str)

        def test_another():
            pass
    """
    pytester.makeini("[pytest]\nllmroute_scenarios = mime.toml\n")
    result = run(pytester, text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: llmroute_scenarios: there is no */mime.toml; did you mean mine.toml?"]
    )
    pytester.makeini("[pytest]\nllmroute_scenarios = mine.toml\n")
    result = run(pytester, text)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["E * the scenario mine.toml: *unknown key of an incident 'falt'; did you mean 'fault'?*"]
    )
    (pytester.path / "mine.toml").write_text("[[incident]\n")
    result = run(pytester, text)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["llmroute_scenarios: *mine.toml: *"])


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("scenarios=['outage-505']", "*unknown scenario 'outage-505'; did you mean 'outage-50*'?*"),
        ("scenarios=['mime.toml']", "*unknown scenario file 'mime.toml'; did you mean 'mine.toml'?*"),
        ("scenarios=['mine.toml']", "*mine.toml: unknown key of a scenario 'incidents'; did you mean*"),
        ("scenarios=3", "*llmroute(scenarios=3): a list of names and paths*"),
        ("scenario=['x']", "*unknown keyword of the marker llmroute 'scenario'; did you mean 'scenarios'?*"),
    ],
)  # fmt: skip
def test_a_scenario_that_does_not_exist_is_told_when_tests_are_collected(
    pytester: pytest.Pytester, marker: str, says: str
) -> None:
    (pytester.path / "mine.toml").write_text("[[incidents]]\n")
    text = f"""
        import pytest

        @pytest.mark.llmroute({marker})
        def test_it(llmroute, llmroute_scenario):
            pass
    """
    result = run(pytester, text)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([says])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*fixtures.py*")


def test_scenarios_are_shared_out_over_workers(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    found = run_apart(pytester, PLAYED, "-n", "2", "-k", "outage or refused or silence")
    found.assert_outcomes(passed=4)


# -- llmroute_server


CHILD = """
    import os, sys, urllib.request, urllib.error, json

    def ask():
        for name, path, model in (
            ("OPENAI", "/chat/completions", "gpt-4o"),
            # Groq's SDK is given a host and adds the path.
            ("GROQ", "/openai/v1/chat/completions", "llama-3.3-70b-versatile"),
        ):
            url = os.environ[f"{name}_BASE_URL"] + path
            body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]})
            headers = {"authorization": "Bearer " + os.environ[f"{name}_API_KEY"]}
            asked = urllib.request.Request(url, body.encode(), headers)
            try:
                with urllib.request.urlopen(asked) as answer:
                    return json.load(answer)["choices"][0]["message"]["content"]
            except OSError:
                continue
        return "nobody answered"

    print(ask())
"""

SERVED = """
    import os, subprocess, sys
    import pytest

    def ask(server, program="child.py", *args):
        done = subprocess.run(
            [sys.executable, program, *args], env={**os.environ, **server.environment},
            capture_output=True, text=True, check=True, timeout=60,
        )
        return done.stdout.strip()
"""


def served(pytester: pytest.Pytester, text: str, *args: str) -> pytest.RunResult:
    write(pytester, child=CHILD, program=SERVED)
    return run(pytester, text, *args)


def test_a_program_of_its_own_is_seen_falling_back(pytester: pytest.Pytester) -> None:
    text = """
        from pytest_llmroute.contracts import fallback
        from program import ask

        def test_it(llmroute_server):
            down = llmroute_server.inject("outage", at="openai")
            with llmroute_server.call("chat", tenant="acme") as call:
                call.answer(ask(llmroute_server))
            assert llmroute_server.path == ["openai:503", "groq:200"]
            llmroute_server.holds(fallback.Order(["openai", "groq"]))
            assert [one.place for one in llmroute_server.sources(call)] == ["groq"]
            assert llmroute_server.history.calls[0].labels == {"tenant": "acme"}
            down.heal()
            ask(llmroute_server)
            assert llmroute_server.path[-1] == "openai:200"
            assert llmroute_server.history.untied == llmroute_server.history.attempts[2:]
            assert llmroute_server.history.clock == "real"
    """
    served(pytester, text).assert_outcomes(passed=1)


def test_where_providers_are_is_told_to_programs(pytester: pytest.Pytester) -> None:
    text = """
        import re
        import pytest
        from pytest_llmroute import Unknown

        def test_it(llmroute_server):
            origin = llmroute_server.origin
            assert re.fullmatch(r"http://127\\.0\\.0\\.1:[0-9]+", origin)
            assert llmroute_server.base_url("openai") == f"{origin}/openai/v1"
            assert llmroute_server.base_url("anthropic") == f"{origin}/anthropic"
            environment = llmroute_server.environment
            assert environment["OPENAI_BASE_URL"] == f"{origin}/openai/v1"
            assert environment["ANTHROPIC_BASE_URL"] == f"{origin}/anthropic"
            assert environment["GROQ_BASE_URL"] == f"{origin}/groq"
            assert environment["OPENAI_API_KEY"]
            with pytest.raises(Unknown, match="did you mean 'openai'"):
                llmroute_server.base_url("opnai")
    """
    served(pytester, text).assert_outcomes(passed=1)


def test_limits_hold_and_a_failing_test_shows_the_timeline_in_real_time(
    pytester: pytest.Pytester,
) -> None:
    text = """
        from program import ask

        def test_it(llmroute_server):
            llmroute_server.limit("openai", requests=1)
            ask(llmroute_server)
            ask(llmroute_server)
            assert llmroute_server.path == ["openai:200", "openai:429", "groq:200"]
            assert False
    """
    result = served(pytester, text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * assert False", "*- llmroute timeline -*", "*clock: real*"])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("server.inject('outage', at='groq'); ask(server)", "*outage at groq (no attempt reached*"),
        ("ask(server, 'astray.py')", "*- /opnai at *; did you mean openai?"),
    ],
)
def test_a_server_is_as_strict_as_a_world(pytester: pytest.Pytester, body: str, says: str) -> None:
    astray = CHILD.replace('os.environ[f"{name}_BASE_URL"]', 'os.environ[f"{name}_BASE_URL"].replace("/openai/v1", "/opnai/v1")')  # fmt: skip
    write(pytester, astray=astray)
    text = f"""
        import pytest
        from program import ask

        def test_strict(llmroute_server):
            server = llmroute_server
            {body}

        @pytest.mark.llmroute(strict=False)
        def test_lenient(llmroute_server):
            server = llmroute_server
            {body}
    """
    result = served(pytester, text)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([says])


def test_a_world_and_a_server_in_one_test_are_refused(pytester: pytest.Pytester) -> None:
    text = """
        def test_it(llmroute_server, llmroute):
            pass
    """
    result = run(pytester, text)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a test has llmroute or llmroute_server*"])


def test_one_call_at_a_time_is_made_at_a_server(pytester: pytest.Pytester) -> None:
    text = """
        import pytest

        def test_it(llmroute_server):
            with llmroute_server.call(), pytest.raises(RuntimeError, match="one call at a time"):
                with llmroute_server.call():
                    pass
            with llmroute_server.call("again"):
                pass
            assert [call.entry for call in llmroute_server.history.calls] == ["call", "again"]
    """
    run(pytester, text).assert_outcomes(passed=1)
