"""Asking an application: a call around it, whatever kind of function it is and whatever it returns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context
from typing import Any, Protocol

from llmroute_sim.calling import inside_call
from llmroute_sim.history import Call
from llmroute_sim.tokens import count
from pytest_llmroute.answers import hear, take
from pytest_llmroute.ask import CALL_HORIZON, Pen, digest
from pytest_llmroute.wanted import features, routing

__all__ = ("Recorded", "ask", "is_async", "recorded", "seen_in", "seen_of", "spelled", "takes")


class Clock(Protocol):
    """What is asked of a clock."""

    def horizon_at(self, seconds_from_now: float) -> AbstractContextManager[object]:
        """A context within which nobody waits longer."""
        ...


class Recorded:
    """A call while it is recorded. Say with :meth:`answer` what was answered.

    A stream is left after ``leave_after`` tokens, where that is said.
    """

    def __init__(
        self, pen: Pen, clock: Clock, seen: dict[str, Any], leave_after: int | None = None
    ) -> None:
        self._clock = clock
        self._leave_after = leave_after
        # A call may begin in one task and end in another; the record stays in a context of its own.
        self._frame = copy_context()
        self._writing = pen.writing(**seen)
        self.record: Call
        """What the history holds of it."""
        self.record, self._reply = self._frame.run(self._writing.__enter__)

    def answer(self, value: object) -> None:
        """Take what the application answered, or the next piece of it: text, or any object that
        carries text."""
        take(self._reply, hear(value))

    @property
    def text(self) -> str:
        """What was answered so far."""
        return self._reply.text

    def leaves(self) -> bool:
        """Whether the client has had enough of a stream, and notes it."""
        if self._leave_after is None or count(self.text) < self._leave_after:
            return False
        self._reply.left = True
        return True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything that starts in here belongs to the call; what hangs is ended."""
        with inside_call(self.record.id), self._clock.horizon_at(CALL_HORIZON):
            yield

    def settle(self, error: BaseException | None = None) -> None:
        """The call is over."""
        kind = type(error) if error is not None else None
        trace = error.__traceback__ if error is not None else None
        self._frame.run(self._writing.__exit__, kind, error, trace)


@contextmanager
def recorded(pen: Pen, clock: Clock, seen: dict[str, Any]) -> Iterator[Recorded]:
    """Record a call around a block."""
    call = Recorded(pen, clock, seen)
    with _settling(call):
        yield call
    call.settle()


def ask(
    open_call: Callable[[], Recorded],
    app: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call an application inside a call; a coroutine for what has to be awaited."""
    if _is_coroutine(app):
        return _awaited(open_call, functools.partial(app, *args, **kwargs))
    call = open_call()
    with _settling(call):
        value = app(*args, **kwargs)
        # Some streams can be read in either way; nobody awaited this one.
        blocking = isinstance(value, Iterator)
        later = inspect.isawaitable(value) or (isinstance(value, AsyncIterator) and not blocking)
        if blocking and not later:
            value = list(_listening(call, value))
        elif not later:
            call.answer(value)
    if later:
        return _finished(call, value)
    call.settle()
    return value


def is_async(app: Callable[..., Any]) -> bool:
    """Whether what an application gives has to be awaited, as far as can be told without asking."""
    called = getattr(type(app), "__call__", app)  # noqa: B004 - an object with an async __call__
    return _is_coroutine(app) or any(map(inspect.isasyncgenfunction, (app, called)))


def _is_coroutine(app: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)


@contextmanager
def _settling(call: Recorded) -> Iterator[None]:
    """Run inside a call; what is raised settles it."""
    try:
        with call.running():
            yield
    except BaseException as error:
        call.settle(error)
        raise


async def _awaited(open_call: Callable[[], Recorded], start: Callable[[], Any]) -> Any:
    # Nothing of a coroutine function runs before it is awaited: the call begins here.
    return await _finished(open_call(), start())


async def _finished(call: Recorded, value: Any) -> Any:
    call.record.sync = False
    with _settling(call):
        if inspect.isawaitable(value):
            value = await value
        if isinstance(value, AsyncIterator):
            call.record.stream = True
            pieces = []
            async for piece in value:
                call.answer(piece)
                pieces.append(piece)
                if call.leaves():
                    await _aclosed(value)
                    break
            value = pieces
        elif isinstance(value, Iterator):
            value = list(_listening(call, value))
        else:
            call.answer(value)
    call.settle()
    return value


def _listening(call: Recorded, pieces: Iterator[Any]) -> Iterator[Any]:
    call.record.stream = True
    for piece in pieces:
        call.answer(piece)
        yield piece
        if call.leaves():
            close: Any = getattr(pieces, "close", None)
            # What goes wrong from here on nobody is told.
            with suppress(Exception):
                if callable(close):
                    close()
            return


async def _aclosed(pieces: AsyncIterator[Any]) -> None:
    close: Any = getattr(pieces, "aclose", None) or getattr(pieces, "close", None)
    with suppress(Exception):
        if callable(close):
            await close()


def seen_in(
    app: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """What a call's record can say of the arguments of an application: the name of the application,
    the group that was asked for (a model, else the application itself), digests of the question and
    of the whole request, what is wanted besides words, and what a router is told to do."""
    model = kwargs.get("model")
    texts = [text for value in (args, kwargs) for text in _texts(value)]
    # Some are given the request as one table, and HTTP clients its body.
    tables = [table for table in (*args, kwargs.get("json"), kwargs) if isinstance(table, Mapping)]
    request = {str(key): value for table in tables for key, value in table.items()}
    name = getattr(app, "__name__", None) or type(app).__name__
    return {
        "entry": name,
        "group": model if isinstance(model, str) else name,
        "question": digest(texts),
        "request": digest([repr(args), sorted((key, repr(kwargs[key])) for key in kwargs)]),
        "features": features(request),
        "options": routing(request),
    }


def seen_of(
    name: str, group: str | None, stream: bool, question: object, labels: Mapping[str, Any]
) -> dict[str, Any]:
    """What the record of a block can say of what is asked in it."""
    asked = digest([name, group, repr(question) if question is not None else None])
    return {
        "entry": name,
        "group": name if group is None else group,
        "stream": stream,
        "labels": spelled(labels),
        "question": asked,
        "request": asked,
    }


def spelled(labels: Mapping[str, Any]) -> dict[str, str]:
    """Labels as text."""
    return {str(key): str(value) for key, value in labels.items()}


_TEXTS = ("messages", "prompt", "input", "question", "text", "content", "contents", "query")


def _texts(value: object) -> Iterator[str]:
    """The text in arguments: positional strings, and what stands under a usual name."""
    match value:
        case str():
            yield value
        case dict():
            for name in _TEXTS:
                if name in value:
                    yield from _texts(value[name])
        case list() | tuple():
            for item in value:
                yield from _texts(item)


def takes(app: Callable[..., Any], name: str) -> bool:
    """Whether an application has an argument of this name, or takes any."""
    try:
        parameters = inspect.signature(app).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )
