"""What Anthropic's messages endpoint reads, and how it words what it refuses.

Wordings as reported in public issues; fields: https://platform.claude.com/docs/en/api/messages;
versions: https://platform.claude.com/docs/en/api/versioning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from llmroute_sim.dialects.anthropic_blocks import Reading, check_thoughts
from llmroute_sim.dialects.anthropic_fields import NO_OBJECT, boolean, invalid, required, unknown
from llmroute_sim.dialects.anthropic_tools import Offer, offered, wanted
from llmroute_sim.dialects.bodies import digest, read, remembered
from llmroute_sim.prompt import Operation, Prompt
from llmroute_sim.tokens import PER_MESSAGE, PER_PART, count

__all__ = ("parse",)

_ANSWER_IGNORES = frozenset(("stream", "metadata", "service_tier", "cache_control"))
"""Fields that change how an answer travels, what it costs or who asked, but not what it says."""

_USUAL = frozenset(
    ("model", "messages", "max_tokens", "metadata", "stream", "system", "temperature", "top_k",
     "top_p")
)  # fmt: skip
"""Fields that every prompt has, or of which it knows nothing."""

_COUNTED = frozenset(
    ("model", "messages", "cache_control", "output_config", "speed", "system", "thinking",
     "tool_choice", "tools")
)  # fmt: skip
_MESSAGES = _COUNTED | frozenset(
    ("max_tokens", "container", "diagnostics", "inference_geo", "metadata", "service_tier",
     "stop_sequences", "stream", "temperature", "top_k", "top_p")
)  # fmt: skip
_BETA = frozenset(
    ("billing_policy", "compaction", "container", "context_management", "fallback_credit_token",
     "fallbacks", "mcp_servers", "output_format", "prefill", "thread")
)  # fmt: skip
"""Fields that a request may have only with an ``anthropic-beta`` header."""

_SAMPLING = ("temperature", "top_p", "top_k")
_WITHOUT_SAMPLING = "2026-10-21"
"""The first API version that accepts no sampling parameters."""

_THINKING = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"

Thinking = Literal["shown", "hidden"]


Sent: TypeAlias = tuple[Operation, str | None, bool]
"""What is asked for beside the body: the operation, the API version, whether anything of a beta may
be used."""


@remembered
def parse(body: bytes, sent: Sent) -> Prompt:
    """Understand the body of a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
    try:
        fields = read(body)
    except ValueError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None
    if type(fields) is not dict:
        raise invalid(NO_OBJECT)
    operation, version, beta = sent
    counting = operation == "count_tokens"
    model = required(fields, "model", str, "string")
    limit = None if counting else required(fields, "max_tokens", int, "integer")
    messages = required(fields, "messages", list, "list")
    if not model:
        raise invalid("model: String should have at least 1 character")
    if limit is not None and limit < 1:
        raise invalid("max_tokens: must be greater than or equal to 1")
    if not messages:
        raise invalid("messages: at least one message is required")
    _check_sampling(fields, version)
    reading = Reading()
    count_of_messages = len(messages)
    if system := fields.get("system"):
        # Counted as the message that it is in other dialects.
        count_of_messages += 1
        reading.content(system, "system")
    for number, message in enumerate(messages):
        reading.message(message, number, len(messages))
    reading.settle()
    texts = reading.texts
    plain = fields.keys() <= _USUAL and not counting
    beside = {} if plain else _beside(fields, limit, reading, counting, beta)
    return Prompt(
        operation,
        model,
        tuple(texts),
        count("\n".join(texts)) + PER_MESSAGE * count_of_messages + PER_PART * reading.parts,
        digest(operation, fields, _ANSWER_IGNORES),
        boolean(fields, "stream"),
        True,
        limit,
        **beside,
    )


def _beside(
    fields: Mapping[str, Any], limit: int | None, reading: Reading, counting: bool, beta: bool
) -> dict[str, Any]:
    """What only some prompts have."""
    offer = offered(fields, reading.texts)
    thinking = None
    if fields.get("thinking") is not None:
        thinking = _thinking(fields["thinking"], limit, reading.answers_tool)
        if thinking is not None:
            _check_thinking(fields, offer, reading.answers_tool)
    known = _COUNTED if counting else _MESSAGES
    asked = fields["messages"][-1]["role"] == "user" and not reading.answers_tool
    return {
        "tools": offer.tools,
        "may_call": offer.may and asked,
        "must_call": offer.must,
        "parallel": offer.parallel,
        "schema": wanted(fields, reading.texts),
        "stop": _stops(fields.get("stop_sequences")),
        "thinking": thinking,
        "unknown": unknown(fields, known | _BETA if beta else known),
    }


def _stops(sequences: Any) -> tuple[str, ...]:
    if sequences is None:
        return ()
    if type(sequences) is not list:
        raise invalid("stop_sequences: Input should be a valid list")
    for number, text in enumerate(sequences):
        if type(text) is not str:
            raise invalid(f"stop_sequences.{number}: Input should be a valid string")
        if not text.strip():
            raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(sequences)


def _thinking(config: Any, limit: int | None, answers_tool: bool) -> Thinking | None:
    """Whether the model thinks before it answers, and whether that is shown."""
    if type(config) is not dict:
        raise invalid(f"thinking: {NO_OBJECT}")
    match kind := config.get("type"):
        case "disabled":
            return None
        case "between_tools":
            return "shown" if answers_tool else None
        case "enabled":
            budget = required(config, "budget_tokens", int, "integer", "thinking.enabled.")
            if budget < 1024:
                raise invalid(
                    "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
                )
            if limit is not None and budget >= limit:
                raise invalid(
                    "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our "
                    f"documentation at {_THINKING}#max-tokens-and-context-window-size"
                )
        case "adaptive":
            pass
        case None:
            raise invalid("thinking: Unable to extract tag using discriminator 'type'")
        case _:
            raise invalid(
                f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected "
                "tags: 'adaptive', 'between_tools', 'disabled', 'enabled'"
            )
    match config.get("display"):
        case None | "summarized":
            return "shown"
        case "omitted":
            return "hidden"
        case _:
            raise invalid(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")


def _check_thinking(fields: Mapping[str, Any], offer: Offer, answers_tool: bool) -> None:
    """Raises :class:`Unreadable` for what does not go together with thinking."""
    if offer.must is not None:
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if fields.get("temperature") not in (None, 1):
        raise invalid(
            "`temperature` may only be set to 1 when thinking is enabled. Please consult our "
            f"documentation at {_THINKING}"
        )
    if fields.get("top_k") is not None:
        raise invalid(
            "`top_k` must be unset when thinking is enabled. Please consult our documentation at "
            f"{_THINKING}"
        )
    if fields["thinking"]["type"] == "enabled":
        check_thoughts(fields["messages"], answers_tool)


def _check_sampling(fields: Mapping[str, Any], version: str | None) -> None:
    for name in _SAMPLING:
        if (value := fields.get(name)) is None:
            continue
        # Versions are dates, so their order is that of their letters.
        if version is not None and version >= _WITHOUT_SAMPLING:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if type(value) not in (int, float):
            raise invalid(f"{name}: Input should be a valid number")
        if name != "top_k" and not 0 <= value <= 1:
            raise invalid(f"{name}: range: 0..1")
