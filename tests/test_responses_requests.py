from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.dialects import Unreadable, find
from llmroute_sim.prompt import Answer, Prompt, Usage
from llmroute_sim.prose import Author
from llmroute_sim.speech import say
from llmroute_sim.tokens import PER_MESSAGE, PER_PART, count
from llmroute_sim.wire import Address, Data, Event, Head, Request, grammar_error

openai = pytest.importorskip("openai")

DIALECT = find("openai-responses")
ASK: dict[str, Any] = {"model": "gpt-4o", "input": "Say hello"}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
SHELL = {"type": "custom", "name": "shell"}
USER = {"role": "user", "content": "What is the weather?"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
GAVE = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}


def ask(body: Any, operation: Any = "responses") -> Prompt:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECT.parse(operation, Request("POST", "/", (), raw, Address("api.openai.com")))


def refused(body: Any) -> dict[str, Any]:
    with pytest.raises(Unreadable) as caught:
        ask(body)
    *_, data = DIALECT.refuse(caught.value.refusal, "req_1", ())
    assert isinstance(data, Data)
    error: dict[str, Any] = json.loads(data.body)["error"]
    return error


def events_of(answer: Answer, prompt: Prompt | None = None, **of: Any) -> list[Event]:
    asked = prompt or Prompt("responses", "m", (), 1, "", **of)
    return list(DIALECT.answer(asked, answer, ()))


def client(**options: Any) -> Any:
    return openai.OpenAI(api_key=options.pop("api_key", "sk-test"), max_retries=0, **options)


# -- what is asked


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/v1/responses", "responses"),
        ("POST", "/openai/v1/responses", "responses"),
        ("POST", "/v1/responses/input_tokens", "count_tokens"),
        ("GET", "/v1/responses/resp_1", None),
        ("POST", "/v1/responses/resp_1/cancel", None),
        ("POST", "/v1/chat/completions", None),
    ],
)
def test_a_path_s_end_says_what_is_asked(method: str, path: str, operation: str | None) -> None:
    assert DIALECT.operation(method, path) == operation


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("api.openai.com", "/v1", 200),
        ("api.groq.com", "/openai/v1", 200),
        ("api.deepseek.com", "", 200),
        ("api.together.xyz", "/v1", 200),
        ("api.mistral.ai", "/v1", 404),
        ("api.anthropic.com", "/v1", 404),
    ],
)
def test_who_has_the_endpoint_is_in_the_provider_s_file(
    llmroute: Any, host: str, path: str, status: int
) -> None:
    models = {
        "api.openai.com": "gpt-4o",
        "api.groq.com": "llama-3.1-8b-instant",
        "api.deepseek.com": "deepseek-chat",
        "api.together.xyz": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    }
    sdk = client(base_url=f"https://{host}{path}")
    with suppress(openai.NotFoundError):
        sdk.responses.create(model=models.get(host, "m"), input="hi")
    assert llmroute.history.attempts[-1].status == status


def test_all_that_the_model_reads_is_counted() -> None:
    image = {"type": "input_image", "image_url": "data:,"}
    prompt = ask(
        {
            "model": "gpt-4o",
            "instructions": "Be terse",
            "tools": [WEATHER],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "What is this"}, image]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a sun"}]},
                CALL,
                GAVE,
            ],
        }
    )  # fmt: skip
    *said, tool = prompt.texts
    assert said == ["Be terse", "What is this", "a sun", "weather", "{}", "sunny"]
    assert json.loads(tool) == WEATHER
    assert prompt.tokens == 5 * PER_MESSAGE + PER_PART + sum(map(count, prompt.texts))


def test_a_text_is_one_message_of_the_user() -> None:
    prompt = ask(ASK)
    assert (prompt.texts, prompt.tokens) == (("Say hello",), 2 + PER_MESSAGE)
    as_items = ask({**ASK, "input": [{"role": "user", "content": "Say hello"}]})
    assert as_items.tokens == prompt.tokens


@pytest.mark.parametrize(
    ("choice", "may", "must"),
    [
        (None, True, None),
        ("auto", True, None),
        ("none", False, None),
        ("required", True, "*"),
        ({"type": "function", "name": "weather"}, True, "weather"),
        ({"type": "custom", "name": "shell"}, True, "shell"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]}, True, None),
        ({"type": "web_search"}, False, None),
    ],
)  # fmt: skip
def test_the_choice_of_tools_is_understood(choice: Any, may: bool, must: str | None) -> None:
    tools = [WEATHER, SHELL, {"type": "web_search"}]
    prompt = ask({**ASK, "tools": tools, "tool_choice": choice})
    assert (prompt.may_call, prompt.must_call) == (may, must)


def test_no_tool_is_called_where_one_has_just_answered() -> None:
    asked = {**ASK, "tools": [WEATHER]}
    assert ask({**asked, "input": [USER]}).may_call
    assert not ask({**asked, "input": [USER, CALL, GAVE]}).may_call
    assert not ask({**ASK, "tools": [{"type": "web_search"}]}).may_call


def test_what_no_answer_depends_on_makes_no_other_question() -> None:
    same = {"stream": True, "metadata": {"a": "b"}, "store": False, "user": "u", "service_tier": "flex"}  # fmt: skip
    assert ask({**ASK, **same}).digest == ask(ASK).digest
    for other in ({"instructions": "Be terse"}, {"temperature": 0.1}, {"tools": [WEATHER]}):
        assert ask({**ASK, **other}).digest != ask(ASK).digest
    assert ask({**ASK, "stream": None, "store": None}).stream is False


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ASK.items() if key != name}


def form(**described: Any) -> dict[str, Any]:
    return {**ASK, "text": {"format": {"type": "json_schema", **described}}}


@pytest.mark.parametrize(
    ("body", "wording", "param", "code"),
    [
        (b'{"model": ', "could not parse the JSON body", None, None),
        (b"[]", "could not parse the JSON body", None, None),
        (without("model"), "Missing required parameter: 'model'.", "model", "missing_required_parameter"),
        ({**ASK, "model": None}, "Invalid type for 'model'", "model", "invalid_type"),
        ({**ASK, "model": ""}, "The requested model '' does not exist.", "model", "model_not_found"),
        (without("input"), "Missing required parameter: 'input'.", "input", "missing_required_parameter"),
        ({**ASK, "input": []}, 'One of "input" or "previous_response_id"', None, "missing_required_parameter"),
        ({**ASK, "input": 7}, "Invalid type for 'input'", "input", "invalid_type"),
        ({**ASK, "input": ["hi"]}, "expected an input item, but got a string instead.", "input[0]", "invalid_type"),
        ({**ASK, "input": [{"content": "hi"}]}, "Invalid value: ''. Supported values are: 'assistant', 'system', 'developer', and 'user'.", "input[0]", "invalid_value"),
        ({**ASK, "input": [{"role": "tool", "content": "hi"}]}, "Invalid value: 'tool'.", "input[0]", "invalid_value"),
        ({**ASK, "input": [{"role": "user"}]}, "Missing required parameter: 'input[0].content'.", "input[0].content", "missing_required_parameter"),
        ({**ASK, "input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, "Invalid value: 'text'. Supported values are: 'input_text'", "input[0].content[0].type", "invalid_value"),
        ({**ASK, "input": [USER, {"role": "assistant", "content": [{"type": "input_text", "text": "hi"}]}]}, "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.", "input[1].content[0]", "invalid_value"),
        ({**ASK, "input": [{"type": "letter"}]}, "Invalid value: 'letter'. Supported values are: 'message'", "input[0]", "invalid_value"),
        ({**ASK, "input": [USER, CALL]}, "No tool output found for function call call_1.", "input", None),
        ({**ASK, "input": [USER, GAVE]}, "No tool call found for function call output with call_id call_1.", "input", None),
        ({**ASK, "input": [USER, {**CALL, "arguments": None}]}, "'input[1].arguments'", "input[1].arguments", "missing_required_parameter"),
        ({**ASK, "input": [{"type": "item_reference", "id": "msg_1"}]}, "Item with id 'msg_1' not found.", "input", None),
        ({**ASK, "stream": "yes"}, "Invalid type for 'stream': expected a boolean", "stream", "invalid_type"),
        ({**ASK, "instructions": 7}, "Invalid type for 'instructions'", "instructions", "invalid_type"),
        ({**ASK, "max_output_tokens": 15}, "Expected a value >= 16, but got 15 instead.", "max_output_tokens", "integer_below_min_value"),
        ({**ASK, "temperature": 3}, "decimal above maximum value. Expected a value <= 2", "temperature", "decimal_above_max_value"),
        ({**ASK, "top_logprobs": 21}, "Expected a value <= 20", "top_logprobs", "integer_above_max_value"),
        ({**ASK, "truncation": "some"}, "Invalid value: 'some'. Supported values are: 'auto' and 'disabled'.", "truncation", "invalid_value"),
        ({**ASK, "store": "yes"}, "Invalid type for 'store'", "store", "invalid_type"),
        ({**ASK, "metadata": {"a": 1}}, "Invalid type for 'metadata.a': expected a string", "metadata.a", "invalid_type"),
        ({**ASK, "metadata": {"a": "b" * 513}}, "Invalid 'metadata.a': string too long.", "metadata.a", "string_above_max_length"),
        ({**ASK, "metadata": {str(n): "" for n in range(17)}}, "got an object with 17 properties", "metadata", "object_above_max_properties"),
        ({**ASK, "include": ["everything"]}, "Invalid value: 'everything'.", "include[0]", "invalid_value"),
        ({**ASK, "reasoning": {"effort": "huge"}}, "Invalid value: 'huge'. Supported values are: 'none', 'minimal'", "reasoning.effort", "invalid_value"),
        ({**ASK, "reasoning": "high"}, "Invalid type for 'reasoning'", "reasoning", "invalid_type"),
        ({**ASK, "previous_response_id": "chatcmpl-1"}, "Expected an ID that begins with 'resp'.", "previous_response_id", "invalid_value"),
        ({**ASK, "conversation": "conv_1"}, "Conversation with id 'conv_1' not found.", None, None),
        ({**ASK, "conversation": "conv_1", "previous_response_id": "resp_1"}, "Mutually exclusive parameters", None, "mutually_exclusive_parameters"),
        ({**ASK, "background": True}, "Unsupported parameter: 'background'", "background", "unsupported_parameter"),
        ({**ASK, "text": {"verbosity": "chatty"}}, "Invalid value: 'chatty'.", "text.verbosity", "invalid_value"),
        ({**ASK, "text": {"format": {"type": "xml"}}}, "Supported values are: 'json_object', 'text', and 'json_schema'.", "text.format.type", "invalid_value"),
        ({**ASK, "text": {"format": {"type": "json_object"}}}, "must contain the word 'json'", "input", None),
        (form(schema=CITY), "Missing required parameter: 'text.format.name'.", "text.format.name", "missing_required_parameter"),
        (form(name="a b", schema=CITY), "does not match pattern", "text.format.name", "invalid_value"),
        (form(name="a", schema={"type": "object"}, strict=True), "In context=(), 'additionalProperties' is required", "text.format.schema", "invalid_json_schema"),
        ({**ASK, "tools": "all"}, "Invalid type for 'tools'", "tools", "invalid_type"),
        ({**ASK, "tools": [{"name": "weather"}]}, "'tools[0].type'", "tools[0].type", "missing_required_parameter"),
        ({**ASK, "tools": [{"type": "function", "function": {"name": "weather"}}]}, "Missing required parameter: 'tools[0].name'.", "tools[0].name", "missing_required_parameter"),
        ({**ASK, "tools": [{**WEATHER, "parameters": {"type": "object"}}]}, "Invalid schema for function 'weather'", "tools[0].parameters", "invalid_function_parameters"),
        ({**ASK, "tools": [WEATHER], "tool_choice": "maybe"}, "Invalid value: 'maybe'.", "tool_choice", "invalid_value"),
        ({**ASK, "tools": [WEATHER], "tool_choice": {"type": "image_generation"}}, "Tool choice 'image_generation' not found in 'tools' parameter.", "tool_choice", "invalid_value"),
        ({**ASK, "tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "Tool choice 'function' not found in 'tools' parameter.", "tool_choice", "invalid_value"),
        ({**ASK, "tool_choice": "required"}, "must be specified with 'tools' parameter.", "tool_choice", None),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_openai_s_words(
    body: Any, wording: str, param: str | None, code: str | None
) -> None:
    error = refused(body)
    assert wording in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


@pytest.mark.parametrize(
    ("field", "wording", "code"),
    [
        ("messages", "this parameter has moved to 'input'", "unsupported_parameter"),
        ("response_format", "this parameter has moved to 'text.format'", "unsupported_parameter"),
        ("max_tokens", "this parameter has moved to 'max_output_tokens'", "unsupported_parameter"),
        ("frobnicate", "Unknown parameter: 'frobnicate'.", "unknown_parameter"),
    ],
)
def test_openai_itself_refuses_fields_that_it_does_not_have(
    llmroute: Any, field: str, wording: str, code: str
) -> None:
    llmroute.serve("https://vllm.example", provider="openai", models=["gpt-4o"])
    asked = {**ASK, "extra_body": {field: []}}
    with pytest.raises(openai.BadRequestError) as caught:
        client().responses.create(**asked)
    assert wording in str(caught.value)
    assert caught.value.code == code
    assert client(base_url="https://vllm.example/v1").responses.create(**asked).output_text


FIELDS = (
    "model", "input", "instructions", "max_output_tokens", "metadata", "parallel_tool_calls",
    "previous_response_id", "reasoning", "include", "store", "stream", "temperature", "text",
    "tool_choice", "tools", "top_logprobs", "truncation", "conversation", "prompt", "background",
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-3, 30) | st.floats(-3, 3) | st.text(max_size=3)
names = ["type", "role", "content", "text", "name", "format", "call_id", "output", "summary", "id"]
kinds = ["message", "function", "function_call", "function_call_output", "reasoning", "json_schema"]
anything = st.recursive(
    scalars | st.sampled_from(kinds),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), anything, min_size=1, max_size=3))
def test_whatever_is_asked_is_understood_or_refused(nonsense: dict[str, Any]) -> None:
    try:
        prompt = ask(ASK | nonsense)
    except Unreadable as unreadable:
        head, *_ = DIALECT.refuse(unreadable.refusal, "req_1", ())
        assert isinstance(head, Head)
        assert head.status in (400, 404)
    else:
        answer = say(prompt, Author(0), 0, None)
        assert answer.usage.input == prompt.tokens
        assert grammar_error(events_of(answer, prompt)) is None


@given(st.lists(anything, min_size=1, max_size=2), st.sampled_from(["input", "tools"]))
def test_whatever_a_list_holds_is_understood_or_refused(items: list[Any], name: str) -> None:
    for held in (items, [{"role": "user", "content": items}]):
        with suppress(Unreadable):
            assert ask({**ASK, name: held}).model == "gpt-4o"


def test_half_a_surrogate_pair_does_no_harm() -> None:
    prompt = ask(b'{"model": "\\ud800", "input": "\\udfff", "instructions": "\\ud800"}')
    answer = Answer("7f", 1, prompt.model, ("\ud800",), "stop", Usage(1, 1))
    _, data = events_of(answer, prompt)
    assert isinstance(data, Data)
    assert json.loads(data.body)["output"][0]["content"][0]["text"] == "\ud800"
