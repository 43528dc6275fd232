from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.dialects import find
from llmroute_sim.prompt import Answer, Choice, Finish, Operation, Prompt, ToolCall, Usage
from llmroute_sim.wire import Data, Event, Head, grammar_error

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

FINISHES: tuple[Finish, ...] = get_args(Finish)
CHAT: set[str] = {"stop", "length", "tool_calls", "content_filter", "function_call"}
TEXT: set[str] = {"stop", "length", "content_filter"}
MESSAGES: set[str] = {
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal",
    "model_context_window_exceeded",
}  # fmt: skip
USER: Any = [{"role": "user", "content": "hello"}]

texts = st.lists(st.text(min_size=1), max_size=4).map(tuple)
calls = st.lists(st.builds(ToolCall, st.just("1"), st.text(min_size=1), st.just(('{"a":', "1}"))), max_size=2).map(tuple)  # fmt: skip
choices = st.builds(Choice, texts, st.sampled_from(FINISHES), calls, st.text())
answers = st.builds(
    Answer,
    id=st.just("7f"),
    created=st.just(1),
    model=st.text(min_size=1),
    words=texts,
    finish=st.sampled_from(FINISHES),
    usage=st.just(Usage(9, 4)),
    calls=calls,
    refusal=st.text(),
    thinking=texts,
    sequence=st.none() | st.text(),
    others=st.lists(choices, max_size=2).map(tuple),
)


def prompt(operation: Operation, **options: Any) -> Prompt:
    return Prompt(operation, "m", (), 1, "", **options)


def events(operation: Operation, answer: Answer, **options: Any) -> list[Event]:
    dialect = find("anthropic" if operation == "messages" else "openai")
    return list(dialect.answer(prompt(operation, **options), answer, ()))


def told(operation: Operation, answer: Answer, **options: Any) -> list[Any]:
    """The JSON of every segment."""
    found = []
    for event in events(operation, answer, **options):
        if isinstance(event, Data):
            text = event.body.decode().split("data: ")[-1]
            if "[DONE]" not in text:
                found.append(json.loads(text))
    return found


def reasons(found: list[Any]) -> Iterator[str]:
    for each in found:
        for choice in each.get("choices", ()):
            yield choice["finish_reason"]
        if each.get("type") in ("message", "message_delta"):
            yield each.get("delta", each)["stop_reason"]


# -- laws


@given(answers, st.sampled_from(["chat", "completions", "messages"]), st.booleans())
def test_every_answer_is_an_exchange_with_legal_reasons(
    answer: Answer, operation: Any, stream: bool
) -> None:
    happened = events(operation, answer, stream=stream)
    assert grammar_error(happened) is None
    assert isinstance(happened[0], Head)
    legal = {"chat": CHAT, "completions": TEXT, "messages": MESSAGES}[operation]
    said = [reason for reason in reasons(told(operation, answer, stream=stream)) if reason]
    assert set(said) <= legal
    assert len(said) == (1 if operation == "messages" else 1 + len(answer.others))


@given(answers)
def test_a_stream_of_choices_joins_to_the_whole_answer(answer: Answer) -> None:
    (whole,) = told("chat", answer)
    for choice in whole["choices"]:
        pieces = [
            each
            for chunk in told("chat", answer, stream=True)
            for each in chunk["choices"]
            if each["index"] == choice["index"]
        ]
        message = choice["message"]
        for name in ("content", "refusal"):
            joined = "".join(piece["delta"].get(name) or "" for piece in pieces)
            assert joined == (message[name] or "")
        assert pieces[-1]["finish_reason"] == choice["finish_reason"]


@given(answers, st.sampled_from(["shown", "hidden", None]))
def test_a_stream_of_blocks_joins_to_the_whole_message(answer: Answer, thinking: Any) -> None:
    (whole,) = told("messages", answer, thinking=thinking)
    blocks: dict[int, dict[str, Any]] = {}
    given: dict[int, str] = {}
    for event in told("messages", answer, thinking=thinking, stream=True):
        match event:
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert index == len(blocks)
                blocks[index] = dict(block)
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                delta.pop("type")
                ((name, piece),) = delta.items()
                if name == "partial_json":
                    given[index] = given.get(index, "") + piece
                else:
                    blocks[index][name] += piece
            case {"type": "message_delta", "delta": ended}:
                assert {name: whole[name] for name in ended} == ended
    for index, arguments in given.items():
        blocks[index]["input"] = json.loads(arguments)
    assert list(blocks.values()) == whole["content"]


@given(answers)
def test_an_answer_is_as_long_as_its_longest_choice(answer: Answer) -> None:
    assert answer.length >= len(answer.thinking) + len(answer.words)
    assert all(answer.length >= len(other.words) for other in answer.others)


# -- what applications are shown


def answering(sdk: Any, operation: Operation, answer: Answer) -> Any:
    http = importlib.import_module(
        "httpx2" if int(sdk.__version__.split(".")[0]) >= (3 if sdk is openai else 2) else "httpx"
    )

    def respond(request: Any) -> Any:
        stream = json.loads(request.read()).get("stream", False)
        head, *rest = events(operation, answer, stream=stream)
        assert isinstance(head, Head)
        pieces = iter([event.body for event in rest if isinstance(event, Data)])
        return http.Response(head.status, headers=list(head.headers), content=pieces)

    make = openai.OpenAI if sdk is openai else anthropic.Anthropic
    transport = http.Client(transport=http.MockTransport(respond))
    return make(api_key="sk-test", max_retries=0, http_client=transport)


REFUSED = Answer("7f", 1, "m", (), "refusal", Usage(9, 4), refusal="I cannot help with that.")
FILTERED = Answer("7f", 1, "m", ("So", " far"), "filter", Usage(9, 2))


def test_openai_s_sdk_reads_a_refusal_in_its_own_place() -> None:
    client = answering(openai, "chat", REFUSED)
    choice = client.chat.completions.create(model="m", messages=USER).choices[0]
    assert choice.message.content is None
    assert choice.message.refusal == REFUSED.refusal
    assert choice.finish_reason == "stop"
    chunks = list(client.chat.completions.create(model="m", messages=USER, stream=True))
    said = [chunk.choices[0].delta.refusal or "" for chunk in chunks]
    assert "".join(said) == REFUSED.refusal
    assert len([piece for piece in said if piece]) == 5
    parsed = client.chat.completions.parse(model="m", messages=USER).choices[0].message
    assert (parsed.parsed, parsed.refusal) == (None, REFUSED.refusal)


def test_openai_s_sdk_reads_what_a_filter_left() -> None:
    client = answering(openai, "chat", FILTERED)
    choice = client.chat.completions.create(model="m", messages=USER).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("So far", "content_filter")


def test_anthropic_s_sdk_reads_a_refusal_with_its_explanation() -> None:
    for answer, explained in ((REFUSED, REFUSED.refusal), (FILTERED, None)):
        client = answering(anthropic, "messages", answer)
        asked: Any = {"model": "m", "max_tokens": 9, "messages": USER}
        with client.messages.stream(**asked) as stream:
            built = stream.get_final_message()
        for got in (client.messages.create(**asked), built):
            assert got.stop_reason == "refusal"
            assert got.stop_details.type == "refusal"
            assert got.stop_details.explanation == explained
            assert "".join(block.text for block in got.content) == "".join(answer.words)


@pytest.mark.parametrize(
    ("finish", "reason"), [("pause", "pause_turn"), ("window", "model_context_window_exceeded")]
)
def test_anthropic_s_sdk_reads_why_a_turn_is_not_over(finish: Finish, reason: str) -> None:
    client = answering(anthropic, "messages", Answer("7f", 1, "m", ("So",), finish, Usage(9, 1)))
    got = client.messages.create(model="m", max_tokens=9, messages=USER)
    assert (got.stop_reason, got.stop_details) == (reason, None)


def test_anthropic_s_sdk_reads_which_sequence_it_was() -> None:
    ended = Answer("7f", 1, "m", ("So",), "sequence", Usage(9, 1), sequence="\n\nHuman:")
    got = answering(anthropic, "messages", ended).messages.create(
        model="m", max_tokens=9, messages=USER
    )
    assert (got.stop_reason, got.stop_sequence) == ("stop_sequence", "\n\nHuman:")


def test_a_refusal_is_heard_as_what_was_said(llmroute: Any) -> None:
    client = openai.OpenAI(api_key="sk-test", max_retries=0)
    llmroute.inject("refused-by-model", at="openai")
    for options in ({}, {"stream": True}):
        with llmroute.call("chat") as call:
            got = client.chat.completions.create(model="gpt-4o", messages=USER, **options)
            for piece in got if options else [got]:
                call.answer(piece)
        assert [source.id for source in llmroute.sources(call)] == [
            llmroute.history.attempts[-1].id
        ]
