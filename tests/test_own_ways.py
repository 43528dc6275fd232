# llmroute.toml: functions for further APIs, options of requests, and promises about a LiteLLM router.

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest

from pytest_llmroute.contracts import fallback
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.routers import Entry, Question, Reply
from pytest_llmroute.routers.own import AddedConfig, OwnConfig, read
from pytest_llmroute.run import Choice, judged, trials

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)

HEAD = 'format = 1\n[router]\nkind = "callable"\n'
APP = """
def ask(prompt, **options): return f"{prompt} {sorted(options.items())}"
async def message(prompt, **options):
    return {"content": [{"type": "text", "text": f"message {prompt}"}], "stop_reason": "end_turn"}
async def events(prompt, **options):
    yield {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3}}}
    yield {"type": "content_block_delta", "delta": {"type": "text_delta", "text": prompt}}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
def response(prompt, **options):
    return {"object": "response", "status": "completed", "model": "m", "output": [
        {"type": "message", "content": [{"type": "output_text", "text": prompt}]}]}
def text(prompt, **options): return {"choices": [{"text": prompt, "finish_reason": "stop"}]}
"""
ROUTED = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/gpt-4o-mini, api_base: "https://a.llm.example/v1", api_key: os.environ/A_KEY}
  - model_name: b
    litellm_params: {model: anthropic/claude-haiku-4-5, api_key: sk-live-not-kept}
router_settings: {num_retries: 0, fallbacks: [{a: [b]}]}
"""
ADDED = """\
format = 1
[router]
kind = "litellm"
config = "config.yaml"
group = "a"
"""


def own(folder: Path, text: str) -> OwnConfig:
    (folder / "app.py").write_text(APP)
    (folder / "llmroute.toml").write_text(text)
    found = read(folder / "llmroute.toml")
    assert isinstance(found, OwnConfig)
    return found


def added(folder: Path, text: str, routed: str = ROUTED) -> AddedConfig:
    (folder / "config.yaml").write_text(routed)
    (folder / "llmroute.toml").write_text(text)
    found = read(folder / "llmroute.toml")
    assert isinstance(found, AddedConfig)
    return found


def asked(config: OwnConfig, entry: Entry, **options: object) -> Reply:
    reply = Reply()

    async def run() -> None:
        async with config.open() as router:
            question = Question(entry, config.group, "hello", options)
            if entry.sync:
                await asyncio.to_thread(router.ask, question, reply)
            else:
                await router.aask(question, reply)

    asyncio.run(run())
    return reply


# -- functions for further APIs


def test_each_function_serves_the_way_in_that_it_is_for(tmp_path):
    roles = (
        'call = "app:ask"', 'text = "app:text"', 'responses = "app:response"',
        'messages = "app:message"', 'messages-stream = "app:events"',
    )  # fmt: skip
    found = own(tmp_path, HEAD + "\n".join(roles))
    assert list(map(str, found.entries(found.group))) == [
        "chat-sync", "text-sync", "responses-sync", "messages-async", "messages-async-stream",
    ]  # fmt: skip
    answers = {str(entry): asked(found, entry) for entry in found.entries(found.group)}
    assert {name: reply.finish for name, reply in answers.items()} == {
        "chat-sync": None, "text-sync": "stop", "responses-sync": "completed",
        "messages-async": "end_turn", "messages-async-stream": "end_turn",
    }  # fmt: skip
    streamed = answers["messages-async-stream"]
    assert (streamed.text, streamed.model) == ("hello", "m")
    assert (streamed.tokens_in, streamed.tokens_out) == (3, 1)


def test_a_router_may_speak_messages_alone(tmp_path):
    found = own(tmp_path, HEAD + 'messages = "app:message"')
    assert list(map(str, found.entries(found.group))) == ["messages-async"]


def test_a_router_that_gives_no_whole_answer_is_none(tmp_path):
    with pytest.raises(ConfigError, match="call is missing"):
        own(tmp_path, HEAD + 'messages-stream = "app:events"')


# -- options of requests


def test_requests_carry_the_options_of_the_file_and_those_of_a_promise(tmp_path):
    text = HEAD + (
        'call = "app:ask"\n[options]\ntimeout = 20\ntenant = "acme"\n'
        '[[promise]]\ncontract = "cache.hit"\n'
        '[[promise]]\ncontract = "cache.clean"\noptions = { timeout = 5 }\n'
    )
    hit, clean, *practice = own(tmp_path, text).promises
    assert hit.options == {"timeout": 20, "tenant": "acme"}
    assert clean.options == {"timeout": 5, "tenant": "acme"}
    assert all(promise.options == hit.options for promise in practice)
    assert 'asked with timeout = 5, tenant = "acme"' in clean.text


def test_options_reach_the_function_and_the_history(tmp_path):
    text = HEAD + (
        'call = "app:ask"\n[options]\nnum_retries = 4\n[[promise]]\ncontract = "cache.hit"\n'
    )
    found, _ = trials(own(tmp_path, text), Choice(("repeat",), ("cache.hit",)))
    history = judged(found[0], calmed=False).history
    assert {tuple(call.options.items()) for call in history.calls} == {(("num_retries", 4),)}


def test_a_way_in_of_any_api_may_be_named(tmp_path):
    text = HEAD + 'call = "app:ask"\n[[promise]]\ncontract = "cache.hit"\nentries = ["messages"]\n'
    assert own(tmp_path, text).promises[0].entries == ("messages",)
    with pytest.raises(ConfigError, match="'mesages' is not a way in"):
        own(tmp_path, text.replace('["messages"]', '["mesages"]'))


# -- promises about a LiteLLM router


def test_a_file_beside_a_litellm_config_promises_more_of_its_router(tmp_path):
    found = added(
        tmp_path,
        ADDED + '[[promise]]\ncontract = "fallback.elsewhere"\nallowed = ["a/gpt-4o-mini"]\n'
        "options = { disable_fallbacks = true }\n"
        '[[promise]]\ncontract = "stream.whole"\ngroup = "b"\n',
    )
    first, second, *practice = found.promises
    assert isinstance(first.contract, fallback.Elsewhere)
    assert first.contract.allowed[0].deployments == (("a.llm.example", "gpt-4o-mini", None),)
    assert (first.because.kind, first.because.line, first.group) == ("user", 6, "a")
    assert first.options == {"disable_fallbacks": True}
    assert second.group == "b"
    assert all(promise.because.kind == "policy" for promise in practice)
    assert found.entries("a") == found.routed.entries("a")
    assert found.environment == found.routed.environment
    assert found.keys == found.routed.keys
    assert len(found.keys) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ADDED.replace('"config.yaml"', '"conf.yaml"'), "4: router.config: conf.yaml: No such file"),
        (ADDED.replace('config = "config.yaml"\n', ""), "2: router: config is missing"),
        (ADDED.replace('"a"', '"c"'), "5: router.group: unknown group 'c' (known: a, b)"),
        (ADDED.replace('group = "a"\n', ""), "2: router: group is missing: which one is asked (known: a, b)"),
        (ADDED + 'call = "app:ask"\n', "6: router.call: unknown key of router"),
        (ADDED + '[[promise]]\ncontract = "cache.hit"\ngroup = "c"', "8: promise.group: unknown group 'c'"),
        (ADDED.replace("litellm", "lite"), "3: router.kind: unknown kind of router 'lite' (known: callable, litellm)"),
        (ADDED + "[hosts]\n", "6: hosts: unknown key of llmroute.toml of a LiteLLM router"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_it_is_said_with_its_line(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        added(tmp_path, text)
    assert said in str(caught.value)


def test_the_only_group_need_not_be_named(tmp_path):
    alone = "\n".join(ROUTED.splitlines()[:3])
    found = added(
        tmp_path, ADDED.replace('group = "a"\n', '[[promise]]\ncontract = "cache.hit"\n'), alone
    )
    assert found.promises[0].group == "a"


@needs_litellm
def test_options_of_a_promise_reach_litellm(tmp_path):
    text = ADDED + (
        '[[promise]]\ncontract = "fallback.elsewhere"\nallowed = ["a/gpt-4o-mini"]\n'
        "options = { disable_fallbacks = true }\n"
        '[[promise]]\ncontract = "retry.bounded"\ntarget = "a/gpt-4o-mini"\nretries = 2\n'
        "options = { num_retries = 2 }\n"
    )
    found, untried = trials(added(tmp_path, text), Choice(("outage-503",)))
    assert not untried
    entries = (Entry(), Entry("responses"), Entry("messages"), Entry("text"))
    for trial in (one for one in found if one.cell.entry in entries):
        [verdict] = (result := judged(trial)).verdicts
        assert verdict.outcome == "kept"
        path = result.history.path
        if verdict.promise.contract.id == "retry.bounded":
            assert path[:3] == ["a:503"] * 3
        else:
            assert set(path) == {"a:503"}


# -- fallbacks that a request names


NAMING = """
import httpx

URL = "https://api.{}.com/v1/chat/completions"
KNOWN = {"first": ("openai", "gpt-4o"), "second": ("deepseek", "deepseek-chat"), "spare": ("deepseek", "deepseek-reasoner")}

def ask(prompt, fallbacks=("second",)):
    for name in ("first", *(%s)):
        provider, model = KNOWN[name]
        said = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        answer = httpx.post(URL.format(provider), json=said, headers={"authorization": "Bearer k"})
        if answer.status_code == 200:
            return answer.json()["choices"][0]["message"]["content"]
    answer.raise_for_status()
"""
NAMED = (
    HEAD
    + """call = "naming:ask"
[[promise]]
contract = "fallback.chosen"
target = "openai/gpt-4o"
by = { spare = ["deepseek/deepseek-reasoner"], second = ["deepseek/deepseek-chat"] }
options = { fallbacks = ["spare", "second"] }
"""
)


@pytest.mark.parametrize(
    ("asks", "outcome", "path"),
    [
        ("fallbacks", "kept", ["deepseek/deepseek-reasoner", "deepseek/deepseek-chat"]),
        ('("second", "spare")', "broken", ["deepseek/deepseek-chat"]),
        ("fallbacks[:1]", "broken", ["deepseek/deepseek-reasoner"]),
    ],
)
def test_a_router_of_ones_own_is_judged_by_the_fallbacks_that_its_callers_name(
    tmp_path, asks, outcome, path
):
    (tmp_path / "naming.py").write_text(NAMING % asks)
    found, _ = trials(own(tmp_path, NAMED), Choice(("fallbacks-named",), ("fallback.chosen",)))
    result = judged(found[0])
    assert [verdict.outcome for verdict in result.verdicts] == [outcome]
    last = result.history.of(result.history.calls[-1])
    assert [f"{one.provider}/{one.model}" for one in last][1:] == path
