"""How a request comes in at a provider: what it asks, and whether it may."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from llmroute_sim.accounts import Account
from llmroute_sim.deployments import Deployment
from llmroute_sim.dialects import Dialect, Unreadable
from llmroute_sim.history import Attempt, fingerprint
from llmroute_sim.prompt import FREE, Facts, Prompt, Refusal
from llmroute_sim.providers import Model, Provider
from llmroute_sim.struck import Struck
from llmroute_sim.wire import Request

__all__ = ("admitted", "fitted", "read")


def read(
    request: Request, provider: Provider, dialect: Dialect, attempt: Attempt
) -> Prompt | Refusal:
    """Understand a request, and note in the attempt what it asks."""
    secret = dialect.key(request)
    attempt.key = _fingerprint_of_key(secret) if secret else None
    operation = dialect.operation(request.method, request.path)
    if operation is None:
        return Refusal("not_found", facts={"method": request.method, "path": request.path})
    attempt.operation = operation
    if _too_large(request, provider):
        return Refusal("request_too_large")
    try:
        prompt = dialect.parse(operation, request)
    except Unreadable as unreadable:
        return unreadable.refusal
    attempt.model, attempt.stream = prompt.model or None, prompt.stream
    attempt.prompt, attempt.features = prompt.digest, prompt.features
    attempt.request = fingerprint(request.body)
    return prompt


def admitted(
    prompt: Prompt,
    found: Deployment,
    sold: Model | None,
    account: Account | None,
    struck: Struck,
    now: float,
) -> Refusal | None:
    """Why an attempt is turned away, if it is: by the provider itself, or by a fault."""
    if struck.attempt.key is None:
        return Refusal("auth")
    if sold is None and prompt.operation != "models":
        return Refusal("model_not_found", facts={"model": prompt.model})
    window = None if sold is None or prompt.operation in FREE else sold.window
    if (refusal := struck.turned_away(prompt, window)) is not None:
        return refusal
    if prompt.unknown is not None and found.strict:
        return prompt.unknown
    refusal = _overflow(prompt, window) or _missized(prompt, sold)
    if refusal is not None:
        return refusal
    return None if account is None else account.lacking(prompt, now)


def fitted(prompt: Prompt, sold: Model) -> Prompt:
    """A prompt as the model reads it: what may be dropped and does not fit is not there, and vectors
    are as long as the model makes them."""
    window, size = sold.window, sold.size
    if prompt.operation == "embeddings" and size is not None:
        shorter = prompt.dimensions if size.dimensions == "shorten" else None
        return replace(prompt, dimensions=shorter or size.length)
    if window is None or not prompt.drops:
        return prompt
    room = max(0, window - (prompt.max_tokens or 0))
    return prompt if prompt.tokens <= room else replace(prompt, tokens=room)


_fingerprint_of_key = lru_cache(maxsize=256)(fingerprint)
"""The few keys of a world come again and again."""


def _too_large(request: Request, provider: Provider) -> bool:
    """In bytes. Where a provider documents no size, what no carrier keeps is too large."""
    largest = provider.largest_body
    return request.lost > 0 or (largest is not None and request.size > largest)


def _missized(prompt: Prompt, sold: Model | None) -> Refusal | None:
    """What is said to vectors of a length that the model cannot make."""
    size = None if sold is None else sold.size
    if size is None or prompt.dimensions is None:
        return None
    if size.dimensions == "refused":
        # Reported: https://github.com/SciPhi-AI/R2R/issues/354
        facts: Facts = {"message": "This model does not support specifying dimensions."}
        return Refusal("invalid_request", facts=facts)
    if size.dimensions == "shorten" and prompt.dimensions > size.length:
        # Assumed, in the words for other numbers.
        said = (
            "Invalid 'dimensions': integer above maximum value. Expected a value <="
            f" {size.length}, but got {prompt.dimensions} instead."
        )
        facts = {"message": said, "param": "dimensions", "code": "integer_above_max_value"}
        return Refusal("invalid_request", facts=facts)
    return None


def _overflow(prompt: Prompt, window: int | None) -> Refusal | None:
    """What a provider says to a prompt that is longer than the model's window (tokens), with the
    answer that it wants; None if it fits, or may be made to."""
    if window is None or prompt.drops or prompt.tokens + (prompt.max_tokens or 0) <= window:
        return None
    facts: Facts = {"model": prompt.model, "maximum": window, "tokens": prompt.tokens}
    return Refusal("context_length", facts=facts)
