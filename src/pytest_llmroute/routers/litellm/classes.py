"""Classes of errors: what LiteLLM raises when a provider fails, and which scenarios bring it about
(https://docs.litellm.ai/docs/exception_mapping)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from llmroute_sim.scenario import shipped

__all__ = ("CLASSES", "may_raise", "raising")

CLASSES: Mapping[str, tuple[str, ...]] = {
    "BadRequestError": ("invalid-request",),
    "AuthenticationError": ("unauthorized",),
    "TimeoutError": ("request-timeout", "silence", "slow-first-token"),
    "RateLimitError": ("rate-limit",),
    "ContentPolicyViolationError": ("moderated",),
    "InternalServerError": ("outage 500",),
    "ServiceUnavailableError": ("outage 503",),
    "BadGatewayError": ("outage 502",),
    "NotFoundError": ("model-gone",),
}
"""Classes as policies name them, and the faults that surely raise each."""

_DOUBTFUL: Mapping[str, tuple[str, ...]] = {
    "BadRequestError": ("context-length-exceeded", "moderated", "too-large", "headers-too-large",
                        "unprocessable", "quota-spent"),
    "AuthenticationError": ("forbidden", "account-suspended"),
    "TimeoutError": ("stall", "unreachable", "latency-spike", "filler", "drip"),
    "RateLimitError": ("quota-spent",),
    "ContentPolicyViolationError": ("refused-by-model", "invalid-request"),
    "NotFoundError": ("unauthorized",),
}  # fmt: skip
"""Faults that may raise a class too, as far as anybody knows."""
_ANYTHING = frozenset({
    "outage", "error-page", "error-in-body", "error-in-stream", "refused", "name-not-found", "cut",
    "reset", "malformed-chunk", "wrong-length", "wrong-content-type", "damaged-compression",
    "tls-failure", "conflict",
})  # fmt: skip
"""Faults that LiteLLM may call an error of the server, of one class or another."""
_SERVER = ("InternalServerError", "ServiceUnavailableError", "BadGatewayError", "TimeoutError")


@cache
def raising(name: str) -> tuple[str, ...]:
    """The scenarios in which the target fails with one class of errors and nothing else."""
    sure = set(CLASSES.get(name, ()))
    return tuple(one for one, faults in _acting().items() if faults and faults <= sure)


@cache
def may_raise(name: str) -> tuple[str, ...]:
    """The scenarios in which a class of errors may be raised: whoever has a policy for it is not
    judged by the general number there."""
    known = {*CLASSES.get(name, ()), *_DOUBTFUL.get(name, ())}
    server = _ANYTHING if name in _SERVER else frozenset()
    return tuple(
        one
        for one, faults in _acting().items()
        if any(fault in known or fault.partition(" ")[0] in known | server for fault in faults)
        and not (faults <= _sure_of_others(name))
    )


def _sure_of_others(name: str) -> set[str]:
    """Faults that surely raise another class."""
    return {fault for other, faults in CLASSES.items() if other != name for fault in faults} - {
        *_DOUBTFUL.get(name, ())
    }


@cache
def _acting() -> Mapping[str, set[str]]:
    """The faults of every scenario by their names, an outage with its status."""
    return {
        name: {_named(one.get("fault")) for one in template.entry.get("incident", ())}
        for name, template in shipped().items()
    }


def _named(fault: Any) -> str:
    name = str(fault["name"] if isinstance(fault, Mapping) else fault)
    if name == "outage":
        status = fault.get("status", 503) if isinstance(fault, Mapping) else 503
        return f"outage {status}"
    return name
