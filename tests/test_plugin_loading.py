from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

IMPORTED = """
import json, sys
import pytest
before = set(sys.modules)
import pytest_llmroute.plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""

HEAVY = (
    "anthropic", "asyncio", "click", "faker", "genai_prices", "httptools", "httpx", "hypothesis",
    "litellm", "llmroute_data", "llmroute_sim", "openai", "pydantic", "respx", "rich", "ssl",
    "time_machine", "yaml",
)  # fmt: skip


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_loading_the_plugin_imports_nothing_but_itself_and_the_standard_library() -> None:
    new = json.loads(run(IMPORTED))
    assert {name for name in new if name.startswith("pytest_llmroute")} == {
        "pytest_llmroute",
        "pytest_llmroute.plugin",
    }
    tops = {name.partition(".")[0] for name in new} - {"pytest_llmroute"}
    assert tops <= set(sys.stdlib_module_names)
    assert not tops & set(HEAVY)


def test_a_run_without_a_world_never_imports_the_simulator(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import sys

        def test_light():
            assert [1] == [1]
            loaded = {{name.partition(".")[0] for name in sys.modules}}
            assert not loaded & {set(HEAVY) - {"asyncio", "ssl", "httpx"}!r}
        """
    )
    plugins = (
        "anyio", "asyncio", "faker", "hypothesispytest", "pytest_httpx", "randomly", "respx",
        "time_machine",
    )  # fmt: skip
    without = [part for name in plugins for part in ("-p", f"no:{name}")]
    pytester.runpytest_subprocess(*without).assert_outcomes(passed=1)


def test_every_public_name_can_be_had_and_is_listed() -> None:
    code = (
        "import pytest_llmroute as p\n"
        "import pytest_llmroute.worlds\n"
        "print(all(getattr(p, name) is not None for name in p.__all__))\n"
        "print(set(p.__all__) <= set(dir(p)))\n"
        "from pytest_llmroute import world; print(callable(world))\n"
        "try: p.wrold\n"
        "except AttributeError as error: print(error)\n"
    )
    assert run(code).splitlines() == [
        "True",
        "True",
        "True",
        "module 'pytest_llmroute' has no attribute 'wrold'",
    ]


@pytest.mark.wide
def test_type_checkers_see_the_api_as_users_write_it() -> None:
    pytest.importorskip("mypy")
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(root / "tests" / "typing" / "api.py")],
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert done.returncode == 0, done.stdout
