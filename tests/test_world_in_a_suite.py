from __future__ import annotations

import importlib.util
import signal

import pytest

CONFTEST = """
import os
import sys
import time
import warnings

import pytest
import time_machine

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock
from llmroute_sim.wire import Data, Framing, Head, Wait


class Door:
    def knows(self, host):
        return host.endswith(".test")

    def stray(self, address, call): ...

    def connect(self, address, call):
        yield from ()

    def open(self, request):
        last = request.path.rpartition("/")[2]
        yield Wait(float(last) if last else 1.0)
        yield Head(200, (), Framing.LENGTH, 2)
        yield Data(b"ok")

    def keeps(self, address):
        return True


def seams():
    import asyncio, socket, ssl, threading
    from asyncio import base_events
    from concurrent.futures import thread
    found = [
        time.sleep, time.monotonic, time.perf_counter, socket.create_connection, socket.getaddrinfo,
        vars(socket.socket).get("connect"), vars(ssl.SSLContext).get("load_verify_locations"),
        ssl.SSLContext.wrap_socket, threading.Thread.start, threading.Thread.join, threading._time,
        threading.Condition.wait, thread.ThreadPoolExecutor.submit, thread._WorkItem.run,
        base_events.BaseEventLoop.run_forever, asyncio.Runner.run, sys.modules["_pytest.timing"].time,
        len(sys.meta_path), time_machine.escape_hatch.is_travelling(),
    ]
    for module in ("urllib3.util.connection", "aiohttp.connector"):
        kept = getattr(sys.modules.get(module), "create_connection", None)
        found.append(getattr(kept, "__module__", module).startswith("llmroute_sim"))
    return found


FIRST = seams()


@pytest.fixture(autouse=True)
def seams_are_put_back():
    yield
    assert seams() == FIRST


@pytest.fixture
def world():
    clock = Clock()
    with in_memory(Door(), clock):
        yield clock


def pytest_unconfigure():
    began = time.perf_counter()
    time.sleep(0.01)
    real = time.perf_counter() - began >= 0.01 and seams() == FIRST
    print("AT THE END: " + ("as before" if real else "changed"))
"""


class Suite:
    def __init__(self, pytester: pytest.Pytester, plugin: str = "", ini: str = "") -> None:
        self.pytester = pytester
        self.plugin = plugin
        self.ini = ini

    def using(self, plugin: str, ini: str = "") -> Suite:
        return Suite(self.pytester, plugin, ini)

    def __call__(self, source: str, *options: str) -> pytest.RunResult:
        self.pytester.makeini(f"[pytest]\nfilterwarnings = error\n{self.ini}")
        self.pytester.makepyfile(source)
        plugin = ("-p", self.plugin) if self.plugin else ()
        found = self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *plugin, *options)
        found.stdout.fnmatch_lines(["*AT THE END: as before*"])
        return found


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    pytester.makeconftest(CONFTEST)
    # Only what a suite names, so that it starts fast.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Suite(pytester)


SCOPED = "asyncio_default_fixture_loop_scope = function\n"


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def test_pytest_asyncio_strict(suite):
    pytest.importorskip("pytest_asyncio")
    suite.using("pytest_asyncio.plugin", SCOPED)("""
        import asyncio, time
        import httpx, pytest, pytest_asyncio

        seen = {}

        @pytest_asyncio.fixture
        async def before():
            seen["loop"] = asyncio.get_running_loop()
            began = time.perf_counter()
            await asyncio.sleep(0.02)
            assert time.perf_counter() - began >= 0.02
            yield
            assert asyncio.get_running_loop() is seen["loop"]

        @pytest_asyncio.fixture
        async def after(world):
            assert asyncio.get_running_loop() is seen["loop"]
            await asyncio.sleep(100)
            yield
            await asyncio.sleep(1000)

        @pytest.mark.asyncio
        async def test_between_fixtures(before, world, after):
            async with httpx.AsyncClient() as client:
                assert (await client.get("https://a.test/9", timeout=10)).text == "ok"
            assert world.now() == 109.0
            assert asyncio.get_running_loop() is seen["loop"]

        @pytest.mark.asyncio
        async def test_a_neighbour_has_real_time():
            began = time.perf_counter()
            await asyncio.sleep(0.02)
            assert time.perf_counter() - began >= 0.02
            assert type(asyncio.get_running_loop()).__name__ == "_UnixSelectorEventLoop"

        @pytest.mark.asyncio(loop_scope="module")
        async def test_a_module_loop_starts_a_heart():
            async def heart():
                while True:
                    await asyncio.sleep(20)
                    seen["beats"] = seen.get("beats", 0) + 1
            seen["heart"] = asyncio.create_task(heart())
            await asyncio.sleep(0)

        @pytest.mark.asyncio(loop_scope="module")
        async def test_it_beats_in_virtual_time(world):
            await asyncio.sleep(1000)
            assert 49 <= seen["beats"] <= 50

        @pytest.mark.asyncio(loop_scope="module")
        async def test_and_in_real_time_again():
            beats = seen["beats"]
            await asyncio.sleep(0.02)
            assert seen["beats"] == beats
            seen["heart"].cancel()

        @pytest.mark.asyncio
        async def test_a_task_left_behind_ends_in_virtual_time(world):
            async def slow_end():
                try:
                    await asyncio.sleep(1e6)
                finally:
                    await asyncio.sleep(30)
            seen["slow"] = asyncio.create_task(slow_end())
            await asyncio.sleep(1)
    """).assert_outcomes(passed=6)


@pytest.mark.wide
def test_pytest_asyncio_auto_mode_and_the_users_own_loop(suite):
    pytest.importorskip("pytest_asyncio")
    suite.using("pytest_asyncio.plugin", SCOPED + "asyncio_mode = auto\n")(
        """
        import asyncio
        import pytest

        class Mine(asyncio.SelectorEventLoop): ...

        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                return Mine()

        async def test_auto(world):
            await asyncio.sleep(500)
            assert world.now() == 500.0

        def test_own_kind(world):
            with asyncio.Runner(loop_factory=Mine) as runner:
                runner.run(asyncio.sleep(10))
                assert isinstance(runner.get_loop(), Mine)
            assert world.now() == 10.0
        """
    ).assert_outcomes(passed=2)


def test_the_anyio_plugin(suite):
    pytest.importorskip("anyio")
    found = suite.using("anyio.pytest_plugin")("""
        import anyio, pytest

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request):
            if request.param == "trio":
                pytest.importorskip("trio")
            return request.param

        @pytest.fixture
        async def slept(world):
            await anyio.sleep(40)
            yield
            await anyio.sleep(400)

        @pytest.mark.anyio
        async def test_sleeps(slept, world):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 20)
                group.start_soon(anyio.sleep, 60)
            with pytest.raises(TimeoutError):
                with anyio.fail_after(5):
                    await anyio.sleep_forever()
            assert await anyio.to_thread.run_sync(world.now) == 105.0

        def test_by_hand(world):
            anyio.run(anyio.sleep, 7)
            assert world.now() == 7.0
    """)
    if has("trio"):
        found.assert_outcomes(passed=2, errors=1)
        found.stdout.fnmatch_lines(["*trio has a loop, a clock and sockets of its own*"])
    else:
        found.assert_outcomes(passed=2, skipped=1)


@pytest.mark.wide
def test_uvloop_is_refused_in_that_test_only(suite):
    pytest.importorskip("uvloop")
    pytest.importorskip("pytest_asyncio")
    found = suite.using("pytest_asyncio.plugin", SCOPED)(
        """
        import asyncio
        import pytest, uvloop

        @pytest.fixture(scope="module")
        def event_loop_policy():
            return uvloop.EventLoopPolicy()

        @pytest.mark.asyncio
        async def test_refused(world):
            await asyncio.sleep(1)

        @pytest.mark.asyncio
        async def test_kept_without_a_world():
            assert type(asyncio.get_running_loop()).__module__ == "uvloop"
        """,
        "-Wignore",  # the policy fixture is deprecated, and in use
    )
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*uvloop.Loop keeps time in C code*"])


def test_loops_made_by_the_test(suite):
    suite("""
        import asyncio, unittest
        import pytest

        def test_run(world):
            asyncio.run(asyncio.sleep(5))
            loop = asyncio.new_event_loop()
            loop.run_until_complete(asyncio.sleep(5))
            loop.close()
            assert world.now() == 10.0

        @pytest.mark.usefixtures("world")
        class TestIsolated(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                await asyncio.sleep(1000)

            async def test_sleeps(self):
                await asyncio.sleep(1000)

            async def asyncTearDown(self):
                await asyncio.sleep(1000)
    """).assert_outcomes(passed=2)


def test_clients_first_imported_in_a_world(suite):
    suite("""
        import sys

        def test_requests(world):
            assert "urllib3" not in sys.modules
            import requests
            with requests.Session() as session:
                assert session.get("https://a.test/30", timeout=40).text == "ok"
            assert world.now() == 30.0

        def test_httpx(world):
            import asyncio, httpx
            async def main():
                async with httpx.AsyncClient() as client:
                    return (await client.get("https://a.test/30", timeout=40)).text
            assert asyncio.run(main()) == "ok"
            assert httpx.get("https://a.test/30", timeout=40).text == "ok"
            assert world.now() == 60.0

        def test_outside_they_are_real():
            import requests, httpx, pytest
            with pytest.raises(requests.ConnectionError):
                requests.get("http://127.0.0.1:9/", timeout=1)
            with pytest.raises(httpx.ConnectError):
                httpx.get("http://127.0.0.1:9/", timeout=1)
    """).assert_outcomes(passed=3)


def test_every_kind_of_ending(suite):
    suite("""
        import asyncio, sys, threading, time
        import pytest

        def test_fails(world):
            time.sleep(5)
            assert world.now() == 6

        def test_exits(world):
            with pytest.raises(SystemExit):
                sys.exit(3)

        def test_skips(world):
            pytest.skip("in a world")

        def test_raises_in_a_loop(world):
            async def main():
                await asyncio.sleep(1)
                raise ValueError
            asyncio.run(main())

        @pytest.fixture
        def broken(world):
            yield
            raise ValueError

        def test_breaks_later(broken): ...

        def test_the_next_one_is_real():
            began = time.perf_counter()
            time.sleep(0.02)
            assert time.perf_counter() - began >= 0.02
            assert abs(time.time() - time.perf_counter()) > 1000
    """).assert_outcomes(passed=3, failed=2, skipped=1, errors=1)


INTERRUPTED = {
    "in a coroutine": """
        async def main():
            asyncio.get_running_loop().call_later(50, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(100)
        asyncio.run(main())
    """,
    "in a blocking wait beside threads": """
        def other():
            time.sleep(30)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1e6)
        threading.Thread(target=other, daemon=True).start()
        threading.Event().wait(1e6)
    """,
}


@pytest.fixture
def interruptible():
    """Whoever is started in the background may have inherited that interrupts are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("where", INTERRUPTED)
def test_an_interrupt(suite, where):
    body = INTERRUPTED[where].replace("\n", "\n    ")
    found = suite(
        "import asyncio, os, signal, threading, time\n\n"
        f"def test_interrupted(world):\n    if True:{body}\n\ndef test_never(): ...\n",
    )
    assert found.ret == pytest.ExitCode.INTERRUPTED


@pytest.mark.wide
def test_pytest_timeout(suite):
    pytest.importorskip("pytest_timeout")
    found = suite.using("pytest_timeout")(
        """
        import time
        import pytest

        def test_days(world):
            time.sleep(10 * 86400)

        @pytest.mark.timeout(5, func_only=True, method="thread")
        def test_days_under_a_watching_thread(world):
            time.sleep(10 * 86400)

        @pytest.mark.timeout(0.5)
        def test_endless_in_virtual_time(world):
            while True:
                time.sleep(1e-9)

        def test_real_again():
            began = time.perf_counter()
            time.sleep(0.02)
            assert time.perf_counter() - began >= 0.02
        """,
        "--timeout=5",
    )
    found.assert_outcomes(passed=3, failed=1)
    found.stdout.fnmatch_lines(["*Timeout (>0.5s)*"])


@pytest.mark.wide
def test_reports_tell_real_times(suite, pytester):
    found = suite(
        """
        import time

        def test_days(world):
            time.sleep(5 * 86400)
        """,
        "--durations=0",
        "--junitxml=report.xml",
    )
    found.assert_outcomes(passed=1)
    import time
    from xml.etree import ElementTree

    case = ElementTree.parse(pytester.path / "report.xml").find(".//testcase")
    assert case is not None
    assert float(case.get("time", "")) < 5
    conftest = pytester.path / "conftest.py"
    conftest.write_text(
        CONFTEST
        + "\n\ndef pytest_runtest_logreport(report):\n"
        + "    print('REPORT', report.when, report.start, report.stop)\n"
    )
    pytester.makepyfile("import time\ndef test_days(world):\n    time.sleep(5 * 86400)\n")
    again = pytester.runpytest_subprocess("-s")
    spans = [line.split()[-2:] for line in again.outlines if "REPORT" in line]
    assert len(spans) == 3
    assert all(abs(float(moment) - time.time()) < 60 for span in spans for moment in span)


@pytest.mark.wide
def test_xdist(suite):
    pytest.importorskip("xdist")
    suite.using("xdist.plugin")(
        """
        import time
        import httpx, pytest

        @pytest.mark.parametrize("number", range(6))
        def test_calls(world, number):
            assert httpx.get(f"https://a.test/{number}", timeout=10).text == "ok"
            assert world.now() == number
        """,
        "-n2",
    ).assert_outcomes(passed=6)


@pytest.mark.wide
def test_hypothesis_with_a_world_for_each_example(suite):
    suite.using("_hypothesis_pytestplugin")("""
        import asyncio, time
        from hypothesis import given, strategies as some
        from conftest import Clock, Door, in_memory
        import httpx

        def test_the_smallest_counterexample_is_found():
            smallest = []

            @given(some.integers(0, 100_000))
            def check(seconds):
                clock = Clock()
                with in_memory(Door(), clock):
                    time.sleep(seconds)
                    asyncio.run(asyncio.sleep(seconds))
                    if clock.now() >= 2000:
                        smallest.append(seconds)
                        raise AssertionError

            try:
                check()
            except AssertionError:
                pass
            assert smallest[-1] == 1000
    """).assert_outcomes(passed=1)


def test_freezegun_beside_a_world(suite):
    pytest.importorskip("freezegun")
    suite("""
        import time
        import freezegun, pytest
        from conftest import Clock, Door, in_memory

        def test_inside_it_comes_and_goes(world):
            with freezegun.freeze_time("2026-05-05"):
                assert time.time() == 1777939200.0
            time.sleep(10)
            before = time.monotonic()
            time.sleep(10)
            assert time.monotonic() == before + 10
            assert time.time() == world.wall().timestamp()
            assert world.now() == 20.0

        @freezegun.freeze_time("2026-05-05")
        def test_around_the_body(world):
            assert time.time() == 1777939200.0

        def test_in_front_it_is_refused_and_leaves_nothing_behind():
            with freezegun.freeze_time("2026-05-05"):
                with pytest.raises(RuntimeError, match="inside the world"):
                    with in_memory(Door(), Clock()):
                        pass
            with in_memory(Door(), Clock()):
                assert time.monotonic() < 1e8
    """).assert_outcomes(passed=3)
