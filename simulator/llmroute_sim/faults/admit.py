"""Faults of the admit stage: a request is turned away before anything is charged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llmroute_sim.faults.stages import AdmitFault, at_least
from llmroute_sim.prompt import Hint, Prompt, Refusal

__all__ = (
    "AccountSuspended",
    "Conflict",
    "ContextLengthExceeded",
    "ErrorPage",
    "Forbidden",
    "HeadersTooLarge",
    "InvalidRequest",
    "ModelGone",
    "Moderated",
    "Outage",
    "QuotaSpent",
    "RateLimit",
    "RequestTimeout",
    "TooLarge",
    "Unauthorized",
    "Unprocessable",
)


_OUTAGES: Mapping[int, str] = {
    500: "server_error",
    502: "bad_gateway",
    504: "gateway_timeout",
    529: "overloaded",
}


# -- the provider is not well


@dataclass(frozen=True, slots=True)
class Outage(AdmitFault):
    """The provider is down and says so in its own format: 500, 502, 503, 504, 529 where the provider
    has it, or any other status. How each looks, and where it was seen, is in the provider's table of
    errors."""

    status: int = 503

    _least = at_least(status=400)

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal(_OUTAGES.get(self.status, "unavailable"), status=self.status)


@dataclass(frozen=True, slots=True)
class ErrorPage(AdmitFault):
    """The network in front of the provider answers in its place (502, 503, 504, 520 to 527 or 530),
    with a page (``html``) or a line of ``text`` that is no JSON, a ray id and none of the provider's
    headers. Seen: 530 at OpenAI
    (https://status.openai.com/incidents/55qs3vq1m35z), pages at Anthropic
    (https://github.com/anthropics/claude-code/issues/3197)."""

    status: Literal[502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 530] = 502
    form: Literal["html", "text"] = "html"

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        kind = f"page_{self.status}" if self.form == "html" else "page_text"
        return Refusal(kind, status=self.status, facts={"status": self.status})


@dataclass(frozen=True, slots=True)
class RequestTimeout(AdmitFault):
    """The provider gave up on the request: 408. SDKs try it again (the OpenAI and Anthropic ones
    have a class or a rule for it); the wording is by analogy."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("timeout", status=408)


@dataclass(frozen=True, slots=True)
class Conflict(AdmitFault):
    """Somebody else holds what the request wants to change: 409, which SDKs try again. By analogy
    with a locked conversation (https://github.com/paulgmiller/careme/issues/379)."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("conflict")


# -- too much of it


@dataclass(frozen=True, slots=True)
class RateLimit(AdmitFault):
    """429 whatever the quota says. ``retry_after`` is the hint when to come back: seconds from now,
    which may be 0, past (negative) or days; or a text that is sent as it is; None sends none. ``hint``
    is how seconds are written: ``retry-after`` in seconds or as an HTTP date, or ``retry-after-ms``.
    Absurd ones: https://github.com/diegosouzapw/OmniRoute/issues/9504."""

    retry_after: float | str | None = None
    hint: Hint = "seconds"

    def __post_init__(self) -> None:
        super(RateLimit, self).__post_init__()
        match self.retry_after:
            case float(seconds) if math.isnan(seconds):
                raise ValueError("retry-after = nan is no time")
            case str(text) if not (text.isascii() and text.isprintable()):
                raise ValueError(f"retry-after = {text!r} cannot be sent: not printable ASCII")

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("rate_limit_requests", retry_after=self.retry_after, hint=self.hint)


@dataclass(frozen=True, slots=True)
class QuotaSpent(AdmitFault):
    """Credit or quota is used up, which waiting does not mend, in each provider's own words: OpenAI
    says 429 as for a rate limit, Anthropic 400, DeepSeek and Together 402. Sources: the tables of
    errors."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("insufficient_quota")


@dataclass(frozen=True, slots=True)
class TooLarge(AdmitFault):
    """The body is too large in bytes, whatever its tokens: 413, at some providers as a page of the
    network in front (https://github.com/anthropics/anthropic-sdk-python/issues/938)."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("request_too_large")


@dataclass(frozen=True, slots=True)
class HeadersTooLarge(AdmitFault):
    """The headers are too large for the network in front: 431. Seen at OpenAI from one cluster
    (https://status.openai.com/incidents/01JPVA3BH362W76A24FMEB3T98)."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("headers_too_large")


@dataclass(frozen=True, slots=True)
class ContextLengthExceeded(AdmitFault):
    """The prompt is said to be too long: always, or when it has more than ``limit`` tokens."""

    limit: int | None = None

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        if self.limit is not None and prompt.tokens <= self.limit:
            return None
        maximum = self.limit or window or 8192
        facts = {"maximum": maximum, "tokens": max(prompt.tokens, maximum + maximum // 5)}
        return Refusal("context_length", facts=facts)


# -- not like this


@dataclass(frozen=True, slots=True)
class InvalidRequest(AdmitFault):
    """The request is said to be wrong: 400, with ``message`` as the reason. Also what a provider's own
    defect looks like: sound requests were refused for one model in some regions (Azure's status
    history, incident 8GCS-858)."""

    message: str = "Invalid request."

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("invalid_request", facts={"message": self.message})


@dataclass(frozen=True, slots=True)
class Unprocessable(AdmitFault):
    """The request is read and not understood: 422, which Mistral and DeepSeek say where others say
    400; the wording at OpenAI and Anthropic is by analogy."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("unprocessable")


@dataclass(frozen=True, slots=True)
class Moderated(AdmitFault):
    """The input is refused by the provider's policy, with the provider's own status and code; also a
    false alarm (https://github.com/browser-use/browser-use/issues/4783)."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("moderation")


# -- not you


@dataclass(frozen=True, slots=True)
class Unauthorized(AdmitFault):
    """The key is refused: 401."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("auth")


@dataclass(frozen=True, slots=True)
class AccountSuspended(AdmitFault):
    """The account is shut, and every key of it: at Anthropic a 400
    (https://github.com/anthropics/claude-code/issues/19028), at others by analogy."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("account_suspended")


@dataclass(frozen=True, slots=True)
class Forbidden(AdmitFault):
    """The key is sound and may not: 403, because of where the caller is (``region``) or because the
    account has no access to the ``model``
    (https://platform.openai.com/docs/guides/error-codes)."""

    what: Literal["region", "model"] = "region"

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("permission" if self.what == "region" else "model_forbidden")


@dataclass(frozen=True, slots=True)
class ModelGone(AdmitFault):
    """The model does not exist (any more): 404, at some providers 400, while its siblings work."""

    def admit(self, prompt: Prompt, window: int | None) -> Refusal | None:
        return Refusal("model_not_found")
