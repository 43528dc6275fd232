from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

import formats
from llmroute_sim.dialects import Unreadable
from llmroute_sim.dialects.errors import table
from llmroute_sim.dialects.openai import OpenAI
from llmroute_sim.prompt import Answer, Prompt, Refusal, ToolCall, Usage
from llmroute_sim.quotas import Bucket, Room
from llmroute_sim.tokens import PER_MESSAGE, PER_PART, count
from llmroute_sim.wire import Address, Data, Event, Framing, Head, Request

openai = pytest.importorskip("openai")
http = formats.http_of(openai, 3)

DIALECT = OpenAI()
HOST = Address("api.openai.com")
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
SAID = Answer("7f", 1_700_000_000, "gpt-4o", ("Hello", ' "wörld"', "\n☃"), "stop", Usage(9, 3))
CALLED = Answer(
    "8a", 1_700_000_000, "gpt-4o", (), "tools", Usage(9, 5),
    (ToolCall("x1", "weather", ('{"city":', ' "Rome"}')), ToolCall("x2", "weather", ("{}",))),
)  # fmt: skip


def ask(body: Any, path: str = "/v1/chat/completions") -> Prompt:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("POST", path, (), raw, HOST)
    operation = DIALECT.operation("POST", path)
    assert operation is not None
    return DIALECT.parse(operation, request)


def client(reply: formats.Reply) -> Any:
    answering = formats.served(http, DIALECT, reply, "sk-test")
    return openai.OpenAI(api_key="sk-test", max_retries=0, http_client=answering)


def says(answer: Answer) -> Any:
    return client(lambda prompt: DIALECT.answer(prompt, answer, DIALECT.headers("req_1", None)))


def refuses(refusal: Refusal) -> Any:
    return client(lambda _: DIALECT.refuse(refusal, "req_1", DIALECT.headers("req_1", None)))


def events_of(body: dict[str, Any], answer: Answer) -> list[Event]:
    return list(DIALECT.answer(ask(body), answer, ()))


def parts_of(body: dict[str, Any], answer: Answer) -> list[str]:
    return [event.part for event in events_of(body, answer) if isinstance(event, Data)]


def body_of(refusal: Refusal) -> dict[str, Any]:
    *_, data = DIALECT.refuse(refusal, "req_1", ())
    assert isinstance(data, Data)
    error: dict[str, Any] = json.loads(data.body)["error"]
    return error


def headers_of(refusal: Refusal) -> dict[str, str]:
    head, *_ = DIALECT.refuse(refusal, "req_1", ())
    assert isinstance(head, Head)
    return dict(head.headers)


# -- the SDK reads what is said


def test_the_sdk_reads_a_completion() -> None:
    got = says(SAID).chat.completions.create(**ASK)
    assert got.choices[0].message.content == "".join(SAID.words)
    assert got.choices[0].message.tool_calls is None
    assert got.choices[0].finish_reason == "stop"
    assert (got.id, got.created, got.model) == ("chatcmpl-7f", 1_700_000_000, "gpt-4o")
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (9, 3)
    assert got.usage.total_tokens == 12
    assert got.service_tier == "default"
    assert got.system_fingerprint.startswith("fp_")
    assert got._request_id == "req_1"


def test_the_sdk_reads_a_stream_token_by_token() -> None:
    chunks = list(says(SAID).chat.completions.create(**ASK, stream=True))
    first, *tokens, last = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert [chunk.choices[0].delta.content for chunk in tokens] == list(SAID.words)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 4 + ["stop"]
    assert {chunk.id for chunk in chunks} == {"chatcmpl-7f"}
    assert last.usage is None


def test_usage_is_the_last_chunk_and_has_no_choices_where_it_was_asked_for() -> None:
    options = {"include_usage": True}
    *chunks, last = says(SAID).chat.completions.create(**ASK, stream=True, stream_options=options)
    assert last.choices == []
    assert last.usage.total_tokens == 12
    assert all(chunk.usage is None for chunk in chunks)


def test_the_sdk_reads_tool_calls() -> None:
    got = says(CALLED).chat.completions.create(**ASK, tools=[WEATHER])
    first, second = got.choices[0].message.tool_calls
    assert (first.id, first.function.name) == ("call_x1", "weather")
    assert json.loads(first.function.arguments) == {"city": "Rome"}
    assert second.function.arguments == "{}"
    assert got.choices[0].message.content is None
    assert got.choices[0].finish_reason == "tool_calls"


def test_a_stream_names_each_tool_before_the_pieces_of_its_arguments() -> None:
    chunks = list(says(CALLED).chat.completions.create(**ASK, tools=[WEATHER], stream=True))
    deltas = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
    seen = [(d.index, d.id, d.function.name, d.function.arguments) for d in deltas]
    assert seen == [
        (0, "call_x1", "weather", ""),
        (0, None, None, '{"city":'),
        (0, None, None, ' "Rome"}'),
        (1, "call_x2", "weather", ""),
        (1, None, None, "{}"),
    ]
    assert chunks[0].choices[0].delta.content is None
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_limit_on_tokens_shows_as_length() -> None:
    cut = Answer("7f", 1, "gpt-4o", ("Hel",), "length", Usage(9, 1))
    assert says(cut).chat.completions.create(**ASK).choices[0].finish_reason == "length"
    *_, last = says(cut).chat.completions.create(**ASK, stream=True)
    assert last.choices[0].finish_reason == "length"


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_sdk_reads_embeddings_in_either_encoding(encoding: str | None) -> None:
    vectors = ((0.5, -0.25), (1.0, 0.125))
    answer = Answer("7f", 1, "embed", (), "stop", Usage(4, 0), vectors=vectors)
    asked = {"encoding_format": encoding} if encoding else {}
    got = says(answer).embeddings.create(model="embed", input=["one", "two"], **asked)
    if encoding == "base64":
        found = [struct.unpack("<2f", base64.b64decode(item.embedding)) for item in got.data]
    else:
        found = [tuple(item.embedding) for item in got.data]
    assert tuple(found) == vectors
    assert [item.index for item in got.data] == [0, 1]
    assert (got.usage.prompt_tokens, got.usage.total_tokens) == (4, 4)


# -- the events


def test_a_stream_is_chunked_and_an_answer_has_its_length() -> None:
    head, data = events_of(ASK, SAID)
    assert isinstance(head, Head)
    assert isinstance(data, Data)
    assert (head.framing, head.length) == (Framing.LENGTH, len(data.body))
    head, *_ = events_of({**ASK, "stream": True}, SAID)
    assert isinstance(head, Head)
    assert head.framing is Framing.CHUNKED
    assert ("content-type", "text/event-stream; charset=utf-8") in head.headers


def test_every_part_of_a_stream_is_named() -> None:
    asked = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    assert parts_of(asked, SAID) == ["open", *["token"] * 3, "finish", "usage", "terminal"]
    del asked["stream_options"]
    assert parts_of(asked, SAID) == ["open", *["token"] * 3, "finish", "terminal"]
    called = ["open", "open", "token", "token", "open", "token", "finish", "terminal"]
    assert parts_of(asked, CALLED) == called


def test_chunks_announce_the_usage_that_is_to_come_and_only_that() -> None:
    for asked in (True, False):
        options = {"include_usage": asked}
        body = {**ASK, "stream": True, "stream_options": options}
        chunks = [
            e.body for e in events_of(body, SAID) if isinstance(e, Data) and e.part == "token"
        ]
        assert [b'"usage":null' in chunk for chunk in chunks] == [asked] * 3


def test_the_usage_option_means_nothing_without_a_stream() -> None:
    assert not ask({**ASK, "stream_options": {"include_usage": True}}).wants_usage


# -- the SDK raises what is refused


@pytest.mark.parametrize(
    ("kind", "status", "raised"),
    [
        ("invalid_request", 400, "BadRequestError"),
        ("context_length", 400, "BadRequestError"),
        ("auth", 401, "AuthenticationError"),
        ("permission", 403, "PermissionDeniedError"),
        ("moderation", 400, "BadRequestError"),
        ("model_not_found", 404, "NotFoundError"),
        ("request_too_large", 413, "APIStatusError"),
        ("rate_limit_requests", 429, "RateLimitError"),
        ("rate_limit_tokens", 429, "RateLimitError"),
        ("insufficient_quota", 429, "RateLimitError"),
        ("server_error", 500, "InternalServerError"),
        ("unavailable", 503, "InternalServerError"),
        ("overloaded", 503, "InternalServerError"),
        ("not_found", 404, "NotFoundError"),
        ("timeout", 408, "APIStatusError"),
    ],
)
def test_the_sdk_raises_its_own_class_for_every_kind(kind: str, status: int, raised: str) -> None:
    for streamed in ({}, {"stream": True}):
        with pytest.raises(openai.APIStatusError) as caught:
            refuses(Refusal(kind)).chat.completions.create(**ASK, **streamed)
        assert type(caught.value).__name__ == raised
        assert caught.value.status_code == status
        assert caught.value.request_id == (None if table("openai")[kind].edge else "req_1")


def test_a_refusal_may_bring_its_own_status() -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        refuses(Refusal("server_error", status=502)).chat.completions.create(**ASK)
    assert caught.value.status_code == 502


def test_codes_reach_the_application() -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        refuses(Refusal("context_length")).chat.completions.create(**ASK)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    assert caught.value.type == "invalid_request_error"


def test_an_error_inside_a_stream_comes_after_the_tokens_before_it() -> None:
    def breaks(prompt: Prompt) -> Iterator[Event]:
        yield from list(DIALECT.answer(prompt, SAID, ()))[:3]
        yield DIALECT.refuse_midway(Refusal("server_error"), "req_1")

    seen = []
    with pytest.raises(openai.APIError, match="Sorry about that") as caught:  # noqa: PT012 - the stream is what raises
        for chunk in client(breaks).chat.completions.create(**ASK, stream=True):
            seen.append(chunk.choices[0].delta.content)
    assert seen == ["", "Hello"]
    assert type(caught.value) is openai.APIError


@pytest.mark.parametrize(
    "kind", ["server_error", "overloaded", "rate_limit_requests", "request_too_large"]
)
def test_an_error_inside_a_stream_is_one_event_on_one_line(kind: str) -> None:
    event = DIALECT.refuse_midway(Refusal(kind), "req_1")
    assert event.part == "error"
    line, *rest = event.body.decode().split("\n")
    assert rest == ["", ""]
    assert json.loads(line.removeprefix("data: "))["error"]["message"]


def test_a_garbled_event_breaks_the_sdk_s_parser() -> None:
    def breaks(prompt: Prompt) -> Iterator[Event]:
        yield from list(DIALECT.answer(prompt, SAID, ()))[:3]
        yield Data(DIALECT.garbled(), "garbled")

    with pytest.raises(json.JSONDecodeError):
        list(client(breaks).chat.completions.create(**ASK, stream=True))


# -- limits and hints


@pytest.mark.parametrize(
    ("seconds", "header", "milliseconds", "told"),
    [
        (20, "20", "20000", "20s"),
        (20.0, "20", "20000", "20s"),
        (0.012, "0.012", "12", "12ms"),
        (3.976, "3.976", "3976", "3.976s"),
        (432, "432", "432000", "7m12s"),
        (3600, "3600", "3600000", "1h0m0s"),
        (86_400.5, "86400.5", "86400500", "24h0m0.5s"),
        (0.00001, "0.001", "1", "1ms"),
        (0, "0", "0", "0s"),
    ],
)
def test_hints_and_message_agree_on_when_to_come_back(
    seconds: float, header: str, milliseconds: str, told: str
) -> None:
    refusal = Refusal("rate_limit_requests", retry_after=seconds)
    assert headers_of(refusal)["retry-after"] == header
    assert f"Please try again in {told}. Visit" in body_of(refusal)["message"]
    refusal = Refusal("rate_limit_tokens", retry_after=seconds, hint="milliseconds")
    assert headers_of(refusal)["retry-after-ms"] == milliseconds
    assert "retry-after" not in headers_of(refusal)
    assert f"Please try again in {told}. Visit" in body_of(refusal)["message"]


def test_without_a_hint_there_is_no_header() -> None:
    assert list(headers_of(Refusal("rate_limit_requests"))) == ["content-type"]


def test_never_is_not_hinted() -> None:
    refusal = Refusal("rate_limit_tokens", retry_after=float("inf"))
    assert list(headers_of(refusal)) == ["content-type"]
    assert body_of(refusal)["message"]


def test_facts_fill_the_message() -> None:
    facts = {"model": 'o"9', "limit": 60, "used": 59, "requested": 2}
    message = body_of(Refusal("rate_limit_tokens", retry_after=1, facts=facts))["message"]
    assert message.startswith('Rate limit reached for o"9 in organization ')
    assert "(TPM): Limit 60, Used 59, Requested 2. Please try again in 1s." in message


def test_headers_tell_the_room_left() -> None:
    room = Room(0.0, Bucket(60, 47.9, 0.0), Bucket(30_000, 12.0, 0.0))
    headers = dict(DIALECT.headers("req_1", room))
    assert headers["x-request-id"] == "req_1"
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "47"
    assert headers["x-ratelimit-reset-requests"] == "12.1s"
    assert headers["x-ratelimit-limit-tokens"] == "30000"
    assert headers["x-ratelimit-remaining-tokens"] == "12"
    assert headers["x-ratelimit-reset-tokens"] == "59.976s"
    assert "openai-version" in headers
    assert "openai-processing-ms" in headers


def test_no_quota_no_limit_headers() -> None:
    assert not [k for k, _ in DIALECT.headers("r", Room(0.0, None, None)) if "ratelimit" in k]
    assert not [k for k, _ in DIALECT.headers("r", None) if "ratelimit" in k]


# -- what is asked


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/v1/chat/completions", "chat"),
        ("POST", "/team-a/openai/v1/chat/completions", "chat"),
        ("POST", "/v1/embeddings", "embeddings"),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/completions", "completions"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/gpt-4o", "model"),
        ("GET", "/openai/v1/models/meta-llama/Llama-3", "model"),
        ("DELETE", "/v1/models/gpt-4o", None),
        ("GET", "/v1/models/", None),
        ("POST", "/v1/messages", None),
        ("POST", "/v1/chatcompletions", None),
    ],
)
def test_a_path_s_end_says_what_is_asked(method: str, path: str, operation: str | None) -> None:
    assert DIALECT.operation(method, path) == operation


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ((("authorization", "Bearer sk-1"),), "sk-1"),
        ((("authorization", "bearer  sk-1 "),), "sk-1"),
        ((("api-key", "az-1"),), "az-1"),
        ((("authorization", "Bearer "),), None),
        ((("authorization", "Basic sk-1"),), None),
        ((), None),
    ],
)
def test_the_key_is_the_bearer_token(headers: Any, key: str | None) -> None:
    assert DIALECT.key(Request("POST", "/", headers, b"", HOST)) == key


def test_all_that_the_model_reads_is_counted() -> None:
    prompt = ask(
        {
            "model": "gpt-4o",
            "tools": [WEATHER],
            "messages": [
                {"role": "system", "content": "Be terse"},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this"},
                    {"type": "image_url", "image_url": {"url": "data:,"}},
                ]},
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "1", "content": "sunny"},
            ],
        }
    )  # fmt: skip
    *texts, tool = prompt.texts
    assert texts == ["Be terse", "What is this", "weather", "{}", "sunny"]
    assert json.loads(tool) == WEATHER["function"]
    assert prompt.tokens == 4 * PER_MESSAGE + PER_PART + sum(map(count, prompt.texts))


def test_the_newer_limit_on_tokens_wins() -> None:
    assert ask({**ASK, "max_tokens": 7}).max_tokens == 7
    assert ask({**ASK, "max_tokens": 7, "max_completion_tokens": 5}).max_tokens == 5
    assert ask({**ASK, "max_tokens": None}).max_tokens is None


NAMED = {"type": "function", "function": {"name": "weather"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}


@pytest.mark.parametrize(
    ("choice", "may", "must"),
    [
        (None, True, None),
        ("auto", True, None),
        ("none", False, None),
        ("required", True, "*"),
        (NAMED, True, "weather"),
        (ALLOWED, True, "*"),
    ],
)
def test_the_choice_of_tools_is_understood(choice: Any, may: bool, must: str | None) -> None:
    prompt = ask({**ASK, "tools": [WEATHER], "tool_choice": choice})
    assert (prompt.may_call, prompt.must_call) == (may, must)
    assert [tool.name for tool in prompt.tools] == ["weather"]
    assert prompt.tools[0].schema == WEATHER["function"]["parameters"]  # type: ignore[index]  # a dict of two kinds


def test_no_tool_is_called_where_there_is_none_or_one_has_just_answered() -> None:
    assert not ask(ASK).may_call
    assert not ask({**ASK, "tools": []}).may_call
    called = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "weather"}}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "sunny"}
    answered = [*ASK["messages"], called, result]
    assert not ask({**ASK, "tools": [WEATHER], "messages": answered}).may_call


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("one text", ("one text",)),
        (["one", "two"], ("one", "two")),
        ([15, 496, 7], ("15 496 7",)),
        ([[15, 496], [7]], ("15 496", "7")),
    ],
)
def test_embeddings_take_texts_and_tokens(given: Any, texts: tuple[str, ...]) -> None:
    prompt = ask({"model": "embed", "input": given, "dimensions": 8}, "/v1/embeddings")
    assert prompt.texts == texts
    assert prompt.tokens == sum(map(count, texts))
    assert (prompt.operation, prompt.dimensions, prompt.base64) == ("embeddings", 8, False)


def test_a_list_of_tokens_counts_as_many() -> None:
    assert ask({"model": "embed", "input": [[15, 100_256], [7]]}, "/v1/embeddings").tokens == 3


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ASK.items() if key != name}


@pytest.mark.parametrize(
    ("body", "wording", "param", "code"),
    [
        (b'{"model": ', "could not parse the JSON body", None, None),
        (b"\xff", "could not parse the JSON body", None, None),
        (b"", "could not parse the JSON body", None, None),
        (b"[]", "could not parse the JSON body", None, None),
        (b'{"model": NaN}', "could not parse the JSON body", None, None),
        (b"[" * 100_000, "could not parse the JSON body", None, None),
        (without("model"), "you must provide a model parameter", None, None),
        ({**ASK, "model": 4}, "Invalid type for 'model': expected a string, but got an integer instead.", "model", "invalid_type"),
        (without("messages"), "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"),
        ({**ASK, "messages": "hi"}, "Invalid type for 'messages'", "messages", "invalid_type"),
        ({**ASK, "messages": []}, "Invalid 'messages': empty array.", "messages", "empty_array"),
        ({**ASK, "messages": ["hi"]}, "Invalid type for 'messages[0]'", "messages[0]", "invalid_type"),
        ({**ASK, "messages": [{"content": "hi"}]}, "'messages[0].role'", "messages[0].role", "missing_required_parameter"),
        ({**ASK, "messages": [{"role": "king", "content": "hi"}]}, "Invalid value: 'king'.", "messages[0].role", "invalid_value"),
        ({**ASK, "messages": [{"role": "user", "content": None}]}, "expected a string, got null", "messages.[0].content", None),
        ({**ASK, "messages": [{"role": "user", "content": 3}]}, "'messages[0].content'", "messages[0].content", "invalid_type"),
        ({**ASK, "stream": "yes"}, "Invalid type for 'stream': expected a boolean, but got a string instead.", "stream", "invalid_type"),
        ({**ASK, "max_tokens": 0}, "Expected a value >= 1, but got 0 instead.", "max_tokens", "integer_below_min_value"),
        ({**ASK, "max_tokens": "9"}, "Invalid type for 'max_tokens'", "max_tokens", "invalid_type"),
        ({**ASK, "temperature": 200}, "decimal above maximum value. Expected a value <= 2, but got 200", "temperature", "decimal_above_max_value"),
        ({**ASK, "tools": [{"type": "function"}]}, "'tools[0].function'", "tools[0].function", "missing_required_parameter"),
        ({**ASK, "tools": [WEATHER], "tool_choice": "maybe"}, "Invalid value: 'maybe'.", "tool_choice", "invalid_value"),
        ({**ASK, "tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool 'x' not found", "tool_choice", None),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_openai_s_words(
    body: Any, wording: str, param: str | None, code: str | None
) -> None:
    with pytest.raises(Unreadable) as caught:
        ask(body)
    error = body_of(caught.value.refusal)
    assert wording in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


@pytest.mark.parametrize("given", ["", [], [""], [1, "a"], [[]], {}, 7])
def test_an_embedding_of_nothing_is_refused(given: Any) -> None:
    with pytest.raises(Unreadable) as caught:
        ask({"model": "embed", "input": given}, "/v1/embeddings")
    assert body_of(caught.value.refusal)["message"].startswith("'$.input' is invalid.")


def test_half_a_surrogate_pair_does_no_harm() -> None:
    prompt = ask(b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}')
    answer = Answer("7f", 1, prompt.model, ("\ud800",), "stop", Usage(1, 1))
    _, data = DIALECT.answer(prompt, answer, ())
    assert isinstance(data, Data)
    assert json.loads(data.body)["choices"][0]["message"]["content"] == "\ud800"
