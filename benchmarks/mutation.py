"""Mutation testing of the contracts: ``python benchmarks/mutation.py [--count N] [--seed N] [--fast] [MODULE...]``.

Small mistakes are made in the source of ``pytest_llmroute.contracts``, one at a time, and the tests of
the contracts are run against each; one that no test notices is printed. The mistakes are those of
cosmic-ray (``pip install cosmic-ray``), which unlike mutmut also makes them in constants, properties
and decorated functions. It would start pytest anew for each, though; here every mistake gets a copy of
one process that has imported everything else, and the histories that routers leave, which no contract
has a part in, are played once.

At each place in the source one mistake is drawn, then so many of the places. A run with the same seed
draws the same, but for the lines that were edited since. ``--fast`` runs only what is told by hand
(``test_contracts*.py``), without the reference router, its mutants and the laws.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import importlib.abc
import importlib.util
import os
import pickle
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = ROOT / "src" / "pytest_llmroute" / "contracts"
TESTS = ROOT / "tests"
FIRST = sorted(
    map(str, TESTS.glob("test_contracts*.py")),
    key=lambda name: ("hypothesis" in Path(name).read_text("utf-8"), name),
)
"""Those that are quick first: most mistakes are noticed by one of them."""
THEN = [str(TESTS / "test_mutants.py"), str(TESTS / "test_contract_laws.py")]
ARGUMENTS = (
    "-x", "-q", "--no-header", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:randomly",
    "-p", "no:xdist",
)  # fmt: skip
PATIENCE = 120
"""Seconds after which a mistake counts as noticed: the tests hang."""

sys.path.insert(0, str(ROOT))


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is changed where: the operator of cosmic-ray and which of its places in the file, and the
    place as line and column."""

    module: str
    operator: str
    occurrence: int
    line: int
    column: int

    @property
    def path(self) -> Path:
        return CONTRACTS / f"{self.module}.py"

    @property
    def name(self) -> str:
        """The module as it is imported."""
        package = "pytest_llmroute.contracts"
        return package if self.module == "__init__" else f"{package}.{self.module}"

    def made(self) -> str | None:
        """The source with the mistake in it."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        source = self.path.read_text("utf-8")
        mutated: str | None = mutate_code(source, get_operator(self.operator)(), self.occurrence)
        return mutated

    def shown(self) -> str:
        """The lines that differ."""
        before = self.path.read_text("utf-8").splitlines()
        after = (self.made() or "").splitlines()
        changed = [
            f"    - {one.strip()}\n    + {other.strip()}"
            for one, other in zip(before, after, strict=False)
            if one != other
        ]
        name = self.operator.partition("/")[2]
        return f"{self.module}.py:{self.line} {name} {self.occurrence}\n" + "\n".join(changed[:3])


def mistakes(module: str) -> Iterator[Mistake]:
    """Every mistake that can be made in a module."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = (CONTRACTS / f"{module}.py").read_text("utf-8")
    tree, meaningless = get_ast(source), _meaningless(source)
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments():
            continue
        operator = kind()
        places = (at for node in ast_nodes(tree) for at in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(places):
            if not any(begin <= start < end for begin, end in meaningless):
                yield Mistake(module, name, occurrence, *start)


def _meaningless(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations are, which nobody evaluates, and the decorators of dataclasses."""
    found = []
    for node in ast.walk(ast.parse(source)):
        there = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.ClassDef):
            there += node.decorator_list
        for one in there:
            if isinstance(one, ast.expr):
                end = (one.end_lineno or one.lineno, one.end_col_offset or 0)
                # A decorator is one with its sign.
                found.append(((one.lineno, max(0, one.col_offset - 1)), end))
    return found


def drawn(modules: Sequence[str], count: int, seed: int) -> list[Mistake]:
    """One mistake for each place, then so many of the places. What is drawn at a place depends on the
    text of its line alone: an edit changes only what is drawn there."""
    found: list[tuple[float, Mistake]] = []
    for module in modules:
        lines = (CONTRACTS / f"{module}.py").read_text("utf-8").splitlines()
        places: dict[tuple[int, int], list[Mistake]] = {}
        for one in mistakes(module):
            places.setdefault((one.line, one.column), []).append(one)
        alike = Counter[tuple[str, int]]()
        for (line, column), options in sorted(places.items()):
            text = lines[line - 1].strip(), column
            chance = random.Random(f"{seed} {module} {text} {alike[text]}")
            alike[text] += 1
            found.append((chance.random(), chance.choice(options)))
    chosen = [one for _, one in sorted(found, key=lambda lot: lot[0])[:count]]
    return sorted(chosen, key=lambda m: (m.module, m.line))


# -- running the tests in a copy of this process


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another source than its file's."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self._name:
            return None
        package = self._path.name == "__init__.py"
        return importlib.util.spec_from_loader(
            name, self, origin=str(self._path), is_package=package
        )

    def exec_module(self, module: Any) -> None:
        module.__file__ = str(self._path)
        if self._path.name == "__init__.py":
            module.__path__ = [str(self._path.parent)]
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)


def _ours() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] in ("pytest_llmroute", "tests")]


def _key(cell: Any) -> str | None:
    router = getattr(cell.config, "router", None)
    if router is None or not hasattr(cell.config, "knobs"):
        return None
    kind = f"{router.__module__}.{router.__qualname__}"
    return repr((kind, cell.config.knobs, cell.scenario, cell.group, cell.entry))


def _replay(known: dict[str, Any], told: dict[str, Any] | None) -> None:
    """Let cells that were played before be looked up."""
    playing = importlib.import_module("pytest_llmroute.play")
    play = playing.play

    def remembered(cell: Any) -> Any:
        key = _key(cell)
        if key in known:
            return pickle.loads(known[key])
        history = play(cell)
        if key is not None and told is not None:
            told[key] = pickle.dumps(history)
        return history

    playing.play = remembered


class _Failing:
    """Notes which tests fail."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.names.append(report.nodeid)


def _run(
    tests: Sequence[str],
    known: dict[str, Any],
    *,
    mistake: tuple[Mistake, str] | None = None,
    record: Path | None = None,
) -> str:
    """Run tests in a copy of this process: ``passed``, ``failed`` or ``hung``."""
    child = os.fork()
    if not child:
        status = 3
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            if mistake is not None:
                one, source = mistake
                sys.meta_path.insert(0, _Mutated(one.name, one.path, source))
            for name in _ours():
                del sys.modules[name]
            if mistake is not None:
                # Before pytest's own importer comes first.
                importlib.import_module(mistake[0].name)
            told: dict[str, Any] | None = {} if record else None
            _replay(known, told)
            import pytest

            failing = _Failing()
            arguments = [one for one in ARGUMENTS if mistake or one != "-x"]
            status = int(pytest.main([*tests, *arguments], plugins=[failing]))
            if record is not None:
                record.write_bytes(pickle.dumps((told, failing.names)))
        finally:
            os._exit(status)
    return _waited(child, PATIENCE if mistake else 3600)


def _waited(child: int, patience: float) -> str:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "passed" if os.waitstatus_to_exitcode(status) == 0 else "failed"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("modules", nargs="*", help="modules of contracts; all unless told")
    parser.add_argument("--count", type=int, default=300, help="how many mistakes (300)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--fast", action="store_true", help="run only the cases that are told by hand"
    )
    asked = parser.parse_args()
    modules = asked.modules or sorted(path.stem for path in CONTRACTS.glob("*.py"))
    os.chdir(ROOT)
    os.environ["CI"] = "true"  # the same examples each time
    began = time.perf_counter()
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for name in ("pytest", "hypothesis.strategies", "tests.routers.trials"):
        importlib.import_module(name)
    tests, known = [*FIRST, *([] if asked.fast else THEN)], dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "histories"
        _run(tests, {}, record=record)
        known, failing = pickle.loads(record.read_bytes())
    for name in failing:
        print(f"left out, for it fails without any mistake: {name}")
        tests.append(f"--deselect={name}")
    chosen = drawn(modules, asked.count, asked.seed)
    gc.freeze()  # what copies share is not theirs to collect
    if chosen and _run(tests, known, mistake=(chosen[0], "raise RuntimeError")) == "passed":
        print("mistakes do not reach the tests")
        return 2
    print(
        f"{len(known)} histories, {len(chosen)} mistakes, {time.perf_counter() - began:.0f} s",
        flush=True,
    )
    total, noticed = Counter[str](), Counter[str]()
    for mistake in chosen:
        source = mistake.made()
        if source is None:
            continue
        total[mistake.module] += 1
        if _run(tests, known, mistake=(mistake, source)) == "passed":
            print(f"not noticed: {mistake.shown()}", flush=True)
        else:
            noticed[mistake.module] += 1
    print("\n| module | mistakes | noticed | score |\n| --- | --- | --- | --- |")
    for module in (*sorted(total), None):
        made = total[module] if module else total.total()
        seen = noticed[module] if module else noticed.total()
        print(f"| {module or 'all'} | {made} | {seen} | {seen / made if made else 1:.0%} |")
    print(
        f"\nseed {asked.seed}{', fast' if asked.fast else ''}, {time.perf_counter() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
