from __future__ import annotations

import enum
import functools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import formats
from json_schemas import schemas
from llmroute_sim.dialects import find
from llmroute_sim.prose import Author
from llmroute_sim.speech import say
from llmroute_sim.wire import Data

pydantic = pytest.importorskip("pydantic")
openai = pytest.importorskip("openai")

USER = [{"role": "user", "content": "Answer in JSON"}]
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": USER}
STRICT = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Mood(enum.StrEnum):
    calm = "calm"
    wild = "wild"


class Place(pydantic.BaseModel):
    name: str
    within: Place | None


class Report(pydantic.BaseModel):
    title: str
    mood: Mood
    score: int = pydantic.Field(ge=3, le=9)
    share: float | None
    places: list[Place]


def client(key: str = "sk-test") -> Any:
    return openai.OpenAI(api_key=key, max_retries=0)


def form(schema: Any, **settings: Any) -> dict[str, Any]:
    described = {"name": "report", "schema": schema, **settings}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


read = functools.partial(formats.read, "openai", "chat")
refused = functools.partial(formats.refused, "openai", "chat")


def said(body: dict[str, Any], seed: int = 0) -> str:
    prompt = read(body)
    answer = say(prompt, Author(seed), 0, None)
    events = find("openai").answer(prompt, answer, ())
    bodies = [event.body.decode() for event in events if isinstance(event, Data)]
    if not prompt.stream:
        return str(json.loads(bodies[0])["choices"][0]["message"]["content"])
    chunks = [json.loads(text.removeprefix("data: ")) for text in bodies[:-1]]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


# -- the SDK


def test_the_sdk_parses_an_answer_into_the_model_that_was_asked_for(llmroute: Any) -> None:
    got = client().chat.completions.parse(**ASK, response_format=Report)
    report = got.choices[0].message.parsed
    assert isinstance(report, Report)
    assert 3 <= report.score <= 9
    assert got.choices[0].finish_reason == "stop"
    last = llmroute.history.attempts[-1]
    assert {report.title, report.places[0].name} <= set(last.marks)


def test_the_sdk_parses_a_stream(llmroute: Any) -> None:
    with client().chat.completions.stream(**ASK, response_format=Report) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        got = stream.get_final_completion()
    assert isinstance(got.choices[0].message.parsed, Report)
    assert len(pieces) > 5
    assert "".join(pieces) == got.choices[0].message.content


def test_json_mode_answers_with_an_object_that_says_something(llmroute: Any) -> None:
    asked = {**ASK, "response_format": {"type": "json_object"}}
    got = client().chat.completions.create(**asked)
    (told,) = json.loads(got.choices[0].message.content).values()
    last = llmroute.history.attempts[-1]
    assert told.split()[0] == last.marks[0]
    assert told.split()[-1] == last.marks[-1]
    assert got.usage.completion_tokens > len(told.split())


def test_json_that_does_not_fit_into_its_tokens_is_cut(llmroute: Any) -> None:
    got = client().chat.completions.create(**ASK, **form(STRICT), max_completion_tokens=4)
    assert got.choices[0].finish_reason == "length"
    assert got.usage.completion_tokens == 4
    with pytest.raises(json.JSONDecodeError):
        json.loads(got.choices[0].message.content)
    assert llmroute.history.attempts[-1].marks == ()


def test_what_carries_no_word_is_claimed_by_nobody(llmroute: Any) -> None:
    closed = {"type": "object", "properties": {"mood": {"enum": ["calm", "wild"]}}}
    got = client().chat.completions.create(**ASK, **form(closed))
    assert json.loads(got.choices[0].message.content)["mood"] in ("calm", "wild")
    assert llmroute.history.attempts[-1].marks == ()


def test_two_attempts_share_no_word_in_their_json(llmroute: Any) -> None:
    for _ in range(2):
        client().chat.completions.parse(**ASK, response_format=Report)
    first, second = (set(attempt.marks) for attempt in llmroute.history.attempts)
    assert first
    assert second
    assert not first & second


# -- laws


@given(schemas, st.integers(0, 99), st.booleans())
def test_an_answer_meets_its_schema_streamed_or_not(schema: Any, seed: int, stream: bool) -> None:
    asked = {**ASK, **form(schema), "stream": stream}
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=checker).validate(json.loads(said(asked, seed)))


@given(schemas, st.integers(0, 99))
def test_the_pieces_of_a_stream_join_to_the_whole_answer(schema: Any, seed: int) -> None:
    asked = {**ASK, **form(schema)}
    assert said({**asked, "stream": True}, seed) == said(asked, seed)


@given(schemas, st.integers(0, 99))
def test_every_claimed_word_is_in_the_answer(schema: Any, seed: int) -> None:
    author = Author(seed)
    answer = say(read({**ASK, **form(schema)}), author, 0, None)
    assert all(mark in "".join(answer.words) for mark in author.marks)


# -- what is asked


def test_the_form_of_the_answer_is_understood() -> None:
    assert read({**ASK, "response_format": {"type": "text"}}).schema is None
    assert read({**ASK, "response_format": {"type": "json_object"}}).json
    prompt = read({**ASK, **form(STRICT, strict=True)})
    assert prompt.schema == STRICT
    assert prompt.tokens > read(ASK).tokens


def test_another_schema_is_another_question() -> None:
    open_ended = {**STRICT, "additionalProperties": True}
    assert read({**ASK, **form(STRICT)}).digest != read({**ASK, **form(open_ended)}).digest


NESTED = {**STRICT, "properties": {"city": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("asked", "wording", "param", "code"),
    [
        ({"response_format": "json"}, "expected an object, but got a string", "response_format", "invalid_type"),
        ({"response_format": {}}, "Missing required parameter", "response_format.type", "missing_required_parameter"),
        ({"response_format": {"type": "xml"}}, "Invalid value: 'xml'.", "response_format.type", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "Missing required parameter", "response_format.json_schema", "missing_required_parameter"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "Missing required", "response_format.json_schema.name", "missing_required_parameter"),
        (form({}, name="a b"), "does not match pattern", "response_format.json_schema.name", "invalid_value"),
        (form([]), "expected an object", "response_format.json_schema.schema", "invalid_type"),
        (form({"type": "array"}, strict=True), "'type: \"object\"', got 'type: \"array\"'", "response_format", None),
        (form({**STRICT, "additionalProperties": True}, strict=True), "In context=(), 'additionalProperties' is required to be supplied and to be false", "response_format", None),
        (form(NESTED, strict=True), "In context=('properties', 'city'), 'additionalProperties'", "response_format", None),
        (form({**STRICT, "required": []}, strict=True), "Missing 'city'.", "response_format", None),
        ({"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "hi"}]}, "must contain the word 'json'", "messages", None),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_met_is_refused_in_openai_s_words(
    asked: Any, wording: str, param: str, code: str | None
) -> None:
    error = refused({**ASK, **asked})
    assert wording in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


def test_a_schema_that_is_not_strict_may_be_open() -> None:
    assert read({**ASK, **form({"type": "object", "properties": {"a": {}}})}).schema
