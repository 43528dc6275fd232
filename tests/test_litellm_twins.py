# Files in which several entries ask the same deployment: nothing can tell whose attempt is whose.

from __future__ import annotations

from importlib.util import find_spec

import pytest

from llmroute_sim.scenario import Template, shipped
from pytest_llmroute.child import entry_of
from pytest_llmroute.run import Choice, judged, trials

ONE = "{model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}"
OTHER = "{model: anthropic/claude-sonnet-4-6, api_key: os.environ/ANTHROPIC_API_KEY}"
SETTINGS = """\
router_settings:
  num_retries: 1
  allowed_fails: 1
  cooldown_time: 30
  retry_policy: {RateLimitErrorRetries: 2}
"""


def entries(*named: tuple[str, str]) -> str:
    listed = (f"  - {{model_name: {name}, litellm_params: {params}}}\n" for name, params in named)
    return f"model_list:\n{''.join(listed)}{SETTINGS}"


def promised(config, group: str) -> set[str]:
    return {promise.contract.id for promise in config.promises if promise.group == group}


COUNTED = {"retry.bounded", "retry.tried", "retry.class"}
RESTING = {"health.cooldown", "health.rotation"}
APART = entries(("a", ONE), ("a", OTHER), ("b", ONE))


@pytest.mark.parametrize(
    "more",
    [
        "  fallbacks: [{a: [b]}]\n",
        "  context_window_fallbacks: [{a: [b]}]\n",
        "  content_policy_fallbacks: [{a: [b]}]\n",
        "  default_fallbacks: [b]\n",
        "  fallbacks: [{a: [c]}, {c: [b]}]\n",
    ],
)
def test_neither_attempts_nor_rest_are_judged_where_failures_lead_to_the_same_deployment(
    read, more
):
    listed = entries(("a", ONE), ("a", OTHER), ("b", ONE), ("c", OTHER.replace("4-6", "4-5")))
    config = read(listed + more)
    assert not promised(config, "a") & COUNTED
    resting = [p for p in config.promises if p.group == "a" and p.contract.id in RESTING]
    assert {p.roles["target"][0].partition("/")[0] for p in resting} == {"api.anthropic.com"}


def test_they_are_where_nothing_leads_from_the_one_to_the_other(read):
    config = read(APART)
    assert promised(config, "a") >= COUNTED | RESTING
    assert promised(config, "b") >= COUNTED


def test_a_deployment_that_its_group_has_twice_is_counted_and_not_seen_to_rest(read):
    config = read(entries(("a", ONE), ("a", ONE), ("a", OTHER)))
    assert promised(config, "a") >= COUNTED
    resting = [p for p in config.promises if p.contract.id in RESTING]
    assert {p.roles["target"][0].partition("/")[0] for p in resting} == {"api.anthropic.com"}


def test_it_is_said_why(read):
    config = read(entries(("a", ONE), ("b", ONE)) + "  fallbacks: [{a: [b]}, {b: [a]}]\n")
    reasons = {one.key[-1]: one.reason for one in config.not_judged}
    said = "b asks the same deployment as a: nothing tells whose attempt it is"
    assert reasons["num_retries"] == reasons["retry_policy"] == said


FARM = """\
model_list:
  - model_name: llama
    litellm_params: {model: hosted_vllm/meta-llama/Llama-3.1-8B-Instruct, api_base: "http://10.1.2.3:8000/v1"}
  - model_name: llama
    litellm_params: {model: hosted_vllm/meta-llama/Llama-3.1-8B-Instruct, api_base: "http://10.1.2.3:8001/v1"}
  - model_name: old
    litellm_params: {model: hosted_vllm/meta-llama/Llama-3.1-8B-Instruct, api_base: "http://10.1.2.3:8002/v1"}
router_settings: {num_retries: 1, cooldown_time: 30, fallbacks: [{llama: [old]}]}
"""


def test_ports_of_one_host_are_deployments_of_their_own(read):
    config = read(FARM)
    hosts = {deployment.host for deployment in config.deployments}
    assert hosts == {"10.1.2.3:8000", "10.1.2.3:8001", "10.1.2.3:8002"}
    answers = next(p for p in config.promises if p.contract.id == "fallback.answers")
    assert [place.partition("/")[0] for place in answers.roles["next"]] == ["10.1.2.3:8002"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://gw.example.net:443/v1", "gw.example.net"),
        ("http://gw.example.net:80/v1", "gw.example.net"),
        ("https://gw.example.net/v1", "gw.example.net"),
        ("http://gw.example.net:443/v1", "gw.example.net:443"),
    ],
)
def test_the_port_of_a_scheme_is_part_of_no_name(read, url, host):
    config = read(entries(("a", f'{{model: openai/gpt-4o, api_base: "{url}"}}')))
    assert [deployment.host for deployment in config.deployments] == [host]


@pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
def test_a_call_goes_from_port_to_port(read):
    config = read(FARM)
    found, _ = trials(config, Choice(contracts=("fallback.answers",), scenarios=("outage-500",)))
    for trial in found:
        if trial.cell.entry.api == "chat":
            result = judged(trial)
            assert {verdict.outcome for verdict in result.verdicts} == {"kept"}
            assert {a.deployment for a in result.history.attempts} >= {"10.1.2.3:8002"}


def test_a_scenario_whose_places_are_one_reaches_another_interpreter():
    here = {"target": ("openai",), "next": ("openai",), "others": ()}
    scenario = shipped()["too-long-at-the-end"].bind(here)
    with pytest.raises(ValueError, match="never acts"):
        Template(scenario.name, entry_of(scenario)).bind()
    assert Template(scenario.name, entry_of(scenario)).bind(sensible=True) == scenario


@pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
def test_the_real_router_breaks_no_count_where_a_fallback_is_the_same_deployment(read):
    config = read(entries(("a", ONE), ("b", ONE)) + "  fallbacks: [{a: [b]}]\n")
    found, _ = trials(config, Choice(contracts=("retry.bounded", "retry.tried")))
    some = [
        t
        for t in found
        if t.cell.scenario.name in ("outage-500", "one-failure") and not t.cell.entry.stream
    ]
    outcomes = {v.promise.group: v.outcome for trial in some for v in judged(trial).verdicts}
    assert outcomes == {"b": "kept"}
