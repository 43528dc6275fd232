# What was called broken once on files of others, and was the file's own doing: each stays unjudged, or is
# judged by what the file itself allows.

from __future__ import annotations

import pytest

LONE = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
"""
PAIR = (
    LONE
    + "  - model_name: a\n    litellm_params: {model: anthropic/claude-sonnet-4-6, api_key: os.environ/B}\n"
)


def settings(*lines: str) -> str:
    return "router_settings:\n" + "".join(f"  {line}\n" for line in lines)


def only(config, contract: str, group: str = "a", kind: str = "config"):
    return [
        promise
        for promise in config.promises
        if (promise.contract.id, promise.group, promise.because.kind) == (contract, group, kind)
    ]


@pytest.mark.parametrize(
    ("text", "retries"),
    [
        (LONE + settings("num_retries: 4"), 4),
        (LONE + settings("num_retries: 4", "allowed_fails: 1"), 1),
        (PAIR + settings("num_retries: 4", "allowed_fails: 1"), 3),
        (PAIR + settings("num_retries: 2", "allowed_fails: 1"), 2),
        (LONE + settings("num_retries: 4", "allowed_fails: 1", "disable_cooldowns: true"), 4),
        (LONE + settings("num_retries: 4", "allowed_fails: 1", "cooldown_time: 0"), 4),
        (
            LONE
            + settings(
                "num_retries: 4", "allowed_fails_policy: {InternalServerErrorAllowedFails: 2}"
            ),
            2,
        ),
    ],
)
def test_tries_are_due_while_somebody_is_in_rotation(read, text, retries):
    [tried] = only(read(text), "retry.tried")
    assert tried.contract.retries == retries


def test_who_rests_after_one_failure_is_due_no_other_try(read):
    config = read(LONE + settings("num_retries: 4", "allowed_fails: 0"))
    assert only(config, "retry.tried") == []
    [bounded] = only(config, "retry.bounded")
    assert bounded.contract.retries == 4


def test_retries_by_class_know_when_nobody_is_left(read):
    policy = "retry_policy: {InternalServerErrorRetries: 5}"
    [classed] = only(read(PAIR + settings(policy, "allowed_fails: 1")), "retry.class")
    assert classed.contract.enough == 4
    [classed] = only(read(PAIR + settings(policy)), "retry.class")
    assert classed.contract.enough is None


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("num_retries: 4", "allowed_fails: 1"), 0),
        (("num_retries: 1", "allowed_fails: 1"), 1),
        (("allowed_fails: 1",), 0),
        (("num_retries: 4",), 1),
    ],
)
def test_the_providers_own_error_is_due_where_tries_leave_somebody_in_rotation(read, lines, told):
    assert len(only(read(LONE + settings(*lines)), "errors.own")) == told


@pytest.mark.parametrize(
    ("model", "judged"),
    [
        ("openai/gpt-4o", 1),
        ("anthropic/claude-sonnet-4-6", 1),
        ("mistral/mistral-large-latest", 0),
        ("groq/llama-3.3-70b-versatile", 0),
    ],
)
def test_budgets_are_counted_at_prices_of_which_all_catalogues_say_the_same(read, model, judged):
    entry = "  - model_name: a\n    litellm_params: {model: %s, max_budget: 2.5, budget_duration: 1d%s}\n"
    config = read("model_list:\n" + entry % (model, ""))
    assert len(only(config, "budget.cutoff")) == judged
    named = ", input_cost_per_token: 0.000001, output_cost_per_token: 0.000002"
    assert len(only(read("model_list:\n" + entry % (model, named)), "budget.cutoff")) == 1


TWICE = """\
model_list:
  - model_name: smart
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-6, api_key: os.environ/B}
router_settings:
  num_retries: 2
  model_group_alias: {gpt-4: smart}
"""


def test_attempts_of_an_alias_are_counted_unless_its_list_comes_back_to_its_group(read):
    assert only(read(TWICE), "retry.bounded", "gpt-4")
    there = "  fallbacks: [{gpt-4: [claude]}]\n"
    assert only(read(TWICE + there), "retry.bounded", "gpt-4")
    back = "  fallbacks: [{gpt-4: [claude]}, {claude: [smart]}]\n"
    assert only(read(TWICE + back), "retry.bounded", "gpt-4") == []
    assert only(read(TWICE + back), "retry.bounded", "smart")


@pytest.mark.parametrize(
    ("strategy", "limits", "room"),
    [
        ("usage-based-routing-v2", 2, 0),
        ("cost-based-routing", 0, 0),
        ("simple-shuffle", 0, 1),
        ("least-busy", 0, 1),
    ],
)
def test_limits_are_hard_and_room_is_found_where_a_strategy_says_so(read, strategy, limits, room):
    text = PAIR.replace("}", ", rpm: 20, max_parallel_requests: 4}")
    config = read(text + settings("num_retries: 2", f"routing_strategy: {strategy}"))
    assert len(only(config, "balance.rate")) == limits
    assert len(only(config, "balance.room")) == room


@pytest.mark.parametrize(
    "model",
    [
        "auto_router/auto_router_1",
        "scaleway/some-model",
        "gemini-2.5-pro",
        "command-r-plus",
        "dall-e-3",
    ],
)
def test_a_model_that_is_not_known_here_does_not_refuse_the_file(read, model):
    config = read(f"{LONE}  - model_name: b\n    litellm_params: {{model: {model}}}\n")
    assert config.groups == ("a",)
    assert any("is not known here" in one.reason for one in config.not_judged)


def test_a_slip_in_a_providers_name_is_told(read):
    with pytest.raises(Exception, match=r"unknown provider 'opnai'.*openai"):
        read(LONE.replace("openai/", "opnai/"))
