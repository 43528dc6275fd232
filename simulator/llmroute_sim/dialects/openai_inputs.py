"""Requests to OpenAI that have texts in place of messages: text completions and embeddings.

Fields: https://platform.openai.com/docs/api-reference/completions and .../embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects.bodies import digest
from llmroute_sim.dialects.openai_fields import (
    absent,
    boolean,
    invalid,
    positive,
    stops,
    unknown,
    unsupported,
    wants_usage,
)
from llmroute_sim.prompt import Prompt
from llmroute_sim.tokens import count

__all__ = ("completions", "embeddings")

_ANSWER_IGNORES = frozenset(("stream", "stream_options", "user", "encoding_format"))
_COMPLETIONS = frozenset(
    ("model", "prompt", "best_of", "echo", "frequency_penalty", "logit_bias", "logprobs",
     "max_tokens", "n", "presence_penalty", "seed", "stop", "stream", "stream_options", "suffix",
     "temperature", "top_p", "user")
)  # fmt: skip
_EMBEDDINGS = frozenset(("model", "input", "dimensions", "encoding_format", "user"))

_SHORT = 16
"""Tokens of a text completion whose length was not asked for."""


def completions(model: str, fields: Mapping[str, Any]) -> Prompt:
    """Understand what asks for texts to be gone on with."""
    texts = [""] if fields.get("prompt") is None else _texts(fields["prompt"], empty=True)
    if texts is None:
        raise invalid("'$.prompt' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.")  # fmt: skip
    limit = positive(fields, "max_tokens", least=0)
    suffix = fields.get("suffix")
    stream = boolean(fields, "stream")
    return Prompt(
        "completions",
        model,
        tuple(texts),
        count("\n".join([*texts, suffix] if type(suffix) is str else texts)),
        digest("completions", fields, _ANSWER_IGNORES),
        stream,
        stream and wants_usage(fields),
        _SHORT if limit is None else limit,
        n=positive(fields, "n", most=128) or 1,
        stop=stops(fields),
        logprobs=positive(fields, "logprobs", most=5, least=0),
        echo=boolean(fields, "echo"),
        unknown=unknown(fields, _COMPLETIONS),
    )


def embeddings(model: str, fields: Mapping[str, Any]) -> Prompt:
    """Understand what asks for vectors."""
    if "input" not in fields:
        raise absent("input")
    texts = _texts(fields["input"], empty=False)
    if texts is None:
        raise invalid(
            "'$.input' is invalid. Please check the API reference: "
            "https://platform.openai.com/docs/api-reference."
        )
    encoding = fields.get("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise unsupported(encoding, "'float' and 'base64'", "encoding_format")
    return Prompt(
        "embeddings",
        model,
        tuple(texts),
        count("\n".join(texts)),
        digest("embeddings", fields, _ANSWER_IGNORES),
        dimensions=positive(fields, "dimensions"),
        base64=encoding == "base64",
        unknown=unknown(fields, _EMBEDDINGS),
    )


def _texts(given: Any, *, empty: bool) -> list[str] | None:
    """One text or several, as text or as tokens; None for anything else."""
    match given:
        case str(text) if text or empty:
            return [text]
        case list(items) if items and all(type(item) is str and (item or empty) for item in items):
            return items
        case list(items) if _are_tokens(items):
            return [_as_text(items)]
        case list(items) if items and all(type(i) is list and _are_tokens(i) for i in items):
            return [_as_text(item) for item in items]
        case _:
            return None


def _are_tokens(items: list[Any]) -> bool:
    return bool(items) and all(type(item) is int and item >= 0 for item in items)


def _as_text(ids: list[int]) -> str:
    """Token ids as a text of as many tokens, since an id has fewer than nine digits."""
    return " ".join(map(str, ids))
