# Where the contracts about streams and latency begin and end.

from __future__ import annotations

import pytest

from llmroute_sim.history import Failure, History
from pytest_llmroute.contracts import Contract, latency, stream

from .balance_cases import adorned
from .stories import Step, call, story, verdict

pytestmark = pytest.mark.once

voice, whole, stall = stream.OneVoice(), stream.Whole(), stream.Stall(10)
first, within, answer = latency.FirstToken(5), latency.AttemptWithin(5), latency.AnswerWithin(20)

DAMAGED = call("answered", ("A", "200-damaged"))
SLOW = Step("A", "200", faults=("slow",))


def heard(*marks, told=DAMAGED):
    """An answer of three words of which the caller was shown some."""
    return adorned(story(told), a1={"marks": ("one", "two", "three")}, c1={"marks": marks})


def silent(lasts, outcome="silence", result="answered", **about):
    step = Step("A", outcome, took=lasts, faults=("silence",))
    return story(call(result, step, ("B", "200"), **about))


def late_head(head, **about):
    return story(call("answered", Step("A", "200", head=head, took=40, faults=("slow",)), **about))


def unspoken(took, outcome="200-stall", result="failed", **about):
    return story(call(result, Step("A", outcome, took=took, spoke=False), stream=True, **about))


def word_at(moment):
    return adorned(
        story(call("answered", ("A", "200"), at=0, stream=True)), a1={"first_token": moment}
    )


STREAM: dict[str, tuple[Contract, str, History]] = {
    # -- stream.one-voice
    "a caller who leaves breaks no voice": (
        voice, "nothing",
        story(call("left", Step("A", "200-left", faults=("slow",)), stream=True, words=["a1"])),
    ),
    "a voice that was never heard is none": (voice, "nothing", story(call("failed", ("A", "200-cut"), stream=True, words=[]))),
    # -- stream.whole
    "a word that is missing before the last is not seen": (whole, "nothing", heard("one", "three")),
    "one of the last two is enough": (whole, "nothing", heard("one", "two")),
    "without the last words an answer stopped short": (whole, "broken", heard("one")),
    "unless it does not say how it ended": (
        whole, "nothing", heard("one", told=call("answered", ("A", "200-damaged"), finish=None)),
    ),
    "two words are too few to tell": (whole, "nothing", adorned(story(DAMAGED), c1={"marks": ("a1-none",)})),
    "a damaged answer may be handed on as it was": (
        whole, "nothing", story(call("answered", ("A", "200-damaged"), words=[], finish=None)),
    ),
    "but not without a word and with an end": (whole, "broken", story(call("answered", ("A", "200-damaged"), words=[]))),
    "half an answer without a word and an end is none either": (
        whole, "broken", story(call("answered", ("A", "200-cut"), words=[], finish=None)),
    ),
    "without words of its own a whole answer may be in other words": (
        whole, "nothing", story(call("answered", ("A", "200-cut"), ("B", "200"), words=[])),
    ),
    "the last voice tells how an answer ended": (
        whole, "kept", story(call("answered", ("A", "200-cut"), ("B", "200"), stream=True, words=["a1", "a2"])),
    ),
    "and the first does not": (
        whole, "broken", story(call("answered", ("A", "200"), ("B", "200-cut"), stream=True, words=["a1", "a2"])),
    ),
    "a call that hangs was presented nothing": (whole, "nothing", story(call("hung", ("A", "200-cut")))),
    "what a gateway got was not presented by the router": (whole, "nothing", story(call("failed", Step("A", "200-cut", via=True)))),
    # -- stream.stall
    "with a second of slack silence is borne": (stall, "kept", silent(11)),
    "with more it is not": (stall, "broken", silent(11.01)),
    "silence counts from the head": (
        stall, "kept", story(call("failed", Step("A", "200-stall", head=3, took=14), stream=True)),
    ),
    "and no later": (
        stall, "broken", story(call("failed", Step("A", "200-stall", head=3, took=14.01), stream=True)),
    ),
    "silence counts from the last word": (stall, "kept", adorned(silent(16, "200-stall"), a1={"last": 5.0})),
    "and no longer": (stall, "broken", adorned(silent(16.01, "200-stall"), a1={"last": 5.0})),
    "a head with a second of slack is borne": (stall, "nothing", late_head(11)),
    "a head that is later is not": (stall, "broken", late_head(11.01)),
    "who leaves nearly in time has been silent so long": (
        stall, "kept", silent(9.99, "200-left"),
    ),
    "who leaves before may have had another reason": (stall, "nothing", silent(9.98, "200-left")),
    "who is left without a fault was not silent": (
        stall, "nothing", story(call("answered", Step("A", "200-left", took=30, faults=()), ("B", "200"))),
    ),
    "who ended by himself was not silent to the end": (
        stall, "nothing", story(call("failed", Step("A", "200-cut", took=30, faults=("cut",)))),
    ),
    "an attempt that has no end is not judged": (stall, "nothing", adorned(silent(30), a1={"ended": None})),
    "what a gateway waits for is the gateway's": (
        stall, "nothing", story(call("failed", Step("A", "silence", took=30, via=True))),
    ),
    "a list of models has patience of its own": (
        stall, "nothing", story(call("failed", Step("A", "silence", took=30, operation="models"))),
    ),
    "a call may have more patience": (stall, "kept", silent(21, options={"timeout": 20})),
    "also for its stream": (stall, "kept", silent(21, options={"stream_timeout": 20.0})),
    "and no more than that": (stall, "broken", silent(21.01, options={"timeout": 20})),
    "a call that has less is not held to it": (stall, "kept", silent(11, options={"timeout": 2})),
    "a number that is no time is no patience": (stall, "broken", silent(21, options={"num_retries": 20})),
    "a time in words is none": (stall, "broken", silent(21, options={"timeout": "20"})),
    "who hangs elsewhere does not hang there": (stall, "nothing", silent(5, result="hung", took=900)),
    "who hangs less long than it waits hangs there": (stall, "broken", silent(901, result="hung", took=900)),
    "who hangs without an end hangs there": (stall, "broken", adorned(silent(5, result="hung"), c1={"ended": None})),
    "who hangs at an attempt that was over hangs elsewhere": (
        stall, "nothing", story(call("hung", Step("A", "200-cut", took=30, faults=("cut",)))),
    ),
    "silence is silence until the caller goes": (
        stall, "broken", story(call("left", Step("A", "200-left", took=15, faults=("slow",)), took=12)),
    ),
    "and no longer than that": (
        stall, "nothing", story(call("left", Step("A", "200-left", took=15, faults=("slow",)), took=10.5)),
    ),
    "without a caller silence is judged too": (stall, "kept", silent(10, tied=False)),
    # -- latency.first-token
    "a first token with a second of slack is in time": (first, "nothing", word_at(6.0)),
    "a later one is not": (first, "broken", word_at(6.01)),
    "who leaves a wordless stream nearly in time is in time": (first, "kept", unspoken(4.99)),
    "who leaves it before had another reason": (first, "nothing", unspoken(4.98)),
    "who leaves it within the slack is in time": (first, "kept", unspoken(6)),
    "who leaves it later is not": (first, "broken", unspoken(6.01)),
    "a stream that broke off without a word was not waited for": (first, "nothing", unspoken(5.5, "200-cut")),
    "a caller who left has not waited": (first, "nothing", unspoken(5.5, result="left")),
    "a call that hangs was not left in time": (first, "nothing", unspoken(5.5, result="hung")),
    "who was never connected has no first token": (first, "nothing", story(call("failed", Step("A", "refused", took=9), stream=True))),
    # -- latency.attempt
    "an answer within the slack proves nothing": (within, "nothing", story(call("answered", Step("A", "200", took=6)))),
    "an answer that takes longer is broken": (within, "broken", story(call("answered", Step("A", "200", took=6.01)))),
    "an attempt that has no end lasts as long as its call": (
        within, "broken", adorned(story(call("failed", ("A", "503"), took=9)), a1={"ended": None, "outcome": "open"}),
    ),
    "an attempt that outlasts its call lasts until its end": (
        within, "broken", story(call("answered", Step("A", "200", took=9), took=3)),
    ),
    "a caller who left is not waited for longer": (
        within, "nothing", story(call("left", Step("A", "200-left", took=9), took=3)),
    ),
    "a list of models may last": (within, "nothing", story(call("answered", Step("A", "200", took=9, operation="models")))),
    "what a gateway waits for may last": (within, "nothing", story(call("answered", Step("A", "200", took=9, via=True)))),
    "attempts of nobody's are not waited for": (within, "nothing", story(call("answered", Step("A", "200", took=9), tied=False))),
    # -- latency.answer
    "an instant late is in time": (answer, "kept", story(call("failed", Step("A", "silence", took=20.01)))),
    "a moment later is not": (answer, "broken", story(call("failed", Step("A", "silence", took=20.02)))),
    "a fault that did no harm was met": (answer, "kept", story(call("answered", SLOW))),
    "a failure without a fault was met": (answer, "kept", story(call("failed", Step("A", "503", faults=())))),
    "a call that hangs is late at once": (answer, "broken", story(call("hung", ("A", "503"), took=1))),
    "a call that has no end is not judged": (answer, "nothing", adorned(story(call("hung", ("A", "503"))), c1={"ended": None})),
    "others' calls may be late": (latency.AnswerWithin(20, "b"), "nothing", story(call("failed", Step("A", "silence", took=90)))),
    "one's own may not": (latency.AnswerWithin(20, "chat"), "broken", story(call("failed", Step("A", "silence", took=90)))),
}  # fmt: skip


@pytest.mark.parametrize("claim", STREAM)
def test_patience_ends_where_it_is_said_to(claim):
    contract, expected, history = STREAM[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


@pytest.mark.parametrize(
    "reason",
    ["", "error", "incomplete", "length", "max_tokens", "cancelled", "failed", "in_progress", "queued",
     "pause_turn", "model_context_window_exceeded"],
)  # fmt: skip
def test_a_finish_reason_that_says_that_something_is_missing_tells(reason):
    assert verdict(whole, story(call("answered", ("A", "200-cut"), finish=reason))) == "kept"


@pytest.mark.parametrize("reason", ["stop", "end_turn", "tool_calls", "completed"])
def test_a_finish_reason_that_says_that_all_is_there_does_not(reason):
    assert verdict(whole, story(call("answered", ("A", "200-cut"), finish=reason))) == "broken"


def said(contract, history):
    return [(seen.at, seen.says, seen.evidence) for seen in contract.check(history)]


A_CUT = "a1 got 200-cut from a.example/model-a"


def test_whose_words_an_answer_has_is_said():
    steps = ("A", "200-cut"), ("B", "200-cut"), ("C", "200")
    history = story(call("answered", *steps, stream=True, words=["a1", "a3"]))
    assert said(voice, history) == [
        ("c1", f"the answer of c1 has words of a1 and a3; {A_CUT}", ("c1", "a1", "a1", "a3"))
    ]


def test_what_an_answer_was_presented_as_is_said():
    steps = ("A", "200-cut"), ("B", "200-cut")
    both = story(call("answered", *steps, words=["a1", "a2"]))
    assert said(whole, both) == [
        ("c1", "c1 ended with finish reason 'stop' on words of a2, which got 200-cut", ("c1", "a1", "a2", "a2"))
    ]  # fmt: skip
    assert said(whole, story(call("answered", steps[0], words=[], finish=None))) == [
        ("c1", f"c1 ended without an error and without a word after {A_CUT}", ("c1", "a1"))
    ]
    assert said(whole, story(call("answered", *steps, finish="length"))) == [
        ("c1", "c1 ended with finish reason 'length' after a2 got 200-cut from b.example/model-b", ("c1", "a1", "a2"))
    ]  # fmt: skip


def test_what_was_raised_after_half_an_answer_is_said():
    raised = Failure(("APIError", "Exception"))
    assert said(whole, story(call("failed", ("A", "503"), ("A", "200-cut"), raised=raised))) == [
        ("c1", "c1 raised APIError after a2 got 200-cut from a.example/model-a", ("c1", "a2"))
    ]
    assert said(whole, story(call("failed", ("A", "200-cut"), raised=Failure(())))) == [
        ("c1", f"c1 raised an error after {A_CUT}", ("c1", "a1"))
    ]


def test_how_long_somebody_was_silent_is_said():
    words = "a1 stayed with a.example/model-a through 30 s of silence; 10 s allowed"
    assert said(stall, silent(30)) == [("a1", words, ("c1", "a1"))]
    assert said(stall, silent(30, tied=False)) == [("a1", words, ("a1",))]
    [(at, _, _)] = said(stall, silent(30, result="hung", took=20))
    assert at == "c1"
    assert said(stall, silent(30, result="hung", took=30)) == [
        ("c1", f"c1 hung: {words}", ("c1", "a1"))
    ]


def test_how_long_somebody_waited_is_said():
    assert said(first, word_at(8.0)) == [
        ("a1", "a1 waited 8 s for its first token at a.example/model-a; 5 s allowed", ("c1", "a1"))
    ]
    assert said(within, story(call("answered", Step("A", "silence", took=6), ("B", "200"), at=2))) == [
        ("a1", "a1 waited 6 s for its answer at a.example/model-a; 5 s allowed", ("c1", "a1"))
    ]  # fmt: skip
    assert said(answer, story(call("hung", ("A", "503"), at=3, took=4))) == [
        ("c1", "c1 hung after 4 s; 20 s allowed", ("c1", "a1"))
    ]
