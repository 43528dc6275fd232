"""Wire formats, asked without a carrier: what a dialect reads, how it says no, and what the SDK of its
provider makes of it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from llmroute_sim.dialects import Dialect, Unreadable, find
from llmroute_sim.prompt import Operation, Prompt, Refusal
from llmroute_sim.wire import Address, Data, Event, Head, Headers, Request

HOST = Address("host")
PATHS: dict[Operation, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
}

Reply = Callable[[Prompt], Iterator[Event]]


def read(dialect: str, operation: Operation, asked: Any, headers: Headers = ()) -> Prompt:
    raw = json.dumps(asked).encode()
    request = Request("POST", PATHS.get(operation, "/"), headers, raw, HOST)
    return find(dialect).parse(operation, request)


def refusal(dialect: str, operation: Operation, asked: Any, headers: Headers = ()) -> Refusal:
    with pytest.raises(Unreadable) as caught:
        read(dialect, operation, asked, headers)
    return caught.value.refusal


def refused(dialect: str, operation: Operation, asked: Any, headers: Headers = ()) -> Any:
    """The error that its sender gets."""
    why = refusal(dialect, operation, asked, headers)
    *_, data = find(dialect).refuse(why, "req_1", ())
    assert isinstance(data, Data)
    return json.loads(data.body)["error"]


def http_of(sdk: ModuleType, since: int) -> Any:
    """The client library of an SDK, which changed with a release."""
    return importlib.import_module(
        "httpx2" if int(sdk.__version__.split(".")[0]) >= since else "httpx"
    )


def served(http: Any, dialect: Dialect, reply: Reply, key: str) -> Any:
    """A client of an SDK's library that is answered by a dialect."""

    def respond(request: Any) -> Any:
        headers = tuple(request.headers.items())
        got = Request("POST", request.url.path, headers, request.read(), HOST)
        operation = dialect.operation(got.method, got.path)
        assert operation is not None
        assert dialect.key(got) == key
        head, *rest = reply(dialect.parse(operation, got))
        assert isinstance(head, Head)
        pieces = iter([event.body for event in rest if isinstance(event, Data)])
        return http.Response(head.status, headers=list(head.headers), content=pieces)

    return http.Client(transport=http.MockTransport(respond))
