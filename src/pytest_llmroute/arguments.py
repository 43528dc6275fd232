"""Which files a test run is about: those that the ini file names, and those that are arguments."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pytest_llmroute.plugin import said_in_ini

__all__ = ("beside_ini", "check", "covered", "given", "ignored", "named")

_WILD = frozenset("*?[")
_GIVEN = pytest.StashKey[frozenset[Path]]()


def named(config: pytest.Config, option: str) -> list[Path]:
    """The files and folders that an ini option of paths names, in its order, with globs filled in.
    Raises ``UsageError`` for what does not exist."""
    found: dict[Path, None] = {}
    for path in config.getini(option):
        expanded = _expanded(path, partial(_wrong, config, option))
        found.update(dict.fromkeys(map(_absolute, expanded)))
    return list(found)


def _expanded(path: Path, wrong: partial[pytest.UsageError]) -> list[Path]:
    if path.exists():
        return [path]
    if not _WILD & set(str(path)):
        raise wrong(path, "does not exist", _sibling(path))
    fixed = next(parent for parent in path.parents if not _WILD & set(str(parent)))
    found = sorted(fixed.glob(str(path.relative_to(fixed))))
    if not found:
        raise wrong(path, "matches nothing", None)
    return found


def _wrong(
    config: pytest.Config, option: str, path: Path, what: str, closest: Path | None
) -> pytest.UsageError:
    hint = f" (did you mean {_short(config, closest)!r}?)" if closest else ""
    return pytest.UsageError(f"{_where(config)}{option}: {_short(config, path)!r} {what}{hint}")


_OPTIONS = {
    "llmroute_allow_untested": "contracts",
    "llmroute_baseline": "a file",
    "llmroute_configs": "files, folders and globs",
    "llmroute_policy": "true or false",
    "llmroute_scenarios": "files and folders",
    "llmroute_seed": "a whole number",
}
"""The options of the ini file, and what each may be."""


def check(config: pytest.Config) -> None:
    """Raises ``UsageError`` for what the ini file says and cannot mean, or names and there is not."""
    from llmroute_sim.names import Unknown

    for name in said_in_ini(config):
        if name.startswith("llmroute") and name not in _OPTIONS:
            raise pytest.UsageError(f"{_where(config)}{Unknown('option', name, _OPTIONS)}")
    for name, wanted in _OPTIONS.items():
        try:
            config.getini(name)
        except (ValueError, TypeError, pytest.UsageError) as error:
            raise pytest.UsageError(f"{_where(config)}{name}: not {wanted}: {error}") from error
    named(config, "llmroute_configs")
    allowed = set(config.getini("llmroute_allow_untested")) - {"*"}
    if allowed:
        from pytest_llmroute.contracts import contracts

        for name in sorted(allowed - set(contracts())):
            raise pytest.UsageError(
                f"{_where(config)}llmroute_allow_untested: {Unknown('contract', name, contracts())}"
            )
    if (baseline := config.getini("llmroute_baseline")) and config.getini("llmroute_configs"):
        from pytest_llmroute.baseline import Baseline
        from pytest_llmroute.errors import ConfigError

        try:
            Baseline.read(beside_ini(config, baseline))
        except ConfigError as error:
            raise pytest.UsageError(f"{_where(config)}llmroute_baseline: {error}") from error


def beside_ini(config: pytest.Config, path: str) -> Path:
    """A path as the ini file means it."""
    return _base(config) / path


def _base(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath else config.invocation_params.dir


def _short(config: pytest.Config, path: Path) -> str:
    base = _base(config)
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def _where(config: pytest.Config) -> str:
    return f"{config.inipath}: " if config.inipath else ""


def _sibling(path: Path) -> Path | None:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return path.parent / close[0] if close else None


def given(config: pytest.Config) -> frozenset[Path]:
    """The files that are arguments, or of which something is."""
    if _GIVEN not in config.stash:
        config.stash[_GIVEN] = frozenset(path for path in _arguments(config) if path.is_file())
    return config.stash[_GIVEN]


def covered(config: pytest.Config, path: Path) -> bool:
    """Whether a run with these arguments is meant to include a file that nobody gave by name: in a
    run without any, or of a folder above it."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        start = config.invocation_params.dir
        if start == config.rootpath or start in config.rootpath.parents:
            return True
    return any(path.is_relative_to(folder) for folder in _arguments(config))


def ignored(config: pytest.Config, path: Path) -> bool:
    """Whether the run was told to leave a file out, or a folder above it."""
    folders = (config.invocation_params.dir / one for one in config.getoption("ignore") or ())
    return any(path.is_relative_to(_absolute(folder)) for folder in folders) or bool(
        config.hook.pytest_ignore_collect(collection_path=path, config=config)
    )


def _arguments(config: pytest.Config) -> Iterator[Path]:
    for argument in config.args:
        yield _absolute(config.invocation_params.dir / argument.partition("[")[0].split("::")[0])


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - without following links, as pytest does
