"""Modules that are first imported inside a world get their seams as they arrive."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ("LateImports",)


class LateImports(importlib.abc.MetaPathFinder):
    """At the front of ``sys.meta_path``: calls ``arrived[name]`` once that module is loaded."""

    def __init__(self, arrived: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._arrived = arrived

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the others find it, and listen to its loader."""
        arrived = self._arrived.get(fullname)
        if arrived is None:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Listening(spec.loader, arrived)
                return spec
        return None


class _Listening(importlib.abc.Loader):
    def __init__(self, loader: Any, arrived: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._arrived = arrived

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._arrived(module)
