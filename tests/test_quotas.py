from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.providers import load, provider
from llmroute_sim.quotas import Counting, Meter, Quota

OPENAI = ("https://api.openai.com/v1/chat/completions", "gpt-4o")
GROQ = ("https://api.groq.com/openai/v1/chat/completions", "llama-3.3-70b-versatile")
DAY = 86400.0


def ask(llmroute: Any, where: tuple[str, str] = OPENAI, key: str = "sk-a", text: str = "hi") -> Any:
    url, model = where
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return httpx.post(url, headers={"authorization": f"Bearer {key}"}, json=body)


def claude(key: str = "sk-a") -> Any:
    body = {"model": "claude-opus-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}  # fmt: skip
    return httpx.post(
        "https://api.anthropic.com/v1/messages", headers={"x-api-key": key}, json=body
    )


# -- a day that rolls


def test_a_spent_day_comes_back_bit_by_bit(llmroute: Any) -> None:
    llmroute.limit("openai", requests_per_day=200)
    assert {ask(llmroute).status_code for _ in range(200)} == {200}
    refused = ask(llmroute)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert "on requests per day (RPD): Limit 200, Used 200, Requested 1." in error["message"]
    assert "Please try again in 7m12s." in error["message"]
    assert refused.headers["retry-after"] == "432"
    llmroute.clock.sleep(432)
    assert ask(llmroute).status_code == 200
    assert ask(llmroute).status_code == 429
    llmroute.clock.sleep(DAY)
    assert ask(llmroute).headers["x-ratelimit-remaining-requests"] == "199"


def test_tokens_of_a_day_are_counted_too(llmroute: Any) -> None:
    llmroute.limit("groq", tokens_per_day=100)
    assert ask(llmroute, GROQ, text="word " * 60).status_code == 200
    refused = ask(llmroute, GROQ, text="word " * 60)
    assert "on tokens per day (TPD): Limit 100, Used 64, Requested 64." in refused.text
    assert llmroute.history.attempts[-1].error == "rate_limit_tokens_day"


def test_of_two_limits_the_one_to_wait_longest_for_is_told(llmroute: Any) -> None:
    llmroute.limit("openai", requests=1, requests_per_day=1)
    assert ask(llmroute).status_code == 200
    assert "requests per day" in ask(llmroute).text


def test_headers_tell_the_minute_but_groq_s_the_day(llmroute: Any) -> None:
    for who in ("openai", "groq"):
        llmroute.limit(who, requests=10, requests_per_day=1000, tokens=500)
    name = "x-ratelimit-limit-requests"
    assert ask(llmroute).headers[name] == "10"
    assert ask(llmroute, GROQ).headers[name] == "1000"
    assert ask(llmroute, GROQ).headers["x-ratelimit-limit-tokens"] == "500"
    llmroute.limit("openai", requests_per_day=1000)
    assert ask(llmroute).headers[name] == "1000"
    llmroute.limit("groq", requests=10)
    assert ask(llmroute, GROQ).headers[name] == "10"


def test_anthropic_words_a_day_as_it_words_a_minute(llmroute: Any) -> None:
    llmroute.limit("anthropic", requests_per_day=1)
    assert claude().status_code == 200
    refused = claude()
    assert refused.status_code == 429
    assert "rate limit for your organization of 1 requests per day" in refused.text


def test_without_limits_there_are_none(llmroute: Any) -> None:
    llmroute.limit("openai", requests_per_day=1)
    assert [ask(llmroute).status_code for _ in range(2)] == [200, 429]
    llmroute.limit("openai")
    assert ask(llmroute).status_code == 200


# -- a day that begins at midnight


def meter(epoch: datetime, **limits: int) -> Meter:
    return Meter(Quota(**limits), Counting("utc"), 0.0, epoch.timestamp())


EVENING = datetime(2027, 3, 1, 22, 0, tzinfo=UTC)


def test_a_calendar_day_is_whole_again_at_midnight_utc() -> None:
    found = meter(EVENING, requests_per_day=3)
    for _ in range(3):
        assert found.lacking(1, 0.0) is None
        found.take(1)
    assert found.lacking(1, 600.0) == ("requests_per_day", 7200 - 600)
    assert found.lacking(1, 7199.9) is not None
    assert found.lacking(1, 7200.0) is None
    assert found.used("requests_per_day") == 0
    room = found.room(0.0).requests
    assert room is not None
    assert room.reset == DAY


def test_more_than_a_day_holds_never_comes() -> None:
    found = meter(EVENING, tokens_per_day=10)
    assert found.lacking(11, 0.0) == ("tokens_per_day", math.inf)


@given(st.integers(0, 10), st.floats(0, 20 * DAY), st.integers(0, 86399))
def test_after_any_time_the_next_midnight_is_ahead(taken: int, later: float, second: int) -> None:
    found = meter(EVENING + timedelta(seconds=second), requests_per_day=10)
    for _ in range(taken):
        found.take(1)
    found.lacking(1, later)
    room = found.room(0.0).requests
    assert room is not None
    assert 0 < room.reset <= DAY
    into_a_day = (EVENING.timestamp() + second + later + room.reset) % DAY
    assert min(into_a_day, DAY - into_a_day) < 0.001


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 3 * DAY), max_size=60),
    st.sampled_from(["rolling", "utc"]),
)
def test_no_day_lets_more_through_than_two_days_rooms(
    limit: int, gaps: list[float], day: Any
) -> None:
    found = Meter(Quota(requests_per_day=limit), Counting(day), 0.0, EVENING.timestamp())
    now, admitted = 0.0, []
    for gap in gaps:
        now += gap / 10
        if found.lacking(1, now) is None:
            found.take(1)
            admitted.append(now)
    for start in admitted:
        assert sum(start <= moment < start + DAY for moment in admitted) <= 2 * limit


# -- credit


def test_credit_is_spent_by_each_key_for_itself(llmroute: Any) -> None:
    ask(llmroute)
    price = llmroute.history.attempts[0].spent
    llmroute.credit("openai", price * 2)
    statuses = [ask(llmroute).status_code for _ in range(5)]
    assert statuses[:2] == [200, 200]
    assert statuses[-1] == 429
    error = ask(llmroute).json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    last = llmroute.history.attempts[-1]
    assert (last.error, last.retry_after, last.spent) == ("insufficient_quota", None, 0)
    assert ask(llmroute, key="sk-b").status_code == 200
    llmroute.credit("openai", None)
    assert ask(llmroute).status_code == 200


def test_each_provider_says_in_its_own_words_that_nothing_is_left(llmroute: Any) -> None:
    llmroute.credit("*", 0)
    assert ask(llmroute).status_code == 429
    refused = claude()
    assert refused.status_code == 400
    assert "Your credit balance is too low" in refused.json()["error"]["message"]


def test_new_credit_is_whole_again(llmroute: Any) -> None:
    llmroute.credit("openai", "0.0000001")
    assert [ask(llmroute).status_code for _ in range(2)] == [200, 429]
    llmroute.credit("openai", Decimal("0.0000001"))
    assert [ask(llmroute).status_code for _ in range(2)] == [200, 429]


def test_hosts_of_one_provider_share_a_credit(llmroute: Any) -> None:
    model = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
    llmroute.credit("together", "0.0000001")
    statuses = [
        ask(llmroute, (f"https://api.together.{end}/v1/chat/completions", model)).status_code
        for end in ("ai", "xyz")
    ]
    assert statuses == [200, 402]


@pytest.mark.parametrize(("usd", "wording"), [(-1, "less than nothing"), ("much", "no amount in USD"), ("nan", "less than nothing")])  # fmt: skip
def test_a_credit_that_is_none_is_refused(llmroute: Any, usd: Any, wording: str) -> None:
    with pytest.raises(ValueError, match=wording):
        llmroute.credit("openai", usd)
    with pytest.raises(ValueError, match="did you mean 'openai'"):
        llmroute.credit("opnai", 1)


# -- what limits are


@pytest.mark.parametrize(
    "limits", [{"requests": 0}, {"tokens_per_day": -1}, {"requests_per_day": 0}]
)
def test_a_limit_that_lets_nothing_through_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="lets nothing through"):
        Quota(**limits)


def test_a_provider_s_file_says_how_it_counts() -> None:
    text = 'title = "X"\ndialect = "openai"\nhosts = ["x.example"]\n[limits]\n'
    assert load("x", f'{text}day = "utc"\nheader = "day"').counting == Counting("utc", "day")
    for wrong in ('day = "noon"', 'header = "hour"'):
        with pytest.raises(ValueError, match="="):
            load("x", text + wrong)
    with pytest.raises(ValueError, match="did you mean 'day'"):
        load("x", f"{text}dya = 'utc'")
    with pytest.raises(ValueError, match="did you mean 'refused'"):
        load("x", text.replace("[limits]", 'unknown-fields = "refuse"'))
    assert provider("groq").counting == Counting("rolling", "day")
