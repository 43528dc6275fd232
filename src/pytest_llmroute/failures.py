"""What an exception tells its caller: of what kind it is, when to come back, and whose keys its words
give away.

The words themselves are not kept. A key is found by its fingerprint: every run of letters in the
words that could be one is compared with the fingerprints of the keys that are known, so nobody has
to hold the keys to look for them. A key that is shown in part (``sk-...abcd``) is not given away.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from llmroute_sim.history import Failure, fingerprint

__all__ = ("failure_of",)

_RUNS = (re.compile(r"[\w-]{8,}"), re.compile(r"[\w.~-]{8,}"), re.compile(r"[\w.~+/=-]{8,}"))
"""What keys are made of: letters and hyphens; dots too, in tokens; the signs of base64."""

_PREFIX = re.compile(r"(?:sk|pk|gsk|xai|key)-[\w-]{5,}")
"""How keys begin that stand right behind something else."""

_LONGEST = 200_000
"""Characters of one text that are read: a page is less."""

_DEEPEST = 16
"""Exceptions behind one that are read."""


def failure_of(error: BaseException, keys: Collection[str] = ()) -> Failure:
    """What an exception tells the caller. Its message is left out: it may hold a key or a prompt.
    ``keys`` are the fingerprints of those that its words must not hold."""
    kinds = tuple(
        kind.__name__
        for kind in type(error).__mro__
        if kind not in (object, BaseException, Exception)
    )
    status = getattr(error, "status_code", None)
    return Failure(
        kinds or ("Exception",),
        status if isinstance(status, int) else None,
        retry_after=_hint(error),
        leaked=_leaked(error, keys) if keys else (),
    )


def _shown(error: BaseException) -> Iterator[BaseException]:
    """An exception and those behind it, as a traceback shows them."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _DEEPEST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        behind = one.__cause__
        if behind is None and not one.__suppress_context__:
            behind = one.__context__
        if behind is not None:
            waiting.append(behind)
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


# -- when to come back


def _hint(error: BaseException) -> float | None:
    """Seconds: what its own headers say, or a number that is called so; else what its cause says."""
    causes = 0
    one: BaseException | None = error
    while one is not None and causes < _DEEPEST:
        for headers in _headers(one):
            if (hint := _in_headers(headers)) is not None:
                return hint
        # LiteLLM's refusals while every deployment cools have no headers but say so.
        for name in ("retry_after", "cooldown_time"):
            if (hint := _seconds(getattr(one, name, None))) is not None:
                return hint
        one, causes = one.__cause__, causes + 1
    return None


def _headers(error: BaseException) -> Iterator[Mapping[str, Any]]:
    holders = (
        getattr(getattr(error, "response", None), "headers", None),
        getattr(error, "headers", None),
        getattr(error, "litellm_response_headers", None),
    )
    for headers in holders:
        if isinstance(headers, Mapping):
            yield {str(name).lower(): value for name, value in headers.items()}


def _in_headers(headers: Mapping[str, Any]) -> float | None:
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    if (hint := _seconds(said)) is not None:
        return hint
    with suppress(TypeError, ValueError):
        return max(0.0, round(parsedate_to_datetime(str(said)).timestamp() - time.time(), 3))
    return None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    with suppress(ValueError):
        number = float(value)
        return number if 0 <= number < float("inf") else None
    return None


# -- keys


def _leaked(error: BaseException, keys: Collection[str]) -> tuple[str, ...]:
    known = frozenset(keys)
    found: dict[str, None] = {}
    for one in _shown(error):
        for text in _words(one):
            found.update(dict.fromkeys(_keys_in(text[:_LONGEST], known)))
    return tuple(sorted(found))


def _words(error: BaseException) -> Iterator[str]:
    """All that it says to whoever prints it, its arguments, or the answer that it carries."""
    with suppress(Exception):
        yield str(error)
    for value in (*error.args, getattr(error, "message", None), getattr(error, "body", None)):
        with suppress(Exception):
            yield value if isinstance(value, str) else repr(value)
    # The body of a stream that nobody has read is not there.
    with suppress(Exception):
        if isinstance(text := getattr(getattr(error, "response", None), "text", None), str):
            yield text
    yield from map(str, getattr(error, "__notes__", ()))


def _keys_in(text: str, known: frozenset[str]) -> Iterator[str]:
    candidates: set[str] = set()
    for runs in _RUNS:
        for run in runs.findall(text):
            candidates |= {run, run.strip(".")}
    candidates.update(_PREFIX.findall(text))
    for candidate in candidates:
        if (mark := fingerprint(candidate)) in known:
            yield mark
