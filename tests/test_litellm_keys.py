# Every key that LiteLLM knows is known here too: it yields a promise, which an edit of tests/edits.py
# shows, or it is listed as not judged, with the reason.

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterable, Mapping

import pytest

from edits import EDITS
from key_table import PAGE, tables, written
from pytest_llmroute.routers.litellm.keys import Key, data, documented
from pytest_llmroute.routers.litellm.process import imported

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)
PATHS: Mapping[str, tuple[str, ...]] = {
    "entry": ("model_list", "0"),
    "litellm_params": ("model_list", "0", "litellm_params"),
    "model_info": ("model_list", "0", "model_info"),
    "router_settings": ("router_settings",),
    "retry_policy": ("router_settings", "retry_policy"),
    "allowed_fails_policy": ("router_settings", "allowed_fails_policy"),
    "routing_strategy_args": ("router_settings", "routing_strategy_args"),
    "routing_groups": ("router_settings", "routing_groups", "0"),
    "litellm_settings": ("litellm_settings",),
    "cache_params": ("litellm_settings", "cache_params"),
}
EDITED = {edit.key for edit in EDITS} | {
    ".".join(PATHS[edit.key.partition(".")[0]])  # the table that an edited key stands in
    for edit in EDITS
}


def known(section: str, name: str) -> Key | None:
    if section == "litellm_params" and name in data("keys")["request"]["names"]:
        return Key(why="a parameter of every request")
    return documented((*PATHS[section], name))


@pytest.fixture(scope="module")
def installed() -> Mapping[str, set[str]]:
    """The keys that the installed LiteLLM has, from its signatures and schemas."""
    litellm = imported()
    caching = importlib.import_module("litellm.caching.caching")
    types = importlib.import_module("litellm.types.router")

    def arguments(of: type) -> set[str]:
        named = inspect.signature(of.__init__).parameters.values()
        return {p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"}

    def fields(*models: type) -> set[str]:
        return {name for model in models for name in model.model_fields}  # type: ignore[attr-defined]  # pydantic's

    return {
        "router_settings": arguments(litellm.Router)
        | fields(types.RouterConfig, types.UpdateRouterConfig),
        "litellm_params": fields(types.LiteLLM_Params)
        | set(types.LiteLLMParamsTypedDict.__annotations__),
        "model_info": fields(types.ModelInfo),
        "entry": set(types.DeploymentTypedDict.__annotations__),
        "retry_policy": fields(types.RetryPolicy),
        "allowed_fails_policy": fields(types.AllowedFailsPolicy),
        "routing_groups": fields(types.RoutingGroup) if hasattr(types, "RoutingGroup") else set(),
        "cache_params": {name for name in arguments(caching.Cache) if not name.startswith("_")},
    }


def unaccounted(keys: Mapping[str, Iterable[str]]) -> list[str]:
    """Keys that neither yield a promise nor are listed with a reason."""
    return [
        f"{section}.{name}"
        for section, names in keys.items()
        for name in sorted(names)
        if (key := known(section, name)) is None
        or (key.why is None and f"{section}.{name}" not in EDITED)
    ]


@needs_litellm
def test_every_key_of_the_installed_litellm_yields_a_promise_or_is_listed_with_its_reason(
    installed,
):
    assert unaccounted(installed) == []


@needs_litellm
@pytest.mark.parametrize(
    "section", ["router_settings", "litellm_params", "model_info", "cache_params"]
)
def test_a_key_that_appears_is_noticed(installed, section):
    keys = {**installed, section: {*installed[section], "brand_new_key"}}
    assert unaccounted(keys) == [f"{section}.brand_new_key"]


@needs_litellm
def test_the_installed_litellm_has_enough_keys_to_have_been_read(installed):
    assert {name for name, keys in installed.items() if len(keys) < 2} <= {"routing_groups"}
    assert "num_retries" in installed["router_settings"]
    assert "max_parallel_requests" in data("keys")["litellm_params"]


def test_every_key_of_the_table_that_yields_a_promise_is_edited():
    sections = {name: keys for name, keys in data("keys").items() if name in PATHS}
    assert unaccounted(sections) == []


def test_every_key_that_is_edited_stands_in_the_table():
    for edit in EDITS:
        section, _, name = edit.key.partition(".")
        assert known(section, name) is not None, edit.key


def test_every_key_of_the_table_that_yields_none_says_why_in_words():
    for section, keys in data("keys").items():
        if section == "request":
            continue
        for name, entry in keys.items():
            key = Key(**entry)
            assert key.sure in ("stated", "implied", "contradictory", "undocumented"), name
            assert key.why is None or len(key.why.split()) > 1, name


def test_the_page_about_litellm_says_what_each_key_promises_and_why_some_promise_nothing():
    text = PAGE.read_text("utf-8")
    assert written(text, tables()) == text, (
        "docs/litellm.md is behind: python benchmarks/keys.py --write"
    )
