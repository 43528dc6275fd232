from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from llmroute_sim import faults
from llmroute_sim.dialects import find
from llmroute_sim.prompt import Page, Prompt
from llmroute_sim.providers import Model
from llmroute_sim.wire import Address, Data, Head, Request
from pytest_llmroute.contracts import fallback, retry

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

USER: Any = [{"role": "user", "content": "hello"}]
MODELS = [Model(name, window=1000) for name in "abcdefg"]


def gpt() -> Any:
    return openai.OpenAI(api_key="sk-test", max_retries=0)


def claude() -> Any:
    return anthropic.Anthropic(api_key="sk-test", max_retries=0)


def page(query: str) -> dict[str, Any]:
    dialect = find("anthropic")
    request = Request("GET", f"/v1/models{query}", (), b"", Address("host"))
    prompt = dialect.parse("models", request)
    head, data = dialect.tell(prompt, MODELS, ())
    assert isinstance(head, Head)
    assert isinstance(data, Data)
    told: dict[str, Any] = json.loads(data.body)
    return told


# -- the SDKs


def test_openai_s_sdk_lists_models_and_finds_one(llmroute: Any) -> None:
    names = [model.id for model in gpt().models.list()]
    assert "gpt-4o" in names
    assert gpt().models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError) as caught:
        gpt().models.retrieve("gpt-x")
    assert caught.value.code == "model_not_found"
    assert llmroute.path == ["openai:200", "openai:200", "openai:404"]
    attempts = llmroute.history.attempts
    assert [attempt.operation for attempt in attempts] == ["models", "model", "model"]
    assert [attempt.model for attempt in attempts] == [None, "gpt-4o", "gpt-x"]


def test_anthropic_s_sdk_walks_through_all_pages(llmroute: Any) -> None:
    names = [model.id for model in claude().models.list(limit=7)]
    assert len(names) == len(set(names)) > 7
    assert len(llmroute.path) == -(-len(names) // 7)
    one = claude().models.retrieve(names[0])
    assert (one.id, one.type, one.lifecycle) == (names[0], "model", "active")
    assert one.created_at.year == 1970
    with pytest.raises(anthropic.NotFoundError, match="model: claude-x"):
        claude().models.retrieve("claude-x")


def test_a_host_of_one_s_own_lists_what_it_sells(llmroute: Any) -> None:
    llmroute.serve("https://llm.corp.example/v1", models=["house/large"])
    here = openai.OpenAI(api_key="k", base_url="https://llm.corp.example/v1")
    assert "house/large" in [model.id for model in here.models.list()]
    assert here.models.retrieve("house/large").id == "house/large"


def test_a_count_of_tokens_is_what_the_request_is_charged_for(llmroute: Any) -> None:
    tools: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
    asked: Any = {
        "model": "claude-opus-4-5",
        "messages": USER,
        "system": "Be terse",
        "tools": tools,
    }
    counted = claude().messages.count_tokens(**asked)
    answered = claude().messages.create(**asked, max_tokens=99)
    assert counted.input_tokens == answered.usage.input_tokens > 10
    first, second = llmroute.history.attempts
    assert (first.operation, first.model, first.spent) == ("count_tokens", "claude-opus-4-5", 0)
    assert (first.tokens_in, first.marks) == (0, ())
    assert second.spent > 0


# -- what they cost and what can befall them


def test_what_costs_nothing_uses_no_quota_and_no_credit(llmroute: Any) -> None:
    llmroute.limit("anthropic", requests=1, tokens=100)
    llmroute.credit("anthropic", 0)
    for _ in range(3):
        claude().models.list()
        claude().messages.count_tokens(model="claude-opus-4-5", messages=USER)
    assert [attempt.outcome for attempt in llmroute.history.attempts] == ["200"] * 6
    with pytest.raises(anthropic.BadRequestError, match="credit balance is too low"):
        claude().messages.create(model="claude-opus-4-5", messages=USER, max_tokens=9)


def test_a_key_is_wanted_and_an_outage_is_an_outage(llmroute: Any) -> None:
    llmroute.inject(faults.Outage(), at="openai", first=1)
    with pytest.raises(openai.InternalServerError):
        gpt().models.list()
    assert gpt().models.list()
    assert httpx.get("https://api.openai.com/v1/models").status_code == 401


def test_faults_of_what_a_model_is_asked_do_not_befall_a_list(llmroute: Any) -> None:
    live = llmroute.inject(faults.ContextLengthExceeded(), at="openai")
    assert gpt().models.list()
    assert not live.met
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        gpt().chat.completions.create(model="gpt-4o", messages=USER)


def test_contracts_about_answers_pass_over_lists_and_counts(llmroute: Any) -> None:
    asked: Any = {"model": "claude-opus-4-5", "messages": USER}
    llmroute.inject(faults.RateLimit(retry_after=60), at="openai", first=1)

    def app(text: str) -> Any:
        claude().messages.count_tokens(**asked)
        try:
            return gpt().chat.completions.create(model="gpt-4o", messages=USER)
        except openai.RateLimitError:
            gpt().models.retrieve("gpt-4o")
            return claude().messages.create(**asked, max_tokens=9)

    llmroute.ask(app, "hello")
    chain = llmroute.targets("openai", "anthropic")
    assert llmroute.holds(
        fallback.Order(chain),
        fallback.Answers(chain),
        fallback.Once(chain),
        retry.Hint(chain[:1]),
        fallback.Elsewhere(chain),
    )


# -- pages


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        ("", "abcdefg", False),
        ("?limit=3", "abc", True),
        ("?limit=3&after_id=c", "def", True),
        ("?limit=3&after_id=f", "g", False),
        ("?after_id=g", "", False),
        ("?limit=2&before_id=d", "bc", True),
        ("?limit=9&before_id=c", "ab", False),
        ("?limit=7", "abcdefg", False),
    ],
)
def test_a_page_is_that_after_or_before_a_model(query: str, names: str, more: bool) -> None:
    told = page(query)
    assert "".join(model["id"] for model in told["data"]) == names
    assert told["has_more"] is more
    assert told["first_id"] == (names[0] if names else None)
    assert told["last_id"] == (names[-1] if names else None)


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
def test_a_page_of_no_size_is_refused(llmroute: Any, limit: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"limit: Input should be"):
        claude().models.list(extra_query={"limit": limit})


def test_without_a_page_the_usual_one_is_shown() -> None:
    many = [Model(f"m{number:02}") for number in range(30)]
    prompt = Prompt("models", "", (), 0, "", page=Page(20))
    _, data = find("anthropic").tell(prompt, many, ())
    assert isinstance(data, Data)
    assert data.body.count(b'"type":"model"') == 20
