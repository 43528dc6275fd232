# Every way into a LiteLLM router: what it sends, what its caller gets, and what is left behind.

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from copy import copy, deepcopy

import pytest

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock
from llmroute_sim.history import History
from llmroute_sim.incidents import Incident
from llmroute_sim.scenario import Ask, Scenario
from llmroute_sim.simulator import Simulator
from pytest_llmroute.ask import Pen
from pytest_llmroute.play import Cell, play
from pytest_llmroute.routers import Entry, MissingPackage, Question, Reply
from pytest_llmroute.routers.litellm.methods import Broken, Events, Listening, request
from pytest_llmroute.routers.litellm.router import LiteLLMRouter
from pytest_llmroute.run import Choice, judged, trials

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)

FILE = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/gpt-4o-mini, api_base: "https://a.llm.example/v1", api_key: os.environ/A_KEY, timeout: 10, stream_timeout: 10}
  - model_name: b
    litellm_params: {model: anthropic/claude-haiku-4-5, api_key: os.environ/B_KEY, timeout: 10, stream_timeout: 10}
  - model_name: spare
    litellm_params: {model: openai/gpt-4o, api_base: "https://spare.llm.example/v1", api_key: os.environ/A_KEY}
  - model_name: v
    litellm_params: {model: openai/text-embedding-3-small, api_key: os.environ/A_KEY}
"""
ALONE = FILE + "router_settings: {num_retries: 0}\n"
BACKED = FILE + "router_settings: {num_retries: 1, fallbacks: [{a: [spare]}, {b: [spare]}]}\n"
AT = {"a": "a.llm.example", "b": "anthropic"}

WORDS = ("chat", "text", "responses", "messages")
SENT = {
    ("chat", "a"): "chat", ("chat", "b"): "messages",
    ("text", "a"): "chat", ("text", "b"): "messages",
    ("responses", "a"): "responses", ("responses", "b"): "messages",
    ("messages", "a"): "responses", ("messages", "b"): "messages",
}  # fmt: skip
"""What LiteLLM asks of an OpenAI (a) and of an Anthropic deployment (b)."""
DONE = {"chat": "stop", "text": "stop", "responses": "completed", "messages": "end_turn"}

AWAITED = [Entry(api, stream=stream) for api in WORDS for stream in (False, True)]
BLOCKING = [Entry("responses", sync=True), Entry("responses", sync=True, stream=True)]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}  # fmt: skip
SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": {
    "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
    "additionalProperties": False}}}  # fmt: skip


@pytest.fixture
def run(read):
    """The history of one scenario: so many asks, and a fault at the group's own deployment."""

    def run(text, entry, group="a", fault=None, *asks):
        broken = () if fault is None else (Incident.read({"at": AT[group], "fault": fault}),)
        scenario = Scenario("by hand", incidents=broken, asks=asks or (Ask(),))
        return play(Cell(read(text), scenario, group, entry))

    return run


def question(api, options=None, stream=False, past=()):
    return Question(Entry(api, stream=stream), "a", "hello", options or {}, past)


# -- which ways there are


def test_a_group_of_chats_is_asked_through_every_api_of_words(read):
    ways = [str(entry) for entry in read(ALONE).entries("a")]
    assert ways[:4] == ["chat-sync", "chat-sync-stream", "chat-async", "chat-async-stream"]
    assert {way.partition("-")[0] for way in ways} == set(WORDS)
    assert not [way for way in ways if way.startswith("messages-sync")]
    assert [str(entry) for entry in read(ALONE).entries("v")] == [
        "embeddings-sync", "embeddings-async",
    ]  # fmt: skip


@needs_litellm
@pytest.mark.parametrize("entry", [*AWAITED, *BLOCKING], ids=str)
@pytest.mark.parametrize("group", ["a", "b"])
def test_each_way_asks_and_answers(run, entry, group):
    history = run(ALONE, entry, group)
    (call,), (attempt,) = history.calls, history.attempts
    assert attempt.operation == SENT[entry.api, group]
    assert attempt.stream == entry.stream
    assert (call.outcome, call.finish) == ("answered", DONE[entry.api])
    assert call.marks == attempt.marks
    assert call.model in (attempt.model, attempt.shown)
    assert (call.entry, call.stream, call.sync) == (entry.api, entry.stream, entry.sync)
    if not entry.stream:
        assert (call.tokens_in, call.tokens_out) == (attempt.tokens_in, attempt.tokens_out)


@needs_litellm
@pytest.mark.parametrize("entry", AWAITED, ids=str)
@pytest.mark.parametrize("group", ["a", "b"])
def test_each_way_is_retried_and_falls_back_as_the_file_says(run, entry, group):
    history = run(BACKED, entry, group, "outage")
    own = "a" if group == "a" else "anthropic"
    assert history.path == [f"{own}:503", f"{own}:503", "spare:200"]
    assert history.calls[0].marks == history.attempts[-1].marks


BRIDGED = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/responses/gpt-4o-mini, api_base: "https://a.llm.example/v1", api_key: os.environ/A_KEY, timeout: 10, stream_timeout: 10}
  - model_name: spare
    litellm_params: {model: openai/responses/gpt-4o, api_base: "https://spare.llm.example/v1", api_key: os.environ/A_KEY}
  - model_name: c
    litellm_params: {model: groq/llama-3.1-8b-instant, api_key: os.environ/A_KEY}
router_settings: {num_retries: 1, fallbacks: [{a: [spare]}]}
"""
BRIDGES = [Entry("chat", sync, stream) for sync in (True, False) for stream in (False, True)]
BRIDGES += [entry for entry in AWAITED if entry.api in ("responses", "messages")]


def test_who_is_asked_over_responses_completes_no_text(read):
    config = read(BRIDGED)
    ways = {entry.api for entry in config.entries("a")}
    assert ways == {"chat", "responses", "messages"}
    assert {entry.api for entry in config.entries("c")} == set(WORDS)
    named = {p.group for p in config.promises if p.contract.id == "fallback.chosen"}
    assert "c" not in named


def test_what_another_provider_is_asked_over_responses_is_not_documented(read):
    config = read(BRIDGED.replace("groq/llama", "groq/responses/llama"))
    assert config.groups == ("a", "spare")
    assert any("groq/responses/ asks" in note.reason for note in config.not_judged)


@needs_litellm
@pytest.mark.parametrize("entry", BRIDGES, ids=str)
def test_a_model_of_the_responses_api_is_asked_there_whatever_the_way_in(run, entry):
    history = run(BRIDGED, entry, "a", "outage")
    assert history.path == ["a:503", "a:503", "spare:200"]
    assert [one.operation for one in history.attempts] == ["responses"] * 3
    assert [one.model for one in history.attempts] == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]
    (call,) = history.calls
    assert (call.outcome, call.finish) == ("answered", DONE[entry.api])
    assert call.marks == history.attempts[-1].marks


@needs_litellm
@pytest.mark.parametrize("entry", [one for one in BRIDGES if one.stream], ids=str)
def test_words_of_the_responses_api_are_told_from_an_end_that_never_came(run, entry):
    history = run(BRIDGED, entry, "a", {"name": "cut", "after": 3})
    (call,) = history.calls
    assert history.attempts[0].outcome == "200-cut"
    assert 0 < len(call.marks) < len(history.attempts[0].marks)


@needs_litellm
@pytest.mark.parametrize("api", WORDS)
@pytest.mark.parametrize("group", ["a", "b"])
def test_a_client_that_leaves_a_stream_has_left(run, api, group):
    history = run(ALONE, Entry(api, stream=True), group, None, Ask(leave_after=3))
    (call,) = history.calls
    assert call.outcome == "left"
    assert 0 < len(call.marks) < len(history.attempts[0].marks)


@needs_litellm
@pytest.mark.parametrize("api", WORDS)
@pytest.mark.parametrize("group", ["a", "b"])
@pytest.mark.parametrize("fault", ["cut", "reset", "stall", "error-in-stream"])
def test_what_came_of_a_stream_that_broke_is_kept_and_told(run, api, group, fault):
    named = {"name": fault, "after": 3} if fault in ("cut", "reset", "stall") else fault
    history = run(ALONE, Entry(api, stream=True), group, named)
    (call,) = history.calls
    assert call.outcome == "failed"
    assert call.finish in ("", "error")
    assert 0 < len(call.marks) < len(history.attempts[0].marks)
    assert call.ended == pytest.approx(10.44 if fault == "stall" else 0.46)


@needs_litellm
@pytest.mark.parametrize("group", ["a", "b"])
def test_no_messages_without_their_last_event_look_finished(run, group):
    history = run(ALONE, Entry("messages", stream=True), group, "missing-terminal")
    assert history.attempts[0].outcome == "200-unfinished"
    assert history.calls[0].finish in ("", "error")


@needs_litellm
@pytest.mark.parametrize("api", WORDS)
def test_a_hint_reaches_the_caller(run, api):
    fault = {"name": "rate-limit", "retry_after": 7}
    (call,) = run(ALONE, Entry(api), "a", fault).calls
    assert call.failure is not None
    assert (call.failure.status, call.failure.retry_after) == (429, 7.0)


# -- ways that an installation lacks


class Half:
    """A router of an installation that is not whole."""

    async def aanthropic_messages(self, **_):
        try:
            raise ModuleNotFoundError("No module named 'fastapi'")
        except ModuleNotFoundError as error:
            raise RuntimeError("the provider failed") from error


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Entry("messages"), "No module named 'fastapi'"),
        (Entry("responses"), "no Router.aresponses"),
    ],
    ids=str,
)
def test_nobody_is_blamed_for_a_way_in_that_is_not_installed(entry, said):
    history, clock = History(), Clock()
    pen = Pen(history, clock)

    async def asked():
        question = Question(entry, "a", "hello")
        with pen.writing(**pen.about(question, {})) as (_, reply):
            await LiteLLMRouter(Half()).aask(question, reply)

    with pytest.raises(MissingPackage, match=said):
        asyncio.run(asked())
    assert [(call.outcome, call.failure) for call in history.calls] == [("left", None)]


# -- options


@needs_litellm
@pytest.mark.parametrize("api", WORDS)
def test_options_that_tell_the_router_what_to_do_do_it(run, api):
    def path(**options):
        return run(BACKED, Entry(api), "a", "outage", Ask(options=options)).path

    assert path(disable_fallbacks=True) == ["a:503"] * 2
    assert path(num_retries=3) == [*["a:503"] * 4, "spare:200"]
    assert path(fallbacks=["b"])[-1] == "anthropic:200"


@needs_litellm
@pytest.mark.parametrize("text", [ALONE, BACKED])
def test_whom_a_request_names_is_asked_in_its_order_whatever_the_file_says(read, text):
    choice = Choice(("fallbacks-named",), ("fallback.chosen",))
    found, _ = trials(read(text), choice)
    results = [judged(trial) for trial in found if trial.cell.group == "a"]
    assert {one.cell.entry.api for one in results if one.cell is not None} == set(WORDS)
    for result in results:
        assert {verdict.outcome for verdict in result.verdicts} == {"kept"}
        asked = [
            list(dict.fromkeys(one.deployment for one in result.history.of(call)))
            for call in result.history.calls
        ]
        own, first, second = "a.llm.example", "api.anthropic.com", "spare.llm.example"
        assert asked == [[own, first], [own, first, second]]


@needs_litellm
@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
@pytest.mark.parametrize("group", ["a", "b"])
def test_what_is_wanted_besides_words_is_said_in_each_apis_way(run, api, group):
    for options, feature in (({"tools": [TOOL]}, "tools"), ({"response_format": SCHEMA}, "schema")):
        (call,) = (history := run(ALONE, Entry(api), group, None, Ask(options=options))).calls
        assert call.features == (feature,)
        assert feature in history.attempts[0].features
        assert call.outcome == "answered"


@needs_litellm
def test_thinking_is_asked_for_in_each_apis_way(run):
    for api in ("chat", "responses", "messages"):
        history = run(ALONE, Entry(api), "b", None, Ask(options={"reasoning_effort": "low"}))
        assert history.calls[0].features == history.attempts[0].features == ("thinking",)


@needs_litellm
def test_an_api_is_not_asked_with_what_it_has_no_words_for(run):
    tools = Ask(options={"tools": [TOOL], "max_tokens": 3})
    (call,) = (history := run(ALONE, Entry("text"), "a", None, tools)).calls
    assert (call.outcome, call.features) == ("answered", ())
    assert history.attempts[0].features == ()
    (call,) = (history := run(ALONE, Entry("embeddings"), "v", None, tools)).calls
    assert call.outcome == "answered"
    assert call.dimension == history.attempts[0].dimension


@needs_litellm
def test_no_router_writes_into_what_a_scenario_says(run):
    options = {"metadata": {"tags": ["free"]}, "tools": [TOOL]}
    before = deepcopy(options)
    for api in ("chat", "messages"):
        history = run(ALONE, Entry(api), "a", None, Ask(times=2, options=options))
        assert [call.options for call in history.calls] == [{"tags": ["free"]}] * 2
    assert options == before


def test_a_limit_and_a_system_prompt_go_where_each_api_has_them():
    options = {"system": "Be brief.", "max_tokens": 5}
    assert request(question("chat", options))["messages"][0]["role"] == "system"
    assert request(question("text", options))["prompt"] == "Be brief.\n\nhello"
    asked = request(question("responses", options))
    assert (asked["instructions"], asked["max_output_tokens"]) == ("Be brief.", 5)
    asked = request(question("messages", options))
    assert (asked["system"], asked["max_tokens"]) == ("Be brief.", 5)
    assert options == {"system": "Be brief.", "max_tokens": 5}


def test_a_conversation_is_told_in_each_apis_way():
    past = (("user", "one"), ("assistant", "two"))
    assert len(request(question("chat", past=past))["messages"]) == 3
    assert request(question("text", past=past))["prompt"].splitlines()[2] == "assistant: two"
    assert [said["content"] for said in request(question("responses", past=past))["input"]] == [
        "one", "two", "hello",
    ]  # fmt: skip
    assert len(request(question("messages", past=past))["messages"]) == 3


# -- listening


def test_events_are_read_wherever_their_bytes_were_cut():
    whole = b'event: a\ndata: {"type": "a"}\n\ndata: [DONE]\n\ndata: {"type": "b"}\n\n'
    for size in range(1, len(whole)):
        events = Events()
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        found = [event["type"] for piece in pieces for event in events.read(piece)]
        assert found == ["a", "b"]


def test_an_event_that_tells_of_a_failure_is_one():
    reply = Reply()
    listening = Listening(question("messages", stream=True), reply)
    listening.take(b'data: {"type": "content_block_delta", "delta": {"text": "hi"}}\n\n')
    with pytest.raises(Broken) as raised:
        listening.take(b'data: {"type": "error", "error": {"type": "overloaded_error"}}\n\n')
    assert raised.value.status_code == 529
    assert (reply.text, reply.finish) == ("hi", "error")


def test_an_answer_that_has_not_ended_shows_no_finish_reason():
    for api in WORDS:
        reply = Reply()
        Listening(question(api, stream=True), reply)
        assert reply.finish == ""
    reply = Reply()
    Listening(question("embeddings"), reply)
    assert reply.finish is None


# -- what is left


@needs_litellm
def test_nothing_of_any_way_in_is_left_in_the_process(read):
    module = importlib.import_module("litellm")
    ways = [(entry, "a") for entry in (*AWAITED, *BLOCKING)] + [(Entry("embeddings"), "v")]
    names = [
        "callbacks", "success_callback", "failure_callback", "input_callback", "cache",
        "_async_success_callback", "_async_failure_callback", "model_cost",
    ]  # fmt: skip

    def state():
        # Prices are tables within a table; of callbacks only who they are matters.
        return [
            (deepcopy if name == "model_cost" else copy)(getattr(module, name, None))
            for name in names
        ]

    def asked(fault):
        config, clock = read(BACKED), Clock()
        simulator, tasks = Simulator(clock), []
        for deployment in config.deployments:
            simulator.serve(deployment)
        simulator.inject(Incident.read({"at": "a.llm.example", "fault": fault}))

        async def main():
            async with config.open() as router:
                for entry, group in ways:
                    one = Question(entry, group, "hello", leave_after=2)
                    try:
                        if entry.sync:
                            await asyncio.to_thread(router.ask, one, Reply())
                        else:
                            await router.aask(one, Reply())
                    except Exception:
                        continue
            tasks.extend(asyncio.all_tasks())

        with pytest.MonkeyPatch.context() as patch, in_memory(simulator, clock):
            for name, value in config.environment.items():
                patch.setenv(name, value)
            asyncio.run(main())
        return tasks

    before = state()
    for fault in ("missing-usage", {"name": "cut", "after": 1}):
        assert len(asked(fault)) == 1
    assert state() == before
    assert not module.in_memory_llm_clients_cache.cache_dict


@needs_litellm
def test_the_same_cell_gives_the_same_history_whatever_way_was_played_before(run):
    cells = [
        lambda entry=entry, group=group, fault=fault: run(BACKED, entry, group, fault)
        for entry in (*AWAITED, *BLOCKING)
        for group, fault in (("a", "outage"), ("b", {"name": "cut", "after": 3}))
        if entry.api != "chat"
    ]
    first = [cell().digest() for cell in cells]
    second = [cell().digest() for cell in reversed(cells)]
    assert second == first[::-1]
