"""JSON Schemas as people write them, each with at least one value that meets it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ("FORMATS", "PATTERNS", "names", "objects", "schemas", "small")

FORMATS = (
    "date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri",
)  # fmt: skip
PATTERNS = (
    "^[a-z]+$", "^[A-Z]{3}-[0-9]{4}$", r"^\d{5}(-\d{4})?$", "^(red|green|blue)$", "[0-9]",
    r"^user_[a-z0-9]{1,30}$", r"^#[0-9a-fA-F]{6}$", r"^(\w+)@\1$", "^[^a-z]+$", r"^.{30,40}$", "^x*$",
    r"^\+?[1-9]\d{1,14}$", r"^v\d+\.\d+\.\d+$", "a.c",
)  # fmt: skip

names = st.sampled_from(["a", "b", "street", "zip code", "é"])
small = st.integers(-50, 50)


@st.composite
def strings(draw: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    match draw(st.sampled_from(["plain", "length", "format", "pattern"])):
        case "length":
            least = draw(st.integers(0, 60))
            schema |= {"minLength": least, "maxLength": least + draw(st.integers(0, 40))}
            if draw(st.booleans()):
                del schema["maxLength"]
        case "format":
            schema["format"] = draw(st.sampled_from(FORMATS))
        case "pattern":
            schema["pattern"] = draw(st.sampled_from(PATTERNS))
    return schema


@st.composite
def numbers(draw: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    low = draw(small)
    high = low + draw(st.integers(12, 90))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = high
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 5, 0.5, 0.25, 0.1, 0.01]))
    return schema


scalars = (
    strings()
    | numbers()
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 4}, {"const": None}, {}])
    | st.builds(lambda options: {"enum": options}, st.lists(small | names, min_size=1, max_size=4))
    | st.just({"type": ["string", "null"]})
)


def objects(inner: Any) -> Any:
    @st.composite
    def build(draw: Any) -> dict[str, Any]:
        properties = draw(st.dictionaries(names, inner, max_size=4))
        required = (
            draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
        )
        schema = {"type": "object", "properties": properties, "required": required}
        match draw(st.sampled_from(["open", "closed", "map", "least"])):
            case "closed":
                schema["additionalProperties"] = False
            case "map":
                schema["additionalProperties"] = draw(inner)
            case "least":
                schema["minProperties"] = draw(st.integers(0, 6))
        return schema

    return build()


def arrays(inner: Any) -> Any:
    @st.composite
    def build(draw: Any) -> dict[str, Any]:
        least = draw(st.integers(0, 4))
        schema = {"type": "array", "items": draw(inner), "minItems": least}
        if draw(st.booleans()):
            schema["maxItems"] = least + draw(st.integers(0, 2))
        if draw(st.booleans()):
            schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=2))
        return schema

    return build()


schemas = st.recursive(
    scalars,
    lambda inner: (
        objects(inner)
        | arrays(inner)
        | st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda one: {"allOf": [one, {"description": "as before"}]}, inner)
    ),
    max_leaves=8,
)
