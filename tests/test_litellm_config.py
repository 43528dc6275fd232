from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from llmroute_sim.history import fingerprint
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.routers import litellm

ONE = """\
model_list:
  - model_name: chat
    litellm_params:
      model: {model}
      api_key: os.environ/ONE_KEY
"""
SHIPPED = sorted(
    Path(str(entry))
    for entry in files("llmroute_data").joinpath("configs").iterdir()
    if entry.name.endswith(".yaml") and b"model_list" in entry.read_bytes()
)


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def read(write):
    return lambda text: litellm.read(write(text))


@pytest.fixture
def complaint(read):
    def complaint(text: str) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            read(text)
        return caught.value

    return complaint


# -- what is wrong is told with its line


def test_what_is_no_yaml_is_refused_with_line_and_column(complaint):
    error = complaint("model_list:\n  - model_name: [chat\n")
    assert error.line == 3
    assert "column 1" in str(error)


def test_what_is_no_table_is_refused(complaint):
    assert "a list" in str(complaint("- model_list\n"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("router_settings: {}\n", "is missing"),
        ("model_list: []\n", "is empty"),
        ("models_list: []\n", "there is 'models_list'"),
        ("model_list: {chat: 1}\n", "must be a list"),
    ],
)
def test_a_file_without_deployments_is_refused(complaint, text, says):
    error = complaint(text)
    assert error.key == ("model_list",)
    assert says in str(error)


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("model_list:\n  - litellm_params: {model: openai/gpt-4o}\n", "no model_name", 2),
        ("model_list:\n\n  - model_name: chat\n", "no litellm_params", 3),
        ("model_list:\n  - model_name: a\n    litellm_params: {mode: x}\n", "there is 'mode'", 3),
        ("model_list:\n  - chat\n", "must be a table", 2),
    ],
)
def test_a_deployment_without_its_names_is_refused_at_its_line(complaint, text, says, line):
    error = complaint(text)
    assert says in str(error)
    assert error.line == line


def test_an_unknown_provider_is_refused_with_the_closest(complaint):
    error = complaint(ONE.format(model="opnai/gpt-4o"))
    assert error.line == 4
    assert error.closest == "openai"
    assert "did you mean 'openai'?" in str(error)


def test_a_bare_name_that_nobody_knows_is_refused(complaint):
    assert complaint(ONE.format(model="my-model")).closest == "openai/my-model"


@pytest.mark.parametrize("setting", ["fallbacks", "context_window_fallbacks"])
@pytest.mark.parametrize("lists", ["[{chat: [chta]}]", "[{chta: [chat]}]"])
def test_a_fallback_of_a_group_that_does_not_exist_is_refused(complaint, setting, lists):
    error = complaint(ONE.format(model="gpt-4o") + f"router_settings:\n  {setting}: {lists}\n")
    assert error.line == 7
    assert error.closest == "chat"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("num_retries: two", "a whole number"),
        ("num_retries: -1", "a whole number"),
        ("cooldown_time: [60]", "a number of seconds"),
        ("timeout: true", "a number of seconds"),
        ("disable_cooldowns: 1", "true or false"),
        ("fallbacks: {chat: [chat]}", "a list"),
        ("fallbacks: [chat]", "must be a table"),
        ("default_fallbacks: [1]", "a list of groups"),
        ("provider_budget_config: {openai: 10}", "budget_limit and time_period"),
        ("provider_budget_config: {openai: {budget_limit: 1}}", "has no time_period"),
        ("provider_budget_config: {openai: {budget_limit: 1, time_period: daily}}", "a period"),
        ("provider_budget_config: {opnai: {budget_limit: 1, time_period: 1d}}", "'openai'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_at_its_line(complaint, setting, says):
    error = complaint(ONE.format(model="gpt-4o") + f"router_settings:\n  {setting}\n")
    assert error.line == 7
    assert says in str(error)


def test_an_error_begins_with_file_and_line(complaint, tmp_path):
    error = complaint(ONE.format(model="opnai/gpt-4o"))
    assert str(error).startswith(f"{tmp_path / 'config.yaml'}:4: model_list.0.litellm_params.model")


def test_other_kinds_of_files_are_left_to_others(tmp_path):
    path = tmp_path / "llmroute.toml"
    path.write_text("")
    assert litellm.read(path) is None


def test_json_with_a_model_list_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model_list": [{"model_name": "a", "litellm_params": {"model": "gpt-4o"}}]}')
    config = litellm.read(path)
    assert config is not None
    assert config.groups == ("a",)


# -- who is asked


@pytest.mark.parametrize(
    ("model", "host", "provider", "upstream"),
    [
        ("openai/gpt-4o", "api.openai.com", "openai", "gpt-4o"),
        ("gpt-4o-mini", "api.openai.com", "openai", "gpt-4o-mini"),
        ("claude-sonnet-4-6", "api.anthropic.com", "anthropic", "claude-sonnet-4-6"),
        ("anthropic/claude-haiku-4-5", "api.anthropic.com", "anthropic", "claude-haiku-4-5"),
        ("groq/llama-3.3-70b-versatile", "api.groq.com", "groq", "llama-3.3-70b-versatile"),
        ("together_ai/meta-llama/Llama-3", "api.together.ai", "together", "meta-llama/Llama-3"),
    ],
)
def test_a_model_is_asked_at_its_providers_own_host(read, model, host, provider, upstream):
    config = read(ONE.format(model=model))
    (deployment,) = config.deployments
    assert (deployment.host, deployment.provider.name) == (host, provider)
    assert deployment.place == provider
    assert upstream in deployment.models


def test_an_api_base_becomes_a_host_with_the_shortest_name_of_its_own(read):
    entries = "".join(
        f"  - model_name: g\n    litellm_params: {{model: openai/m, api_base: 'https://{host}/v1'}}\n"
        for host in ("api.east.acme.example", "api.west.acme.example", "models.other.example")
    )
    config = read("model_list:\n" + entries)
    assert [each.place for each in config.deployments] == ["east", "west", "models"]


def test_a_host_never_takes_the_name_of_a_provider(read):
    text = ONE.format(model="openai/m") + "      api_base: https://openai.acme.example/v1\n"
    (deployment,) = read(text).deployments
    assert deployment.place == "acme"


def test_prices_of_the_file_override_the_catalogue(read):
    text = ONE.format(model="gpt-4o") + "      input_cost_per_token: 1e-6\n"
    (deployment,) = read(text).deployments
    assert str(deployment.tariffs["gpt-4o"].input) == "0.000001"


def test_anchors_and_merged_tables_are_read_as_yaml_reads_them(read):
    config = read(
        "model_list:\n"
        "  - model_name: a\n"
        "    litellm_params: &shared {model: openai/gpt-4o, num_retries: 1}\n"
        "  - model_name: b\n"
        "    litellm_params: {<<: *shared, num_retries: 3}\n"
    )
    retries = {p.group: p.numbers["retries"] for p in config.promises}
    assert retries == {"a": 1, "b": 3}


@pytest.mark.parametrize("model", ["azure/gpt-4o", "bedrock/anthropic.claude", "gemini/gemini-pro"])
def test_what_nobody_here_speaks_is_said_and_the_rest_is_judged(read, model):
    config = read(
        ONE.format(model="gpt-4o")
        + f"  - model_name: other\n    litellm_params: {{model: {model}, api_key: x}}\n"
        + "router_settings:\n  num_retries: 1\n  fallbacks: [{chat: [other]}]\n"
    )
    assert config.groups == ("chat",)
    assert {promise.group for promise in config.promises} == {"chat"}
    reasons = {note.key: note.reason for note in config.not_judged}
    assert "not simulated" in reasons["model_list", "1", "litellm_params"]
    assert "not all is simulated" in reasons["router_settings", "fallbacks", "0", "chat"]


# -- secrets


def test_a_variable_gets_a_throw_away_key_of_its_own(read):
    config = read(ONE.format(model="gpt-4o") + ONE.format(model="gpt-4o").split("\n", 1)[1]
                  .replace("ONE_KEY", "OTHER_KEY"))  # fmt: skip
    assert set(config.environment) == {"ONE_KEY", "OTHER_KEY"}
    assert config.environment["ONE_KEY"] != config.environment["OTHER_KEY"]
    places = {place for p in config.promises for place in p.roles.get("target", ())}
    assert f"api.openai.com/gpt-4o#{fingerprint(config.environment['ONE_KEY'])}" in places


def test_without_a_key_the_providers_own_variable_is_used(read):
    config = read("model_list: [{model_name: a, litellm_params: {model: claude-haiku-4-5}}]")
    assert list(config.environment) == ["ANTHROPIC_API_KEY"]


def test_a_key_that_is_written_out_is_kept_nowhere(write):
    path = write(
        ONE.format(model="gpt-4o").replace("os.environ/ONE_KEY", "sk-live-1234567890")
        + "general_settings: {master_key: sk-live-0987654321}\n"
    )
    config = litellm.read(path)
    assert config is not None
    for group in config.config.groups.values():
        assert "sk-live" not in repr(group)
    assert "sk-live" not in repr((config.promises, config.not_judged, config.environment))


def test_two_keys_written_out_stay_two(read):
    entry = "  - model_name: a\n    litellm_params: {{model: gpt-4o, api_key: {key}}}\n"
    config = read("model_list:\n" + entry.format(key="one") + entry.format(key="two"))
    (target,) = {p.roles["target"] for p in config.promises if p.contract.id == "stream.whole"}
    assert len(target) == 2


def test_an_address_from_a_variable_becomes_a_host_that_exists_nowhere(read):
    config = read(ONE.format(model="openai/m") + "      api_base: os.environ/MODEL_BASE\n")
    (deployment,) = config.deployments
    assert deployment.host.endswith(".example")
    assert config.environment["MODEL_BASE"].startswith(f"https://{deployment.host}")


# -- ways in


def test_chats_are_asked_by_every_api_of_words_and_embeddings_in_two_ways(read):
    config = read(
        ONE.format(model="gpt-4o")
        + "  - model_name: vectors\n    litellm_params: {model: text-embedding-3-small}\n"
        + "  - model_name: named\n    litellm_params: {model: openai/bge}\n"
        + "    model_info: {mode: embedding}\n"
    )
    entries = [str(entry) for entry in config.entries("chat")]
    assert entries[:4] == ["chat-sync", "chat-sync-stream", "chat-async", "chat-async-stream"]
    assert {entry.partition("-")[0] for entry in entries} == {
        "chat",
        "text",
        "responses",
        "messages",
    }
    for group in ("vectors", "named"):
        assert [str(e) for e in config.entries(group)] == ["embeddings-sync", "embeddings-async"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_read_whole(path):
    config = litellm.read(path)
    assert config is not None
    assert set(config.groups) == set(config.config.groups)
    assert config.promises


def test_no_secret_is_kept_wherever_it_stands(read):
    text = (
        ONE.format(model="gpt-4o")
        + "      hf_token: real-secret-1\n"
        + "      extra_headers: {Authorization: Bearer real-secret-2}\n"
        + "litellm_settings: {openai_key: real-secret-3}\n"
    )
    config = read(text)
    assert "real-secret" not in repr(config)
    assert "real-secret" not in str(config.config.litellm)


# -- patterns and other names

PATTERNS = """\
model_list:
  - model_name: openai/*
    litellm_params: {model: "openai/*", api_key: os.environ/OPENAI_API_KEY}
  - model_name: mine
    litellm_params: {model: anthropic/claude-haiku-4-5, api_key: os.environ/ANTHROPIC_API_KEY}
"""


def models(config: litellm.LiteLLMConfig) -> dict[str, list[str]]:
    return {name: [m.model for m in group.members] for name, group in config.config.groups.items()}


def test_a_pattern_is_tried_by_a_model_that_its_provider_sells(read):
    assert models(read(PATTERNS)) == {
        "openai/gpt-4o-mini": ["gpt-4o-mini"], "mine": ["claude-haiku-4-5"],
    }  # fmt: skip


def test_a_pattern_is_tried_by_the_names_that_the_file_uses(read):
    lists = "router_settings: {fallbacks: [{mine: [openai/gpt-4.1, openai/o3]}]}\n"
    assert models(read(PATTERNS + lists)) == {
        "openai/gpt-4.1": ["gpt-4.1"], "openai/o3": ["o3"], "mine": ["claude-haiku-4-5"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "model", "asked", "upstream"),
    [
        ("*", "openai/*", "gpt-4o-mini", "gpt-4o-mini"),
        ("*", "*", "openai/gpt-4o-mini", "gpt-4o-mini"),
        ("house-*", "anthropic/claude-*", "house-haiku-4-5", "claude-haiku-4-5"),
        ("any-*", "groq/llama-3.1-8b-instant", "any-any", "llama-3.1-8b-instant"),
    ],
)
def test_what_a_star_stands_for_is_filled_in(read, name, model, asked, upstream):
    entry = f'  - model_name: "{name}"\n    litellm_params: {{model: "{model}"}}\n'
    assert models(read("model_list:\n" + entry)) == {asked: [upstream]}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            '{model_name: "bedrock/*", litellm_params: {model: "bedrock/*"}}',
            "the format of bedrock",
        ),
        ('{model_name: "openai/x*", litellm_params: {model: "openai/x*"}}', "known to be sold"),
    ],
)
def test_a_pattern_that_cannot_be_tried_says_why(read, entry, says):
    config = read(f"model_list:\n  - {entry}\n")
    assert config.groups == ()
    assert says in config.not_judged[0].reason


def test_a_name_that_fits_two_patterns_is_not_judged(read):
    config = read(
        PATTERNS + '  - model_name: "openai/gpt-*"\n    litellm_params: {model: "openai/gpt-*"}\n'
    )
    assert "openai/gpt-4o-mini" not in config.groups
    assert any("two patterns" in note.reason for note in config.not_judged)


def test_an_alias_is_asked_like_its_group(read):
    alias = (
        "router_settings: {model_group_alias: {house: mine, gold: {model: mine, hidden: true}}}\n"
    )
    config = read(PATTERNS + alias)
    assert config.entries("house") == config.entries("gold") == config.entries("mine")


def test_an_alias_of_nobody_is_refused(complaint):
    error = complaint(PATTERNS + "router_settings: {model_group_alias: {house: mien}}\n")
    assert (error.line, error.closest) == (6, "mine")
