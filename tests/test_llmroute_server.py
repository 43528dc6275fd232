from __future__ import annotations

import pytest

from fixtured import APP, SETTINGS, run, write


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write(pytester, app=APP, quick=SETTINGS)


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
