"""Ways in by name: for which of them a page says something, and which are left to good practice."""

from __future__ import annotations

from pytest_llmroute.routers import Api, Entry

__all__ = ("CHATS", "ways")

CHATS: tuple[Api, ...] = ("chat", "text", "responses", "messages")
"""Whatever a group of chat models may be asked by."""


def ways(*apis: Api, sync: bool | None = None, stream: bool | None = None) -> tuple[str, ...]:
    """The ways in through some APIs: blocking, on asyncio or both (None), streamed, whole or both.
    Embeddings are never streamed."""
    return tuple(
        str(Entry(api, sync=blocking, stream=streamed))
        for api in apis
        for blocking in (True, False)
        for streamed in ((False,) if api == "embeddings" else (False, True))
        if sync in (None, blocking) and stream in (None, streamed)
    )
