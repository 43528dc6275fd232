from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

# In this process before a suite is run inside it, or every suite would import them anew.
pytest.importorskip("openai")
import anyio._backends._asyncio  # noqa: F401
import httpcore  # noqa: F401
import httpx  # noqa: F401
import pytest_asyncio  # noqa: F401

import pytest_llmroute.worlds  # noqa: F401

QUIET = (
    "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:time_machine", "-p", "no:respx",
    "-p", "no:faker", "-p", "no:hypothesispytest", "-W", "error",
)  # fmt: skip

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"

APP = """
    import httpx

    HOSTS = {"openai": "https://api.openai.com/v1/chat/completions",
             "groq": "https://api.groq.com/openai/v1/chat/completions"}
    BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}

    def request(provider):
        model = "gpt-4o" if provider == "openai" else "llama-3.3-70b-versatile"
        return {"url": HOSTS[provider], "headers": {"authorization": "Bearer sk-test"},
                "json": {**BODY, "model": model}}

    def ask(*providers):
        for provider in providers or ["openai", "groq"]:
            try:
                answer = httpx.post(**request(provider))
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                return answer.json()
        raise RuntimeError("nobody answered")

    async def aask(*providers):
        async with httpx.AsyncClient() as client:
            for provider in providers or ["openai", "groq"]:
                answer = await client.post(**request(provider))
                if answer.status_code == 200:
                    return answer.json()
        raise RuntimeError("nobody answered")
"""

WATCH = """
    # Neighbours of a test with a world: everything as it was.
    import asyncio, random, socket, ssl, threading, time
    from concurrent.futures import ThreadPoolExecutor
    import pytest

    SEAMS = [(time, "sleep"), (time, "monotonic"), (time, "time"), (socket, "create_connection"),
             (socket, "getaddrinfo"), (socket.socket, "connect"), (threading.Thread, "start"),
             (threading.Condition, "wait"), (ThreadPoolExecutor, "submit"),
             (asyncio.BaseEventLoop, "run_forever"), (ssl.SSLContext, "wrap_socket")]
    BEFORE = [getattr(*seam) for seam in SEAMS]

    def assert_untouched():
        assert [getattr(*seam) for seam in SEAMS] == BEFORE
        assert time.time() < 1798761600 or time.time() - REAL < 3600
        start = time.perf_counter()
        time.sleep(0.02)
        assert time.perf_counter() - start >= 0.02

    REAL = time.time()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(item):
        result = yield
        if item.config.getoption("--watch"):
            assert_untouched()
        return result

    def pytest_addoption(parser):
        parser.addoption("--watch", action="store_true", default=True)

    def pytest_unconfigure():
        assert_untouched()
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("COLUMNS", "100")
    pytester.makepyfile(app=textwrap.dedent(APP))
    pytester.makeconftest(textwrap.dedent(WATCH))
    pytester.makeini(INI)
    return Suite(pytester)


class Suite:
    """A test suite of somebody else, run by a pytest of its own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def write(self, text: str, **more: str) -> Suite:
        dedented = {name: textwrap.dedent(body) for name, body in more.items()}
        self.pytester.makepyfile(test_it=textwrap.dedent(text), **dedented)
        return self

    def run(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(*QUIET, *args)

    def run_apart(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*QUIET, *args, timeout=240)


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


# -- the rest of the suite


NEIGHBOURS = """
    import asyncio, socket, threading, time, pytest
    from app import aask, ask

    def real():
        start = time.perf_counter()
        time.sleep(0.02)
        assert time.perf_counter() - start >= 0.02

    def test_before():
        real()

    def test_world(llmroute):
        llmroute.inject("outage", at="openai")
        start = time.perf_counter()
        time.sleep(100_000)
        assert time.perf_counter() - start < 5
        llmroute.ask(ask)
        assert llmroute.clock.now() >= 100_000

    def test_between():
        real()

    def test_world_with_a_loop_of_its_own(llmroute):
        async def main():
            await asyncio.sleep(3600)
            return await aask("openai")
        asyncio.run(main())
        assert llmroute.path == ["openai:200"]

    def test_after():
        real()
        async def main():
            loop = asyncio.get_running_loop()
            assert not type(loop).__name__.startswith("Virtual")
            start = time.perf_counter()
            await asyncio.sleep(0.02)
            assert time.perf_counter() - start >= 0.015
        asyncio.run(main())
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), 1).close()
"""


def test_neighbours_keep_their_loop_their_clock_and_their_sockets(suite: Suite) -> None:
    suite.write(NEIGHBOURS)
    suite.run().assert_outcomes(passed=5)


def test_durations_are_real(suite: Suite) -> None:
    suite.write("""
        import time

        def test_long(llmroute):
            time.sleep(5000)
    """)
    result = suite.run("--durations=1", "-vv", "--junitxml=out.xml")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*5000*s call*")
    assert "5000" not in (suite.pytester.path / "out.xml").read_text("utf-8")


@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("scope", ["function", "module"])
def test_pytest_asyncio(suite: Suite, mode: str, scope: str) -> None:
    mark = f"@pytest.mark.asyncio(loop_scope={scope!r})"
    suite.write(f"""
        import asyncio, time, pytest, pytest_asyncio
        from app import aask
        from pytest_llmroute import faults

        @pytest_asyncio.fixture(loop_scope={scope!r})
        async def ready(llmroute):
            await asyncio.sleep(5)
            yield
            await asyncio.sleep(5000)

        {mark}
        async def test_before():
            assert not type(asyncio.get_running_loop()).__name__.startswith("Virtual")

        {mark}
        async def test_world(llmroute, ready):
            llmroute.inject(faults.LatencySpike(50), at="openai", first=1)
            with pytest.raises(Exception) as raised:
                await llmroute.ask(aask, "openai")
            assert type(raised.value).__name__ == "ReadTimeout"
            await llmroute.ask(aask, "openai")
            await asyncio.sleep(3600)
            assert llmroute.path == ["openai:left", "openai:200"]
            assert [call.outcome for call in llmroute.history.calls] == ["failed", "answered"]

        {mark}
        async def test_unmet(llmroute):
            llmroute.inject(faults.Outage(), at="groq")
            await aask("openai")

        {mark}
        async def test_after():
            start = time.perf_counter()
            await asyncio.sleep(0.02)
            assert time.perf_counter() - start >= 0.015
    """)
    result = suite.run("--asyncio-mode", mode)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["no attempt met what this test injected:"])


def test_anyio_on_asyncio_works_and_trio_is_refused_with_the_fixture_to_write(suite: Suite) -> None:
    suite.write("""
        import anyio, pytest
        from app import aask

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request):
            return request.param

        @pytest.mark.anyio
        async def test_world(llmroute):
            await anyio.sleep(3600)
            await llmroute.ask(aask)
            assert llmroute.path == ["openai:200"]
    """)
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*runs on trio*", '*return "asyncio"'])


def test_uvloop_is_refused_with_a_message_and_left_alone_elsewhere(suite: Suite) -> None:
    uvloop = pytest.importorskip("uvloop")
    assert uvloop
    suite.write("""
        import asyncio, uvloop, pytest
        import pytest_llmroute

        def test_refused(llmroute):
            async def main():
                await asyncio.sleep(1)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())

        def test_alone():
            async def main():
                await asyncio.sleep(0.001)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
    """)
    result = suite.run("-W", "ignore::RuntimeWarning")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Unsupported: uvloop.Loop keeps time in C code*"])


def test_whatever_a_test_raises_everything_is_put_back(suite: Suite) -> None:
    suite.write("""
        import sys, pytest

        @pytest.fixture
        def broken_later(llmroute):
            yield
            raise RuntimeError("teardown")

        @pytest.fixture
        def broken(llmroute):
            raise RuntimeError("setup")

        def test_exit(llmroute):
            sys.exit(3)

        def test_error(llmroute):
            raise ValueError

        def test_base(llmroute):
            raise GeneratorExit

        def test_setup(broken): pass

        def test_teardown(broken_later): pass

        def test_after():
            pass
    """)
    suite.run().assert_outcomes(passed=2, failed=3, errors=2)


def test_an_interrupt_leaves_nothing_behind(suite: Suite) -> None:
    suite.write("""
        def test_interrupted(llmroute):
            raise KeyboardInterrupt
    """)
    result = suite.run_apart()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stderr.no_fnmatch_line("*Error*")


def test_pytest_timeout_counts_real_seconds(suite: Suite) -> None:
    pytest.importorskip("pytest_timeout")
    suite.write("""
        import time

        def test_days(llmroute):
            time.sleep(1_000_000)

        def test_endless(llmroute):
            while True:
                time.sleep(1e-6)

        def test_after():
            pass
    """)
    result = suite.run("--timeout=1.5", "--timeout-method=signal")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*Timeout*1.5*"])


def test_two_workers_and_any_order_give_the_same(suite: Suite) -> None:
    suite.write(
        NEIGHBOURS
        + """
    def test_seed(llmroute):
        llmroute.inject("outage", at="openai", chance=0.5)
        for _ in range(8):
            ask()
        assert False, "+".join(llmroute.path)
    """
    )
    plain = suite.run("-n0")
    spread = suite.pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "randomly", "-n2", "-W", "error", timeout=240
    )

    def path(result: pytest.RunResult) -> str:
        result.assert_outcomes(passed=5, failed=1)
        result.stdout.fnmatch_lines(["*llmroute timeline*"])
        return next(line for line in result.outlines if line.startswith("E       AssertionError:"))

    assert path(plain) == path(spread)


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
