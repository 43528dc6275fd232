"""Finding routing configurations: files that are given, and what is below folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmroute.errors import ConfigError

if TYPE_CHECKING:
    from pytest_llmroute.routers import RoutingConfig

__all__ = ("Found", "below", "find", "meant", "read")

OWN = "llmroute.toml"
"""The name of a file that describes a router of the user's own."""

_SUFFIXES = (".yaml", ".yml")
_TELLING = "model_list"
"""What tells that a file which cannot be read was meant as a routing configuration."""


@dataclass(frozen=True, slots=True)
class Found:
    """Configurations in the order of their paths, and how many files below folders were none."""

    configs: tuple[RoutingConfig, ...]
    skipped: int = 0


def read(path: Path) -> RoutingConfig | None:
    """A configuration of a known kind, None if the file is of none. Raises ``ConfigError``."""
    from pytest_llmroute.routers import readers

    try:
        for reader in readers():
            config = reader(path)
            if config is not None:
                return config
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text ({error.reason})", path=path) from error
    except OSError as error:
        raise ConfigError(_why(error), path=path) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # Something is where nothing of its kind can be; the readers name what they know of.
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"cannot be understood ({said})", path=path) from error
    return None


def find(paths: Iterable[Path]) -> Found:
    """Read every file that is given and every configuration below the folders that are.

    Raises ``ConfigError`` for a path that does not exist, a file that is no routing configuration, a
    folder without one, and a configuration with something wrong in it.
    """
    configs: dict[Path, RoutingConfig] = {}
    skipped = 0
    for path in paths:
        if not path.exists():
            raise ConfigError("no such file or folder", path=path, closest=_sibling(path))
        if not path.is_dir():
            config = read(path)
            if config is None:
                message = (
                    "describes no router: [router] is missing"
                    if path.name == OWN
                    else "not a routing configuration of a known kind (a LiteLLM config.yaml has a "
                    f"model_list; a router of your own is described in {OWN})"
                )
                raise ConfigError(message, path=path)
            configs.setdefault(path.resolve(), config)
            continue
        count = 0
        for file in _candidates(path):
            if (config := _read_below(file)) is None:
                skipped += 1
            else:
                count += 1
                configs.setdefault(file.resolve(), config)
        if not count:
            message = (
                f"no routing configuration below this folder (looked for *.yaml, *.yml and {OWN})"
            )
            raise ConfigError(message, path=path)
    return Found(tuple(configs.values()), skipped)


def below(folder: Path) -> Iterator[Path]:
    """The files below a folder that are configurations, or were meant as one and have something
    wrong in them."""
    for file in _candidates(folder):
        try:
            found = _read_below(file) is not None
        except ConfigError:
            found = True
        if found:
            yield file


def _read_below(file: Path) -> RoutingConfig | None:
    try:
        return read(file)
    except ConfigError:
        if meant(file):
            raise
        return None


def _candidates(folder: Path) -> Iterator[Path]:
    """Files that may be configurations, in order; what is hidden or installed is left out."""

    def failed(error: OSError) -> None:
        raise ConfigError(_why(error), path=error.filename or folder) from error

    for root, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in ("node_modules", "__pycache__", "site-packages")
        )
        for name in sorted(files):
            if name == OWN or (name.endswith(_SUFFIXES) and not name.startswith(".")):
                yield Path(root, name)


def meant(path: Path) -> bool:
    """Whether a file that has something wrong was meant as a routing configuration: in a folder,
    other people's YAML is none of our business, and templates are not even YAML."""
    if path.name == OWN:
        return True
    try:
        return _TELLING in path.read_text("utf-8", errors="replace")
    except OSError:
        return False


def _sibling(path: Path) -> str | None:
    from difflib import get_close_matches

    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return None
    close = get_close_matches(path.name, names, n=1)
    return str(path.parent / close[0]) if close else None


def _why(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"
