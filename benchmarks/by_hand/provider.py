"""A provider that answers byte for byte what a script tells it: sockets on loopback, nothing else.

What is found with the simulator is found again here without it, so that nobody has to believe the
simulator. ``Provider(answer)`` listens while it is entered; ``answer(request)`` yields bytes to be
sent, numbers of seconds to be silent, and ``RESET`` to end the connection with a reset. A connection
whose answer is over is closed.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_LOG", "CRITICAL")

RESET = object()


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent. ``number`` counts requests from 1, ``at`` is in seconds of a steady clock."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float


class Provider:
    """A host on loopback. ``requests`` are those that came, in order."""

    def __init__(self, answer: Callable[[Request], Iterator[Any]]) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                request = self._read(connection)
                if request is None:
                    return
                for part in self._answer(request):
                    if part is RESET:
                        linger = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        return
                    if isinstance(part, bytes):
                        connection.sendall(part)
                    else:
                        time.sleep(part)
            except OSError:
                return

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        request = Request(
            len(self.requests) + 1,
            first.split(" ")[1],
            headers,
            json.loads(body or b"{}"),
            time.monotonic(),
        )
        self.requests.append(request)
        return request


# -- what providers say


def answer(
    status: int, body: Any, *headers: str, content_type: str = "application/json"
) -> Iterator[bytes]:
    """A whole answer with its length."""
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Said",
        f"content-type: {content_type}",
        f"content-length: {len(said)}",
        "connection: close",
        *headers,
    ]
    yield "\r\n".join(lines).encode() + b"\r\n\r\n" + said


def stream(*events: bytes, end: bool = True, headers: tuple[str, ...] = ()) -> Iterator[bytes]:
    """Server-sent events in chunked encoding, ended as HTTP wants it unless ``end`` is false."""
    lines = [
        "HTTP/1.1 200 OK",
        "content-type: text/event-stream",
        "transfer-encoding: chunked",
        "connection: close",
        *headers,
    ]
    yield "\r\n".join(lines).encode() + b"\r\n\r\n"
    for event in events:
        yield f"{len(event):x}\r\n".encode() + event + b"\r\n"
    if end:
        yield b"0\r\n\r\n"


def chunk(text: str | None = None, finish: str | None = None) -> bytes:
    """An event of OpenAI's chat completions
    (https://platform.openai.com/docs/api-reference/chat-streaming)."""
    said = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "delta": {} if text is None else {"role": "assistant", "content": text},
                "finish_reason": finish,
            }
        ],
    }
    return b"data: " + json.dumps(said).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def event(kind: str, **fields: Any) -> bytes:
    """An event of Anthropic's messages
    (https://docs.anthropic.com/en/docs/build-with-claude/streaming)."""
    said = json.dumps({"type": kind, **fields}).encode()
    return b"event: " + kind.encode() + b"\ndata: " + said + b"\n\n"


def begun(*texts: str) -> tuple[bytes, ...]:
    """A message of Anthropic's that has begun and said so much."""
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }  # fmt: skip
    block = {"type": "text", "text": ""}
    return (
        event("message_start", message=message),
        event("content_block_start", index=0, content_block=block),
        *(
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
            for text in texts
        ),
    )


def completion(
    text: str, model: str = "gpt-4o", tokens: tuple[int, int] = (9, 3)
) -> dict[str, Any]:
    """A whole chat completion of OpenAI's."""
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [
            {
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {
            "prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens),
        },
    }  # fmt: skip


# -- what is seen


def deployment(group: str, model: str, provider: Provider, **more: Any) -> dict[str, Any]:
    """An entry of a model list that asks a provider here."""
    base = {"openai": "/v1", "anthropic": "/v1/messages"}.get(model.partition("/")[0], "")
    params = {"model": model, "api_key": "sk-by-hand", "api_base": provider.url + base, **more}
    return {"model_name": group, "litellm_params": params}


def heard(stream: Any) -> str:
    """What a caller hears of a stream, and how it ends."""
    said, finish = "", None
    try:
        for one in stream:
            said, finish = _more(one, said, finish)
    except Exception as error:
        return f"{said!r}, then {type(error).__name__}"
    return f"{said!r}, finish_reason {finish!r}"


async def aheard(stream: Any) -> str:
    """The same on asyncio."""
    said, finish = "", None
    try:
        async for one in stream:
            said, finish = _more(one, said, finish)
    except Exception as error:
        return f"{said!r}, then {type(error).__name__}"
    return f"{said!r}, finish_reason {finish!r}"


def _more(one: Any, said: str, finish: str | None) -> tuple[str, str | None]:
    if not one.choices:
        return said, finish
    choice = one.choices[0]
    return said + (choice.delta.content or ""), choice.finish_reason or finish


def down(request: Request) -> Iterator[bytes]:
    """What is broken says of everything."""
    return answer(500, {"error": {"message": "Internal error", "type": "server_error"}})


def well(request: Request) -> Iterator[bytes]:
    """What is sound says to everything."""
    return answer(200, completion("Well."))


def concluded(*, still: bool) -> None:
    """End the script: 0 if what the page of findings says is still seen, else 1."""
    print(f"litellm {version('litellm')}: {'as found' if still else 'NOT as found'}")
    sys.stdout.flush()
    # Clients that were left open print at the end what says nothing.
    os._exit(0 if still else 1)
