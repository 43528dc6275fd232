"""What OpenAI's Responses API reads, and how it words what it refuses.

Fields: https://platform.openai.com/docs/api-reference/responses/create; wordings as reported in
public issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects import Unreadable
from llmroute_sim.dialects.bodies import digest, remembered
from llmroute_sim.dialects.openai_fields import (
    ANSWER_IGNORES,
    absent,
    boolean,
    check_range,
    fields_in,
    invalid,
    mistyped,
    positive,
)
from llmroute_sim.dialects.openai_responses_fields import (
    check,
    includes,
    repeated,
    thinking,
    unknown,
)
from llmroute_sim.dialects.openai_responses_inputs import Input
from llmroute_sim.dialects.openai_responses_tools import offered, wanted
from llmroute_sim.prompt import Earlier, Operation, Prompt, Refusal
from llmroute_sim.tokens import PER_MESSAGE, PER_PART, count

__all__ = ("parse",)

_LEAST = 16
"""Tokens that an answer must be allowed at least."""

_ID = "resp_"


@remembered
def parse(body: bytes, operation: Operation) -> Prompt:
    """Understand the body of a request. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
    fields = fields_in(body)
    model = _model(fields)
    earlier = _earlier(fields.get("previous_response_id"))
    given = _given(fields, earlier)
    texts = given.texts
    told = includes(fields)
    as_json, schema = wanted(fields, texts)
    offer = offered(fields, texts)
    messages = given.messages
    instructions = fields.get("instructions")
    if instructions is not None:
        if type(instructions) is not str:
            raise mistyped("instructions", "a string", instructions)
        texts.insert(0, instructions)
        messages += 1
    for name, most in (("temperature", 2), ("top_p", 1)):
        check_range(name, fields.get(name), 0, most)
    stream = boolean(fields, "stream")
    limit = positive(fields, "max_output_tokens", least=_LEAST)
    thoughts = thinking(fields)
    check(fields)
    alternatives = positive(fields, "top_logprobs", most=20, least=0)
    return Prompt(
        operation,
        model,
        tuple(texts),
        count("\n".join(texts)) + PER_MESSAGE * messages + PER_PART * given.parts,
        digest(operation, fields, ANSWER_IGNORES),
        stream,
        True,
        limit,
        tools=offer.tools,
        may_call=offer.may and given.asks,
        must_call=offer.must,
        parallel=offer.parallel,
        json=as_json,
        schema=schema,
        thinking=thoughts,
        logprobs=(alternatives or 0) if "message.output_text.logprobs" in told else None,
        unknown=unknown(fields),
        earlier=earlier,
        kept=fields.get("store") is not False,
        drops=fields.get("truncation") == "auto",
        sealed="reasoning.encrypted_content" in told,
        repeated=repeated(fields),
    )


def _model(fields: Mapping[str, Any]) -> str:
    if "model" not in fields:
        raise absent("model")
    model = fields["model"]
    if type(model) is not str:
        raise mistyped("model", "a string", model)
    if not model:
        raise invalid("The requested model '' does not exist.", "model", "model_not_found")
    return model


def _given(fields: Mapping[str, Any], earlier: Earlier | None) -> Input:
    """What is asked, which may be nothing new where it goes on from an earlier answer."""
    if fields.get("conversation") is not None and earlier is not None:
        raise invalid(
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
            "'previous_response_id' or 'conversation'.",
            None,
            "mutually_exclusive_parameters",
        )
    for name, what in (("conversation", "Conversation"), ("prompt", "Prompt")):
        if (asked := fields.get(name)) is not None:
            identity = asked.get("id") if type(asked) is dict else asked
            raise _not_kept(f"{what} with id '{identity}' not found.")
    if "input" not in fields and earlier is None:
        raise absent("input")
    asked = fields.get("input", [])
    if asked in ("", []) and earlier is None:
        raise invalid(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be "
            "provided.",
            None,
            "missing_required_parameter",
        )
    return Input(asked, earlier is not None)


def _earlier(identity: Any) -> Earlier | None:
    name = "previous_response_id"
    if identity is None:
        return None
    if type(identity) is not str:
        raise mistyped(name, "a string", identity)
    if not identity.startswith(_ID.rstrip("_")):
        raise invalid(
            f"Invalid '{name}': '{identity}'. Expected an ID that begins with 'resp'.",
            name,
            "invalid_value",
        )
    message = f"Previous response with id '{identity}' not found."
    lost = invalid(message, name, "previous_response_not_found").refusal
    return Earlier(identity.removeprefix(_ID), lost)


def _not_kept(message: str) -> Unreadable:
    """Conversations and prompts are made at endpoints that are not here."""
    return Unreadable(Refusal("invalid_request", status=404, facts={"message": message}))
