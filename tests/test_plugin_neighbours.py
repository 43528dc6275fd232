from __future__ import annotations

import textwrap

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
