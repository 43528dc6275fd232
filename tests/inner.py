"""A test suite of somebody else, with an application, run by a pytest of its own."""

from __future__ import annotations

import textwrap

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
