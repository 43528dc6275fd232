from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import formats
from json_schemas import objects, schemas
from llmroute_sim.dialects import find
from llmroute_sim.prompt import Operation, Prompt
from llmroute_sim.prose import Author
from llmroute_sim.speech import say
from llmroute_sim.wire import Data

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

USER = [{"role": "user", "content": "What is the weather?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NAMES = ("weather", "clock", "map", "mail")
OPERATIONS: dict[str, Operation] = {"openai": "chat", "anthropic": "messages"}


def offered(dialect: str, *names: str, schema: Any = CITY) -> list[dict[str, Any]]:
    if dialect == "anthropic":
        return [{"name": name, "input_schema": schema} for name in names]
    described = [{"name": name, "parameters": schema} for name in names]
    return [{"type": "function", "function": each} for each in described]


def body(dialect: str, *names: str, schema: Any = CITY, **options: Any) -> dict[str, Any]:
    tools = offered(dialect, *names, schema=schema)
    return {"model": "m", "max_tokens": 64, "messages": USER, "tools": tools, **options}


def read(dialect: str, asked: Any) -> Prompt:
    return formats.read(dialect, OPERATIONS[dialect], asked)


def refused(dialect: str, asked: Any) -> Any:
    return formats.refused(dialect, OPERATIONS[dialect], asked)


def called(dialect: str, asked: Any, seed: int = 0) -> list[tuple[str, Any]]:
    """The tools that an answer calls and what they are given, streamed or not."""
    prompt = read(dialect, asked)
    answer = say(prompt, Author(seed), 0, None)
    events = find(dialect).answer(prompt, answer, ())
    bodies = [event.body.decode() for event in events if isinstance(event, Data)]
    if not prompt.stream:
        whole = json.loads(bodies[0])
        if dialect == "anthropic":
            return [(b["name"], b["input"]) for b in whole["content"] if b["type"] == "tool_use"]
        calls = whole["choices"][0]["message"].get("tool_calls", ())
        return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]
    names: dict[int, str] = {}
    given: dict[int, str] = {}
    for told in (json.loads(text.split("data: ")[1]) for text in bodies if "[DONE]" not in text):
        if dialect == "anthropic":
            number = told.get("index")
            if told["type"] == "content_block_start":
                names[number] = told["content_block"]["name"]
            elif told["type"] == "content_block_delta":
                given[number] = given.get(number, "") + told["delta"]["partial_json"]
        else:
            for call in told["choices"][0]["delta"].get("tool_calls", ()):
                number = call["index"]
                names.setdefault(number, call["function"].get("name"))
                given[number] = given.get(number, "") + call["function"]["arguments"]
    return [(names[number], json.loads(given[number])) for number in sorted(names)]


dialects = st.sampled_from(sorted(OPERATIONS))


# -- laws


@given(dialects, objects(schemas), st.integers(0, 99), st.booleans())
def test_what_a_tool_is_given_meets_its_schema(
    dialect: str, schema: Any, seed: int, stream: bool
) -> None:
    calls = called(dialect, body(dialect, "weather", "clock", schema=schema, stream=stream), seed)
    assert [name for name, _ in calls] == ["weather", "clock"]
    for _, arguments in calls:
        Draft202012Validator(schema).validate(arguments)


@given(dialects, objects(schemas), st.integers(0, 99))
def test_a_streamed_call_is_the_same_call(dialect: str, schema: Any, seed: int) -> None:
    asked = body(dialect, *NAMES, schema=schema)
    assert called(dialect, {**asked, "stream": True}, seed) == called(dialect, asked, seed)


# -- which tools are called


@pytest.mark.parametrize(
    ("dialect", "options", "names"),
    [
        ("openai", {}, ["weather", "clock", "map"]),
        ("openai", {"parallel_tool_calls": False}, ["weather"]),
        ("openai", {"parallel_tool_calls": True}, ["weather", "clock", "map"]),
        ("openai", {"tool_choice": "none"}, []),
        ("openai", {"tool_choice": "required"}, ["weather", "clock", "map"]),
        ("openai", {"tool_choice": {"type": "function", "function": {"name": "map"}}}, ["map"]),
        ("openai", {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "mail"}}]}}}, ["mail"]),
        ("anthropic", {}, ["weather", "clock", "map"]),
        ("anthropic", {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, ["weather"]),
        ("anthropic", {"tool_choice": {"type": "any"}}, ["weather", "clock", "map"]),
        ("anthropic", {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}, ["weather"]),
        ("anthropic", {"tool_choice": {"type": "tool", "name": "mail"}}, ["mail"]),
        ("anthropic", {"tool_choice": {"type": "none"}}, []),
    ],
)  # fmt: skip
def test_the_choice_of_tools_is_kept(dialect: str, options: Any, names: list[str]) -> None:
    assert [name for name, _ in called(dialect, body(dialect, *NAMES, **options))] == names


def test_a_forced_call_says_stop_where_a_chosen_one_says_tool_calls() -> None:
    forced = {"type": "function", "function": {"name": "map"}}
    told = {}
    for choice in ("auto", "required", forced):
        prompt = read("openai", body("openai", *NAMES, tool_choice=choice))
        _, data = find("openai").answer(prompt, say(prompt, Author(0), 0, None), ())
        assert isinstance(data, Data)
        told[str(choice)] = json.loads(data.body)["choices"][0]["finish_reason"]
    assert list(told.values()) == ["tool_calls", "tool_calls", "stop"]


# -- the SDKs


def test_openai_s_sdk_reads_parallel_calls_and_goes_on(llmroute: Any) -> None:
    client = openai.OpenAI(api_key="sk-test", max_retries=0)
    asked = {"model": "gpt-4o", "tools": offered("openai", "weather", "clock")}
    first = client.chat.completions.create(messages=USER, **asked).choices[0]
    cities = [json.loads(call.function.arguments)["city"] for call in first.message.tool_calls]
    assert first.finish_reason == "tool_calls"
    assert set(cities) == set(llmroute.history.attempts[0].marks)
    answers = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        for call in first.message.tool_calls
    ]
    again = [*USER, first.message.model_dump(exclude_none=True), *answers]
    second = client.chat.completions.create(messages=again, **asked).choices[0]
    assert second.finish_reason == "stop"
    assert second.message.tool_calls is None


def test_anthropic_s_sdk_builds_parallel_calls_from_a_stream(llmroute: Any) -> None:
    client = anthropic.Anthropic(api_key="sk-test", max_retries=0)
    tools = offered("anthropic", "weather", "clock")
    asked: Any = {"model": "claude-opus-4-5", "max_tokens": 99, "tools": tools}
    with client.messages.stream(messages=USER, **asked) as stream:
        first = stream.get_final_message()
    assert [block.name for block in first.content] == ["weather", "clock"]
    cities = {block.input["city"] for block in first.content}
    assert cities == set(llmroute.history.attempts[0].marks)
    answers = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
        for block in first.content
    ]
    said = {"role": "assistant", "content": [block.to_dict() for block in first.content]}
    again = [*USER, said, {"role": "user", "content": answers}]
    second = client.messages.create(messages=again, **asked)
    assert second.stop_reason == "end_turn"


def test_a_call_knows_that_the_arguments_of_a_tool_came_from_its_attempt(llmroute: Any) -> None:
    client = openai.OpenAI(api_key="sk-test", max_retries=0)
    for options in ({}, {"stream": True}):
        with llmroute.call("chat") as call:
            tools = offered("openai", "weather", "clock")
            got = client.chat.completions.create(
                model="gpt-4o", messages=USER, tools=tools, **options
            )
            for piece in got if options else [got]:
                call.answer(piece)
        assert [source.id for source in llmroute.sources(call)] == [
            llmroute.history.attempts[-1].id
        ]


def test_older_functions_are_called_one_at_a_time(llmroute: Any) -> None:
    client = openai.OpenAI(api_key="sk-test", max_retries=0)
    functions = [{"name": name, "parameters": CITY} for name in NAMES]
    asked: Any = {"model": "gpt-4o", "messages": USER, "functions": functions}
    got = client.chat.completions.create(**asked).choices[0]
    assert (got.finish_reason, got.message.function_call.name) == ("function_call", "weather")
    assert json.loads(got.message.function_call.arguments)["city"]
    assert got.message.tool_calls is None
    deltas = [c.choices[0].delta for c in client.chat.completions.create(**asked, stream=True)]
    calls = [delta.function_call for delta in deltas if delta.function_call]
    assert calls[0].name == "weather"
    assert json.loads("".join(call.arguments for call in calls))["city"]
    none = client.chat.completions.create(**asked, function_call="none").choices[0]
    assert none.message.function_call is None


def test_a_custom_tool_is_given_text(llmroute: Any) -> None:
    client = openai.OpenAI(api_key="sk-test", max_retries=0)
    tools: Any = [{"type": "custom", "custom": {"name": "code"}}]
    got = client.chat.completions.create(model="gpt-4o", messages=USER, tools=tools)
    (call,) = got.choices[0].message.tool_calls
    assert (call.type, call.custom.name) == ("custom", "code")
    assert call.custom.input.split()[0] in llmroute.history.attempts[0].marks


# -- what cannot be


CALL = {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]}  # fmt: skip
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


@pytest.mark.parametrize(
    ("asked", "wording", "param"),
    [
        ({"messages": [*USER, RESULT]}, "must be a response to a preceeding message with 'tool_calls'", "messages.[1].role"),
        ({"messages": [*USER, CALL]}, "did not have response messages: call_1", "messages.[2].role"),
        ({"messages": [*USER, CALL, *USER, RESULT]}, "did not have response messages: call_1", "messages.[2].role"),
        ({"messages": [*USER, CALL, RESULT, RESULT]}, "must be a response to", "messages.[3].role"),
        ({"messages": USER, "tool_choice": "auto"}, "only allowed when 'tools' are specified", "tool_choice"),
        ({"messages": USER, "parallel_tool_calls": False}, "only allowed when 'tools' are specified", "parallel_tool_calls"),
        ({"messages": USER, "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": CITY}}]}, "Invalid schema for function 'f': In context=(), 'additionalProperties'", "tools[0].function.parameters"),
        ({"messages": USER, "functions": [{"name": "f"}], "function_call": {"name": "g"}}, "no function named 'g'", "function_call"),
    ],
)  # fmt: skip
def test_tools_that_do_not_fit_are_refused_in_openai_s_words(
    asked: Any, wording: str, param: str
) -> None:
    error = refused("openai", {"model": "m", **asked})
    assert wording in error["message"]
    assert error["param"] == param


def test_calls_of_a_user_are_passed_over() -> None:
    odd = {"role": "user", "content": "hi", "tool_calls": 5}
    assert read("openai", body("openai", "weather", messages=[odd])).may_call


USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}]}  # fmt: skip
GAVE = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "wording"),
    [
        ([*USER, USE], "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1."),
        ([*USER, USE, *USER, USE, GAVE], "messages.1: `tool_use` ids were found"),
        ([*USER, GAVE], "messages.1.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1."),
        ([*USER, USE, GAVE, GAVE], "messages.3.content.0: unexpected `tool_use_id`"),
        ([*USER, {"role": "assistant", "content": [{"type": "tool_use", "name": "weather"}]}], "messages.1.content.0.tool_use.id: Field required"),
    ],
)  # fmt: skip
def test_calls_without_results_are_refused_in_anthropic_s_words(
    messages: Any, wording: str
) -> None:
    asked = body("anthropic", "weather", messages=messages)
    assert refused("anthropic", asked)["message"].startswith(wording)


def test_results_may_come_in_several_messages() -> None:
    twice = {"role": "assistant", "content": [*USE["content"], {**USE["content"][0], "id": "toolu_2"}]}  # type: ignore[dict-item]  # fmt: skip
    other = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_2"}]}
    assert not read("anthropic", body("anthropic", "weather", messages=[*USER, twice, GAVE, other])).may_call  # fmt: skip


def test_a_choice_without_tools_is_refused() -> None:
    asked = {"model": "m", "max_tokens": 9, "messages": USER, "tool_choice": {"type": "auto"}}
    assert "tool_choice: " in refused("anthropic", asked)["message"]
