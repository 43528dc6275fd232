from __future__ import annotations

import re

import pytest

from fixtured import APP, SETTINGS, run, run_apart, write

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write(pytester, app=APP, quick=SETTINGS)


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
