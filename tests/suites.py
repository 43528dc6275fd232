"""Test suites of somebody else, with a small router of their own, run by a pytest of their own."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

# In this process before a suite is run inside it, or every suite would import them anew.
import pytest_llmroute.checking
import pytest_llmroute.collect
import pytest_llmroute.fate
import pytest_llmroute.report.closing
import pytest_llmroute.routers.litellm
import pytest_llmroute.routers.own
import pytest_llmroute.worlds  # noqa: F401

QUIET = (
    "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:time_machine", "-p", "no:respx",
    "-p", "no:faker", "-p", "no:hypothesispytest", "-p", "no:asyncio", "-p", "no:anyio",
    "-p", "no:pytest_httpx", "-p", "no:xdist", "-p", "no:timeout",
)  # fmt: skip

ROUTER = """
    import http.client, json

    HOSTS = {"openai": ("api.openai.com", "/v1/chat/completions", "gpt-4o"),
             "groq": ("api.groq.com", "/openai/v1/chat/completions", "llama-3.3-70b-versatile")}
    CHAIN = ["openai", "groq"]

    def ask(text):
        for name in CHAIN:
            host, path, model = HOSTS[name]
            body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]})
            try:
                connection = http.client.HTTPConnection(host, timeout=20)
                connection.request("POST", path, body, {"authorization": "Bearer sk-secret-key"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                continue
            if answer.status == 200:
                return said["choices"][0]["message"]["content"]
        raise RuntimeError("nobody answered")
"""

CONFIG = """
    format = 1

    [router]
    kind = "callable"
    call = "router:ask"
    group = "chat"

    [[promise]]
    contract = "fallback.order"
    text = "OpenAI is asked first."
    chain = ["openai", "groq"]

    [[promise]]
    contract = "retry.bounded"
    target = "openai"
    retries = 0
"""

WRONG_WAY_ROUND = ROUTER.replace('["openai", "groq"]', '["groq", "openai"]')


def write(folder: Path, config: str = CONFIG, router: str = ROUTER) -> Path:
    """A router in a folder, and the file that describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "router.py").write_text(textwrap.dedent(router), "utf-8")
    file = folder / "llmroute.toml"
    file.write_text(textwrap.dedent(config).lstrip(), "utf-8")
    return file


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """In this process, without the plugins of others."""
    return pytester.runpytest_inprocess(*QUIET, *args)


def ids(result: pytest.RunResult) -> list[str]:
    """What was collected, from the output of ``--collect-only -q``."""
    return [line for line in result.outlines if "::" in line]
