"""Which call the running code belongs to. Tasks, and jobs of pools, inherit it with their context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

__all__ = ("current_call", "inside_call", "outside_calls")

_call: ContextVar[str | None] = ContextVar("llmroute_call", default=None)


def current_call() -> str | None:
    """The id of the call that the running code belongs to, if its context knows one."""
    return _call.get()


@contextmanager
def inside_call(call: str) -> Iterator[None]:
    """Let everything that this context starts belong to a call."""
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)


@contextmanager
def outside_calls() -> Iterator[None]:
    """Let nothing that this context starts belong to the call around it: its world is another."""
    token = _call.set(None)
    try:
        yield
    finally:
        # A block that is left in another context than it was entered in has nothing to put back.
        with suppress(ValueError):
            _call.reset(token)
