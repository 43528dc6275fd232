from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from llmroute_sim.incidents import Place
from llmroute_sim.scenario import shipped
from pytest_llmroute.routers import litellm
from pytest_llmroute.routers.litellm.ledger import acting

CALIBRATION = sorted((Path(__file__).parent / "configs" / "calibration").glob("*.yaml"))
SHIPPED = sorted(
    Path(str(entry))
    for entry in files("llmroute_data").joinpath("configs").iterdir()
    if entry.name.endswith(".yaml") and b"model_list" in entry.read_bytes()
)
GROUPS = """\
model_list:
  - model_name: a
    litellm_params: {model: gpt-4o, api_base: "https://a.example.net/v1", api_key: os.environ/A}
  - model_name: b
    litellm_params: {model: gpt-4o, api_base: "https://b.example.net/v1", api_key: os.environ/B}
  - model_name: c
    litellm_params: {model: gpt-4o, api_base: "https://c.example.net/v1", api_key: os.environ/C}
"""
PAIR = """\
model_list:
  - model_name: a
    litellm_params: {model: gpt-4o, api_base: "https://one.example.net/v1"}
  - model_name: a
    litellm_params: {model: gpt-4o, api_base: "https://two.example.net/v1"}
"""
ODD = """\
model_list:
  - model_name: a
    litellm_params:
      model: gpt-4o
      temperature: 0.2
      weigth: 3
      allowed_fails: 2
      max_retries: 5
      rpm: os.environ/RPM
    model_info: {id: one, owner: search team}
  - model_name: pattern/*
    litellm_params: {model: openai/*, tags: [free]}
router_setting: {num_retries: 2}
router_settings:
  num_retry: 3
  num_retries:
  retry_policy: {InternalServerErrorRetries: 1, TimeoutErrors: 4}
  model_group_alias: {z: a}
  redis_host: os.environ/REDIS_HOST
litellm_settings:
  callbacks: [my.module.logger]
  cache: true
  cache_params: {type: redis, ttl: 5, hots: x}
  num_retries: 4
general_settings: {database_url: postgres://x}
environment_variables: {REDIS_HOST: here}
"""


@pytest.fixture
def found(read):
    """The promises of one contract for a group, but for those of what a request may say; without a
    kind none of those that are the policy for the ways in of which a page says nothing."""

    def found(text: str, contract: str, group: str = "a", kind: str | None = None):
        return [
            promise
            for promise in read(text).promises
            if promise.contract.id == contract
            and promise.group == group
            and not promise.options
            and (promise.because.kind == kind or (kind is None and ":policy" not in promise.id))
        ]

    return found


def settings(*lines: str) -> str:
    return "router_settings:\n" + "".join(f"  {line}\n" for line in lines)


def reasons(config: litellm.LiteLLMConfig) -> dict[str, str]:
    return {".".join(note.key): note.reason for note in config.not_judged}


# -- every key is accounted for


def written(value, path=()):
    """What stands in a file, read by somebody else."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from written(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from written(item, (*path, str(number)))
    else:
        yield path


def account(config: litellm.LiteLLMConfig, text: str) -> None:
    held = {p.because.key for p in config.promises} | {note.key for note in config.not_judged}
    for path in written(yaml.safe_load(text)):
        whole = {
            "model_list": 3,
            "general_settings": 2,
            "router_settings": 2,
            "litellm_settings": 2,
        }
        least = min(len(path), whole.get(path[0], 1))
        assert any(path[:n] in held for n in range(least, len(path) + 1)), path


@pytest.mark.parametrize("path", [*SHIPPED, *CALIBRATION], ids=lambda path: path.stem)
def test_every_key_of_a_file_is_promised_or_explained(path):
    config = litellm.read(path)
    assert config is not None
    account(config, path.read_text())


def test_every_key_of_an_odd_file_is_promised_or_explained(read):
    account(read(ODD), ODD)


def test_no_key_is_both_promised_and_explained(read):
    for config in (read(ODD), *map(litellm.read, SHIPPED)):
        assert config is not None
        assert not {p.because.key for p in config.promises} & {n.key for n in config.not_judged}


def test_a_key_that_nobody_documents_is_told_with_the_closest(read):
    said = reasons(read(ODD))
    assert "closest: num_retries" in said["router_settings.num_retry"]
    assert "closest: weight" in said["model_list.0.litellm_params.weigth"]
    assert "closest: router_settings" in said["router_setting"]
    assert "closest: host" in said["litellm_settings.cache_params.hots"]
    assert "closest: TimeoutErrorRetries" in said["router_settings.retry_policy.TimeoutErrors"]


def test_keys_that_are_inert_or_misplaced_by_documentation_are_told_so(read):
    said = reasons(read(ODD))
    assert "no effect" in said["model_list.0.litellm_params.max_retries"]
    assert "misplaced" in said["model_list.0.litellm_params.allowed_fails"]
    assert "variable" in said["model_list.0.litellm_params.rpm"]
    assert "redis" in said["litellm_settings.cache"]


def test_parameters_of_requests_and_notes_about_models_are_no_mistakes(read):
    said = reasons(read(ODD))
    assert "parameter of every request" in said["model_list.0.litellm_params.temperature"]
    assert "note of the user's own" in said["model_list.0.model_info.owner"]


@pytest.mark.parametrize("path", [*SHIPPED, *CALIBRATION], ids=lambda path: path.stem)
def test_a_promise_names_a_line_that_holds_its_key_and_a_page(path):
    config = litellm.read(path)
    assert config is not None
    lines = path.read_text().splitlines()
    for promise in config.promises:
        because = promise.because
        assert because.line is not None
        assert because.key[-1] in lines[because.line - 1]
        assert because.kind == "policy" or because.addresses
        for address in because.addresses:
            known = (
                "https://docs.litellm.ai/docs/",
                "https://platform.openai.",
                "https://platform.claude.",
            )
            assert address.startswith(known)


@pytest.mark.parametrize("path", [*SHIPPED, *CALIBRATION], ids=lambda path: path.stem)
def test_roles_are_places_of_the_file_and_avoided_scenarios_exist(path):
    config = litellm.read(path)
    assert config is not None
    hosts = {deployment.host for deployment in config.deployments}
    for promise in config.promises:
        for places in promise.roles.values():
            assert {Place.parse(place).who for place in places} <= hosts
        assert set(promise.avoid) <= set(shipped())


def test_the_shipped_files_promise_something_of_every_family():
    families = Counter(
        promise.contract.id.split(".")[0]
        for path in SHIPPED
        for promise in litellm.read(path).promises  # type: ignore[union-attr]  # all are ours
        if promise.because.kind != "policy"
    )
    assert set(families) >= {"fallback", "retry", "stream", "budget", "cache", "health", "balance"}
    assert min(families.values()) >= 3


# -- fallbacks


def test_a_list_promises_its_groups_in_order(found):
    text = GROUPS + settings("fallbacks: [{a: [b, c]}]")
    (answers,) = found(text, "fallback.answers")
    (order,) = found(text, "fallback.order")
    for promise in (answers, order):
        assert [target.name for target in promise.contract.chain] == ["a", "b", "c"]
        assert promise.because.key == ("router_settings", "fallbacks", "0", "a")
        assert promise.because.line == 9
        assert [Place.parse(p).who for p in promise.roles["next"]] == ["b.example.net"]
        assert [Place.parse(p).who for p in promise.roles["others"]] == ["c.example.net"]


def test_an_edited_list_changes_the_promise(found):
    text = GROUPS + settings("fallbacks: [{a: [c]}]")
    (answers,) = found(text, "fallback.answers")
    assert [target.name for target in answers.contract.chain] == ["a", "c"]
    assert found(GROUPS, "fallback.answers") == []


def test_own_lists_win_over_the_star_and_both_over_the_default(found):
    text = GROUPS + settings("fallbacks: [{a: [b]}, {'*': [c]}]", "default_fallbacks: [a]")
    chains = {
        group: [target.name for target in found(text, "fallback.order", group)[0].contract.chain]
        for group in "ab"
    }
    assert chains == {"a": ["a", "b"], "b": ["b", "c"]}


def test_the_default_list_is_for_groups_without_one(found):
    text = GROUPS + settings("fallbacks: [{a: [b]}]", "default_fallbacks: [c]")
    assert found(text, "fallback.order", "a")[0].because.key[-1] == "a"
    (order,) = found(text, "fallback.order", "b")
    assert order.because.key == ("router_settings", "default_fallbacks")
    assert found(text, "fallback.order", "c") == []


def test_router_settings_win_over_litellm_settings(read):
    config = read(
        GROUPS
        + settings("num_retries: 1", "fallbacks: [{a: [b]}]")
        + "litellm_settings:\n  num_retries: 5\n  fallbacks: [{a: [c]}]\n"
    )
    chains = [p.contract.chain for p in config.promises if p.contract.id == "fallback.order"]
    assert [[target.name for target in chain] for chain in chains] == [["a", "b"]]
    said = reasons(config)
    assert (
        "overridden by router_settings.num_retries (line 9)" in said["litellm_settings.num_retries"]
    )
    assert "overridden" in said["litellm_settings.fallbacks"]


def test_litellm_settings_promise_the_same_where_they_stand_alone(found):
    text = GROUPS + "litellm_settings:\n  num_retries: 2\n  fallbacks: [{a: [c]}]\n"
    assert found(text, "fallback.order")[0].because.key[0] == "litellm_settings"
    assert found(text, "retry.bounded")[0].contract.retries == 2


def test_the_context_list_promises_overflows_alone_and_the_general_one_all_else(found):
    text = GROUPS + settings("fallbacks: [{a: [b]}]", "context_window_fallbacks: [{a: [c]}]")
    by_key = {promise.because.key[1]: promise for promise in found(text, "fallback.answers")}
    context, general = by_key["context_window_fallbacks"], by_key["fallbacks"]
    tried = set(shipped()) - set(context.avoid)
    assert {"context-length", "faults/context-length-exceeded"} <= tried
    assert tried <= set(acting("context-length-exceeded"))
    assert context.contract.unless == ()
    assert "context-length" in general.avoid
    assert "context_length" in general.contract.unless


def test_nobody_else_is_asked_than_the_lists_lead_to(found):
    text = GROUPS + settings("fallbacks: [{a: [b]}]", "context_window_fallbacks: [{b: [c]}]")
    (elsewhere,) = found(text, "fallback.elsewhere")
    assert {target.name for target in elsewhere.contract.allowed} == {"a", "b", "c"}
    (alone,) = found(text, "fallback.elsewhere", "c")
    assert alone.because.kind == "policy"


def test_a_lower_maximum_is_promised_where_a_list_is_longer(found):
    text = GROUPS + settings("fallbacks: [{a: [b, c]}]", "max_fallbacks: 1")
    (limited,) = (
        p for p in found(text, "fallback.elsewhere") if p.because.key[-1] == "max_fallbacks"
    )
    assert [target.name for target in limited.contract.allowed] == ["a", "b"]
    (order,) = found(text, "fallback.order")
    assert [target.name for target in order.contract.chain] == ["a", "b"]


def test_a_host_that_both_share_cannot_be_refused_alone(found):
    text = GROUPS.replace("b.example.net", "a.example.net") + settings("fallbacks: [{a: [b]}]")
    (answers,) = found(text, "fallback.answers")
    assert "refused" in answers.avoid
    (apart,) = found(GROUPS + settings("fallbacks: [{a: [b]}]"), "fallback.answers")
    assert "refused" not in apart.avoid


def test_a_fallback_that_asks_the_same_deployment_is_not_judged(read):
    text = GROUPS.replace("b.example.net", "a.example.net").replace("environ/B", "environ/A")
    config = read(text + settings("fallbacks: [{a: [b]}]"))
    assert "the same deployment" in reasons(config)["router_settings.fallbacks.0.a"]


def test_orders_promise_their_levels(found):
    text = PAIR.replace('one.example.net/v1"', 'one.example.net/v1", order: 2').replace(
        'two.example.net/v1"', 'two.example.net/v1", order: 1'
    )
    (order,) = found(text, "fallback.order")
    hosts = [target.deployments[0][0] for target in order.contract.chain]
    assert hosts == ["two.example.net", "one.example.net"]
    assert [Place.parse(p).who for p in order.roles["target"]] == ["two.example.net"]


# -- retries


@pytest.mark.parametrize("number", [0, 1, 6])
def test_retries_promise_their_number(found, number):
    text = GROUPS + settings(f"num_retries: {number}")
    (bounded,) = found(text, "retry.bounded")
    assert bounded.contract.retries == number
    assert bounded.numbers["retries"] == number
    assert [p.contract.retries for p in found(text, "retry.tried")] == [number] * (number > 0)


def test_a_deployments_own_retries_win(read, found):
    text = GROUPS.replace("environ/A}", "environ/A, num_retries: 4}") + settings("num_retries: 1")
    (bounded,) = found(text, "retry.bounded")
    assert bounded.contract.retries == 4
    assert bounded.because.key == ("model_list", "0", "litellm_params", "num_retries")
    assert found(text, "retry.bounded", "b")[0].contract.retries == 1


def test_no_default_is_promised(found):
    assert found(GROUPS, "retry.bounded") == []
    assert found(PAIR, "health.cooldown") == []
    assert found(GROUPS, "stream.stall") == []


def test_a_policy_by_class_replaces_the_number_where_that_class_is_met(found):
    text = GROUPS + settings("num_retries: 2", "retry_policy: {RateLimitErrorRetries: 5}")
    (general,) = found(text, "retry.bounded")
    (special,) = found(text, "retry.class")
    assert "rate-limited" in general.avoid
    assert "outage-500" not in general.avoid
    assert special.contract.kinds == (("rate_limit", 5),)
    assert "rate-limited" not in special.avoid
    assert special.avoid["outage-500"] == "nothing fails of RateLimitError there"
    assert special.because.key == ("router_settings", "retry_policy", "RateLimitErrorRetries")


# -- cooldowns and timeouts


def test_a_cooldown_is_promised_for_each_deployment_that_has_a_sibling(found):
    text = PAIR + settings("cooldown_time: 90")
    first, second = found(text, "health.cooldown")
    assert first.contract.seconds == second.contract.seconds == 90
    assert first.contract.failures == 1
    assert first.roles["target"] == second.roles["next"]


def test_allowed_failures_are_one_less_than_cool(found):
    text = PAIR + settings("cooldown_time: 90", "allowed_fails: 3")
    assert {p.contract.failures for p in found(text, "health.cooldown")} == {4}
    assert {p.because.key[-1] for p in found(text, "health.cooldown")} == {
        "cooldown_time",
        "allowed_fails",
    }


def test_a_cooldown_in_model_info_wins_over_all_others(found):
    text = PAIR.replace(
        'one.example.net/v1"}',
        'one.example.net/v1", cooldown_time: 7}\n    model_info: {cooldown_time: 8}',
    )
    by_seconds = {
        p.contract.seconds: p for p in found(text + settings("cooldown_time: 9"), "health.cooldown")
    }
    assert set(by_seconds) == {8.0, 9.0}
    assert by_seconds[8.0].because.key == ("model_list", "0", "model_info", "cooldown_time")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GROUPS + settings("cooldown_time: 9"), "one deployment"),
        (PAIR + settings("cooldown_time: 9", "disable_cooldowns: true"), "disable_cooldowns"),
    ],
)
def test_a_cooldown_that_cannot_be_judged_says_why(read, text, says):
    config = read(text)
    assert not [p for p in config.promises if p.contract.id == "health.cooldown"]
    assert says in reasons(config)["router_settings.cooldown_time"]


def test_a_stream_timeout_is_judged_before_the_first_chunk_only(found):
    text = GROUPS + settings("stream_timeout: 4", "timeout: 20")
    stall, whole = found(text, "stream.stall")
    assert stall.contract.seconds == 4
    assert stall.numbers["patience"] == 4
    assert "stream-stall" in stall.avoid
    assert stall.because.note
    assert all("stream" in entry for entry in stall.entries)
    assert whole.contract.seconds == 20
    assert not any("stream" in entry for entry in whole.entries)


def test_a_timeout_serves_for_streams_where_nothing_else_is_set(found):
    (stall,) = found(GROUPS + settings("timeout: 20"), "stream.stall")
    assert (stall.contract.seconds, stall.numbers["timeout"], stall.numbers["patience"]) == (
        20,
        20,
        20,
    )


def test_where_two_timeouts_may_win_the_longer_is_judged(found):
    text = GROUPS.replace("environ/A}", "environ/A, timeout: 5}") + settings("timeout: 20")
    (stall,) = found(text, "stream.stall")
    assert stall.contract.seconds == 20
    assert "longer" in stall.because.note


def test_silence_is_not_tried_without_a_timeout(found):
    (without,) = found(GROUPS + settings("fallbacks: [{a: [b]}]"), "fallback.answers")
    assert "silence" in without.avoid
    (timed,) = found(GROUPS + settings("fallbacks: [{a: [b]}]", "timeout: 9"), "fallback.answers")
    assert "silence" not in timed.avoid


# -- money and repeats


PRICED = GROUPS.replace(
    "environ/A}", "environ/A, input_cost_per_token: 0.00002, output_cost_per_token: 0.00005}"
)


def test_a_budget_promises_that_it_is_kept_and_that_it_comes_back(found):
    text = PRICED + settings(
        "provider_budget_config:", "  openai: {budget_limit: 2, time_period: 12h}"
    )
    (cutoff,) = found(text, "budget.cutoff", kind="config")
    (returns,) = found(text, "budget.window", kind="config")
    assert str(cutoff.contract.limit) == "2"
    assert cutoff.contract.window == returns.contract.window == 12 * 3600
    assert len(cutoff.contract.targets[0].deployments) == 3
    assert cutoff.because.key[-1] == "budget_limit"
    assert returns.because.key[-1] == "time_period"


def test_three_stated_answers_cross_a_budget_and_two_do_not(found):
    text = PRICED + settings("provider_budget_config: {openai: {budget_limit: 2, time_period: 1d}}")
    (cutoff,) = found(text, "budget.cutoff", kind="config")
    assert _cost(cutoff) == pytest.approx(0.8)


def test_one_answer_spends_a_budget_where_a_smaller_one_is_spent_first(found):
    text = PRICED.replace(
        "environ/A,", "environ/A, max_budget: 1, budget_duration: 1d,"
    ) + settings("provider_budget_config: {openai: {budget_limit: 2, time_period: 1d}}")
    cutoffs = {one.contract.limit: one for one in found(text, "budget.cutoff", kind="config")}
    assert {limit: _cost(one) for limit, one in cutoffs.items()} == pytest.approx({1: 0.4, 2: 2.0})


def test_one_answer_spends_a_budget_where_calls_are_spread(found):
    budget = "max_budget: 1, budget_duration: 1d, "
    text = PRICED.replace("name: b", "name: a").replace("environ/A,", f"environ/A, {budget}")
    (cutoff,) = found(text, "budget.cutoff", kind="config")
    (returns,) = found(text, "budget.window", kind="config")
    assert _cost(cutoff) == pytest.approx(1.0)
    assert returns.contract.spread


def _cost(promise):
    return promise.numbers["bill_input"] * 0.00002 + promise.numbers["bill_output"] * 0.00005


def test_budgets_of_blocking_calls_are_policy(found):
    text = PRICED + settings("provider_budget_config: {openai: {budget_limit: 2, time_period: 1d}}")
    (config,) = found(text, "budget.cutoff", kind="config")
    (policy,) = found(text, "budget.cutoff", kind="policy")
    assert {entry.split("-")[1] for entry in config.entries} == {"async"}
    assert {entry.split("-")[1] for entry in policy.entries} == {"sync"}


def test_a_deployment_may_have_a_budget_of_its_own(found):
    text = PRICED.replace("environ/A,", "environ/A, max_budget: 5, budget_duration: 30m,")
    (cutoff,) = found(text, "budget.cutoff", kind="config")
    assert cutoff.contract.window == 1800
    assert cutoff.contract.targets[0].deployments[0][0] == "a.example.net"


def test_a_budget_without_a_price_is_not_judged(read):
    text = GROUPS.replace("gpt-4o", "openai/our-model")
    config = read(
        text + settings("provider_budget_config: {openai: {budget_limit: 2, time_period: 1d}}")
    )
    said = reasons(config)["router_settings.provider_budget_config.openai.budget_limit"]
    assert "no price" in said


def test_a_local_cache_promises_hits_and_their_end(found):
    text = GROUPS + "litellm_settings: {cache: true, cache_params: {type: local, ttl: 90}}\n"
    (hit,) = found(text, "cache.hit", kind="config")
    (expires,) = found(text, "cache.expires", kind="config")
    assert hit.contract.ttl == expires.contract.ttl == hit.numbers["ttl"] == 90
    assert expires.because.key[-1] == "ttl"
    assert found(text, "cache.apart")
    assert {p.because.kind for p in found(text, "cache.clean")} == {"policy"}


@pytest.mark.parametrize(
    ("listed", "kind"),
    [("", "policy"), ("[acompletion]", "config"), ("[aanthropic_messages]", "policy")],
)
def test_messages_are_never_cached_where_what_is_listed_leaves_them_out(read, listed, kind):
    params = "{type: local, ttl: 90" + (f", supported_call_types: {listed}}}" if listed else "}")
    config = read(GROUPS + f"litellm_settings: {{cache: true, cache_params: {params}}}\n")
    [never] = [
        promise
        for promise in config.promises
        if promise.contract.id == "cache.expires"
        and promise.group == "a"
        and "messages-async" in promise.entries
    ]
    assert never.contract.ttl == 0
    assert {entry.partition("-")[0] for entry in never.entries} == {"messages"}
    assert never.because.kind == kind


@pytest.mark.parametrize("kind", ["{type: redis}", "{type: s3}", "{}"])
def test_a_cache_that_needs_a_service_is_not_judged(read, kind):
    config = read(GROUPS + f"litellm_settings: {{cache: true, cache_params: {kind}}}\n")
    assert not [p for p in config.promises if p.contract.id.startswith("cache.")]
    assert "litellm_settings.cache" in reasons(config)


def test_only_listed_calls_are_promised_from_the_cache(found):
    text = (
        GROUPS
        + "litellm_settings: {cache: true, cache_params: {type: local, supported_call_types: %s}}\n"
    )
    (hit,) = found(text % "[acompletion]", "cache.hit", kind="config")
    assert hit.entries == ("chat-async",)
    assert found(text % "[aembedding]", "cache.hit") == []
    (hit,) = (p for p in found(text % "[aembedding]", "cache.expires") if "chat-sync" in p.entries)
    assert hit.contract.ttl == 0


# -- format


def test_every_chat_group_promises_what_the_format_means_and_embeddings_nothing(read):
    config = read(
        GROUPS + "  - model_name: v\n    litellm_params: {model: text-embedding-3-small}\n"
    )
    groups = [p.group for p in config.promises if p.because.kind == "format"]
    assert Counter(groups) == {"a": 2, "b": 2, "c": 2}


# -- ways in


def test_the_same_promise_is_policy_for_the_ways_in_of_which_a_page_says_nothing(read):
    config = read(GROUPS + settings("num_retries: 2"))
    twins = [p for p in config.promises if (p.contract.id, p.group) == ("retry.bounded", "a")]
    stated, implied = twins
    assert [twin.because.kind for twin in twins] == ["config", "policy"]
    assert stated.contract == implied.contract
    assert {entry.partition("-")[0] for entry in stated.entries} == {"chat"}
    assert {e.partition("-")[0] for e in implied.entries} == {"text", "responses", "messages"}
    assert stated.id != implied.id
    assert set(stated.entries) | set(implied.entries) >= set(map(str, config.entries("a")))


def test_fallbacks_hold_for_every_way_in_and_timeouts_where_the_page_names_it(found):
    text = GROUPS + settings("fallbacks: [{a: [b]}]", "timeout: 9")
    assert found(text, "fallback.answers")[0].entries == ()
    (stall,) = found(text, "stream.stall")
    assert {e.partition("-")[0] for e in stall.entries} == {"chat", "responses", "messages"}


def test_ids_are_told_apart_by_line_group_and_policy(read):
    for path in SHIPPED:
        config = litellm.read(path)
        assert config is not None
        kinds = {promise.id: promise.because.kind for promise in config.promises}
        twins = {name for name in kinds if name.endswith(":policy]")}
        assert {kinds[name] for name in twins} <= {"policy"}


# -- every file


def test_every_file_promises_the_providers_own_errors_and_the_page_that_says_so(found):
    (own,) = found(GROUPS, "errors.own")
    assert own.because.addresses == (
        "https://docs.litellm.ai/docs/exception_mapping#litellm-exceptions",
    )
    assert own.because.key == ("model_list", "0", "model_name")
    assert {p.because.kind for p in found(GROUPS, "errors.secrets")} == {"policy"}


def test_what_a_call_wants_is_kept_unless_the_file_lets_it_be_dropped(found):
    text = GROUPS + settings("fallbacks: [{a: [b]}]")
    assert {p.because.kind for p in found(text, "fallback.capable")} == {"config"}
    dropped = text + "litellm_settings: {drop_params: true}\n"
    assert {p.because.kind for p in found(dropped, "fallback.capable")} == {"policy"}


def test_calls_may_forbid_fallbacks_wherever_there_are_some(found):
    assert found(GROUPS, "fallback.disabled") == []
    (disabled,) = found(GROUPS + settings("default_fallbacks: [c]"), "fallback.disabled")
    assert [target.name for target in disabled.contract.chain] == ["a", "c"]


def test_costs_are_promised_where_all_that_may_answer_have_a_price(read, found):
    own = GROUPS.replace("environ/A}", "environ/A, input_cost_per_token: 0.00002}")
    assert found(own, "budget.ledger")
    shared = own + settings("fallbacks: [{a: [b]}]")
    assert found(shared, "budget.ledger") == []
    said = reasons(read(shared))["model_list.0.litellm_params.input_cost_per_token"]
    assert "not all" in said


# -- other names


def test_an_alias_promises_what_its_group_does_but_for_where_failures_go(found):
    text = GROUPS + settings(
        "num_retries: 2",
        "fallbacks: [{a: [b]}]",
        "model_group_alias: {z: {model: a, hidden: true}}",
    )
    (bounded,) = found(text, "retry.bounded", "z")
    assert bounded.because.key == ("router_settings", "model_group_alias", "z")
    assert bounded.because.kind == "config"
    (order,) = found(text, "fallback.order", "z")
    assert order.because.kind == "policy"
    assert order.contract.group == "z"
    assert "alias" in order.because.note


def test_a_list_for_a_pattern_asks_the_name_that_the_file_uses(found):
    text = (
        GROUPS
        + '  - model_name: "groq/*"\n    litellm_params: {model: "groq/*"}\n'
        + settings("fallbacks: [{a: [groq/llama-3.1-8b-instant]}]")
    )
    (order,) = found(text, "fallback.order")
    assert order.contract.chain[1].deployments[0][:2] == ("api.groq.com", "llama-3.1-8b-instant")
    (alone,) = found(text, "fallback.elsewhere", "groq/llama-3.1-8b-instant")
    assert alone.because.kind == "config"


# -- rotation


def test_one_failure_is_put_up_with_unless_a_page_lets_it_cool(found):
    text = PAIR.replace('one.example.net/v1"', 'one.example.net/v1", weight: 9999').replace(
        'two.example.net/v1"', 'two.example.net/v1", weight: 1'
    )
    assert len(found(text, "health.transient", kind="config")) == 1
    assert found(text + settings("allowed_fails: 1"), "health.transient", kind="config") == []
    policy = "allowed_fails_policy: {InternalServerErrorAllowedFails: 0}"
    assert found(text + settings(policy), "health.transient", kind="config") == []


def test_a_cooldown_of_nothing_is_promised_where_the_page_says_what_it_means(found):
    heavy = PAIR.replace('two.example.net/v1"', 'two.example.net/v1", weight: 9999')
    heavy = heavy.replace('one.example.net/v1"', 'one.example.net/v1", weight: 1')
    (own,) = found(heavy + "    model_info: {cooldown_time: 0}\n", "health.never")
    assert own.because.kind == "config"
    general = found(heavy + settings("cooldown_time: 0"), "health.never")
    assert {promise.because.kind for promise in general} == {"policy"}


def test_who_is_never_left_out_is_not_judged_where_chance_picks(read, found):
    text = PAIR + settings("disable_cooldowns: true")
    assert found(text, "health.never") == []
    reasons = {one.key[-1]: one.reason for one in read(text).not_judged}
    assert "looks like whom chance" in reasons["disable_cooldowns"]


def test_a_misplaced_count_is_told_and_changes_nothing(read, found):
    text = PAIR.replace('one.example.net/v1"', 'one.example.net/v1", allowed_fails: 9')
    assert {p.contract.failures for p in found(text, "health.rotation")} == {6}
    note = next(n for n in read(text).not_judged if n.key[-1] == "allowed_fails")
    assert "misplaced" in note.reason
    assert note.address == "https://docs.litellm.ai/docs/routing#cooldowns"


# -- limits and picks


def test_what_caps_calls_in_flight_is_the_first_that_is_said(found):
    def caps(params: str, *lines: str) -> list[int]:
        text = GROUPS.replace("environ/A}", f"environ/A{params}}}") + settings(
            "set_verbose: true", *lines
        )
        return [p.contract.limit for p in found(text, "balance.in-flight", kind="config")]

    general = "default_max_parallel_requests: 9"
    assert caps(", max_parallel_requests: 3, rpm: 5, tpm: 100000", general) == [3]
    assert caps(", rpm: 5, tpm: 100000", general) == [5]
    assert caps(", tpm: 2000", general) == [12]
    assert caps("", general) == [9]
    assert caps("") == []


def test_limits_a_minute_are_promised_where_they_are_enforced(read, found):
    text = GROUPS.replace("environ/A}", "environ/A, rpm: 5}")
    assert found(text, "balance.rate") == []
    enforced = text + settings("optional_pre_call_checks: [enforce_model_rate_limits]")
    (rate,) = found(enforced, "balance.rate")
    assert (rate.contract.limit, rate.numbers["rpm"]) == (5, 5)
    said = reasons(read(enforced))
    assert "judged with the limits" in said["router_settings.optional_pre_call_checks"]


@pytest.mark.parametrize(("first", "second", "calls"), [(1, 1, 2), (2, 2, 3), (5, 2, 6), (4, 1, 4)])
def test_a_crowd_is_as_many_as_fill_one_deployment_but_not_all(found, first, second, calls):
    text = PAIR.replace(
        'one.example.net/v1"', f'one.example.net/v1", max_parallel_requests: {first}'
    )
    text = text.replace(
        'two.example.net/v1"', f'two.example.net/v1", max_parallel_requests: {second}'
    )
    (room,) = found(text + settings("num_retries: 1"), "balance.room", kind="config")
    assert room.contract.limit == min(first, second)
    assert room.numbers["parallel"] + 1 == calls


def test_shares_that_a_page_does_not_give_are_not_promised(read, found):
    text = PAIR.replace('one.example.net/v1"', 'one.example.net/v1", weight: 3')
    assert found(text, "balance.split", kind="config") == []
    assert "not documented" in reasons(read(text))["model_list.0.litellm_params.weight"]
    (even,) = found(PAIR, "balance.split")
    assert [share for _, share in even.contract.shares] == [1, 1]


def test_the_cheapest_is_who_is_cheaper_in_every_way(read, found):
    def priced(one: str, two: str) -> str:
        text = PAIR.replace('one.example.net/v1"', f'one.example.net/v1", {one}')
        text = text.replace('two.example.net/v1"', f'two.example.net/v1", {two}')
        return text + settings("routing_strategy: cost-based-routing")

    cost = "input_cost_per_token: {}, output_cost_per_token: {}"
    assert found(priced(cost.format(1, 2), cost.format(3, 4)), "balance.cheapest", kind="config")
    doubtful = priced(cost.format(1, 4), cost.format(3, 2))
    assert found(doubtful, "balance.cheapest") == []
    assert "depends on the tokens" in reasons(read(doubtful))["router_settings.routing_strategy"]


def test_long_prompts_are_kept_off_where_both_keys_say_so(read, found):
    text = GROUPS.replace("environ/A}", "environ/A}\n    model_info: {max_input_tokens: 900}")
    assert found(text, "fallback.fits") == []
    assert (
        "enable_pre_call_checks only"
        in reasons(read(text))["model_list.0.model_info.max_input_tokens"]
    )
    (fits,) = found(text + settings("enable_pre_call_checks: true"), "fallback.fits")
    assert (fits.contract.window, fits.numbers["context"]) == (900, 900)


def test_failed_members_are_left_for_good_only_where_no_retry_may_pick_them_again(found):
    on = "enable_weighted_failover: true"
    assert found(PAIR + settings("num_retries: 0", on), "fallback.once", kind="config")
    assert found(PAIR + settings("num_retries: 2", on), "fallback.once", kind="config") == []


# -- what a request may say


def test_a_request_may_say_how_the_cache_is_used(read):
    text = GROUPS + "litellm_settings: {cache: true, cache_params: {type: local}}\n"
    said = {
        next(iter(p.options["cache"])): p.contract.ttl
        for p in read(text).promises
        if p.group == "a" and "cache" in p.options
    }
    assert said == {"ttl": 8, "s-maxage": 8, "no-store": 0, "no-cache": 0}


def test_a_request_may_say_how_long_it_waits_where_the_file_says_nothing(read):
    waits = [p for p in read(GROUPS).promises if "timeout" in p.options]
    assert {p.contract.seconds for p in waits} == {8.0}
    assert not [p for p in read(GROUPS + settings("timeout: 5")).promises if "timeout" in p.options]


def named(config: litellm.LiteLLMConfig, group: str) -> dict[str, list[str]]:
    """Whom requests for a group name in the promise that they are answered by these, by its source."""
    return {
        promise.because.kind: promise.options["fallbacks"]
        for promise in config.promises
        if promise.contract.id == "fallback.chosen" and promise.group == group
    }


def test_requests_may_name_their_fallbacks_themselves(read):
    config = read(GROUPS)
    assert named(config, "a") == {"config": ["b", "c"], "policy": ["b", "c"]}
    for promise in config.promises:
        if promise.contract.id == "fallback.chosen":
            assert promise.because.addresses[0].endswith("#client-side-fallbacks")
            assert {name for name, _ in promise.contract.by} == {*promise.options["fallbacks"]}


def test_whether_a_request_wins_over_the_file_is_not_documented(read):
    config = read(GROUPS + settings("fallbacks: [{a: [b]}]"))
    assert named(config, "a") == {"policy": ["c", "b"]}
    assert set(named(config, "b")) == {"config", "policy"}


def test_requests_name_only_those_who_can_answer_and_lead_nowhere_else(read):
    vectors = "  - model_name: v\n    litellm_params: {model: text-embedding-3-small}\n"
    assert named(read(GROUPS + vectors), "a")["config"] == ["b", "c"]
    assert named(read(GROUPS + vectors), "v") == {}
    assert named(read(GROUPS + settings("fallbacks: [{b: [c]}]")), "a")["config"] == ["b", "c"]
    one = ("max_fallbacks: 1", "fallbacks: [{c: [a]}]")
    assert named(read(GROUPS + settings(*one)), "a")["config"] == ["b"]
    assert named(read(GROUPS + settings("max_fallbacks: 1", "fallbacks: [{b: [c]}]")), "a") == {}


@pytest.mark.parametrize("same", ["a", "b"])
def test_requests_name_nobody_who_is_asked_already(read, same):
    text = GROUPS.replace("c.example.net", f"{same}.example.net").replace(
        "environ/C", f"environ/{same.upper()}"
    )
    assert named(read(text), "a")["config"] == ["b"]


def test_a_list_that_leads_to_another_kind_of_model_is_not_promised(read, found):
    vectors = "  - model_name: v\n    litellm_params: {model: text-embedding-3-small}\n"
    text = GROUPS + vectors + settings("default_fallbacks: [b]")
    assert found(text, "fallback.answers", "v") == []
    assert found(text, "fallback.answers", "a")
    only = GROUPS + vectors + settings("fallbacks: [{v: [b]}]")
    assert "cannot answer for v" in reasons(read(only))["router_settings.fallbacks.0.v"]


def test_an_overflow_may_skip_the_levels_of_an_order(found):
    text = PAIR.replace('one.example.net/v1"', 'one.example.net/v1", order: 1').replace(
        'two.example.net/v1"', 'two.example.net/v1", order: 2'
    )
    text += "  - model_name: long\n    litellm_params: {model: gpt-4.1}\n"
    text += settings("context_window_fallbacks: [{a: [long]}]", "fallbacks: [{a: [long]}]")
    chains = {
        promise.because.key[1]: [target.name for target in promise.contract.chain]
        for promise in found(text, "fallback.answers")
    }
    assert chains["context_window_fallbacks"] == ["a", "long"]
    assert chains["fallbacks"] == ["a (order 1)", "a (order 2)", "long"]
