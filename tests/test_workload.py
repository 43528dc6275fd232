from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.clock import Clock
from llmroute_sim.faults import Drip, LatencySpike, Outage, Stall
from llmroute_sim.history import Attempt
from llmroute_sim.incidents import Incident, Place
from llmroute_sim.scenario import Scenario, load
from llmroute_sim.simulator import Simulator
from llmroute_sim.workload import Ask, Turn, perform
from pytest_llmroute.configs import read
from pytest_llmroute.play import Cell, play
from pytest_llmroute.routers import Entry

from .routers.driven import ENTRIES, Routed
from .routers.trials import EVERYTHING, GROUP, promised


def performed(*asks, takes=0.0, seed=0, answer="yes"):
    """The turns that a workload gives, each with the moment at which it begins."""
    clock, begun = Clock(), []

    async def call(turn):
        begun.append((round(clock.now(), 6), turn))
        await asyncio.sleep(takes(turn) if callable(takes) else takes)
        return answer(turn) if callable(answer) else answer

    with in_memory(Simulator(clock), clock):
        asyncio.run(perform(asks, clock, seed, call))
    return begun


def moments(*asks, **how):
    return [moment for moment, _ in performed(*asks, **how)]


def turns(*asks, **how):
    return [turn for _, turn in performed(*asks, **how)]


# -- shapes


def test_one_line_is_one_call_and_asks_something_new_each_time():
    [first, second] = turns(Ask(), Ask())
    assert first.text != second.text
    assert (first.line, first.number, second.line, second.number) == (0, 0, 1, 0)


def test_a_sequence_without_gaps_asks_when_the_answer_has_come():
    assert moments(Ask(times=3), takes=2) == [0, 2, 4]


def test_a_sequence_with_gaps_keeps_them_and_never_overtakes_itself():
    assert moments(Ask(at=1, times=3, every=5), takes=2) == [1, 6, 11]
    assert moments(Ask(times=3, every=5), takes=7) == [0, 7, 14]


def test_a_burst_begins_in_one_moment():
    assert moments(Ask(together=50, at=3), takes=1) == [3] * 50


def test_a_line_waits_for_the_one_before_it():
    assert moments(Ask(), Ask(at=1), Ask(at=9), takes=4) == [0, 4, 9]


def test_a_line_beside_the_next_is_not_waited_for():
    lines = [(moment, turn.line) for moment, turn in performed(
        Ask(times=3, every=10, beside=True), Ask(at=5, times=2), takes=4
    )]  # fmt: skip
    assert lines == [(0, 0), (5, 1), (9, 1), (10, 0), (20, 0)]


def test_arrivals_wait_for_nobody_and_come_at_the_rate_that_was_said():
    slow = moments(Ask(at=100, rate=2, times=400), takes=60)
    assert slow == moments(Ask(at=100, rate=2, times=400), takes=0)
    assert slow == sorted(slow)
    assert slow[0] > 100
    assert 400 / 2 * 0.85 < slow[-1] - 100 < 400 / 2 * 1.15
    gaps = [after - before for before, after in pairwise(slow)]
    # Exponential: as many short ones as chance gives, not a rhythm.
    assert 0.55 < sum(gap < 0.5 for gap in gaps) / len(gaps) < 0.72


def test_arrivals_depend_on_the_seed_and_on_their_line_alone():
    line = Ask(rate=0.1, times=5)
    assert moments(line, seed=3) == moments(line, seed=3)
    assert moments(line, seed=3) != moments(line, seed=4)
    gaps = moments(line, line)
    assert [round(one - gaps[4], 6) for one in gaps[5:]] != gaps[:5]


def test_the_end_waits_for_every_arrival():
    assert moments(Ask(rate=10, times=3), Ask(), takes=100)[-1] > 100


# -- conversations


def test_a_conversation_carries_what_was_asked_and_answered_before():
    [first, second, third] = turns(
        Ask(conversation=True, times=3, tokens=30), answer=lambda turn: f"answer {turn.number}"
    )
    assert first.past == ()
    assert second.past == (("user", first.text), ("assistant", "answer 0"))
    assert third.past == (*second.past, ("user", second.text), ("assistant", "answer 1"))
    assert len(third.text.split()) == len(first.text.split())


def test_what_was_not_answered_is_no_part_of_a_conversation():
    [first, _, third] = turns(
        Ask(conversation=True, times=3), answer=lambda turn: None if turn.number == 1 else "yes"
    )
    assert third.past == (("user", first.text), ("assistant", "yes"))


def test_conversations_beside_each_other_do_not_mix_and_do_not_wait_for_each_other():
    found = performed(
        Ask(conversation=True, together=2, times=2, labels={"who": ("a", "b")}),
        takes=lambda turn: 1 if turn.labels["who"] == "a" else 10,
        answer=lambda turn: f"to {turn.labels['who']}",
    )
    assert [(moment, turn.labels["who"]) for moment, turn in found] == [
        (0, "a"), (0, "b"), (1, "a"), (10, "b"),
    ]  # fmt: skip
    for _, turn in found[2:]:
        assert turn.past[-1] == ("assistant", f"to {turn.labels['who']}")


def test_conversations_with_the_same_question_ask_the_same_turn_by_turn():
    line = Ask(conversation=True, times=2, question="A")
    texts = [turn.text for turn in turns(line, line)]
    assert texts[:2] == texts[2:]
    assert texts[0] != texts[1]


# -- tenants, clients that leave, logs


def test_tenants_take_turns():
    found = turns(Ask(times=2, together=3, labels={"tenant": ("a", "b", "c"), "tier": "gold"}))
    assert [turn.labels["tenant"] for turn in found] == ["a", "b", "c"] * 2
    assert {turn.labels["tier"] for turn in found} == {"gold"}


def test_a_turn_says_when_its_client_leaves():
    assert [turn.leave_after for turn in turns(Ask(leave_after=3), Ask())] == [3, None]


def test_a_log_is_replayed_at_its_times_without_waiting_for_answers():
    log = (
        Ask(at=0.0, tokens=40, labels={"tenant": "a"}),
        Ask(at=1.5, stream=True, options={"max_tokens": 9}),
        Ask(at=1.5, question="A"),
    )
    found = performed(
        Ask(at=10, log=log, labels={"run": "1", "tenant": "?"}, options={"temperature": 0}),
        takes=60,
    )
    assert [moment for moment, _ in found] == [10, 11.5, 11.5]
    [first, second, third] = [turn for _, turn in found]
    assert first.labels == {"run": "1", "tenant": "a"}
    assert second.options == {"temperature": 0, "max_tokens": 9}
    assert (second.stream, third.stream) == (True, None)
    assert third.question == "A"


# -- ends


def test_what_a_call_raises_ends_the_workload():
    async def call(turn: Turn) -> str | None:
        if turn.line == 1:
            raise RuntimeError("enough")
        await asyncio.sleep(1000)
        return None

    clock = Clock()

    async def main():
        await perform((Ask(beside=True), Ask(at=3)), clock, 0, call)

    with in_memory(Simulator(clock), clock), pytest.raises(RuntimeError, match="enough"):
        asyncio.run(main())
    assert clock.now() == 3


# -- recorded logs


def as_line(said):
    return said if isinstance(said, str) else json.dumps(said)


@pytest.fixture
def replayed(tmp_path):
    def read_log(*lines, ask="at = 10"):
        (tmp_path / "calls.jsonl").write_text("\n".join(map(as_line, lines)), "utf-8")
        text = f"[[ask]]\nlog = 'calls.jsonl'\n{ask}"
        [found] = load("mine", text, tmp_path).bind().asks
        return found

    return read_log


def test_a_recorded_log_becomes_calls_with_their_times_counted_from_the_earliest(replayed):
    ask = replayed(
        {"at": 1714.5, "tokens": 90, "max_tokens": 12, "temperature": 0, "stream": True},
        "",
        {"at": 1712, "question": "9f2c:a", "labels": {"tenant": "a"}, "leave_after": 4},
    )
    assert ask.at == 10
    assert ask.log == (
        Ask(2.5, tokens=90, stream=True, options={"max_tokens": 12, "temperature": 0.0}),
        Ask(0.0, question="9f2c:a", labels={"tenant": "a"}, leave_after=4),
    )


def test_recorded_times_may_be_dates(replayed):
    ask = replayed(
        {"at": "2026-05-04T11:00:01.5+02:00"}, {"at": "2026-05-04T09:00:00Z"},
        {"at": "2026-05-04T09:00:03"},
    )  # fmt: skip
    assert [one.at for one in ask.log] == [1.5, 0.0, 3.0]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([{"at": 1}, "{at: 2}"], "calls.jsonl:2: is not JSON: Expecting property name"),
        ([{"at": 1}, "[]"], "calls.jsonl:2: is not a JSON object"),
        ([{"at": 1, "token": 3}], "calls.jsonl:1: 'token' may hold a secret, which a log must not"),
        ([{"at": 1, "tokns": 3}], "unknown key of a recorded call 'tokns'; did you mean 'tokens'?"),
        ([{"tokens": 3}], "calls.jsonl:1: a recorded call needs its time (at)"),
        ([{"at": "noon"}], "at = 'noon' is neither a number of seconds nor a time of ISO 8601"),
        ([{"at": 1, "tokens": "many"}], "tokens = 'many' is not a whole number from 1 up"),
        ([{"at": 1, "question": "How are you?"}], "is not the name of a question"),
        ([{"at": 1, "labels": ["a"]}], "labels = ['a'] is not a table"),
        ([{"at": 1, "messages": []}], "'messages' may hold what was said, which a log must not"),
        ([{"at": 1, "Api-Key": "x"}], "'Api-Key' may hold a secret, which a log must not"),
        ([""], "calls.jsonl: holds no call"),
        ([{"at": 1}, {"at": 1700000000}], "calls.jsonl: spans 19676 days, and a log may span 90"),
    ],
)
def test_a_log_with_something_wrong_in_it_is_refused_with_its_line(replayed, lines, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is what is tested)
        replayed(*lines)
    assert says in str(caught.value)


@pytest.mark.parametrize("secret", ["messages", "prompt", "api_key", "Authorization", "content"])
def test_what_was_said_and_secrets_are_not_even_repeated_in_the_refusal(replayed, secret):
    with pytest.raises(ValueError, match=r"calls\.jsonl:1") as caught:
        replayed({"at": 1, secret: "sk-or-my-diary"})
    assert "sk-or-my-diary" not in str(caught.value)


def test_a_log_that_is_not_there_is_named_with_the_closest_that_is(tmp_path):
    (tmp_path / "calls.jsonl").write_text('{"at": 1}')
    with pytest.raises(ValueError, match=r"ask\[0\]\.log 'cals.jsonl'; did you mean 'calls.jsonl'"):
        load("mine", "[[ask]]\nlog = 'cals.jsonl'", tmp_path)
    with pytest.raises(ValueError, match="has no folder in which that could be"):
        load("mine", "[[ask]]\nlog = 'calls.jsonl'").bind()


def test_what_a_log_says_itself_the_line_must_not_say(replayed):
    with pytest.raises(ValueError, match="log and times exclude each other"):
        replayed({"at": 1}, ask="times = 3")


def test_recorded_calls_may_stand_in_the_scenario_itself():
    text = "[[ask]]\nlog = [{ at = 0 }, { at = 2, tokens = 30 }]"
    [ask] = load("mine", text).bind().asks
    assert ask.log == (Ask(0.0), Ask(2.0, tokens=30))
    with pytest.raises(ValueError, match=r"unknown key of ask\[0\]\.log\[0\] 'rate'"):
        load("mine", "[[ask]]\nlog = [{ at = 0, rate = 1.0 }]").bind()
    with pytest.raises(ValueError, match="a recorded call needs its time"):
        load("mine", "[[ask]]\nlog = [{ tokens = 3 }]").bind()


# -- played

SHAPES = (
    Ask(times=3, every=4),
    Ask(together=5),
    Ask(rate=2, times=6, labels={"tenant": ("a", "b")}, beside=True),
    Ask(conversation=True, times=3, together=2, tokens=30),
    Ask(leave_after=4, times=2),
    Ask(log=(Ask(0.0, tokens=20), Ask(0.5, stream=True))),
)


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_the_same_seed_gives_the_same_history(entry):
    def digest(seed):
        scenario = Scenario("shapes", asks=SHAPES, seed=seed)
        return play(Cell(Routed(EVERYTHING), scenario, GROUP, entry)).digest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


CONFIGS = Path(__file__).parent.parent / "fixtures/llmroute_data/configs"
OWN = CONFIGS / "own-code/llmroute.toml"
TWO = CONFIGS / "two-providers.yaml"


def played(path, entry, *asks, incidents=()):
    config = read(path)
    scenario = Scenario("by hand", asks=asks, incidents=incidents)
    group = config.promises[0].group
    return play(Cell(config, scenario, group, entry))


LEAVERS = [
    (OWN, Entry(stream=True)),
    pytest.param(
        TWO,
        Entry(stream=True),
        marks=pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm"),
    ),
]


@pytest.mark.parametrize(("path", "entry"), LEAVERS)
def test_a_client_that_leaves_closes_the_stream_and_the_provider_sees_it(path, entry):
    history = played(path, entry, Ask(leave_after=4), Ask())
    [left, stayed] = history.calls
    [gone, whole] = history.attempts
    assert (left.outcome, stayed.outcome) == ("left", "answered")
    assert (gone.outcome, gone.left, gone.complete) == ("200-left", True, False)
    assert gone.ended == left.ended < gone.started + 2
    assert whole.outcome == "200"
    assert history.sources(left) == (gone,)


def test_a_blocking_stream_is_closed_as_well(tmp_path):
    (tmp_path / "mine.py").write_text(BLOCKING)
    (tmp_path / "llmroute.toml").write_text(
        '[router]\nkind = "callable"\ncall = "mine:stream"\nstream = "mine:stream"\n'
        '[[promise]]\ncontract = "stream.whole"\n'
    )
    path = tmp_path / "llmroute.toml"
    path.write_text("format = 1\n" + path.read_text())
    history = played(path, Entry(sync=True, stream=True), Ask(leave_after=4))
    [gone] = history.attempts
    assert history.calls[0].outcome == "left"
    assert (gone.outcome, gone.left) == ("200-left", True)


BLOCKING = """
import json
import httpx

def stream(text):
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": "Bearer sk-1"}
    url = "https://api.openai.com/v1/chat/completions"
    with httpx.stream("POST", url, headers=headers, json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    yield choice["delta"].get("content") or ""
"""


def test_a_client_that_would_leave_later_than_the_end_stays():
    history = played(OWN, Entry(stream=True), Ask(leave_after=4000))
    assert [call.outcome for call in history.calls] == ["answered"]


def test_what_is_not_streamed_is_waited_for():
    history = played(OWN, Entry(), Ask(leave_after=1))
    assert [call.outcome for call in history.calls] == ["answered"]


@pytest.mark.parametrize(
    ("signature", "sees"),
    [
        ("text, history=()", "list(history)"),
        ("text", "text"),
    ],
)
def test_a_function_is_given_its_past_as_it_can_take_it(tmp_path, monkeypatch, signature, sees):
    (tmp_path / "mine.py").write_text(
        f"SEEN = []\ndef ask({signature}):\n    open('seen', 'a').write(repr({sees}) + chr(10))\n"
        "    return 'hello'\n"
    )
    path = tmp_path / "llmroute.toml"
    path.write_text(
        'format = 1\n[router]\nkind = "callable"\ncall = "mine:ask"\n'
        '[[promise]]\ncontract = "stream.whole"\n'
    )
    monkeypatch.chdir(tmp_path)
    played(path, Entry(sync=True), Ask(conversation=True, times=2))
    first, second = (tmp_path / "seen").read_text().splitlines()
    if "history" in signature:
        assert first == "[]"
        assert "'role': 'user'" in second
        assert "'role': 'assistant', 'content': 'hello'" in second
    else:
        assert "assistant" not in first
        assert "assistant: hello" in second
        assert second.count("user: ") == 2


@pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
def test_litellm_is_given_the_past_as_messages():
    history = played(TWO, Entry(sync=True), Ask(conversation=True, times=3, tokens=30))
    read_in = [attempt.tokens_in for attempt in history.attempts]
    assert read_in == sorted(set(read_in))
    assert read_in[2] - read_in[1] > 30


# -- what contracts say of somebody who left


def judged(*asks, incidents=(), entry=ENTRIES[-1], knobs=EVERYTHING):
    scenario = Scenario("leaving", asks=asks, incidents=incidents)
    history = play(Cell(Routed(knobs), scenario, GROUP, entry))
    seen = {
        contract.id: [
            found
            for one in promised(knobs)
            if one.id == contract.id
            for found in one.check(history)
        ]
        for contract in promised(knobs)
    }
    return history, {name: found for name, found in seen.items() if found}


def _one(name, knobs):
    return next(contract for contract in promised(knobs) if contract.id == name)


AT = (Place("openai"),)


@pytest.mark.parametrize("entry", [one for one in ENTRIES if one.stream], ids=str)
@pytest.mark.parametrize(
    "fault", [None, LatencySpike(4), Drip(2), Stall(6, 3.0), Outage()], ids=repr
)
def test_no_contract_holds_it_against_a_router_that_its_caller_left(entry, fault):
    broken = () if fault is None else (Incident(fault, AT),)
    asks = (Ask(leave_after=4, times=2), Ask(question="A", leave_after=2), Ask(question="A"))
    history, seen = judged(*asks, Ask(times=3, every=30), incidents=broken, entry=entry)
    assert [call.outcome for call in history.calls[:3]] == ["left"] * 3
    assert [one for found in seen.values() for one in found if not one.kept] == []


def test_a_stream_that_its_caller_left_did_not_break_off():
    history, seen = judged(Ask(leave_after=4), incidents=(Incident(LatencySpike(4), AT),))
    assert history.attempts[0].outcome == "200-left"
    assert "stream.one-voice" not in seen
    assert "stream.whole" not in seen


def test_the_silence_that_nobody_waited_for_is_no_stall():
    history, _ = judged(Ask(leave_after=4), incidents=(Incident(Drip(2), AT),))
    [attempt] = history.attempts
    stall = _one("stream.stall", EVERYTHING)
    assert attempt.ended is not None
    # A router that lets go of the connection much later than its caller has left.
    attempt.ended += 500
    assert list(stall.check(history)) == []
    history.calls[0].outcome = "failed"
    assert [one.kept for one in stall.check(history)] == [False]


def test_a_stream_that_was_left_may_end_a_row_of_failures():
    knobs = replace(EVERYTHING, retries=0, failures=2, cooldown=60.0)
    broken = (Incident(Outage(), AT),)
    history, seen = judged(Ask(times=2, every=1), Ask(at=5), incidents=broken, knobs=knobs)
    assert all(one.kept for one in seen["health.cooldown"])
    first, second = [a for a in history.attempts if a.place == "openai"][:2]
    # The same, but that between the two a stream began which its caller left.
    middle = replace(
        first, id="a90", call="c90", outcome="200-left", status=200, faults=(), left=True,
        first_token=0.5, stream=True, started=0.4, ended=0.6,
    )  # fmt: skip
    history.attempts.insert(1, middle)
    history.calls.insert(1, replace(history.calls[0], id="c90", outcome="left", ended=0.6))
    late = replace(second, id="a91", call="c91", started=20.0, ended=20.0)
    history.attempts.append(late)
    history.calls.append(replace(history.calls[0], id="c91", started=20.0, ended=21.0))
    cooldown = _one("health.cooldown", knobs)
    assert [one for one in cooldown.check(history) if not one.kept] == []


def test_failures_that_a_router_may_have_counted_make_the_rest_begin_earlier():
    knobs = replace(EVERYTHING, retries=0, failures=2, cooldown=60.0)
    history, _ = judged(Ask(), knobs=knobs)
    [model] = history.attempts
    history.attempts.clear()
    history.calls, call = [], history.calls[0]

    def failure(number: int, at: float) -> Attempt:
        history.calls.append(replace(call, id=f"c{number}", started=at, ended=at + 1))
        return replace(
            model, id=f"a{number}", call=f"c{number}", started=at, ended=at, outcome="503",
            status=503, first_token=None,
        )  # fmt: skip

    served = replace(model, id="b", deployment="api.anthropic.com", started=72.5, ended=73.0)
    # The first is too old to count by the rule, but a router that counts without end is out at 70.
    history.attempts += [failure(1, 0.0), failure(2, 70.0), failure(3, 72.0)]
    history.calls.append(replace(call, id="b", started=72.5, ended=73.0))
    history.attempts.append(replace(served, call="b"))
    history.attempts.append(failure(4, 131.0))
    cooldown = _one("health.cooldown", knobs)
    assert [one for one in cooldown.check(history) if not one.kept] == []
    del history.attempts[0]
    assert [one.kept for one in cooldown.check(history)][:1] == [False]
