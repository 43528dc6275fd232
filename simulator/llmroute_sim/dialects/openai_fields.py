"""Fields of a request to OpenAI: reading them, and how OpenAI words what is wrong with them.

Wordings as reported in public issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects import Unreadable
from llmroute_sim.dialects.bodies import kind_of, read
from llmroute_sim.prompt import Refusal

__all__ = (
    "ANSWER_IGNORES",
    "absent",
    "absent_or_mistyped",
    "boolean",
    "check_range",
    "fields_in",
    "invalid",
    "listed",
    "mistyped",
    "positive",
    "stops",
    "unknown",
    "unsupported",
    "wants_usage",
)

_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
    "valid JSON. If you have trouble figuring out how to fix this, please contact us through our "
    "help center at help.openai.com.)"
)

ANSWER_IGNORES = frozenset(
    ("stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier",
     "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention")
)  # fmt: skip
"""Fields that change how an answer travels, what it costs or who asked, but not what it says."""


def fields_in(body: bytes) -> dict[str, Any]:
    """The fields of a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
    try:
        fields = read(body)
    except ValueError:
        raise invalid(_NOT_JSON) from None
    if type(fields) is not dict:
        raise invalid(_NOT_JSON)
    return fields


def boolean(fields: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false; absent is false."""
    value = fields.get(name)
    if value is None or type(value) is bool:
        return bool(value)
    raise mistyped(name, "a boolean", value)


def positive(
    fields: Mapping[str, Any], name: str, most: int | None = None, least: int = 1
) -> int | None:
    """A whole number within its bounds, None where the field is absent."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise mistyped(name, "an integer", value)
    if value < least:
        raise _out_of_range(name, "integer", "below minimum", f">= {least}, but got {value}")
    if most is not None and value > most:
        raise _out_of_range(name, "integer", "above maximum", f"<= {most}, but got {value}")
    return value


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raises :class:`Unreadable` for a number that is none, or out of its bounds."""
    if value is None:
        return
    if type(value) not in (int, float):
        raise mistyped(name, "a decimal", value)
    if value < low:
        raise _out_of_range(name, "decimal", "below minimum", f">= {low}, but got {value}")
    if value > high:
        raise _out_of_range(name, "decimal", "above maximum", f"<= {high}, but got {value}")


def stops(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts at which the model must stop: at most four."""
    match fields.get("stop"):
        case None | "":
            return ()
        case str(text):
            return (text,)
        case list(texts) if all(type(text) is str for text in texts):
            if len(texts) > 4:
                raise invalid(
                    "Invalid 'stop': array too long. Expected an array with maximum length 4, but "
                    f"got an array with length {len(texts)} instead.",
                    "stop",
                    "array_above_max_length",
                )
            return tuple(filter(None, texts))
        case other:
            raise mistyped("stop", "one of a string or array of strings", other)


def wants_usage(fields: Mapping[str, Any]) -> bool:
    """Whether a stream is to tell what was used."""
    options = fields.get("stream_options")
    if options is None:
        return False
    if type(options) is not dict:
        raise mistyped("stream_options", "an object", options)
    return bool(options.get("include_usage"))


def unknown(fields: Mapping[str, Any], known: frozenset[str]) -> Refusal | None:
    """What OpenAI says to fields that it does not have; None if there are none."""
    if fields.keys() <= known:
        return None
    names = [name for name in fields if name not in known]
    some = "argument" if len(names) == 1 else "arguments"
    return invalid(f"Unrecognized request {some} supplied: {', '.join(names)}").refusal


# -- wordings


def invalid(message: str, param: str | None = None, code: str | None = None) -> Unreadable:
    """The request cannot be used, for a reason in words."""
    facts = {"message": message, "param": param, "code": code}
    return Unreadable(
        Refusal("invalid_request", facts={k: v for k, v in facts.items() if v is not None})
    )


def absent(param: str) -> Unreadable:
    """A field that must be there is not."""
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def mistyped(param: str, expected: str, got: object) -> Unreadable:
    """A field holds something of another type."""
    return invalid(
        f"Invalid type for '{param}': expected {expected}, but got {kind_of(got)} instead.",
        param,
        "invalid_type",
    )


def absent_or_mistyped(fields: Mapping[str, Any], param: str, expected: str) -> Unreadable:
    """A field that must be there is not, or of another type."""
    return mistyped(param, expected, fields[param]) if param in fields else absent(param)


def unsupported(value: object, allowed: str, param: str) -> Unreadable:
    """A field has none of the values that it may have."""
    return invalid(
        f"Invalid value: '{value}'. Supported values are: {allowed}.", param, "invalid_value"
    )


def listed(names: list[str]) -> str:
    """Names in quotes, with the comma that OpenAI sets before its ``and``."""
    *most, last = (f"'{name}'" for name in names)
    if len(most) < 2:
        return " and ".join([*most, last])
    return f"{', '.join(most)}, and {last}"


def _out_of_range(param: str, kind: str, side: str, rest: str) -> Unreadable:
    return invalid(
        f"Invalid '{param}': {kind} {side} value. Expected a value {rest} instead.",
        param,
        f"{kind}_{side.replace('imum', '').replace(' ', '_')}_value",
    )
