from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import formats
from json_schemas import schemas
from llmroute_sim.dialects import find
from llmroute_sim.prompt import Operation, Prompt
from llmroute_sim.prose import Author
from llmroute_sim.speech import say
from llmroute_sim.tokens import PER_MESSAGE, PER_PART, count
from llmroute_sim.wire import Data, Headers

anthropic = pytest.importorskip("anthropic")
pydantic = pytest.importorskip("pydantic")

USER: Any = [{"role": "user", "content": "hello"}]
ASK: dict[str, Any] = {"model": "claude-opus-4-5", "max_tokens": 99, "messages": USER}
CLOSED = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
BETA: Headers = (("anthropic-beta", "context-management-2025-06-27"),)


class City(pydantic.BaseModel):
    name: str
    rivers: list[str]


def client() -> Any:
    return anthropic.Anthropic(api_key="sk-test", max_retries=0)


def read(asked: dict[str, Any], headers: Headers = (), operation: Operation = "messages") -> Prompt:
    return formats.read("anthropic", operation, asked, headers)


def refused(asked: dict[str, Any], headers: Headers = (), operation: Operation = "messages") -> str:
    return str(formats.refusal("anthropic", operation, asked, headers).facts["message"])


def form(schema: Any) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def closed(schema: Any) -> Any:
    """The same schema, its objects closed as Anthropic wants them."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict) or "enum" in schema or "const" in schema:
        return schema
    found = {
        key: {name: closed(inner) for name, inner in value.items()}
        if key == "properties"
        else closed(value)
        for key, value in schema.items()
    }
    if found.get("type") == "object":
        found["additionalProperties"] = False
        found.pop("minProperties", None)
    return found


# -- structured outputs


@given(schemas.map(closed), st.integers(0, 99), st.booleans())
def test_an_answer_meets_its_schema_streamed_or_not(schema: Any, seed: int, stream: bool) -> None:
    prompt = read({**ASK, "max_tokens": 10_000, "stream": stream, **form(schema)})
    answer = say(prompt, Author(seed), 0, None)
    bodies = [
        event.body.decode()
        for event in find("anthropic").answer(prompt, answer, ())
        if isinstance(event, Data)
    ]
    if stream:
        told = (json.loads(body.split("data: ")[1]) for body in bodies)
        text = "".join(t["delta"]["text"] for t in told if t["type"] == "content_block_delta")
    else:
        text = json.loads(bodies[0])["content"][0]["text"]
    Draft202012Validator(schema).validate(json.loads(text))


def test_the_sdk_parses_an_answer_into_the_model_that_was_asked_for(llmroute: Any) -> None:
    got = client().messages.parse(**ASK, output_format=City)
    assert isinstance(got.parsed_output, City)
    assert got.stop_reason == "end_turn"
    assert got.parsed_output.name in llmroute.history.attempts[-1].marks
    with client().messages.stream(**ASK, output_format=City) as stream:
        assert isinstance(stream.get_final_message().parsed_output, City)


def test_json_that_does_not_fit_into_its_tokens_is_cut(llmroute: Any) -> None:
    got = client().messages.create(**{**ASK, "max_tokens": 3}, **form(CLOSED))
    assert (got.stop_reason, got.usage.output_tokens) == ("max_tokens", 3)


@pytest.mark.parametrize(
    ("asked", "wording"),
    [
        ({"output_config": 3}, "output_config: Input should be a valid dictionary"),
        ({"output_config": {"format": 3}}, "output_config.format: Input should be"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type: Input should be 'json_schema'"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: Field required"),
        (form({"type": "object"}), "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"),
        (form({**CLOSED, "properties": {"a": {"type": "object"}}}), "output_config.format.schema: For 'object' type, 'additionalProperties' must"),
        (form({**CLOSED, "additionalProperties": True}), "output_config.format.schema: For 'object' type, 'additionalProperties: true' is not supported."),
        ({"output_format": {"type": "json_schema", "schema": {"type": "object"}}}, "output_format.schema: For 'object' type"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_met_is_refused_in_anthropic_s_words(
    asked: Any, wording: str
) -> None:
    assert refused({**ASK, **asked}).startswith(wording)


def test_effort_alone_is_no_form() -> None:
    assert read({**ASK, "output_config": {"effort": "low"}}).schema is None


# -- where an answer ends


def test_the_sdk_reads_at_which_sequence_an_answer_ended(llmroute: Any) -> None:
    got = client().messages.create(**ASK, stop_sequences=["e", "a", "i", "o", "u"])
    assert (got.stop_reason, got.stop_sequence in "aeiou") == ("stop_sequence", True)
    assert not set("".join(block.text for block in got.content)) & set("aeiou")
    never = client().messages.create(**ASK, stop_sequences=["\n\nHuman:"])
    assert (never.stop_reason, never.stop_sequence) == ("end_turn", None)


@pytest.mark.parametrize(
    ("stops", "wording"),
    [
        ("x", "stop_sequences: Input should be a valid list"),
        ([1], "stop_sequences.0: Input should be a valid string"),
        ([" "], "stop_sequences: each stop sequence must contain non-whitespace"),
    ],
)
def test_a_stop_sequence_must_be_one(stops: Any, wording: str) -> None:
    assert refused({**ASK, "stop_sequences": stops}) == wording


# -- fields


def test_fields_that_the_api_does_not_have_are_refused_by_it_alone(llmroute: Any) -> None:
    with pytest.raises(anthropic.BadRequestError, match="foo: Extra inputs are not permitted"):
        client().messages.create(**ASK, extra_body={"foo": 1})
    llmroute.serve("https://claude.corp.example", provider="anthropic", models=[ASK["model"]])
    here = anthropic.Anthropic(api_key="k", base_url="https://claude.corp.example")
    assert here.messages.create(**ASK, extra_body={"foo": 1}).content


def test_fields_of_a_beta_need_its_header() -> None:
    asked = {**ASK, "context_management": {}}
    assert read(asked).unknown is not None
    assert read(asked, BETA).unknown is None
    assert read({**ASK, "foo": 1}, BETA).unknown is not None


def test_a_count_has_no_room_for_an_answer() -> None:
    assert "messages" in refused({"model": "m"}, operation="count_tokens")
    counted = {"model": "m", "messages": USER}
    assert read(counted, operation="count_tokens").unknown is None
    assert read({**counted, "max_tokens": 9}, operation="count_tokens").unknown is not None


def test_what_is_marked_for_the_cache_is_charged_in_full(llmroute: Any) -> None:
    kept = {"type": "text", "text": "Be terse", "cache_control": {"type": "ephemeral"}}
    got = client().messages.create(**ASK, system=[kept], metadata={"user_id": "u"})
    assert got.usage.input_tokens == count("Be terse") + count("hello") + 2 * PER_MESSAGE
    assert got.usage.cache_creation_input_tokens == got.usage.cache_read_input_tokens == 0
    assert got.usage.cache_creation.ephemeral_5m_input_tokens == 0


def test_images_and_files_count_for_a_fixed_number_of_tokens() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}  # fmt: skip
    file = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    page = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a page"}}  # fmt: skip
    prompt = read({**ASK, "messages": [{"role": "user", "content": [image, file, page]}]})
    assert prompt.texts == ("a page",)
    assert prompt.tokens == PER_MESSAGE + 2 * PER_PART + count("a page")
