from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from inner import APP, INI, WATCH, Suite

pytestmark = pytest.mark.once


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("COLUMNS", "100")
    pytester.makepyfile(app=textwrap.dedent(APP))
    pytester.makeconftest(textwrap.dedent(WATCH))
    pytester.makeini(INI)
    return Suite(pytester)


def test_a_router_of_ones_own_is_seen_falling_back(suite: Suite) -> None:
    suite.write("""
        from app import ask
        from pytest_llmroute import faults

        def test_falls_back(llmroute):
            llmroute.inject(faults.Outage(), at="openai")
            llmroute.ask(ask)
            assert llmroute.path == ["openai:503", "groq:200"]
            (call,) = llmroute.history.calls
            assert [attempt.place for attempt in llmroute.sources(call)] == ["groq"]
    """)
    suite.run().assert_outcomes(passed=1)


def test_a_path_that_differs_is_explained_in_at_most_eight_lines(suite: Suite) -> None:
    suite.write("""
        from app import ask

        def test_wrong(llmroute):
            llmroute.inject("outage", at="openai", every=2)
            for _ in range(9):
                ask()
            assert llmroute.path == ["openai:200", "groq:200", "groq:200"]
    """)
    result = suite.run()
    result.stdout.fnmatch_lines(
        [
            "E * assert a path of 13 steps  !=  one of 3",
            "E *        happened    expected",
            "E *     1 openai:200  openai:200",
            "E *  ✗  2 openai:503  groq:200",
            "E *     3 groq:200    groq:200",
            "E *  ✗  4 openai:200  (nothing)",
            "E *   and 9 more steps that differ",
        ]
    )
    assert sum(line.startswith("E  ") for line in result.outlines) <= 8


def test_a_failed_test_shows_the_timeline_and_a_passed_one_nothing(suite: Suite) -> None:
    suite.write("""
        from app import ask

        def test_good(llmroute):
            ask()

        def test_bad(llmroute):
            llmroute.inject("rate-limit", at="openai", retry_after=2)
            llmroute.ask(ask, labels={"tenant": "a"})
            assert False
    """)
    result = suite.run("-rA")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- llmroute timeline -*",
            "           router * openai * groq",
            "   0.000s    ┌ c1 ask tenant=a",
            "   0.000s    │──*── #1 ──*▶│*│",
            "   0.000s    │◀──*── 429 ──*│*│   ⚡ rate-limit at openai",
            "   0.000s    └ c1 answered (stop) from #2",
        ]
    )
    assert str(result.stdout).count("llmroute timeline") == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("llmroute.inject('outage', at='groq'); ask('openai')", "*outage at groq (no attempt*"),
        ("llmroute.inject('outage', at='groq', nth=2); ask('groq')", "*1 attempt came there*"),
        (
            "pytest.raises(RuntimeError, ask_opnai)",
            "*api.opnai.com:443*did you mean api.openai.com?",
        ),
    ],
)
def test_a_test_that_proves_less_than_it_seems_to_fails_without_a_traceback(
    suite: Suite, body: str, says: str
) -> None:
    suite.write(f"""
        import app, pytest
        from app import ask

        def ask_opnai():
            app.HOSTS["openai"] = "https://api.opnai.com/v1/chat/completions"
            ask("openai")

        def test_strict(llmroute):
            {body}

        @pytest.mark.llmroute(strict=False)
        def test_lenient(llmroute):
            {body}
    """)
    result = suite.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([says, "*@pytest.mark.llmroute(*"])
    result.stdout.no_fnmatch_line("Traceback*")
    result.stdout.no_fnmatch_line("*plugin.py*")


def test_hosts_that_may_be_tried_are_named(suite: Suite) -> None:
    suite.write("""
        import httpx, pytest

        @pytest.mark.llmroute(hosts=["*.example.com"])
        def test_telemetry(llmroute):
            with pytest.raises(httpx.ConnectError, match="not simulated"):
                httpx.get("https://telemetry.example.com")
    """)
    suite.run().assert_outcomes(passed=1)


def test_a_failure_of_the_tests_own_is_not_drowned_by_loose_ends(suite: Suite) -> None:
    suite.write("""
        import unittest, pytest

        def test_fails(llmroute):
            llmroute.inject("outage", at="groq")
            assert 1 == 2

        def test_skips(llmroute):
            llmroute.inject("outage", at="groq")
            pytest.skip("no")

        @pytest.mark.usefixtures("llmroute")
        class TestOld(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _world(self, llmroute):
                self.world = llmroute

            def test_fails(self):
                self.world.inject("outage", at="groq")
                self.fail("mine")

            def test_unmet(self):
                self.world.inject("outage", at="groq")
    """)
    result = suite.run()
    result.assert_outcomes(failed=3, skipped=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2", "*mine*", "no attempt met*"])
    assert str(result.stdout).count("no attempt met what") == 2  # the message, and the summary


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        (
            "strikt=False",
            "*unknown keyword of the marker llmroute 'strikt'; did you mean 'strict'?*",
        ),
        ("False", "*takes keywords only (hosts, scenarios, seed, strict), not (False,)"),
        ("seed='x'", "*llmroute(seed='x'): a whole number"),
    ],
)
def test_a_wrong_marker_is_told_what_is_right(suite: Suite, marker: str, says: str) -> None:
    suite.write(f"""
        import pytest

        @pytest.mark.llmroute({marker})
        def test_it(llmroute):
            pass
    """)
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([says])


def test_seeds_come_from_the_run_and_the_test_and_are_put_back(suite: Suite) -> None:
    suite.write("""
        import random, pytest

        drawn = {}

        @pytest.fixture
        def noise():
            random.seed(99)

        @pytest.mark.parametrize("x", [1, 2])
        def test_draws(x, llmroute, noise):
            drawn[x] = random.random()
            print("drawn", x, llmroute.seed, drawn[x])

        @pytest.mark.llmroute(seed=7)
        def test_marked(llmroute):
            assert llmroute.seed == 7
            assert random.random() == random.Random(7).random()

    """)

    def drawn(*args: str) -> list[str]:
        result = suite.run("-rA", *args)
        result.assert_outcomes(passed=3)
        return sorted({line for line in result.outlines if line.startswith("drawn")})

    first = drawn()
    assert first == drawn()
    assert len({line.split()[2] for line in first}) == 2
    other = drawn("--llmroute-seed=1")
    assert not set(other) & set(first)
    suite.pytester.makeini(f"{INI}llmroute_seed = 1\n")
    assert drawn() == other


def test_the_global_random_goes_on_after_a_world_as_if_there_had_been_none(suite: Suite) -> None:
    suite.write("""
        import random, pytest

        @pytest.fixture(scope="module", autouse=True)
        def seeded():
            random.seed(5)

        def test_with_a_world(llmroute):
            [random.random() for _ in range(3)]

        def test_after():
            assert random.random() == random.Random(5).random()
    """)
    suite.run().assert_outcomes(passed=2)


def test_the_header_says_the_seed_and_the_plugin_can_be_left_out(suite: Suite) -> None:
    suite.write("def test_it(): pass")
    suite.run("--llmroute-seed=3").stdout.fnmatch_lines(["llmroute: seed 3"])
    result = suite.run("-p", "no:llmroute")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("llmroute: seed*")


def test_a_second_world_beside_the_fixture_has_a_history_of_its_own(suite: Suite) -> None:
    suite.write("""
        import pytest_llmroute
        from app import ask

        def test_two(llmroute):
            with pytest_llmroute.world() as second:
                second.inject("outage", at="openai")
                ask()
            ask()
            assert second.path != llmroute.path == ["openai:200"]
    """)
    suite.run().assert_outcomes(passed=1)


def test_contracts_are_held_against_what_happened(suite: Suite) -> None:
    suite.write("""
        from app import ask
        from pytest_llmroute import contracts, faults
        from pytest_llmroute.contracts import fallback

        def test_kept(llmroute):
            llmroute.inject(faults.Outage(), at="openai")
            llmroute.ask(ask)
            assert llmroute.holds(fallback.Order(["openai", "groq"]))

        def test_broken(llmroute):
            llmroute.inject(faults.Outage(), at="openai")
            llmroute.ask(ask)
            llmroute.holds(fallback.Order(llmroute.targets("groq", "openai")))

        def test_untested(llmroute):
            llmroute.ask(ask)
            llmroute.holds(fallback.Order(["openai", "groq"]))
    """)
    result = suite.run()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: the router broke its contract",
            "E *✗ fallback.order*#1*",
            "*#1*✗ fallback.order*",
            "E *AssertionError: nothing in this test tried",
            "E *? fallback.order: nothing was injected*",
        ]
    )
    result.stdout.no_fnmatch_line("*judging.py*")


DOCS = Path(__file__).parent.parent / "docs" / "pytest.md"


def test_every_example_of_the_documentation_runs(suite: Suite) -> None:
    pytest.importorskip("anthropic")
    router, *blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    suite.pytester.makepyfile(
        router=router, **{f"test_{number}": block for number, block in enumerate(blocks)}
    )
    count = sum(len(re.findall(r"^(?:async )?def test_", block, re.MULTILINE)) for block in blocks)
    assert count > 10
    outcomes = suite.run_apart("--asyncio-mode=auto").parseoutcomes()
    assert not outcomes.keys() & {"failed", "errors"}
    assert outcomes["passed"] >= count
