from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import formats
from llmroute_sim.dialects import Unreadable
from llmroute_sim.dialects.anthropic import Anthropic
from llmroute_sim.dialects.errors import table
from llmroute_sim.prompt import Answer, Hint, Prompt, Refusal, ToolCall, Usage
from llmroute_sim.quotas import Bucket, Room
from llmroute_sim.tokens import PER_MESSAGE, PER_PART, count
from llmroute_sim.wire import Address, Data, Event, Framing, Head, Headers, Request

anthropic = pytest.importorskip("anthropic")
http = formats.http_of(anthropic, 2)

DIALECT = Anthropic()
HOST = Address("api.anthropic.com")
ASK: dict[str, Any] = {
    "model": "claude-test-1",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Say hello"}],
}
WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
SAID = Answer("7f", 1, "claude-test-1", ("Hello", ' "wörld"', "\n☃"), "stop", Usage(9, 3))
CALLED = Answer(
    "8a", 1, "claude-test-1", ("Look", "ing"), "tools", Usage(9, 5),
    (ToolCall("x1", "weather", ('{"city":', ' "Rome"}')), ToolCall("x2", "weather", ())),
)  # fmt: skip


def ask(body: Any, headers: Headers = ()) -> Prompt:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECT.parse("messages", Request("POST", "/v1/messages", headers, raw, HOST))


def client(reply: formats.Reply) -> Any:
    answering = formats.served(http, DIALECT, reply, "sk-ant-test")
    return anthropic.Anthropic(api_key="sk-ant-test", max_retries=0, http_client=answering)


def says(answer: Answer) -> Any:
    return client(lambda prompt: DIALECT.answer(prompt, answer, DIALECT.headers("req_1", None)))


def refuses(refusal: Refusal) -> Any:
    return client(lambda _: DIALECT.refuse(refusal, "req_1", DIALECT.headers("req_1", None)))


def refused(refusal: Refusal) -> tuple[Head, dict[str, Any]]:
    head, data = DIALECT.refuse(refusal, "req_1", DIALECT.headers("req_1", None))
    assert isinstance(head, Head)
    assert isinstance(data, Data)
    return head, json.loads(data.body)


def streamed(answer: Answer) -> list[Data]:
    events = DIALECT.answer(ask({**ASK, "stream": True}), answer, ())
    return [event for event in events if isinstance(event, Data)]


# -- the SDK reads what is said


def test_the_sdk_reads_a_message() -> None:
    got = says(SAID).messages.create(**ASK)
    assert [block.text for block in got.content] == ["".join(SAID.words)]
    assert (got.id, got.model, got.role) == ("msg_7f", "claude-test-1", "assistant")
    assert (got.stop_reason, got.stop_sequence) == ("end_turn", None)
    assert (got.usage.input_tokens, got.usage.output_tokens) == (9, 3)
    assert got._request_id == "req_1"


def test_the_sdk_builds_the_same_message_from_a_stream() -> None:
    for answer in (SAID, CALLED):
        whole = says(answer).messages.create(**ASK)
        with says(answer).messages.stream(**ASK) as stream:
            pieces = list(stream.text_stream)
            built = stream.get_final_message()
        assert pieces == list(answer.words)
        assert [b.to_dict() for b in built.content] == [b.to_dict() for b in whole.content]
        assert (built.id, built.stop_reason) == (whole.id, whole.stop_reason)
        assert built.usage.output_tokens == whole.usage.output_tokens
        assert built.usage.input_tokens == whole.usage.input_tokens


def test_the_sdk_reads_tool_use() -> None:
    text, first, second = says(CALLED).messages.create(**ASK, tools=[WEATHER]).content
    assert text.text == "Looking"
    assert (first.id, first.name, first.input) == ("toolu_x1", "weather", {"city": "Rome"})
    assert (second.id, second.input) == ("toolu_x2", {})


def test_the_limit_on_tokens_shows_as_max_tokens() -> None:
    cut = Answer("7f", 1, "m", ("Hel",), "length", Usage(9, 1))
    assert says(cut).messages.create(**ASK).stop_reason == "max_tokens"
    *_, ended, _ = says(cut).messages.create(**ASK, stream=True)
    assert ended.delta.stop_reason == "max_tokens"


def test_tools_are_why_a_message_stops() -> None:
    assert says(CALLED).messages.create(**ASK, tools=[WEATHER]).stop_reason == "tool_use"


def test_an_answer_without_text_has_no_text_block() -> None:
    silent = Answer("7f", 1, "m", (), "length", Usage(9, 0))
    assert says(silent).messages.create(**ASK).content == []
    called = Answer("7f", 1, "m", (), "tools", Usage(9, 2), (ToolCall("1", "weather", ("{}",)),))
    (block,) = says(called).messages.create(**ASK).content
    assert block.type == "tool_use"


# -- the events


def test_the_events_of_a_stream_come_in_their_order() -> None:
    names = [data.body.decode().split("\n")[0] for data in streamed(SAID)]
    assert names == [
        "event: message_start",
        "event: content_block_start",
        "event: ping",
        *["event: content_block_delta"] * 3,
        "event: content_block_stop",
        "event: message_delta",
        "event: message_stop",
    ]


def test_blocks_follow_each_other_and_arguments_come_in_pieces() -> None:
    events = [json.loads(data.body.decode().split("data: ")[1]) for data in streamed(CALLED)]
    indices = [event["index"] for event in events if "index" in event]
    assert indices == sorted(indices)
    assert set(indices) == {0, 1, 2}
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    pieces = [delta["partial_json"] for delta in deltas if delta["type"] == "input_json_delta"]
    assert pieces == ['{"city":', ' "Rome"}']
    starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert [(s["type"], s.get("input")) for s in starts[1:]] == [("tool_use", {})] * 2
    assert sum(event["type"] == "ping" for event in events) == 1


def test_every_event_says_its_name_twice() -> None:
    for data in streamed(CALLED):
        event, line, *rest = data.body.decode().split("\n")
        assert rest == ["", ""]
        assert json.loads(line.removeprefix("data: "))["type"] == event.removeprefix("event: ")


def test_every_part_of_a_stream_is_named() -> None:
    parts = [data.part for data in streamed(SAID)]
    assert parts == ["open"] * 3 + ["token"] * 3 + ["open", "finish", "terminal"]


def test_the_usage_of_a_stream_grows_to_that_of_the_answer() -> None:
    start, *_, ended, _ = says(SAID).messages.create(**ASK, stream=True)
    assert (start.message.usage.input_tokens, start.message.usage.output_tokens) == (9, 1)
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (9, 3)


def test_a_stream_is_chunked_and_an_answer_has_its_length() -> None:
    head, data = DIALECT.answer(ask(ASK), SAID, ())
    assert isinstance(head, Head)
    assert isinstance(data, Data)
    assert (head.framing, head.length) == (Framing.LENGTH, len(data.body))
    head, *_ = DIALECT.answer(ask({**ASK, "stream": True}), SAID, ())
    assert isinstance(head, Head)
    assert head.framing is Framing.CHUNKED
    assert ("content-type", "text/event-stream; charset=utf-8") in head.headers


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
        ("request_too_large", 413, "ContentTooLargeError"),
        ("rate_limit_requests", 429, "RateLimitError"),
        ("rate_limit_tokens", 429, "RateLimitError"),
        ("insufficient_quota", 400, "BadRequestError"),
        ("server_error", 500, "InternalServerError"),
        ("unavailable", 503, "ServiceUnavailableError"),
        ("overloaded", 529, "OverloadedError"),
        ("not_found", 404, "NotFoundError"),
        ("timeout", 504, "GatewayTimeoutError"),
    ],
)
def test_the_sdk_raises_its_own_class_for_every_kind(kind: str, status: int, raised: str) -> None:
    for asked in ({}, {"stream": True}):
        with pytest.raises(anthropic.APIStatusError) as caught:
            refuses(Refusal(kind)).messages.create(**ASK, **asked)
        assert type(caught.value).__name__ == raised
        assert caught.value.status_code == status
        assert caught.value.request_id == (None if table("anthropic")[kind].edge else "req_1")


def test_the_type_of_an_error_reaches_the_application() -> None:
    for kind, named in (
        ("overloaded", "overloaded_error"),
        ("rate_limit_tokens", "rate_limit_error"),
    ):
        with pytest.raises(anthropic.APIStatusError) as caught:
            refuses(Refusal(kind)).messages.create(**ASK)
        assert caught.value.type == named


def test_a_refusal_may_bring_its_own_status() -> None:
    assert refused(Refusal("server_error", status=502))[0].status == 502


def test_the_body_repeats_the_request_id_of_the_headers() -> None:
    for kind in ("invalid_request", "overloaded", "rate_limit_requests", "server_error", "timeout"):
        head, body = refused(Refusal(kind))
        assert body["request_id"] == dict(head.headers)["request-id"] == "req_1"
        assert body["type"] == "error"


@pytest.mark.parametrize("kind", ["overloaded", "rate_limit_tokens", "unavailable"])
def test_an_error_inside_a_stream_ends_it_with_status_200(kind: str) -> None:
    def breaks(prompt: Prompt) -> Iterator[Event]:
        yield from list(DIALECT.answer(prompt, SAID, ()))[:6]
        yield DIALECT.refuse_midway(Refusal(kind), "req_1")

    seen = []
    with pytest.raises(anthropic.APIStatusError) as caught:  # noqa: PT012 - the stream is what raises
        for event in client(breaks).messages.create(**ASK, stream=True):
            seen.append(event.type)
    assert seen == ["message_start", "content_block_start", *["content_block_delta"] * 2]
    assert caught.value.status_code == 200
    assert DIALECT.refuse_midway(Refusal(kind), "req_1").part == "error"


def test_a_garbled_event_breaks_the_sdk_s_parser() -> None:
    def breaks(prompt: Prompt) -> Iterator[Event]:
        yield from list(DIALECT.answer(prompt, SAID, ()))[:6]
        yield Data(DIALECT.garbled(), "garbled")

    with pytest.raises(json.JSONDecodeError):
        list(client(breaks).messages.create(**ASK, stream=True))


# -- limits and hints


def test_limits_are_written_with_thousands_separators() -> None:
    _, body = refused(Refusal("rate_limit_tokens", facts={"limit": 1_250_000}))
    assert " of 1,250,000 input tokens per minute." in body["error"]["message"]


def test_an_overflow_tells_both_sizes() -> None:
    _, body = refused(Refusal("context_length", facts={"tokens": 250_001, "maximum": 200_000}))
    assert body["error"]["message"] == "prompt is too long: 250001 tokens > 200000 maximum"


@pytest.mark.parametrize(
    ("seconds", "written", "header"),
    [
        (20.0, "seconds", ("retry-after", "20")),
        (0.5, "milliseconds", ("retry-after-ms", "500")),
    ],
)
def test_a_hint_says_when_to_come_back(
    seconds: float, written: Hint, header: tuple[str, str]
) -> None:
    head, _ = refused(Refusal("overloaded", retry_after=seconds, hint=written))
    assert header in head.headers
    assert sum(name.startswith("retry-after") for name, _ in head.headers) == 1


def test_headers_tell_the_room_left_and_when_it_is_whole_again() -> None:
    wall = 1_767_225_600.25
    headers = dict(
        DIALECT.headers("req_1", Room(wall, Bucket(60, 45.0, 0.0), Bucket(30_000, 14_600.0, 0.0)))
    )
    assert headers["request-id"] == "req_1"
    assert headers["anthropic-ratelimit-requests-limit"] == "60"
    assert headers["anthropic-ratelimit-requests-remaining"] == "45"
    assert headers["anthropic-ratelimit-requests-reset"] == "2026-01-01T00:00:16Z"
    for name in ("tokens", "input-tokens", "output-tokens"):
        assert headers[f"anthropic-ratelimit-{name}-limit"] == "30000"
        assert headers[f"anthropic-ratelimit-{name}-remaining"] == "15000"
        assert headers[f"anthropic-ratelimit-{name}-reset"] == "2026-01-01T00:00:32Z"


def test_a_small_limit_on_tokens_is_not_rounded_away() -> None:
    headers = dict(DIALECT.headers("req_1", Room(0.0, None, Bucket(800, 320.0, 0.0))))
    assert headers["anthropic-ratelimit-tokens-remaining"] == "320"
    assert not [name for name in headers if "requests" in name]


# -- what is asked


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/v1/messages", "messages"),
        ("POST", "/proxy/anthropic/v1/messages", "messages"),
        ("GET", "/v1/messages", None),
        ("POST", "/v1/messages/count_tokens", "count_tokens"),
        ("POST", "/v1/messages/batches", None),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/claude-test-1", "model"),
        ("POST", "/v1/chat/completions", None),
    ],
)
def test_a_path_s_end_says_what_is_asked(method: str, path: str, operation: str | None) -> None:
    assert DIALECT.operation(method, path) == operation


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ((("x-api-key", "k1"),), "k1"),
        ((("authorization", "Bearer k2"),), "k2"),
        ((("authorization", "Bearer k2"), ("x-api-key", "k1")), "k1"),
        ((("authorization", "Bearer "),), None),
        ((), None),
    ],
)
def test_the_key_comes_in_either_header(headers: Headers, key: str | None) -> None:
    assert DIALECT.key(Request("POST", "/", headers, b"", HOST)) == key


def test_all_that_the_model_reads_is_counted() -> None:
    prompt = ask(
        {
            **ASK,
            "system": [{"type": "text", "text": "Be terse"}],
            "tools": [WEATHER],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a page"}},
                ]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": number, "name": "weather", "input": {"city": "Rome"}}
                    for number in ("1", "2", "3")
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "sunny"}]},
                    {"type": "tool_result", "tool_use_id": "2", "content": "cloudy"},
                    {"type": "tool_result", "tool_use_id": "3"},
                    {"type": "text", "text": "Well?"},
                ]},
            ],
        }
    )  # fmt: skip
    *texts, tool = prompt.texts
    assert texts == [
        "Be terse", "What is this", "a page", *["weather", '{"city":"Rome"}'] * 3, "sunny", "cloudy",
        "Well?",
    ]  # fmt: skip
    assert json.loads(tool) == WEATHER
    assert prompt.tokens == 4 * PER_MESSAGE + PER_PART + sum(map(count, prompt.texts))


def test_a_system_prompt_may_be_a_string() -> None:
    assert ask({**ASK, "system": "Be terse"}).texts == ("Be terse", "Say hello")


@pytest.mark.parametrize(
    ("choice", "may", "must"),
    [
        (None, True, None),
        ({"type": "auto"}, True, None),
        ({"type": "none"}, False, None),
        ({"type": "any"}, True, "*"),
        ({"type": "tool", "name": "weather"}, True, "weather"),
    ],
)
def test_the_choice_of_tools_is_understood(choice: Any, may: bool, must: str | None) -> None:
    prompt = ask({**ASK, "tools": [WEATHER], "tool_choice": choice})
    assert (prompt.may_call, prompt.must_call) == (may, must)
    assert [(tool.name, tool.schema) for tool in prompt.tools] == [
        ("weather", WEATHER["input_schema"])
    ]


def test_no_tool_is_called_where_there_is_none_or_one_has_just_answered() -> None:
    assert not ask(ASK).may_call
    result = {"type": "tool_result", "tool_use_id": "1", "content": "sunny"}
    called = {"type": "tool_use", "id": "1", "name": "weather", "input": {}}
    answered = [
        *ASK["messages"],
        {"role": "assistant", "content": [called]},
        {"role": "user", "content": [result]},
    ]
    assert not ask({**ASK, "tools": [WEATHER], "messages": answered}).may_call
    prefilled = [*ASK["messages"], {"role": "assistant", "content": "The"}]
    assert not ask({**ASK, "tools": [WEATHER], "messages": prefilled}).may_call


def test_tools_that_the_provider_runs_itself_are_not_called() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    prompt = ask({**ASK, "tools": [search]})
    assert prompt.tools == ()
    assert not prompt.may_call


def test_sampling_is_refused_from_the_version_that_dropped_it() -> None:
    warm = {**ASK, "temperature": 0.5}
    assert ask(warm).model
    assert ask(warm, (("anthropic-version", "2023-06-01"),)).model
    with pytest.raises(Unreadable):
        ask(warm, (("anthropic-version", "2026-10-21"),))


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ASK.items() if key != name}


USER = {"role": "user", "content": "hi"}
EMPTY_TEXT = [{"role": "user", "content": [{"type": "text", "text": ""}]}]


@pytest.mark.parametrize(
    ("body", "wording"),
    [
        (b'{"model": ', "The request body is not valid JSON: "),
        (b"\xff", "The request body is not valid JSON: "),
        (b"[" * 100_000, "The request body is not valid JSON: "),
        (b"[]", "Input should be a valid dictionary"),
        (without("model"), "model: Field required"),
        (without("max_tokens"), "max_tokens: Field required"),
        (without("messages"), "messages: Field required"),
        ({**ASK, "model": 4}, "model: Input should be a valid string"),
        ({**ASK, "max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({**ASK, "max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
        ({**ASK, "messages": "hi"}, "messages: Input should be a valid list"),
        ({**ASK, "messages": []}, "messages: at least one message is required"),
        ({**ASK, "messages": ["hi"]}, "messages.0: Input should be a valid dictionary"),
        ({**ASK, "messages": [{"content": "hi"}]}, "messages.0.role: Field required"),
        ({**ASK, "messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({**ASK, "messages": [{"role": "system", "content": "x"}]}, 'messages: Unexpected role "system".'),
        ({**ASK, "messages": [{"role": "king", "content": "x"}]}, "messages.0.role: Input should be"),
        ({**ASK, "messages": [{"role": "user", "content": ""}, USER]}, "messages.0: all messages must have non-empty content"),
        ({**ASK, "messages": EMPTY_TEXT}, "messages: text content blocks must be non-empty"),
        ({**ASK, "messages": [{"role": "user", "content": 3}]}, "messages.0.content: Input should be"),
        ({**ASK, "messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0.type: Field required"),
        ({**ASK, "stream": 1}, "stream: Input should be a valid boolean"),
        ({**ASK, "temperature": 1.5}, "temperature: range: 0..1"),
        ({**ASK, "tools": [{"name": "weather"}]}, "tools.0.custom.input_schema: Field required"),
        ({**ASK, "tools": [WEATHER], "tool_choice": "any"}, "tool_choice: Input tag"),
        ({**ASK, "tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_anthropic_s_words(body: Any, wording: str) -> None:
    with pytest.raises(Unreadable) as caught:
        ask(body)
    head, said = refused(caught.value.refusal)
    assert head.status == 400
    assert said["error"]["type"] == "invalid_request_error"
    assert said["error"]["message"].startswith(wording) or wording in said["error"]["message"]


def test_an_empty_last_word_of_the_assistant_is_allowed() -> None:
    assert ask({**ASK, "messages": [USER, {"role": "assistant", "content": ""}]}).model
