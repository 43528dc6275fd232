from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from json_schemas import PATTERNS, names, schemas, small
from llmroute_sim.patterns import matching
from llmroute_sim.prose import Author
from llmroute_sim.schemas import fitting

pytestmark = pytest.mark.once

seeds = st.integers(0, 1000)


def said(schema: Any, seed: int = 0) -> Any:
    return fitting(schema, Author(seed))


def fits(schema: Any, seed: int = 0) -> bool:
    Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator.FORMAT_CHECKER
    value = json.loads(json.dumps(said(schema, seed)))
    errors = list(Draft202012Validator(schema, format_checker=checker).iter_errors(value))
    assert not errors, (value, errors[0].message)
    return True


@given(schemas, seeds)
def test_a_value_meets_its_schema(schema: Any, seed: int) -> None:
    assert fits(schema, seed)


@given(schemas, schemas, seeds)
def test_a_value_meets_a_schema_that_is_referred_to(one: Any, other: Any, seed: int) -> None:
    linked = {"type": "object", "properties": {"b": {"$ref": "#/$defs/other"}}, "required": ["b"]}
    schema = {
        "$defs": {"one": one, "other": other, "linked": linked},
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/one"}, "c": {"$ref": "#/$defs/linked"}},
        "required": ["a", "c"],
    }
    assert fits(schema, seed)


@given(schemas, seeds)
def test_the_same_seed_says_the_same(schema: Any, seed: int) -> None:
    assert said(schema, seed) == said(schema, seed)


@given(st.recursive(st.none() | st.booleans() | small | names, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["type", "properties", "items", "required", "enum", "anyOf", "$ref", "minimum", "minItems", "pattern", "multipleOf", "minLength"]), inner, max_size=4), max_leaves=10), seeds)  # fmt: skip
def test_whatever_is_no_schema_does_no_harm(schema: Any, seed: int) -> None:
    json.dumps(said(schema, seed))


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"type": "object", "properties": {"again": {"$ref": "#"}, "n": {"type": "integer"}}},
        {"definitions": {"a/b": {"type": "integer"}}, "$ref": "#/definitions/a~1b"},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 4}, "uniqueItems": True, "minItems": 4},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2},
        {"type": "array", "contains": {"const": 7}, "minContains": 2, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        {"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]}, {"type": "string"}]},
        {"allOf": [{"properties": {"a": {"type": "integer", "minimum": 3}}}, {"properties": {"a": {"maximum": 4}}, "required": ["a"]}], "type": "object"},
        {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"type": "object", "properties": {"kind": {"enum": ["x", "y"]}}, "if": {"properties": {"kind": {"const": "y"}}}, "then": {"properties": {"size": {"type": "integer"}}, "required": ["size"]}},
        {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "minProperties": 2, "additionalProperties": False},
        {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"pattern": "^[A-Z]{2}$"}, "minProperties": 1},
        {"type": "object", "required": ["unnamed"], "additionalProperties": {"type": "boolean"}},
        {"type": "object", "maxProperties": 1, "properties": {"a": {}, "b": {}}, "required": ["b"]},
        {"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}, "properties": {"a": {}, "b": {"type": "null"}}},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        {"type": "number", "minimum": 2.5, "maximum": 2.5},
        {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1},
        {"minLength": 500},
        {"minimum": 5, "type": ["null", "integer"]},
        True,
    ],
)  # fmt: skip
def test_what_schemas_are_made_of_is_met(schema: Any) -> None:
    assert all(fits(schema, seed) for seed in range(20))


def test_a_schema_that_contains_itself_ends() -> None:
    endless = {"$defs": {"n": {"type": "object", "properties": {"l": {"$ref": "#/$defs/n"}, "r": {"$ref": "#/$defs/n"}}, "required": ["l", "r"]}}, "$ref": "#/$defs/n"}  # fmt: skip
    assert isinstance(said(endless), dict)
    assert len(json.dumps(said(TREE))) < 500


def test_a_reference_to_nothing_is_anything() -> None:
    assert said({"$ref": "#/$defs/nowhere"})
    assert said({"$ref": "#"}) is not None


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_matches_its_pattern(pattern: str) -> None:
    for seed in range(20):
        text = matching(pattern, Author(seed), 0, 100)
        assert text is not None
        assert re.search(pattern, text)


@pytest.mark.parametrize("pattern", ["(", "^(?=.*[A-Z])(?=.*[0-9])[a-z]{4}$", "^a{1000}$"])
def test_a_pattern_that_nothing_meets_is_told(pattern: str) -> None:
    assert matching(pattern, Author(0), 0, 50) is None
    assert isinstance(said({"type": "string", "pattern": pattern}), str)


@pytest.mark.parametrize(
    ("schema", "carries"),
    [
        ({"type": "string"}, True),
        ({"type": "string", "minLength": 40}, True),
        ({"type": "string", "maxLength": 11}, False),
        ({"type": "string", "format": "email"}, True),
        ({"type": "string", "format": "uuid"}, False),
        ({"type": "string", "pattern": "^user_[a-z0-9]{1,30}$"}, True),
        ({"type": "string", "pattern": "a.c"}, True),
        ({"type": "string", "pattern": "^[0-9]+$"}, False),
        ({"enum": ["red", "green"]}, False),
        ({"type": "integer"}, False),
        ({"type": "array", "items": {"type": "string"}}, True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, True),
    ],
)
def test_a_coined_word_is_in_every_text_that_can_hold_one(schema: Any, carries: bool) -> None:
    author = Author(0)
    author.keep(json.dumps(fitting(schema, author)))
    assert bool(author.marks) == carries
