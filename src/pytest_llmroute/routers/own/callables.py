"""Routers that are plain functions: how they are imported, asked, and forgotten again."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from pytest_llmroute.answers import hear, take
from pytest_llmroute.routers import Entry, Question, Reply, listening

__all__ = ("WAYS", "Callables", "Function", "Unusable", "awaited", "imported")

Function: TypeAlias = Callable[..., Any]

WAYS: Mapping[str, Entry] = {
    "call": Entry(),
    "stream": Entry(stream=True),
    "text": Entry("text"),
    "text-stream": Entry("text", stream=True),
    "responses": Entry("responses"),
    "responses-stream": Entry("responses", stream=True),
    "messages": Entry("messages"),
    "messages-stream": Entry("messages", stream=True),
    "embed": Entry("embeddings"),
}
"""The way in that each function of a router serves, by its role. Whether it is asked on asyncio is the
function's affair."""

_ROLES = {(entry.api, entry.stream): role for role, entry in WAYS.items()}


class Unusable(Exception):
    """A function that cannot be had; ``role`` is what it was to answer."""

    def __init__(self, role: str, message: str, closest: str | None = None) -> None:
        super().__init__(message)
        self.role = role
        self.closest = closest


class Callables:
    """Functions that answer, each one way in, by their roles."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions

    def ask(self, question: Question, reply: Reply) -> None:
        """Ask, blocking; raise what the function raises."""
        answer = self._begin(question)
        if question.entry.stream:
            listening.hear(answer, partial(_take, reply), question, reply)
        elif not _take_vectors(answer, question, reply):
            _take(reply, answer)

    async def aask(self, question: Question, reply: Reply) -> None:
        """Ask on asyncio; raise what the function raises."""
        answer = self._begin(question)
        if inspect.isawaitable(answer):
            answer = await answer
        if question.entry.stream:
            await listening.ahear(answer, partial(_take, reply), question, reply)
        elif not _take_vectors(answer, question, reply):
            _take(reply, answer)

    def _begin(self, question: Question) -> Any:
        # An option that the function does not take is an error of the call: left out, the function
        # would be asked the same and its caller would think otherwise.
        entry = question.entry
        role = _ROLES[entry.api, entry.stream]
        function, options = self._functions[role], dict(question.options)
        if not question.past:
            return function(question.text, **options)
        if "history" in inspect.signature(function).parameters:
            history = [{"role": role, "content": text} for role, text in question.past]
            return function(question.text, history=history, **options)
        # As whoever has a function of one text holds a conversation with it.
        said = (*question.past, ("user", question.text))
        return function("\n\n".join(f"{role}: {text}" for role, text in said), **options)


def _take(reply: Reply, piece: object) -> None:
    take(reply, hear(piece))


def _take_vectors(answer: object, question: Question, reply: Reply) -> bool:
    """Take embeddings that are bare lists of numbers, one or one per text; say whether they were."""
    if question.entry.api != "embeddings" or not isinstance(answer, list | tuple):
        return False
    rows = answer if all(isinstance(row, list | tuple) for row in answer) else [answer]
    reply.vectors += [[float(number) for number in row] for row in rows]
    return True


def awaited(function: Function) -> bool:
    """Whether a function has to be asked on asyncio."""
    call = getattr(function, "__call__", None)  # noqa: B004 (an object with an async __call__)
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (function, call)
    )


@contextmanager
def imported(
    folder: Path, names: Mapping[str, str], environment: Mapping[str, str]
) -> Iterator[Mapping[str, Function]]:
    """The functions that ``package.module:name`` strings name, from modules that are fresh: the
    folder comes first on ``sys.path``, and afterwards its modules are forgotten and whatever they
    displaced is back. ``environment`` is set meanwhile.

    Raises :class:`Unusable` for a module that cannot be imported and a function that does not exist.
    """
    roots = {name.partition(":")[0].partition(".")[0] for name in names.values()}
    path = str(folder)
    displaced = {
        name: module
        for name, module in sys.modules.copy().items()
        if name.partition(".")[0] in roots or _below(module, name, folder)
    }
    variables = {name: os.environ.get(name) for name in environment}
    for name in displaced:
        del sys.modules[name]
    sys.path.insert(0, path)
    os.environ.update(environment)
    importlib.invalidate_caches()
    try:
        yield {role: _find(role, name) for role, name in names.items()}
    finally:
        sys.path.remove(path)
        for name, module in sys.modules.copy().items():
            if name.partition(".")[0] in roots or _below(module, name, folder):
                del sys.modules[name]
        sys.modules.update(displaced)
        for name, before in variables.items():
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before


def _find(role: str, name: str) -> Function:
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Unusable(role, f"{module_name} cannot be imported: {said}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, vars(found), n=1)
            message = f"{module_name} has no {part!r}"
            raise Unusable(role, message, close[0] if close else None)
        found = getattr(found, part)
    if not callable(found):
        raise Unusable(role, f"{name} is no function: {type(found).__name__}")
    function: Function = found
    return function


def _below(module: ModuleType, name: str, folder: Path) -> bool:
    """Whether a module was imported as one of the folder's own, and not from elsewhere below it."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.startswith(f"{folder}{os.sep}"):
        return False
    root = folder / name.partition(".")[0]
    return Path(file) == root.with_suffix(".py") or Path(file).is_relative_to(root)
