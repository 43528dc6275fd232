"""Streams as their callers read them: to the end, or until the client has had enough and leaves.

A client that leaves closes the stream, as every framework does for a browser tab that was closed. A
blocking stream that cannot be closed is let go of.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from llmroute_sim.tokens import count
from pytest_llmroute.routers import Question, Reply

__all__ = ("ahear", "enough", "hear")

P = TypeVar("P")


def hear(stream: Iterable[P], take: Callable[[P], None], question: Question, reply: Reply) -> None:
    """Hand on the pieces of a stream. Raises what the stream raises."""
    for piece in stream:
        take(piece)
        if enough(question, reply):
            break
    else:
        return
    reply.left = True
    close: Any = getattr(stream, "close", None)
    # What goes wrong from here on nobody is told.
    if callable(close):
        with suppress(Exception):
            close()


async def ahear(
    stream: AsyncIterable[P], take: Callable[[P], None], question: Question, reply: Reply
) -> None:
    """Hand on the pieces of a stream, on asyncio. Raises what the stream raises."""
    async for piece in stream:
        take(piece)
        if enough(question, reply):
            break
    else:
        return
    reply.left = True
    close: Any = getattr(stream, "aclose", None)
    if callable(close):
        with suppress(Exception):
            await close()


def enough(question: Question, reply: Reply) -> bool:
    """Whether the client has all that it wants."""
    return question.leave_after is not None and count(reply.text) >= question.leave_after
