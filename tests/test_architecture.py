from __future__ import annotations

import ast
import gc
from pathlib import Path

import pytest

import llmroute_data
import llmroute_sim
import pytest_llmroute

ROOTS = {
    module.__name__: Path(module.__file__).parent
    for module in (llmroute_data, llmroute_sim, pytest_llmroute)
    if module.__file__
}
BELOW = {
    "llmroute_data": set(),
    "llmroute_sim": {"llmroute_data"},
    "pytest_llmroute": {"llmroute_data", "llmroute_sim"},
}
VAGUE = {
    "utils",
    "util",
    "helpers",
    "helper",
    "misc",
    "common",
    "manager",
    "handler",
    "context",
    "base",
}


def sources() -> list[tuple[str, Path]]:
    return [
        (package, path)
        for package, root in ROOTS.items()
        for path in sorted(root.rglob("*.py"))
        if "configs" not in path.parts
    ]


def imported(path: Path) -> set[str]:
    names = set()
    # CPython 3.11 miscounts its recursion if a finalizer runs while it makes the tree.
    gc.disable()
    try:
        tree = ast.parse(path.read_text("utf-8"))
    finally:
        gc.enable()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    ("package", "path"), sources(), ids=lambda value: getattr(value, "stem", value)
)
def test_nothing_imports_upward(package, path):
    ours = {name.partition(".")[0] for name in imported(path)} & set(BELOW)
    assert ours <= BELOW[package] | {package}


@pytest.mark.parametrize(
    "path", [path for package, path in sources() if package == "llmroute_sim"], ids=lambda p: p.stem
)
def test_the_simulator_knows_no_pytest(path):
    assert not {
        name for name in imported(path) if name.split(".")[0] in ("pytest", "_pytest", "pluggy")
    }


def layer(folder: str) -> list[Path]:
    return sorted((ROOTS["llmroute_sim"] / folder).rglob("*.py"))


@pytest.mark.parametrize("path", layer("carriers"), ids=lambda path: path.stem)
def test_carriers_know_nothing_of_providers(path):
    forbidden = (
        "providers",
        "dialects",
        "faults",
        "incidents",
        "scenario",
        "simulator",
        "prompt",
        "quotas",
    )
    assert not {
        n for n in imported(path) if n.startswith(tuple(f"llmroute_sim.{f}" for f in forbidden))
    }


@pytest.mark.parametrize("path", layer("dialects"), ids=lambda path: path.stem)
def test_dialects_know_nothing_of_faults(path):
    forbidden = ("faults", "incidents", "scenario", "simulator", "history", "clock", "carriers")
    assert not {
        n for n in imported(path) if n.startswith(tuple(f"llmroute_sim.{f}" for f in forbidden))
    }


def test_faults_know_nothing_of_dialects_and_providers():
    names = set().union(*map(imported, layer("faults")))
    assert not {
        n for n in names if n.startswith(("llmroute_sim.dialects", "llmroute_sim.providers"))
    }


@pytest.mark.parametrize(
    "path",
    sorted((ROOTS["pytest_llmroute"] / "contracts").glob("*.py")),
    ids=lambda path: path.stem,
)
def test_contracts_read_the_history_and_nothing_else(path):
    allowed = ("llmroute_sim.history", "pytest_llmroute.contracts")
    ours = {n for n in imported(path) if n.startswith(("llmroute_sim", "pytest_llmroute"))}
    assert not {name for name in ours if not name.startswith(allowed)}


@pytest.mark.parametrize("path", [path for _, path in sources()], ids=lambda path: path.stem)
def test_modules_are_named_for_what_they_know(path):
    assert path.stem not in VAGUE


def test_the_core_reads_no_machine_clock_and_draws_no_machine_chance():
    core = ROOTS["llmroute_sim"]
    for path in [*core.glob("*.py"), *core.joinpath("dialects").glob("*.py")]:
        if path.stem in ("clock", "baton", "real"):
            continue
        names = imported(path)
        assert not names & {"time", "secrets", "uuid", "os", "socket"}, path
