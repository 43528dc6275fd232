"""Suites that take the fixtures, run by a pytest of their own."""

from __future__ import annotations

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


def write(pytester: pytest.Pytester, **files: str) -> None:
    pytester.makepyfile(**{name: textwrap.dedent(text) for name, text in files.items()})


def run(pytester: pytest.Pytester, text: str, *args: str) -> pytest.RunResult:
    """In this process, without the plugins of others."""
    write(pytester, test_it=text)
    return suites.run(pytester, "-W", "error", *args)


def run_apart(pytester: pytest.Pytester, text: str, *args: str) -> pytest.RunResult:
    write(pytester, test_it=text)
    return pytester.runpytest_subprocess(*APART, *args, timeout=240)
