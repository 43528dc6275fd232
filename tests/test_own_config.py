from __future__ import annotations

import asyncio
import os
import sys
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest

from llmroute_sim.history import fingerprint
from pytest_llmroute.contracts import budget, fallback, health
from pytest_llmroute.contracts import cache as caching
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.routers import Entry, Question, Reply
from pytest_llmroute.routers.own import OwnConfig, read
from pytest_llmroute.routers.own.lines import key_lines
from pytest_llmroute.run import Choice, judged, trials

pytestmark = pytest.mark.once

SHIPPED = Path(str(files("llmroute_data"))) / "configs" / "own-code"

HEAD = """\
format = 1
[router]
kind = "callable"
call = "app:ask"
"""


def config(folder: Path, text: str, app: str = "def ask(prompt): return prompt") -> OwnConfig:
    (folder / "app.py").write_text(app)
    file = folder / "llmroute.toml"
    file.write_text(text)
    found = read(file)
    assert found is not None
    return found


def promised(folder: Path, promise: str):
    [found, *_] = config(folder, f"{HEAD}[[promise]]\n{promise}").promises
    return found


def asked(config: OwnConfig, entry: Entry, text: str = "hello", **options: object) -> Reply:
    reply = Reply()

    async def run() -> None:
        async with config.open() as router:
            question = Question(entry, config.group, text, options)
            if entry.sync:
                await asyncio.to_thread(router.ask, question, reply)
            else:
                await router.aask(question, reply)

    asyncio.run(run())
    return reply


# -- which files


def test_a_file_of_another_name_is_none_of_ours(tmp_path):
    (tmp_path / "config.toml").write_text(HEAD)
    assert read(tmp_path / "config.toml") is None


def test_a_file_without_a_router_is_none_of_ours(tmp_path):
    (tmp_path / "llmroute.toml").write_text("[scenarios]\n")
    assert read(tmp_path / "llmroute.toml") is None


def test_reading_imports_nothing(tmp_path):
    assert config(tmp_path, HEAD, "raise RuntimeError").promises


# -- promises


def test_the_fields_of_a_contract_are_read_by_name_and_type(tmp_path):
    text = """
contract = "budget.cutoff"
targets = ["openai/gpt-4o"]
limit = "0.50"
window = 3600
"""
    contract = promised(tmp_path, text).contract
    assert isinstance(contract, budget.Cutoff)
    assert (contract.limit, contract.window) == (Decimal("0.50"), 3600.0)
    assert contract.targets[0].deployments == (("api.openai.com", "gpt-4o", None),)


def test_optional_fields_may_be_left_out(tmp_path):
    assert promised(tmp_path, 'contract = "cache.hit"').contract == caching.Hit(None)
    text = 'contract = "fallback.answers"\nchain = ["openai"]'
    contract = promised(tmp_path, text).contract
    assert isinstance(contract, fallback.Answers)
    assert contract.unless == fallback.Answers(()).unless


def test_the_chain_is_of_the_group_that_the_router_serves(tmp_path):
    text = HEAD + 'group = "talk"\n[[promise]]\ncontract = "fallback.order"\nchain = ["openai"]'
    [found, *_] = config(tmp_path, text).promises
    assert (found.group, found.contract.group) == ("talk", "talk")


def test_a_promise_knows_its_file_and_line(tmp_path):
    because = promised(tmp_path, 'contract = "cache.hit"').because
    assert (because.kind, because.file, because.line) == (
        "user",
        str(tmp_path / "llmroute.toml"),
        5,
    )


def test_roles_follow_from_the_chain(tmp_path):
    text = 'contract = "fallback.order"\nchain = ["openai/gpt-4o", "anthropic", "groq"]'
    assert promised(tmp_path, text).roles == {
        "target": ("api.openai.com/gpt-4o",),
        "next": ("api.anthropic.com",),
        "others": ("api.groq.com",),
    }


def test_a_later_target_is_reached_by_breaking_what_comes_before_it(tmp_path):
    text = HEAD + (
        '[[promise]]\ncontract = "fallback.order"\nchain = ["openai", "anthropic"]\n'
        '[[promise]]\ncontract = "retry.bounded"\ntarget = "anthropic"\nretries = 2\n'
    )
    bounded = config(tmp_path, text).promises[1]
    assert bounded.roles["target"] == ("api.openai.com", "api.anthropic.com")
    assert bounded.numbers == {"retries": 2}


def test_a_promise_may_say_where_scenarios_act(tmp_path):
    text = 'contract = "stream.whole"\nat = "anthropic/claude-sonnet-4-6"'
    assert promised(tmp_path, text).roles["target"] == ("api.anthropic.com/claude-sonnet-4-6",)


def test_a_promise_without_a_place_is_tried_everywhere(tmp_path):
    assert promised(tmp_path, 'contract = "stream.whole"').roles["target"] == ("*",)


def test_bills_cost_two_fifths_of_the_budget(tmp_path):
    text = (
        'contract = "budget.cutoff"\ntargets = ["openai/gpt-4o"]\nlimit = "1.00"\nwindow = 3600\n'
    )
    numbers = promised(tmp_path, text).numbers
    assert (numbers["bill_input"], numbers["bill_output"]) == (80_000, 20_000)


def test_a_target_shares_its_host_if_another_model_of_it_is_named(tmp_path):
    text = 'contract = "fallback.order"\nchain = ["openai/gpt-4o", "openai/gpt-4o-mini", "groq"]'
    contract = promised(tmp_path, text).contract
    assert [target.alone for target in contract.chain] == [False, False, True]


def test_a_key_tells_accounts_apart(tmp_path):
    text = HEAD + (
        '[environment]\nFIRST_KEY = "sk-1"\n'
        '[[promise]]\ncontract = "retry.bounded"\ntarget = "openai/gpt-4o#FIRST_KEY"\nretries = 1\n'
    )
    [found, *_] = config(tmp_path, text).promises
    assert found.contract.target.deployments == (("api.openai.com", "gpt-4o", fingerprint("sk-1")),)


def test_hosts_of_ones_own_can_be_named_by_host_and_by_place(tmp_path):
    text = HEAD + (
        '[hosts."llm.internal.example"]\nprovider = "openai"\nmodels = ["ours"]\nplace = "house"\n'
        '[[promise]]\ncontract = "fallback.order"\nchain = ["house/ours", "llm.internal.example"]\n'
    )
    found = config(tmp_path, text)
    [deployment] = found.deployments
    assert (deployment.host, deployment.place) == ("llm.internal.example", "house")
    assert deployment.provider.name == "openai"
    assert deployment.models == {"ours"}
    [order, *_] = found.promises
    hosts = [target.deployments for target in order.contract.chain]
    assert hosts == [
        (("llm.internal.example", "ours", None),),
        (("llm.internal.example", None, None),),
    ]


def test_good_practice_is_policy_unless_it_is_asked_for(tmp_path):
    promise = '[[promise]]\ncontract = "fallback.order"\nchain = ["openai", "groq"]\n'
    quiet = config(tmp_path, HEAD + promise).promises
    assert {one.contract.id for one in quiet if one.because.kind == "policy"} == {
        "retry.hint", "retry.hopeless", "stream.one-voice", "stream.whole",
    }  # fmt: skip
    loud = config(tmp_path, f'policy = ["retry.hint"]\n{HEAD}{promise}').promises
    assert [one.because.kind for one in loud if one.contract.id == "retry.hint"] == ["user"]


def test_cooldowns_count_failures_if_they_are_told_how_many(tmp_path):
    text = 'contract = "health.cooldown"\ntarget = "openai"\nseconds = 60\nfailures = 3\n'
    found = promised(tmp_path, text)
    assert isinstance(found.contract, health.Cooldown)
    assert found.contract.failures == 3
    assert found.numbers == {"cooldown": 60, "fails": 3}


# -- what is wrong

ORDER = '[[promise]]\ncontract = "fallback.order"\n'
BOUNDED = '[[promise]]\ncontract = "retry.bounded"\n'
WRONG = {
    "not TOML": (HEAD + "group = \n", "5: not TOML"),
    "no format": (HEAD[11:], ": format is missing"),
    "another format": ("format = 2" + HEAD[10:], "1: format: format 2 is not known"),
    "unknown section": (
        HEAD + "[promises]\n",
        "5: promises: unknown key of llmroute.toml (allowed: format, policy, router, options, ho",
    ),
    "unknown router key": (HEAD + 'steam = "a:b"\n', "5: router.steam: unknown key of router"),
    "another kind": (
        HEAD.replace("callable", "calable"),
        "3: router.kind: unknown kind of router 'calable' (known: callable, litellm) (did you mean 'callable'?)",
    ),
    "no call": (HEAD.replace("call =", "stream ="), "2: router: call is missing"),
    "no colon": (HEAD.replace("app:ask", "app.ask"), "4: router.call: 'app.ask' is not package.mod"),
    "no contract": (HEAD + "[[promise]]\n", "5: promise: contract is missing (known: fallback.an"),
    "unknown contract": (
        HEAD + '[[promise]]\ncontract = "fallback.orde"\n',
        "6: promise.contract: unknown contract 'fallback.orde'",
    ),
    "unknown key of a contract": (
        HEAD + ORDER + 'chian = ["openai"]\n',
        "7: promise.chian: unknown key of fallback.order (allowed: contract, text, at, entries, av",
    ),
    "hidden key of a contract": (HEAD + ORDER + 'group = "x"\n', "7: promise.group: unknown key"),
    "missing key": (
        HEAD + ORDER,
        "5: promise: chain is missing: fallback.order needs a list of places",
    ),
    "unknown provider": (
        HEAD + ORDER + 'chain = [\n  "openia/gpt-4o"]\n',
        "7: promise.chain: unknown provider or host 'openia' (known: anthropic,",
    ),
    "unknown model": (
        HEAD + ORDER + 'chain = ["openai/gpt-4oo"]\n',
        "7: promise.chain: unknown model of openai 'gpt-4oo'",
    ),
    "unknown model of a host": (
        HEAD + '[hosts."h.example"]\nprovider = "openai"\nmodels = ["ours"]\n'
        + ORDER + 'chain = ["h.example/our"]\n',
        "10: promise.chain: unknown model at h.example 'our' (known: ours) (did you mean 'ours'?)",
    ),
    "unknown key variable": (
        HEAD + ORDER + 'chain = ["openai#A_KEY"]\n',
        "7: promise.chain: unknown variable of [environment] 'A_KEY'",
    ),
    "no list of places": (HEAD + ORDER + "chain = 3\n", "7: promise.chain: 3 is not a list of places"),
    "a count that is text": (
        HEAD + BOUNDED + 'target = "openai"\nretries = "2"\n',
        "8: promise.retries: '2' is not a count (2)",
    ),
    "a count that is true": (
        HEAD + BOUNDED + 'target = "openai"\nretries = true\n',
        "8: promise.retries: True is not a count",
    ),
    "money that is no string": (
        HEAD + '[[promise]]\ncontract = "budget.cutoff"\ntargets = ["openai"]\nwindow = 60\nlimit = 0.5\n',
        "9: promise.limit: 0.5 is not an amount of USD above 0, as a string ('0.50')",
    ),
    "money that is no amount": (
        HEAD + '[[promise]]\ncontract = "budget.cutoff"\ntargets = ["openai"]\nwindow = 60\nlimit = "$5"\n',
        "9: promise.limit: '$5' is not an amount",
    ),
    "no time at all": (
        HEAD + '[[promise]]\ncontract = "stream.stall"\nseconds = 0\n',
        "7: promise.seconds: 0 is not seconds above 0",
    ),
    "unknown policy": ('policy = ["retry.hnit"]\n' + HEAD, "1: policy: unknown policy 'retry.hnit'"),
    "unknown provider of a host": (
        HEAD + '[hosts."h.example"]\nprovider = "opnai"\n',
        "6: hosts.h.example.provider: unknown provider 'opnai'",
    ),
    "a host with a scheme": (
        HEAD + '[hosts."https://h.example"]\nprovider = "openai"\n',
        "5: hosts.https://h.example: 'https://h.example' is not a host name",
    ),
    "a variable that is a number": (
        HEAD + "[environment]\nPORT = 80\n", "6: environment.PORT: 80 is not a string",
    ),
    "an unknown way in": (
        HEAD + '[[promise]]\ncontract = "cache.apart"\nentries = ["chatt"]\n',
        "7: promise.entries: 'chatt' is not a way in",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_with_its_line(tmp_path, what):
    text, said = WRONG[what]
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    assert f"llmroute.toml:{said}" in str(caught.value) or f"llmroute.toml{said}" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("call", "app", "said"),
    [
        ("ap:ask", "", "ap cannot be imported: ModuleNotFoundError: No module named 'ap'"),
        ("app:aks", "def ask(): ...", "app has no 'aks' (did you mean 'ask'?)"),
        ("app:ask", "1 / 0", "app cannot be imported: ZeroDivisionError: division by zero"),
        ("app:ask", "ask = 3", "app:ask is no function: int"),
    ],
)
def test_a_function_that_cannot_be_had_is_said_with_its_line(tmp_path, call, app, said):
    found = config(tmp_path, HEAD.replace("app:ask", call), app)
    with pytest.raises(ConfigError) as caught:
        found.entries(found.group)
    assert str(caught.value) == f"{tmp_path / 'llmroute.toml'}:4: router.call: {said}"
    assert str(tmp_path) not in sys.path


# -- asking

KINDS = """
import os
def ask(prompt, temperature=None): return f"{prompt} {temperature}"
async def aask(prompt, **options): return {"choices": [{"message": {"content": prompt}, "finish_reason": "stop"}]}
def stream(prompt): yield from prompt.split()
async def astream(prompt):
    for word in prompt.split(): yield {"choices": [{"delta": {"content": word}, "finish_reason": None}]}
class Message:
    def __init__(self, text): self.content = [{"type": "text", "text": text}]; self.stop_reason = "end_turn"
async def message(prompt): return Message(prompt)
async def opener(prompt): return astream(prompt)
def embed(prompt): return [0.25, 0.5]
class Deep:
    async def __call__(self, prompt): return prompt
deep = Deep()
counter = []
def count(prompt): counter.append(prompt); return str(len(counter))
KEY = os.environ.get("SOME_KEY")
def key(prompt): return KEY
"""


def kinds(folder: Path, *lines: str) -> OwnConfig:
    functions = "\n".join(lines)
    return config(folder, f'format = 1\n[router]\nkind = "callable"\n{functions}\n', KINDS)


@pytest.mark.parametrize(
    ("function", "sync"), [("ask", True), ("aask", False), ("deep", False), ("message", False)]
)
def test_a_function_is_asked_as_what_it_is(tmp_path, function, sync):
    found = kinds(tmp_path, f'call = "app:{function}"')
    assert found.entries(found.group) == (Entry("chat", sync=sync),)
    assert asked(found, Entry(sync=sync)).text.startswith("hello")


def test_only_its_own_group_is_served(tmp_path):
    assert kinds(tmp_path, 'call = "app:ask"').entries("other") == ()


def test_the_group_is_called_like_the_folder_unless_it_has_a_name(tmp_path):
    assert kinds(tmp_path, 'call = "app:ask"').group == tmp_path.name
    assert kinds(tmp_path, 'call = "app:ask"', 'group = "g"').group == "g"


@pytest.mark.parametrize(("function", "sync"), [("stream", True), ("astream", False)])
def test_streams_are_taken_piece_by_piece(tmp_path, function, sync):
    found = kinds(tmp_path, 'call = "app:ask"', f'stream = "app:{function}"')
    entry = Entry("chat", sync=sync, stream=True)
    assert entry in found.entries(found.group)
    assert asked(found, entry, "a b c").text == "abc"


def test_a_coroutine_that_gives_a_stream_is_a_stream(tmp_path):
    found = kinds(tmp_path, 'call = "app:ask"', 'stream = "app:opener"')
    assert asked(found, Entry(stream=True), "a b").text == "ab"


def test_finish_reasons_are_read_where_there_are_any(tmp_path):
    finishes = {
        function: asked(
            kinds(tmp_path, f'call = "app:{function}"'), Entry(sync=function == "ask")
        ).finish
        for function in ("ask", "aask", "message")
    }
    assert finishes == {"ask": None, "aask": "stop", "message": "end_turn"}


def test_a_stream_that_could_give_a_finish_reason_and_does_not_is_unfinished(tmp_path):
    found = kinds(tmp_path, 'call = "app:ask"', 'stream = "app:astream"')
    assert asked(found, Entry(stream=True)).finish == ""


def test_embeddings_may_be_bare_numbers(tmp_path):
    found = kinds(tmp_path, 'call = "app:ask"', 'embed = "app:embed"')
    assert asked(found, Entry("embeddings", sync=True)).vectors == [[0.25, 0.5]]


def test_options_reach_functions_that_take_them(tmp_path):
    found = kinds(tmp_path, 'call = "app:ask"')
    assert asked(found, Entry(sync=True), temperature=0.5).text == "hello 0.5"


def test_an_option_that_a_function_does_not_take_is_an_error_of_the_call(tmp_path):
    found = kinds(tmp_path, 'call = "app:ask"')
    with pytest.raises(TypeError, match="seed"):
        asked(found, Entry(sync=True), seed=7)


# -- leaving nothing behind


def test_every_router_starts_afresh(tmp_path):
    found = kinds(tmp_path, 'call = "app:count"')
    assert [asked(found, Entry(sync=True)).text for _ in range(3)] == ["1", "1", "1"]


def test_nothing_is_left_in_the_process(tmp_path):
    found = kinds(tmp_path, 'call = "app:count"')
    path, environment = list(sys.path), dict(os.environ)
    asked(found, Entry(sync=True))
    assert sys.path == path
    assert dict(os.environ) == environment
    assert "app" not in sys.modules


def test_two_routers_of_the_same_module_name_are_two(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = config(tmp_path / "one", HEAD, "from words import ask")
    two = config(tmp_path / "two", HEAD, "from words import ask")
    (tmp_path / "one" / "words.py").write_text("def ask(prompt): return 'one'")
    (tmp_path / "two" / "words.py").write_text("def ask(prompt): return 'two'")
    assert [asked(found, Entry(sync=True)).text for found in (one, two, one)] == [
        "one", "two", "one",
    ]  # fmt: skip


def test_a_module_that_was_there_before_is_there_again(tmp_path, monkeypatch):
    mine = type(sys)("app")
    monkeypatch.setitem(sys.modules, "app", mine)
    found = kinds(tmp_path, 'call = "app:ask"')
    assert asked(found, Entry(sync=True)).text == "hello None"
    assert sys.modules["app"] is mine


def test_keys_are_made_up_where_they_are_left_empty(tmp_path):
    text = HEAD.replace("app:ask", "app:key") + '[environment]\nSOME_KEY = ""\nMODE = ""\n'
    found = config(tmp_path, text, KINDS)
    assert found.environment["MODE"] == ""
    assert found.environment["SOME_KEY"].startswith("sk-llmroute-")
    assert asked(found, Entry(sync=True)).text == found.environment["SOME_KEY"]


# -- lines


def test_lines_are_those_of_the_keys():
    text = '''\
a = [
  "x", # ] not the end
]
[t."q.r"]
"b c".d = 1
e = """
[u]
"""
[[p]]
k = { z = 1 }
[[p]]
k = 2
[p.s]
m = 3
'''
    assert dict(key_lines(text)) == {
        ("a",): 1, ("t", "q.r"): 4, ("t", "q.r", "b c"): 5, ("t", "q.r", "b c", "d"): 5,
        ("t", "q.r", "e"): 6, ("p", 0): 9, ("p", 0, "k"): 10, ("p", 0, "k", "z"): 10,
        ("p", 1): 11, ("p", 1, "k"): 12, ("p", 1, "s"): 13, ("p", 1, "s", "m"): 14,
    }  # fmt: skip


# -- the shipped router


def verdicts(
    config: OwnConfig, contracts: tuple[str, ...] = (), scenarios: tuple[str, ...] = ()
) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    tried, _ = trials(config, Choice(scenarios, contracts))
    for trial in tried:
        for verdict in judged(trial).verdicts:
            found.setdefault(verdict.promise.contract.id, set()).add(verdict.outcome)
    return found


def test_the_shipped_router_keeps_its_promises():
    shipped = read(SHIPPED / "llmroute.toml")
    assert shipped is not None
    found = verdicts(shipped)
    assert {name for name, outcomes in found.items() if "broken" in outcomes} == set()
    assert set(found) == {
        promise.contract.id for promise in shipped.promises if promise.because.kind == "user"
    }
    assert all("kept" in outcomes for outcomes in found.values())


def edited(folder: Path, file: str, before: str, after: str) -> OwnConfig:
    for name in ("llmroute.toml", "router.py"):
        text = (SHIPPED / name).read_text()
        assert name != file or before in text
        (folder / name).write_text(text.replace(before, after) if name == file else text)
    found = read(folder / "llmroute.toml")
    assert found is not None
    return found


EDITS = {
    "a try more": ("router.py", "TRIES = 3", "TRIES = 4", "retry.bounded", "outage-500"),
    "no retries": ("router.py", "TRIES = 3", "TRIES = 1", "retry.tried", "one-bad-answer"),
    "fewer promised": (
        "llmroute.toml", "retries = 2", "retries = 1", "retry.bounded", "refused",
    ),
    "no fallback": (
        "router.py", "(OpenAI(), Anthropic())", "(OpenAI(),)", "fallback.answers", "outage-503",
    ),
    "backwards": (
        "router.py", "(OpenAI(), Anthropic())", "(Anthropic(), OpenAI())", "fallback.order", "all-down",
    ),
    "two voices": ("router.py", "if spoken:", "if False:", "stream.one-voice", "stream-reset"),
    "too patient": ("router.py", "Timeout(20.0", "Timeout(40.0", "stream.stall", "stream-stall"),
    "deaf to hints": (
        "router.py", "if hint.isdigit()", "if hint.isalpha()", "retry.hint", "rate-limit-hint",
    ),
    "promised backwards": (
        "llmroute.toml", '["openai/gpt-4o", "anthropic/claude-sonnet-4-6"]',
        '["anthropic/claude-sonnet-4-6", "openai/gpt-4o"]', "fallback.order", "all-down",
    ),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_shipped_router_breaks_the_promise_it_touches(tmp_path, edit):
    file, before, after, contract, scenario = EDITS[edit]
    found = edited(tmp_path, file, before, after)
    assert "broken" in verdicts(found, (contract,), (scenario,))[contract]
