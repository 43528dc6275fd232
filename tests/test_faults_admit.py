from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from llmroute_sim import faults
from meeting import HOSTS, body, header, met, status

EVERYBODY = pytest.mark.parametrize("provider", list(HOSTS))
EPOCH = datetime(2027, 1, 1, tzinfo=UTC)


def error(events):
    """What a refusal says, wherever the provider puts that."""
    said = json.loads(body(events))
    return said.get("error", said)


@EVERYBODY
@pytest.mark.parametrize("code", [500, 502, 503, 504, 507])
def test_an_outage_is_told_with_its_status_and_charges_nothing(provider, code):
    events, simulator = met(faults.Outage(code), provider=provider)
    (attempt,) = simulator.history.attempts
    assert status(events) == code
    assert (attempt.outcome, attempt.spent, attempt.tokens_out) == (str(code), 0, 0)


@pytest.mark.parametrize("code", [500, 502, 504])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "groq", "deepseek", "together"])
def test_an_outage_is_in_the_providers_json(provider, code):
    events, _ = met(faults.Outage(code), provider=provider)
    assert header(events, "content-type") == "application/json"
    assert error(events)["message"]


@EVERYBODY
@pytest.mark.parametrize("code", [502, 504, 520, 524, 530])
def test_an_error_page_is_no_json_and_not_of_the_provider(provider, code):
    events, simulator = met(faults.ErrorPage(code), provider=provider)
    assert status(events) == code
    assert header(events, "content-type").startswith("text/html")
    assert header(events, "server") == "cloudflare"
    assert header(events, "cf-ray")
    assert header(events, "x-request-id") is header(events, "request-id") is None
    said = body(events).decode()
    assert HOSTS[provider] in said
    assert str(code) in said
    assert simulator.history.attempts[0].error == f"page_{code}"


def test_an_error_page_may_be_one_line_of_text():
    events, _ = met(faults.ErrorPage(524, form="text"))
    assert header(events, "content-type").startswith("text/plain")
    assert body(events) == b"error code: 524"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("fault", "code", "kind"),
    [
        (faults.RequestTimeout(), 408, "timeout"),
        (faults.Conflict(), 409, "conflict"),
        (faults.TooLarge(), 413, "request_too_large"),
        (faults.HeadersTooLarge(), 431, "headers_too_large"),
        (faults.Unprocessable(), 422, "unprocessable"),
        (faults.InvalidRequest(), 400, "invalid_request"),
        (faults.Forbidden(), 403, "permission"),
        (faults.Forbidden("model"), 403, "model_forbidden"),
        (faults.Moderated(), 400, "moderation"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, faults.AdmitFault) else None,
)
def test_a_refusal_has_its_status_and_is_known_by_its_kind(provider, fault, code, kind):
    events, simulator = met(fault, provider=provider)
    (attempt,) = simulator.history.attempts
    assert (status(events), attempt.error, attempt.spent) == (code, kind, 0)
    assert attempt.faults


def test_what_is_wrong_with_a_request_can_be_said():
    events, _ = met(faults.InvalidRequest("tools: too many"))
    assert error(events)["message"] == "tools: too many"


def test_who_is_where_it_is_not_sold_hears_another_thing_than_who_may_not_have_the_model():
    region, _ = met(faults.Forbidden())
    model, _ = met(faults.Forbidden("model"))
    assert error(region)["code"] == "unsupported_country_region_territory"
    assert "`gpt-4o`" in error(model)["message"]


@pytest.mark.parametrize(
    ("provider", "code", "word"),
    [
        ("openai", 429, "insufficient_quota"),
        ("anthropic", 400, "credit balance is too low"),
        ("deepseek", 402, "Insufficient Balance"),
        ("together", 402, "credit_limit"),
        ("groq", 429, "per day (TPD)"),
        ("mistral", 402, "credit"),
    ],
)
def test_a_quota_that_is_spent_is_told_in_each_providers_own_way(provider, code, word):
    events, simulator = met(faults.QuotaSpent(), provider=provider)
    assert status(events) == code
    assert word in body(events).decode()
    assert header(events, "retry-after") is None
    assert simulator.history.attempts[0].error == "insufficient_quota"


@pytest.mark.parametrize("provider", ["openai", "anthropic", "groq", "mistral"])
def test_a_quota_that_is_spent_is_not_told_as_a_rate_limit(provider):
    spent, _ = met(faults.QuotaSpent(), provider=provider)
    limited, _ = met(faults.RateLimit(), provider=provider)
    assert body(spent) != body(limited)


@pytest.mark.parametrize(("provider", "code"), [("openai", 403), ("anthropic", 400), ("groq", 403)])
def test_a_suspended_account_is_not_a_wrong_key(provider, code):
    events, simulator = met(faults.AccountSuspended(), provider=provider)
    key, _ = met(faults.Unauthorized(), provider=provider)
    assert (status(events), simulator.history.attempts[0].error) == (code, "account_suspended")
    assert body(events) != body(key)


@pytest.mark.parametrize(
    ("provider", "code"), [("openai", 404), ("anthropic", 404), ("mistral", 400), ("deepseek", 400)]
)
def test_a_model_that_is_gone_has_each_providers_own_status(provider, code):
    events, _ = met(faults.ModelGone(), provider=provider)
    assert status(events) == code


# -- hints


def test_a_hint_is_sent_in_seconds_or_in_milliseconds():
    events, _ = met(faults.RateLimit(2))
    assert header(events, "retry-after") == "2"
    events, simulator = met(faults.RateLimit(2.5, hint="milliseconds"))
    assert header(events, "retry-after-ms") == "2500"
    assert header(events, "retry-after") is None
    assert simulator.history.attempts[0].retry_after == 2.5


@pytest.mark.parametrize("seconds", [90, 0.25, 0, -30, 3 * 86_400])
def test_a_hint_may_be_a_date_and_comes_with_the_date_it_is_counted_from(seconds):
    events, simulator = met(faults.RateLimit(seconds, hint="date"))
    assert parsedate_to_datetime(header(events, "date")) == EPOCH
    told = parsedate_to_datetime(header(events, "retry-after")) - EPOCH
    assert timedelta(seconds=seconds) <= told < timedelta(seconds=seconds + 1)
    assert simulator.history.attempts[0].retry_after == seconds


@pytest.mark.parametrize(
    ("hint", "sent"),
    [(0, "0"), (-5, "-5"), (-2.5, "-2.5"), (259_200, "259200"), ("soon", "soon"), ("", "")],
)
def test_a_hint_may_be_absurd(hint, sent):
    events, simulator = met(faults.RateLimit(hint))
    assert header(events, "retry-after") == sent
    expected = None if isinstance(hint, str) else hint
    assert simulator.history.attempts[0].retry_after == expected
