"""What the provider does in each cell: scripts of wire events, and a door that plays one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from llmroute_sim.wire import (
    FOREVER,
    Abort,
    Address,
    Data,
    Event,
    Exchange,
    Framing,
    Head,
    Part,
    Request,
    Wait,
)

TOKENS = 5
TOKEN = "zebra"

Events = list[Event]

_JSON = (("content-type", "application/json"),)
_SSE = (("content-type", "text/event-stream"),)


# -- undisturbed answers


def _openai_json() -> bytes:
    message = {"role": "assistant", "content": " ".join([TOKEN] * TOKENS)}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1760000000,
            "model": "gpt-4o",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
        }
    ).encode()


def _openai_stream() -> list[Data]:
    def chunk(delta: dict[str, str], finish: str | None, part: Part) -> Data:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1760000000}
        whole = json.dumps(head | {"model": "gpt-4o", "choices": [choice]})
        return Data(f"data: {whole}\n\n".encode(), part)

    return [
        chunk({"role": "assistant", "content": ""}, None, "open"),
        *(chunk({"content": f"{TOKEN} "}, None, "token") for _ in range(TOKENS)),
        chunk({}, "stop", "finish"),
        Data(b"data: [DONE]\n\n", "terminal"),
    ]


def _anthropic_json() -> bytes:
    return json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4",
            "content": [{"type": "text", "text": " ".join([TOKEN] * TOKENS)}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 5},
        }
    ).encode()


def _anthropic_stream() -> list[Data]:
    def event(part: Part, kind: str, **fields: object) -> Data:
        whole = json.dumps({"type": kind} | fields)
        return Data(f"event: {kind}\ndata: {whole}\n\n".encode(), part)

    message = json.loads(_anthropic_json()) | {"content": [], "stop_reason": None}
    text = {"type": "text_delta", "text": f"{TOKEN} "}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        event("open", "message_start", message=message),
        event("open", "content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(event("token", "content_block_delta", index=0, delta=text) for _ in range(TOKENS)),
        event("finish", "content_block_stop", index=0),
        event("finish", "message_delta", delta=stop, usage={"output_tokens": 5}),
        event("terminal", "message_stop"),
    ]


def _error(dialect: str, message: str) -> bytes:
    inner = {"message": message, "type": "api_error", "code": None}
    whole = {"error": inner} if dialect == "openai" else {"type": "error", "error": inner}
    return json.dumps(whole).encode()


# -- faults: an undisturbed answer in, what happens instead out


@dataclass(frozen=True, slots=True)
class Answer:
    """An undisturbed answer: a whole body in two pieces, or the segments of a stream."""

    dialect: str
    stream: bool

    @property
    def head(self) -> Head:
        return Head(200, _SSE if self.stream else _JSON, Framing.CHUNKED)

    @property
    def body(self) -> list[Data]:
        if self.stream:
            return _openai_stream() if self.dialect == "openai" else _anthropic_stream()
        whole = _openai_json() if self.dialect == "openai" else _anthropic_json()
        return [Data(whole[: len(whole) // 2]), Data(whole[len(whole) // 2 :])]

    @property
    def begun(self) -> list[Data]:
        """What arrives before a fault in the middle: half a body, or two tokens."""
        if not self.stream:
            return self.body[:1]
        return self.body[: [data.part for data in self.body].index("token") + 2]

    @property
    def rest(self) -> list[Data]:
        return self.body[len(self.begun) :]

    def raw(self, body: bytes) -> Data:
        return Data(body, "token" if self.stream else "body", raw=True)

    def measured(self, lie: int) -> Events:
        """Framed by a length that is so many bytes off."""
        body = self.body if self.stream else [Data(b"".join(data.body for data in self.body))]
        length = sum(len(data.body) for data in body) + lie
        return [replace(self.head, framing=Framing.LENGTH, length=length), *body]

    def refusal(self, status: int) -> Events:
        body = _error(self.dialect, f"status {status}")
        return [Head(status, _JSON, Framing.LENGTH, len(body)), Data(body)]

    def error_within(self) -> Events:
        error = _error(self.dialect, "overloaded")
        if not self.stream:
            return [self.head, Data(error)]
        name = b"event: error\n" if self.dialect == "anthropic" else b""
        return [self.head, *self.begun, Data(name + b"data: " + error + b"\n\n", "token")]


def _dripped(answer: Answer) -> Events:
    return [answer.head] + [event for data in answer.body for event in (Wait(7.0), data)]


_GARBAGE = b"\x15\x03\x03\x00\x02\x02\x16 this is not HTTP\r\n\r\n"

FAULTS: dict[str, Callable[[Answer], Events]] = {
    "none": lambda a: [a.head, *a.body],
    "none, until close": lambda a: [replace(a.head, framing=Framing.CLOSE), *a.body],
    "reset before head": lambda a: [Abort("reset")],
    "end before head": lambda a: [Abort("end")],
    "silence before head": lambda a: [Wait(FOREVER)],
    "slow head": lambda a: [Wait(20.0), a.head, *a.body],
    "garbage head": lambda a: [a.raw(_GARBAGE), Abort("end")],
    "cut, in chunks": lambda a: [a.head, *a.begun, Wait(1.0), Abort("end")],
    "reset, in chunks": lambda a: [a.head, *a.begun, Wait(1.0), Abort("reset")],
    "stall, in chunks": lambda a: [a.head, *a.begun, Wait(FOREVER)],
    "drip, in chunks": _dripped,
    "bad chunk": lambda a: [
        a.head,
        *(a.begun if a.stream else []),
        a.raw(b"ZZ\r\nnot a chunk\r\n"),
        *a.rest,
    ],
    "truncated chunk": lambda a: [a.head, *a.begun, a.raw(b"400\r\ndata: {"), Abort("end")],
    "length too long": lambda a: a.measured(+40),
    "length too short": lambda a: a.measured(-20),
    "no terminal event": lambda a: [
        a.head,
        *(a.begun if not a.stream else [d for d in a.body if d.part in ("open", "token")]),
    ],
    "error inside": lambda a: a.error_within(),
    "status 500": lambda a: a.refusal(500),
    "status 429": lambda a: a.refusal(429),
}


class Scripted:
    """A door behind which one script is played for everybody."""

    def __init__(self, dialect: str, fault: str, stream: bool) -> None:
        self._events = FAULTS[fault](Answer(dialect, stream))
        self.strays: list[Address] = []

    def knows(self, host: str) -> bool:
        return True

    def stray(self, address: Address, call: str | None) -> None:
        self.strays.append(address)

    def refuses(self, address: Address) -> bool:
        return False

    def connect(self, address: Address, call: str | None) -> Exchange:
        yield from ()

    def open(self, request: Request) -> Exchange:
        yield from self._events

    def keeps(self, address: Address) -> bool:
        return True
