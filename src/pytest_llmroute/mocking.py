"""respx beside a world: routes of the user's own that the simulator answers, and respx for httpx2.

Nothing here makes up a response. What a route replies was sent through httpcore's own connection and
came back through its parser, over the same bytes in memory as without respx.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType, ModuleType
from typing import Any, ClassVar

import httpcore
import httpx
import respx
from respx.mocks import HTTPCoreMocker
from respx.models import AllMockedAssertionError, PassThrough

from llmroute_sim.carriers.inside import here

__all__ = ("reply", "respx_mock")


def reply(request: httpx.Request) -> httpx.Response | Awaitable[httpx.Response]:
    """Let the open world answer a request: a side effect for respx routes, of blocking clients and
    those on asyncio alike. Raises what httpx raises where the world fails the request."""
    if here() is None:
        raise RuntimeError(
            "llmroute.reply answers inside of its world only: this request was sent after the world "
            "ended, or by a thread that was started before it began"
        )
    return _replied_async(request) if _on_asyncio() else _replied(request)


def _on_asyncio() -> bool:
    """Whether respx will await what its side effect returns: it calls the same one for both kinds of
    clients, and a loop may run around a blocking one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is respx.Router.aresolve.__code__:
            return True
        if frame.f_code is respx.Router.resolve.__code__:
            return False
        frame = frame.f_back
    raise RuntimeError("llmroute.reply is a side effect for respx: route.mock(side_effect=...)")


def _replied(request: httpx.Request) -> httpx.Response:
    timeouts, url = request.extensions.get("timeout", {}), request.url
    with _spoken(httpcore, httpx):
        stream = httpcore.SyncBackend().connect_tcp(url.host, _port(url), timeouts.get("connect"))
        if url.scheme == "https":
            stream = stream.start_tls(_tls(), url.host, timeouts.get("connect"))
        connection = httpcore.HTTP11Connection(_origin(url), stream)
        try:
            answer = connection.handle_request(_request(request, request.read()))
        except BaseException:
            connection.close()
            raise
    return _response(answer, _Body(answer.stream, connection.close), request)


async def _replied_async(request: httpx.Request) -> httpx.Response:
    timeouts, url = request.extensions.get("timeout", {}), request.url
    with _spoken(httpcore, httpx):
        backend = httpcore.AnyIOBackend()
        stream = await backend.connect_tcp(url.host, _port(url), timeouts.get("connect"))
        if url.scheme == "https":
            stream = await stream.start_tls(_tls(), url.host, timeouts.get("connect"))
        connection = httpcore.AsyncHTTP11Connection(_origin(url), stream)
        try:
            answer = await connection.handle_async_request(_request(request, await request.aread()))
        except BaseException:
            await connection.aclose()
            raise
    return _response(answer, _AsyncBody(answer.stream, connection.aclose), request)


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _origin(url: httpx.URL) -> httpcore.Origin:
    return httpcore.Origin(url.raw_scheme, url.raw_host, _port(url))


def _tls() -> ssl.SSLContext:
    # Of no effect in memory, where no TLS is spoken; making it with certificates is what costs.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _request(request: httpx.Request, body: bytes) -> httpcore.Request:
    url = request.url
    target = httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
    return httpcore.Request(
        request.method,
        target,
        headers=request.headers.raw,
        content=body,
        extensions=request.extensions,
    )


def _response(answer: httpcore.Response, stream: Any, request: httpx.Request) -> httpx.Response:
    kept = {k: v for k, v in answer.extensions.items() if k in ("http_version", "reason_phrase")}
    return httpx.Response(
        answer.status, headers=answer.headers, stream=stream, request=request, extensions=kept
    )


class _Body(httpx.SyncByteStream):
    """A body as it comes in; its connection is for one answer only."""

    def __init__(self, pieces: Any, close: Callable[[], None]) -> None:
        self._pieces, self._close = pieces, close

    def __iter__(self) -> Iterator[bytes]:
        with _spoken(httpcore, httpx):
            yield from self._pieces

    def close(self) -> None:
        self._pieces.close()
        self._close()


class _AsyncBody(httpx.AsyncByteStream):
    """The same on asyncio."""

    def __init__(self, pieces: Any, close: Callable[[], Awaitable[None]]) -> None:
        self._pieces, self._close = pieces, close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _spoken(httpcore, httpx):
            async for piece in self._pieces:
                yield piece

    async def aclose(self) -> None:
        await self._pieces.aclose()
        await self._close()


@contextmanager
def _spoken(by: ModuleType, to: ModuleType) -> Iterator[None]:
    """Raise an exception of one library as the one of the same name in another, as httpx does itself
    with those of httpcore."""
    try:
        yield
    except Exception as error:
        if by is to or type(error).__module__.partition(".")[0] != by.__name__:
            raise
        for kind in type(error).__mro__:
            if kind.__module__.partition(".")[0] == by.__name__ and hasattr(to, kind.__name__):
                raise getattr(to, kind.__name__)(str(error)) from error
        raise


# -- respx over httpx and httpx2


def respx_mock(**settings: Any) -> respx.MockRouter:
    """A respx router over httpx and httpx2. What no route matches and the open world simulates is
    the world's to answer; ``settings`` are those of ``respx.mock``."""
    return respx.MockRouter(using=_Mocker.name, **settings)


class _Mocker(HTTPCoreMocker):
    """As respx's own, but for httpcore2 as well, which httpx2 and with it today's SDKs are built on
    (https://github.com/lundberg/respx/issues/316). Of pools only: a pool asks its connections, and
    there what is passed on would be counted again."""

    name = "llmroute"
    targets: ClassVar[list[str]] = [
        f"{core}.{kind}"
        for core in ("httpcore", "httpcore2")
        for kind in (
            "_sync.connection_pool.ConnectionPool",
            "_async.connection_pool.AsyncConnectionPool",
        )
    ]

    @classmethod
    def start(cls) -> None:
        # Where httpx2 is not installed there is nothing of it to be replaced.
        cls.targets = [name for name in cls.targets if find_spec(name.partition(".")[0])]
        super().start()

    @classmethod
    def _theirs(cls, name: str) -> Any:
        """What respx does under a name; it has no types."""
        return getattr(super(), name)

    @classmethod
    def handler(cls, httpx_request: httpx.Request) -> Any:
        with _passed_on(httpx_request):
            return cls._theirs("handler")(httpx_request)

    @classmethod
    async def async_handler(cls, httpx_request: httpx.Request) -> Any:
        with _passed_on(httpx_request):
            return await cls._theirs("async_handler")(httpx_request)

    @classmethod
    def _send_sync_request(cls, httpx_request: Any, *, instance: Any, **kwargs: Any) -> Any:
        with _spoken(httpx, _client_of(instance)):
            return cls._theirs("_send_sync_request")(httpx_request, instance=instance, **kwargs)

    @classmethod
    async def _send_async_request(cls, httpx_request: Any, *, instance: Any, **kwargs: Any) -> Any:
        with _spoken(httpx, _client_of(instance)):
            send = cls._theirs("_send_async_request")
            return await send(httpx_request, instance=instance, **kwargs)

    @classmethod
    def from_sync_httpx_response(cls, httpx_response: Any, target: Any, **kwargs: Any) -> Any:
        core = sys.modules[type(target).__module__.partition(".")[0]]
        return core.Response(
            status=httpx_response.status_code,
            headers=httpx_response.headers.raw,
            content=_Spoken(httpx_response.stream, _client_of(target)),
            extensions=httpx_response.extensions,
        )


@contextmanager
def _passed_on(request: httpx.Request) -> Iterator[None]:
    """Let the world answer what no route matches, if it can."""
    try:
        yield
    except AllMockedAssertionError:
        world = here()
        if world is None or not world.network.door.knows(request.url.host):
            raise
        nobody: Any = None  # the route that let it pass
        raise PassThrough("answered by the world", request=request, origin=nobody) from None


def _client_of(pool: object) -> ModuleType:
    """The client library on whose connections a request is sent."""
    core = type(pool).__module__.partition(".")[0]
    return sys.modules[{"httpcore": "httpx", "httpcore2": "httpx2"}[core]]


class _Spoken:
    """A mocked body whose errors are those of the client library that reads it."""

    def __init__(self, stream: Any, client: ModuleType) -> None:
        self._stream, self._client = stream, client

    def __iter__(self) -> Iterator[bytes]:
        with _spoken(httpx, self._client):
            yield from self._stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _spoken(httpx, self._client):
            async for piece in self._stream:
                yield piece

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()
