from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import traceback
from copy import copy, deepcopy
from decimal import Decimal
from pathlib import Path

import pytest

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock
from llmroute_sim.history import History
from llmroute_sim.incidents import Incident
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask, Scenario
from llmroute_sim.simulator import Simulator
from pytest_llmroute.play import Cell, play
from pytest_llmroute.routers import Entry, MissingPackage, Question, Reply, litellm

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)
CALIBRATION = Path(__file__).parent / "configs" / "calibration"
CHATS = tuple(Entry("chat", sync, stream) for sync in (True, False) for stream in (False, True))
EMBEDDINGS = (Entry("embeddings", sync=True), Entry("embeddings"))
PAIR = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/gpt-4o-mini, api_base: "https://a.llm.example/v1", api_key: os.environ/A_KEY}
  - model_name: b
    litellm_params: {model: anthropic/claude-haiku-4-5, api_key: os.environ/B_KEY}
  - model_name: v
    litellm_params: {model: openai/text-embedding-3-small, api_key: os.environ/A_KEY, input_cost_per_token: 0.001}
"""
TWINS = """\
model_list:
  - model_name: a
    litellm_params: {model: gpt-4o-mini, api_base: "https://one.llm.example/v1", api_key: k, weight: 9999}
    model_info: {id: the-first}
  - model_name: a
    litellm_params: {model: gpt-4o-mini, api_base: "https://two.llm.example/v1", api_key: k, weight: 1}
    model_info: {id: the-second}
router_settings: {num_retries: 0, cooldown_time: 60}
"""
A = "a.llm.example"


@pytest.fixture
def run(read):
    """What happens when a file's router is asked while things go wrong."""

    def run(text, entry, *incidents, group="a", asks=None, bills=None) -> History:
        broken = tuple(Incident.read({"at": at, "fault": fault}) for at, fault in incidents)
        scenario = Scenario("by hand", incidents=broken, asks=asks or (Ask(),), bills=bills)
        return play(Cell(read(text), scenario, group, entry))

    return run


def test_without_litellm_the_way_to_install_it_is_told(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)

    async def opened() -> None:
        async with read(PAIR).open():
            pass

    with pytest.raises(MissingPackage, match=r"pip install 'pytest-llmroute\[litellm\]'"):
        asyncio.run(opened())


@needs_litellm
@pytest.mark.parametrize("entry", CHATS, ids=str)
@pytest.mark.parametrize("group", ["a", "b"])
def test_a_chat_is_answered_by_the_provider_that_the_file_names(run, entry, group):
    history = run(PAIR, entry, group=group)
    (call,), (attempt,) = history.calls, history.attempts
    assert (call.outcome, call.finish) == ("answered", "stop")
    assert call.marks == attempt.marks
    assert attempt.stream == entry.stream
    assert attempt.provider == {"a": "openai", "b": "anthropic"}[group]
    assert call.first_token is not None
    if not entry.stream:
        assert call.cost == pytest.approx(attempt.spent)


@needs_litellm
@pytest.mark.parametrize("entry", EMBEDDINGS, ids=str)
def test_embeddings_come_as_vectors_with_their_cost(run, entry):
    history = run(PAIR, entry, group="v")
    (call,), (attempt,) = history.calls, history.attempts
    assert call.marks == attempt.marks
    assert call.cost == attempt.spent == Decimal("0.001") * attempt.tokens_in


@needs_litellm
@pytest.mark.parametrize("entry", CHATS, ids=str)
def test_failures_go_where_the_file_says_after_its_retries(run, entry):
    text = PAIR + "router_settings: {num_retries: 1, fallbacks: [{a: [b]}]}\n"
    history = run(text, entry, (A, "outage"))
    assert history.path == ["a:503", "a:503", "anthropic:200"]
    assert history.calls[0].outcome == "answered"


@needs_litellm
@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
def test_both_sections_reach_the_router(run, section):
    text = PAIR + f"{section}: {{num_retries: 2, fallbacks: [{{a: [b]}}]}}\n"
    history = run(text, Entry(), (A, "outage"))
    assert history.path == ["a:503", "a:503", "a:503", "anthropic:200"]


@needs_litellm
def test_a_failure_is_raised_with_its_status_and_without_keys(run):
    history = run(PAIR + "router_settings: {num_retries: 0}\n", Entry(), (A, "unauthorized"))
    (call,) = history.calls
    assert call.failure is not None
    assert call.failure.status == 401
    assert call.failure.kinds[0] == "AuthenticationError"
    assert "sk-llmroute" not in call.failure.message


@needs_litellm
def test_what_came_before_a_stream_broke_is_kept(run):
    text = PAIR + "router_settings: {num_retries: 0}\n"
    history = run(text, Entry(stream=True), (A, {"name": "reset", "after": 4}))
    (call,), (attempt,) = history.calls, history.attempts
    assert call.outcome == "failed"
    assert 0 < len(call.marks) < len(attempt.marks)


@needs_litellm
def test_a_cooldown_passes_in_virtual_time(run):
    asks = (Ask(times=1), Ask(times=3), Ask(at=80.0, times=3))
    history = run(TWINS, Entry(), ("one.llm.example", "rate-limit"), asks=asks)
    hosts = [(attempt.place, attempt.started >= 60) for attempt in history.attempts]
    assert hosts[:4] == [("one", False), *[("two", False)] * 3]
    assert ("one", True) in hosts


@needs_litellm
def test_a_deployment_with_an_id_of_its_own_forgets_what_happened_in_another_world(run):
    for _ in range(2):
        broken = run(TWINS, Entry(), ("one.llm.example", "rate-limit"), asks=(Ask(times=2),))
        assert broken.path == ["one:429", "two:200"]
        assert run(TWINS, Entry()).path == ["one:200"]


@needs_litellm
def test_a_budget_is_counted_at_the_files_price(run):
    text = PAIR + (
        "router_settings:\n  num_retries: 0\n"
        "  provider_budget_config: {openai: {budget_limit: 1, time_period: 1d}}\n"
    )
    asks = (Ask(times=5, every=2.0),)
    history = run(text, Entry("embeddings"), group="v", asks=asks, bills=Usage(400, 0))
    assert [call.outcome for call in history.calls] == ["answered"] * 3 + ["failed"] * 2
    assert len(history.attempts) == 3


@needs_litellm
@pytest.mark.parametrize("entry", [*CHATS, *EMBEDDINGS], ids=str)
def test_a_local_cache_answers_repeats_until_its_time_is_over(run, entry):
    text = PAIR + "litellm_settings: {cache: true, cache_params: {type: local, ttl: 60}}\n"
    asks = (Ask(question="same"), Ask(question="same", at=30.0), Ask(question="same", at=90.0))
    history = run(text, entry, group="v" if entry.api == "embeddings" else "a", asks=asks)
    assert [attempt.started >= 90 for attempt in history.attempts] == [False, True]
    assert history.calls[0].marks == history.calls[1].marks != history.calls[2].marks


@needs_litellm
def test_options_reach_the_provider(read):
    tool = {"type": "function", "function": {"name": "look", "parameters": {
        "type": "object", "properties": {"what": {"type": "string"}}}}}  # fmt: skip
    options = {"system": "Be brief.", "max_tokens": 3, "temperature": 0.5}
    plain, short, called = Reply(), Reply(), Reply()

    async def asked(router) -> None:
        await router.aask(Question(Entry(), "a", "hello"), plain)
        await router.aask(Question(Entry(), "a", "hello", options), short)
        await router.aask(Question(Entry(), "a", "hello", {"tools": [tool]}), called)

    history = _inside(read(PAIR), asked)
    digests = {attempt.prompt for attempt in history.attempts}
    assert len(digests) == 3
    assert (plain.finish, short.finish, called.finish) == ("stop", "length", "tool_calls")
    assert len(short.text.split()) == 3
    assert "what" in called.text


@needs_litellm
def test_nothing_of_a_router_is_left_in_the_process(read):
    text = PAIR + (
        "router_settings:\n  provider_budget_config: {openai: {budget_limit: 1, time_period: 1d}}\n"
        "litellm_settings: {num_retries: 3, request_timeout: 7, fallbacks: [{a: [b]}], "
        "cache: true, cache_params: {type: local}, drop_params: true}\n"
    )
    module = importlib.import_module("litellm")
    names = [
        "callbacks", "success_callback", "failure_callback", "input_callback", "cache",
        "_async_success_callback", "_async_failure_callback", "num_retries", "request_timeout",
        "fallbacks", "drop_params", "model_cost",
    ]  # fmt: skip

    def state() -> list[object]:
        # Lists hold callbacks, which may belong to a router that another test has left.
        values = [(name, getattr(module, name, None)) for name in names]
        return [(deepcopy if name == "model_cost" else copy)(value) for name, value in values]

    before, seen, marks = state(), [], vars(traceback).copy()

    async def asked(router) -> None:
        seen.append((module.num_retries, module.request_timeout, module.cache is None))
        await router.aask(Question(Entry(), "a", "hello"), Reply())
        await router.aask(Question(Entry("embeddings"), "v", "hello"), Reply())

    tasks = []
    _inside(read(text), asked, after=lambda: tasks.extend(asyncio.all_tasks()))
    assert seen == [(3, 7, False)]
    assert state() == before
    assert vars(traceback) == marks
    assert len(tasks) == 1
    assert not module.in_memory_llm_clients_cache.cache_dict


@needs_litellm
def test_variables_that_point_elsewhere_are_set_aside_and_put_back(read, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_BASE", "https://elsewhere.invalid")
    reply = Reply()

    async def asked(router) -> None:
        await router.aask(Question(Entry(), "b", "hello"), reply)

    assert _inside(read(PAIR), asked).path == ["anthropic:200"]
    assert os.environ["ANTHROPIC_API_BASE"] == "https://elsewhere.invalid"


@needs_litellm
def test_the_same_cell_gives_the_same_history_whatever_ran_before(run):
    text = PAIR + "router_settings: {num_retries: 2, fallbacks: [{a: [b]}]}\n"
    cached = text + "litellm_settings: {cache: true, cache_params: {type: local}}\n"
    cells = [
        lambda: run(text, Entry(sync=True), (A, "outage")),
        lambda: run(
            TWINS, Entry(stream=True), ("one.llm.example", "rate-limit"), asks=(Ask(times=4),)
        ),
        lambda: run(cached, Entry(), asks=(Ask(question="q", times=2),)),
        lambda: run(text, Entry(stream=True), group="b"),
        lambda: run(text, Entry(stream=True), (A, {"name": "cut", "after": 3})),
    ]
    first = [cell().digest() for cell in cells]
    second = [cell().digest() for cell in reversed(cells)]
    assert second == first[::-1]


@needs_litellm
@pytest.mark.parametrize(
    ("name", "at", "fault", "stream"),
    [
        ("stream-reset", "one.llm.example", {"name": "reset", "after": 3}, True),
        ("deployment-retries", "one.llm.example", {"name": "outage", "status": 500}, False),
        ("fallback-cycle", "*", {"name": "outage", "status": 500}, False),
    ],
)
def test_this_release_keeps_what_older_ones_broke(name, at, fault, stream):
    config = litellm.read(CALIBRATION / f"{name}.yaml")
    assert config is not None
    scenario = Scenario(name, incidents=(Incident.read({"at": at, "fault": fault}),))
    history = play(Cell(config, scenario, config.groups[0], Entry(stream=stream)))
    (call,) = history.calls
    assert call.outcome == "failed"
    expected = {"stream-reset": 1, "deployment-retries": 3, "fallback-cycle": 6}
    assert len(history.attempts) == expected[name]


def _inside(config, asked, after=lambda: None) -> History:
    """A world in which a router is opened and asked."""
    clock = Clock()
    simulator = Simulator(clock)
    for deployment in config.deployments:
        simulator.serve(deployment)

    async def main() -> None:
        async with config.open() as router:
            await asked(router)
        after()

    with pytest.MonkeyPatch.context() as patch, in_memory(simulator, clock):
        for name, value in config.environment.items():
            patch.setenv(name, value)
        asyncio.run(main())
    return simulator.history
