from __future__ import annotations

from decimal import Decimal

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, budget, contracts, fallback, health, retry, stream
from pytest_llmroute.contracts import cache as caching

from .asked_cases import ALLOWANCES, ASKED, ERRORS, ROTATION
from .balance_cases import BALANCE, LATENCY, TOLD_COSTS
from .stories import CHAIN, MINI, SHARED, A, B, Step, call, story, verdict

pytestmark = pytest.mark.once

Case = tuple[Contract, str, History]

FAR = {"group": "other"}

answers = fallback.Answers(CHAIN)
order = fallback.Order(CHAIN)
elsewhere = fallback.Elsewhere((A, B))
once = fallback.Once(CHAIN)

FALLBACK: dict[str, Case] = {
    # -- fallback.answers
    "a failure that another answers is kept": (
        answers, "kept", story(call("answered", ("A", "503"), ("B", "200"))),
    ),
    "failing while two targets are left is broken": (
        answers, "broken", story(call("failed", ("A", "503"))),
    ),
    "hanging while others are left is broken": (
        answers, "broken", story(call("hung", ("A", "silence"))),
    ),
    "failing when all have failed proves nothing": (
        answers, "nothing", story(call("failed", ("A", "503"), ("B", "500"), ("C", "reset"))),
    ),
    "an answer without a failure proves nothing": (answers, "nothing", story(call("answered", ("A", "200")))),
    "a caller who left was owed nothing": (answers, "nothing", story(call("left", ("A", "503")))),
    "a bad request is not taken elsewhere": (
        answers, "nothing", story(call("failed", Step("A", "400", error="invalid_request"))),
    ),
    "a bad request after an outage ends the promise too": (
        answers, "nothing",
        story(call("failed", ("A", "503"), Step("B", "400", error="context_length"))),
    ),
    "a stream that broke off after its first words is promised nothing": (
        answers, "nothing", story(call("failed", ("A", "200-cut"), stream=True)),
    ),
    "a stream that broke off before its first word is taken elsewhere": (
        answers, "broken", story(call("failed", Step("A", "200-cut", spoke=False), stream=True)),
    ),
    "half a JSON body is a failure like any other": (
        answers, "broken", story(call("failed", ("A", "200-cut"))),
    ),
    "a target that failed earlier may be out of rotation": (
        fallback.Answers((A, B)), "kept",
        story(call("answered", ("B", "503"), ("A", "200"), at=0), call("failed", ("A", "503"))),
    ),
    "a target that has answered a later call since is in rotation": (
        fallback.Answers((A, B)), "broken",
        story(
            call("answered", ("B", "503"), ("A", "200")),
            call("answered", ("B", "200"), at=9),
            call("failed", ("A", "503"), at=19),
        ),
    ),
    "one refused connection at a shared host leaves a target unasked": (
        fallback.Answers((SHARED, MINI)), "broken", story(call("failed", ("A", "refused"))),
    ),
    "two refused connections at a shared host may have been both targets": (
        fallback.Answers((SHARED, MINI)), "nothing",
        story(call("failed", ("A", "refused"), ("A", "refused"))),
    ),
    "a call for the second target alone is not about the chain": (
        fallback.Answers((A, B), group="chat"), "nothing",
        story(call("failed", ("B", "503"), group="b")),
    ),
    "without a group, calls that began later in the chain may be about another": (
        fallback.Answers((A, B)), "kept",
        story(call("answered", ("A", "503"), ("B", "200")), call("failed", ("B", "503"), group="b")),
    ),
    "what a gateway tried is not what the router tried": (
        answers, "nothing", story(call("failed", Step("A", "503", via=True))),
    ),
    "attempts that nobody is known to have made leave it open": (
        answers, "nothing",
        story(call("failed", ("A", "503"), took=5), call("answered", ("B", "200"), at=2, tied=False)),
    ),
    # -- fallback.order
    "one after the other is kept": (
        order, "kept", story(call("failed", ("A", "503"), ("B", "503"), ("C", "503"))),
    ),
    "skipping the second is broken": (
        order, "broken", story(call("answered", ("A", "503"), ("C", "200"))),
    ),
    "beginning with the second is broken, if that failed": (
        order, "broken", story(call("answered", ("B", "503"), ("C", "200"))),
    ),
    "the whole chain backwards is broken, even in no time": (
        fallback.Order((A, B)), "broken", story(call("failed", ("B", "500"), ("A", "500"))),
    ),
    "a skipped target that failed earlier may be cooling": (
        order, "kept",
        story(call("answered", ("A", "503"), ("B", "200")), call("answered", ("B", "500"), ("C", "200"))),
    ),
    "a retry that was answered does not say that others may ask": (
        order, "kept",
        story(
            call("answered", Step("A", "500"), Step("A", "200", at=3), at=0),
            call("answered", ("A", "500"), ("B", "200"), at=1),
            call("answered", ("B", "500"), ("C", "200"), at=9),
        ),
    ),
    "retries at one target are not a move": (
        order, "nothing", story(call("answered", ("A", "503"), ("A", "200"))),
    ),
    "order without a failure proves nothing": (order, "nothing", story(call("answered", ("C", "200")))),
    "at a shared host refused connections are read in the router's favour": (
        fallback.Order((SHARED, B, MINI)), "kept",
        story(call("answered", ("A", "refused"), ("A", "refused"), ("B", "500"), ("A mini", "200"))),
    ),
    # -- fallback.elsewhere
    "staying among the allowed is kept": (
        elsewhere, "kept", story(call("failed", ("A", "503"), ("B", "503"))),
    ),
    "going outside after a failure is broken": (
        elsewhere, "broken", story(call("answered", ("A", "503"), ("B", "503"), ("C", "200"))),
    ),
    "a refused connection outside counts": (
        elsewhere, "broken", story(call("failed", ("A", "503"), ("C", "refused"))),
    ),
    "other groups may go where they like": (
        elsewhere, "kept",
        story(
            call("failed", ("A", "503"), ("B", "503")),
            call("answered", ("B", "503"), ("C", "200"), group="b"),
        ),
    ),
    "going elsewhere without a failure is nobody's business": (
        elsewhere, "nothing", story(call("answered", ("A", "200"), ("C", "200"))),
    ),
    # -- fallback.once
    "leaving for good is kept": (
        once, "kept", story(call("answered", ("A", "503"), ("A", "503"), ("B", "200"))),
    ),
    "coming back is broken": (
        once, "broken", story(call("answered", ("A", "429"), ("B", "429"), ("A", "200"))),
    ),
    "retries are not coming back": (once, "nothing", story(call("answered", ("A", "503"), ("A", "200")))),
    "the next call may come back": (
        once, "kept",
        story(call("answered", ("A", "503"), ("B", "200")), call("answered", ("A", "503"), ("B", "200"))),
    ),
}  # fmt: skip

bounded = retry.Bounded(A, 1)
tried = retry.Tried(A, 2)
hint = retry.Hint((A, B))
hopeless = retry.Hopeless((A, B))

RETRY: dict[str, Case] = {
    # -- retry.bounded
    "as many tries as promised are kept": (
        bounded, "kept", story(call("answered", ("A", "503"), ("A", "503"), ("B", "200"))),
    ),
    "one try more is broken": (
        bounded, "broken", story(call("failed", ("A", "503"), ("A", "503"), ("A", "503"))),
    ),
    "one try more is broken even if the caller left": (
        bounded, "broken", story(call("left", ("A", "503"), ("A", "503"), ("A", "503"))),
    ),
    "tries of two calls are not added up": (
        bounded, "kept",
        story(call("failed", ("A", "503"), ("A", "503"), at=0), call("failed", ("A", "503"), ("A", "503"), at=0)),
    ),
    "tries without a failure prove nothing": (bounded, "nothing", story(call("answered", ("A", "200")))),
    "refused connections count where nobody shares the host": (
        bounded, "broken", story(call("failed", *[("A", "refused")] * 3)),
    ),
    "refused connections at a shared host may be the sibling's": (
        retry.Bounded(SHARED, 1), "nothing", story(call("failed", *[("A", "refused")] * 3)),
    ),
    "tries of the sibling at the same host are not counted": (
        retry.Bounded(SHARED, 1), "kept",
        story(call("failed", ("A", "503"), ("A", "503"), ("A mini", "503"), ("A mini", "503"))),
    ),
    "what a gateway repeats is the gateway's": (
        bounded, "nothing", story(call("failed", *[Step("A", "503", via=True)] * 3)),
    ),
    # -- retry.tried
    "trying again is kept": (tried, "kept", story(call("answered", ("A", "503"), ("A", "200")))),
    "failing at once is broken": (tried, "broken", story(call("failed", ("A", "503")))),
    "moving on at once is broken": (tried, "broken", story(call("answered", ("A", "503"), ("B", "200")))),
    "moving on after one of two retries is broken": (
        tried, "broken", story(call("answered", ("A", "503"), ("A", "503"), ("B", "200"))),
    ),
    "moving on after all retries is kept": (
        tried, "kept", story(call("answered", *[("A", "503")] * 3, ("B", "200"))),
    ),
    "a timeout is tried again": (tried, "broken", story(call("answered", ("A", "silence"), ("B", "200")))),
    "a refused connection is tried again": (
        tried, "broken", story(call("answered", ("A", "refused"), ("B", "200"))),
    ),
    "a rate limit asks for patience, not for another try": (
        tried, "nothing", story(call("answered", ("A", "429"), ("B", "200"))),
    ),
    "an outage with a hint asks for patience": (
        tried, "nothing", story(call("answered", Step("A", "503", hint=9), ("B", "200"))),
    ),
    "a bad key is not tried again": (tried, "nothing", story(call("answered", ("A", "401"), ("B", "200")))),
    "a caller who left was owed no retry": (tried, "nothing", story(call("left", ("A", "503")))),
    "a stream that had begun cannot be tried again": (
        tried, "nothing", story(call("failed", ("A", "200-reset"), stream=True)),
    ),
    "what other calls met may have taken the target out": (
        retry.Tried(A, 1), "kept",
        story(call("failed", ("A", "503"), ("A", "503")), call("answered", ("A", "503"), ("B", "200"))),
    ),
    # -- retry.hint
    "leaving it alone until then is kept": (
        hint, "kept", story(call("answered", Step("A", "429", hint=20), ("B", "200")), call("answered", ("A", "200"), at=20)),
    ),
    "asking too early is broken": (
        hint, "broken", story(call("answered", Step("A", "429", hint=20), ("B", "200")), call("answered", ("A", "200"), at=19)),
    ),
    "asking again at once is broken": (
        hint, "broken", story(call("answered", Step("A", "503", hint=20), ("A", "200"))),
    ),
    "what was asked at the same moment could not know": (
        hint, "kept",
        story(call("failed", Step("A", "429", hint=20), at=0), call("failed", Step("A", "429", hint=20), at=0)),
    ),
    "another key of the same host may be asked": (
        hint, "kept", story(call("answered", Step("A", "429", hint=20), ("A2", "200"))),
    ),
    "another model of the same host may be asked": (
        hint, "kept", story(call("answered", Step("A", "429", hint=20), ("A mini", "200"))),
    ),
    "no hint, no patience": (hint, "nothing", story(call("answered", ("A", "429"), ("A", "200")))),
    "a hint with a 500 is none": (
        hint, "nothing", story(call("answered", Step("A", "500", hint=20), ("A", "200"))),
    ),
    "a hint needs no caller": (
        hint, "broken",
        story(call("failed", Step("A", "429", hint=20), tied=False), call("failed", ("A", "200"), at=5, tied=False)),
    ),
    # -- retry.hopeless
    "a refused key is not tried again": (
        hopeless, "kept", story(call("answered", ("A", "401"), ("B", "200"))),
    ),
    "a refused key that is tried again is broken": (
        hopeless, "broken", story(call("failed", ("A", "401"), ("A", "401"))),
    ),
    "coming back to a missing model is broken": (
        hopeless, "broken", story(call("failed", ("A", "404"), ("B", "500"), ("A", "404"))),
    ),
    "the other key may know better": (
        hopeless, "kept", story(call("answered", ("A", "401"), ("A2", "200"))),
    ),
    "a shortened prompt is another question": (
        hopeless, "kept", story(call("answered", Step("A", "400"), Step("A", "200", prompt="shorter"))),
    ),
    "an outage is not hopeless": (hopeless, "nothing", story(call("answered", ("A", "503"), ("A", "200")))),
    "a request timeout is not hopeless": (
        hopeless, "nothing", story(call("answered", ("A", "408"), ("A", "200"))),
    ),
    "the next call may hope": (
        hopeless, "kept", story(call("failed", ("A", "401")), call("failed", ("A", "401"))),
    ),
}  # fmt: skip

voice, whole, stall = stream.OneVoice(), stream.Whole(), stream.Stall(10)

STREAM: dict[str, Case] = {
    # -- stream.one-voice
    "an error after the first words is one voice": (
        voice, "kept", story(call("failed", ("A", "200-reset"), stream=True, words=["a1"])),
    ),
    "going on with another's words is broken": (
        voice, "broken",
        story(call("answered", ("A", "200-reset"), ("B", "200"), stream=True, words=["a1", "a2"])),
    ),
    "two voices are two even if the caller left": (
        voice, "broken", story(call("left", ("A", "200-cut"), ("B", "200"), stream=True, words=["a1", "a2"])),
    ),
    "beginning anew with another is one voice": (
        voice, "kept", story(call("answered", ("A", "200-cut"), ("B", "200"), stream=True, words=["a2"])),
    ),
    "a failure before the first word has no voice": (
        voice, "nothing", story(call("answered", ("A", "503"), ("B", "200"), stream=True)),
    ),
    "a gateway that splices is heard": (
        voice, "broken",
        story(
            call(
                "answered", Step("A", "200-cut", via=True), Step("B", "200", via=True),
                stream=True, words=["a1", "a2"],
            )
        ),
    ),
    # -- stream.whole
    "an exception tells": (whole, "kept", story(call("failed", ("A", "200-cut"), stream=True))),
    "an answer that broke off and says stop is broken": (
        whole, "broken", story(call("answered", ("A", "200-cut"), stream=True)),
    ),
    "plain text that just ends is presented as finished": (
        whole, "broken", story(call("answered", ("A", "200-unfinished"), stream=True, finish=None)),
    ),
    "a finish reason that says so tells": (
        whole, "kept", story(call("answered", ("A", "200-cut"), stream=True, finish="length")),
    ),
    "a finish reason that stays open tells": (
        whole, "kept", story(call("answered", ("A", "200-unfinished"), stream=True, finish="")),
    ),
    "another whole answer is kept": (
        whole, "kept", story(call("answered", ("A", "200-cut"), ("B", "200"), stream=True, words=["a2"])),
    ),
    "an answer without a word after a cut is broken": (
        whole, "broken", story(call("answered", Step("A", "200-error", spoke=False), stream=True)),
    ),
    "words of the router's own after a cut are not judged": (
        whole, "nothing", story(call("answered", ("A", "200-cut"), words=[], canned=True)),
    ),
    "a caller who left was shown no end": (
        whole, "nothing", story(call("left", ("A", "200-cut"), stream=True)),
    ),
    "a client that leaves when it has all has a whole answer": (
        whole, "nothing", story(call("answered", ("A", "200"), stream=True)),
    ),
    "an outage is not an answer that broke off": (
        whole, "nothing", story(call("failed", ("A", "503"), stream=True)),
    ),
    # -- stream.stall
    "leaving in time is kept": (
        stall, "kept", story(call("answered", Step("A", "silence", took=10), ("B", "200"), stream=True)),
    ),
    "leaving late is broken": (
        stall, "broken", story(call("answered", Step("A", "silence", took=30), ("B", "200"), stream=True)),
    ),
    "leaving late in mid stream is broken": (
        stall, "broken", story(call("failed", Step("A", "200-stall", took=25), stream=True)),
    ),
    "leaving a stalled stream in time is kept": (
        stall, "kept", story(call("failed", Step("A", "200-stall", took=10), stream=True)),
    ),
    "hanging is broken": (
        stall, "broken", story(call("hung", Step("A", "200-stall", took=900), stream=True)),
    ),
    "waiting for a late head is broken": (
        stall, "broken", story(call("answered", Step("A", "200", took=31, head=30, faults=("slow",)), stream=True)),
    ),
    "a model that is slow by itself is no silence": (
        stall, "nothing", story(call("answered", Step("A", "200", took=31, head=30), stream=True)),
    ),
    "a whole answer that never comes is waited for too long": (
        stall, "broken", story(call("answered", Step("A", "silence", took=30), ("B", "200"))),
    ),
    "a caller who left first was not kept waiting": (
        stall, "nothing", story(call("left", Step("A", "silence", took=4), stream=True)),
    ),
    "a refused connection is no silence": (
        stall, "nothing", story(call("failed", ("A", "refused"), stream=True)),
    ),
}  # fmt: skip

PAID = Step("A", "200", spent="0.4")
cutoff = budget.Cutoff((A,), Decimal(1), 100)
returns = budget.Returns((A,), Decimal(1), 100)
spread = budget.Returns((A,), Decimal(1), 100, spread=True)
SPENT = tuple(call("answered", PAID, at=at) for at in (0, 2, 4))

BUDGET: dict[str, Case] = {
    # -- budget.cutoff
    "going elsewhere once it is spent is kept": (
        cutoff, "kept", story(*SPENT, call("answered", ("B", "200"), at=6)),
    ),
    "refusing once it is spent is kept": (cutoff, "kept", story(*SPENT, call("failed", at=6))),
    "asking once it is spent is broken": (
        cutoff, "broken", story(*SPENT, call("answered", PAID, at=6)),
    ),
    "asking in vain once it is spent is broken": (
        cutoff, "broken", story(*SPENT, call("answered", ("A", "503"), ("B", "200"), at=6)),
    ),
    "what was in flight is allowed": (
        cutoff, "nothing", story(*SPENT, call("answered", PAID, at=4.5)),
    ),
    "after the window it may be asked": (
        cutoff, "kept", story(*SPENT, call("failed", at=50), call("answered", PAID, at=100)),
    ),
    "less than the limit proves nothing": (
        cutoff, "nothing", story(*SPENT[:2], call("answered", PAID, at=110)),
    ),
    "nothing spent, nothing proved": (cutoff, "nothing", story(*[call("answered", ("A", "200"))] * 9)),
    "a call after the limit by another group proves nothing": (
        cutoff, "nothing", story(*SPENT, call("answered", ("B", "200"), at=6, group="b")),
    ),
    "an answer from a cache after the limit proves nothing": (
        cutoff, "nothing", story(*SPENT, call("answered", at=6)),
    ),
    "another group that asks a spent target breaks it too": (
        cutoff, "broken", story(*SPENT, call("answered", PAID, at=6, group="b")),
    ),
    "answers that broke off may be counted or not": (
        cutoff, "nothing",
        story(*[call("failed", Step("A", "200-cut", spent="0.4"), at=2 * n) for n in range(5)]),
    ),
    # -- budget.window
    "asking again after the window is kept": (
        returns, "kept", story(*SPENT, call("failed", at=99), call("answered", PAID, at=105)),
    ),
    "refusing after the window is broken": (returns, "broken", story(*SPENT, call("failed", at=105))),
    "going elsewhere after the window is broken": (
        returns, "broken", story(*SPENT, call("answered", ("B", "200"), at=105)),
    ),
    "a router that spreads its calls may go elsewhere": (
        returns, "nothing",
        story(call("answered", ("B", "200"), at=0), *SPENT, call("answered", ("B", "200"), at=105)),
    ),
    "coming back with the second call only is broken": (
        returns, "broken",
        story(*SPENT, call("answered", ("B", "200"), at=105), call("answered", PAID, at=107)),
    ),
    "where calls are spread, going elsewhere proves nothing": (
        spread, "nothing", story(*SPENT, call("answered", ("B", "200"), at=105)),
    ),
    "where calls are spread, any later call shows that it is back": (
        spread, "kept",
        story(*SPENT, call("answered", ("B", "200"), at=105), call("answered", PAID, at=107)),
    ),
    "a target that is down need not be asked": (
        returns, "nothing",
        story(*SPENT, call("answered", ("A", "503"), ("B", "200"), at=99), call("answered", ("B", "200"), at=105)),
    ),
    "before the window ends nothing is owed": (returns, "nothing", story(*SPENT, call("failed", at=99))),
    "a limit that was not reached proves nothing": (
        returns, "nothing", story(*SPENT[:2], call("failed", at=105)),
    ),
}  # fmt: skip

SAME = {"request": "r", "question": "q"}
hit, expires, apart, clean = caching.Hit(60), caching.Expires(60), caching.Apart(), caching.Clean()
FIRST = call("answered", ("A", "200"), at=0, **SAME)

CACHE: dict[str, Case] = {
    # -- cache.hit
    "a repeat that asks nobody is kept": (hit, "kept", story(FIRST, call("answered", at=5, words=["a1"], **SAME))),
    "a repeat that asks is broken": (hit, "broken", story(FIRST, call("answered", ("A", "200"), at=5, **SAME))),
    "a repeat at once is a repeat": (hit, "broken", story(FIRST, call("answered", ("A", "200"), at=1, **SAME))),
    "two at the same time are no repeat": (hit, "nothing", story(FIRST, call("answered", ("A", "200"), at=0, **SAME))),
    "a repeat after its time is no hit": (hit, "nothing", story(FIRST, call("answered", ("A", "200"), at=60, **SAME))),
    "without a time to live it is a hit for ever": (
        caching.Hit(None), "broken", story(FIRST, call("answered", ("A", "200"), at=9e6, **SAME)),
    ),
    "another question is no repeat": (hit, "nothing", story(FIRST, call("answered", ("A", "200"), at=5))),
    "the same request to another group is no repeat": (
        hit, "nothing", story(FIRST, call("answered", ("A", "200"), at=5, group="b", **SAME)),
    ),
    "a stream does not repeat a JSON answer": (
        hit, "nothing", story(FIRST, call("answered", ("A", "200"), at=5, stream=True, **SAME)),
    ),
    "a failure is not to be repeated": (
        hit, "nothing",
        story(call("failed", ("A", "503"), **SAME), call("answered", ("A", "200"), at=5, **SAME)),
    ),
    "an answer after a failure may be kept or not": (
        hit, "nothing",
        story(call("answered", ("A", "503"), ("B", "200"), **SAME), call("answered", ("A", "200"), at=5, **SAME)),
    ),
    "attempts that nobody is known to have made leave the hit open": (
        hit, "nothing",
        story(FIRST, call("answered", at=5, took=4, **SAME), call("answered", ("A", "200"), at=6, tied=False)),
    ),
    # -- cache.expires
    "asking anew after its time is kept": (
        expires, "kept", story(FIRST, call("answered", ("A", "200"), at=62, **SAME)),
    ),
    "old words are broken": (expires, "broken", story(FIRST, call("answered", at=63, words=["a1"], **SAME))),
    "words that are asked for are not younger": (
        expires, "broken",
        story(FIRST, call("answered", at=50, words=["a1"], **SAME), call("answered", at=63, words=["a1"], **SAME)),
    ),
    "young words prove nothing": (expires, "nothing", story(FIRST, call("answered", at=50, words=["a1"], **SAME))),
    "asking anew before its time proves nothing": (
        expires, "nothing", story(FIRST, call("answered", ("A", "200"), at=50, **SAME)),
    ),
    "the later of two answers counts": (
        expires, "nothing",
        story(FIRST, call("answered", ("A", "200"), at=50, **SAME), call("answered", at=70, words=["a2"], **SAME)),
    ),
    # -- cache.apart
    "other words for another temperature are kept": (
        apart, "kept", story(FIRST, call("answered", ("A", "200"), at=5, question="q", request="warm")),
    ),
    "the same words for another temperature are broken": (
        apart, "broken", story(FIRST, call("answered", at=5, question="q", request="warm", words=["a1"])),
    ),
    "sharing an attempt that still runs is broken": (
        apart, "broken",
        story(call("answered", Step("A", "200", took=9), at=0, **SAME), call("answered", at=1, question="q", request="warm", words=["a1"])),
    ),
    "the same words for the same request are a hit": (
        apart, "nothing", story(FIRST, call("answered", at=5, words=["a1"], **SAME)),
    ),
    "other questions prove nothing": (apart, "nothing", story(FIRST, call("answered", ("A", "200"), at=5))),
    "an answer without words proves nothing": (
        apart, "nothing", story(FIRST, call("answered", at=5, question="q", request="warm", words=[])),
    ),
    # -- cache.clean
    "asking anew after a failure is kept": (
        clean, "kept", story(call("failed", ("A", "503"), **SAME), call("answered", ("A", "200"), at=5, **SAME)),
    ),
    "half an answer again is broken": (
        clean, "broken",
        story(
            call("failed", ("A", "200-cut"), stream=True, words=["a1"], **SAME),
            call("answered", at=5, stream=True, words=["a1"], **SAME),
        ),
    ),
    "half an answer that its caller left is broken": (
        clean, "broken",
        story(
            call("left", Step("A", "200-left", faults=()), stream=True, words=["a1"], **SAME),
            call("answered", at=5, stream=True, words=["a1"], **SAME),
        ),
    ),
    "an answer that was read to its end for a caller who left is whole": (
        clean, "nothing",
        story(call("left", ("A", "200"), stream=True, **SAME), call("answered", at=5, stream=True, words=["a1"], **SAME)),
    ),
    "failing again unasked may be a cooldown": (
        clean, "nothing", story(call("failed", ("A", "503"), **SAME), call("failed", at=5, **SAME)),
    ),
    "failing again unasked while others are served is broken": (
        clean, "broken",
        story(call("failed", ("A", "503"), **SAME), call("answered", ("A", "200"), at=3), call("failed", at=5, **SAME)),
    ),
    "a whole answer again proves nothing": (clean, "nothing", story(FIRST, call("answered", at=5, words=["a1"], **SAME))),
}  # fmt: skip

rest = health.Cooldown(A, 60, failures=2)
habit = health.Cooldown(A, 60)
DOWN = tuple(call("answered", ("A", "503"), ("B", "200"), at=at) for at in (0, 2))
AWAY = call("answered", ("B", "200"), at=20)
HABIT = (*DOWN, *(call("answered", ("B", "200"), at=at) for at in (4, 6, 8, 10)))
EARLY = (DOWN[0], *(call("answered", ("B", "200"), at=at) for at in (2, 4, 6, 8, 10)))
drawn = health.Cooldown(A, 60, share=0.5)
DRAWN = (
    call("answered", ("B", "200"), at=0),
    call("answered", ("A", "503"), ("B", "200"), at=4),
    *(call("answered", ("B", "200"), at=at) for at in range(6, 26)),
)
"""Of twenty calls, half of which chance lets begin at A, none does: once in a million times."""

HEALTH: dict[str, Case] = {
    "resting and coming back is kept": (rest, "kept", story(*DOWN, AWAY, call("answered", ("A", "200"), at=62))),
    "coming back early is broken": (rest, "broken", story(*DOWN, AWAY, call("answered", ("A", "200"), at=61))),
    "never leaving is broken": (
        rest, "broken", story(*DOWN, call("answered", ("A", "503"), ("B", "200"), at=4)),
    ),
    "never coming back is broken": (rest, "broken", story(*DOWN, AWAY, call("answered", ("B", "200"), at=70))),
    "one failure is not enough to leave": (
        rest, "nothing", story(DOWN[0], call("answered", ("A", "200"), at=2), call("answered", ("A", "200"), at=4)),
    ),
    "failures with an answer between are not in a row": (
        rest, "nothing",
        story(DOWN[0], call("answered", ("A", "200"), at=2), call("answered", ("A", "503"), ("B", "200"), at=5), call("answered", ("A", "200"), at=9)),
    ),
    "a retry of a call that was already there is not held against anybody": (
        rest, "kept",
        story(call("answered", ("A", "503"), ("A", "503"), ("A", "503"), ("B", "200")), AWAY),
    ),
    "with no sibling serving anybody may be asked": (
        rest, "nothing",
        story(
            *(call("failed", ("A", "503"), ("B", "503"), at=at) for at in (0, 2)),
            call("failed", ("B", "503"), ("A", "503"), at=9),
        ),
    ),
    "calls that a cache answers need not come back": (
        rest, "kept", story(*DOWN, AWAY, call("answered", at=80)),
    ),
    "wrong requests are not its failures": (
        rest, "nothing", story(*[call("answered", ("A", "400"), ("B", "200"))] * 4),
    ),
    "streams that broke off may be counted or not": (
        rest, "nothing", story(*[call("failed", ("A", "200-cut"), stream=True)] * 4),
    ),
    "slow failures over hours may be counted or not": (
        rest, "nothing",
        story(*[call("answered", ("A", "503"), ("B", "200"), at=at) for at in (0, 4000, 8000)]),
    ),
    "a habit that ends shows a cooldown": (habit, "kept", story(*HABIT, call("answered", ("A", "200"), at=62))),
    "a habit that is taken up early is broken": (
        habit, "broken", story(*HABIT, call("answered", ("A", "200"), at=40)),
    ),
    "without a habit, going elsewhere may be chance": (
        habit, "nothing",
        story(call("answered", ("B", "200"), at=0), *(call("answered", (where, "200" if where == "B" else "503"), ("B", "200"), at=at) for at, where in ((2, "A"), (4, "B"), (6, "A")))),
    ),
    "two calls are no habit": (habit, "nothing", story(DOWN[0], AWAY, call("answered", ("A", "200"), at=30))),
    "leaving before its number, by a habit that ends, is a cooldown too": (
        rest, "kept", story(*EARLY, call("answered", ("A", "200"), at=62)),
    ),
    "who left before his number may come back early": (
        rest, "nothing", story(*EARLY, call("answered", ("A", "200"), at=40)),
    ),
    "a hint that is heeded is no cooldown": (
        rest, "nothing",
        story(call("answered", Step("A", "429", hint=9), ("B", "200")), *EARLY[1:], call("answered", ("A", "200"), at=62)),
    ),
    "a row too long for chance shows a cooldown": (
        drawn, "kept", story(*DRAWN, call("answered", ("A", "200"), at=65)),
    ),
    "a row too long for chance that is taken up early is broken": (
        drawn, "broken", story(*DRAWN, call("answered", ("A", "200"), at=40)),
    ),
    "a row that chance may draw shows nothing": (
        drawn, "nothing", story(*DRAWN[:-1], call("answered", ("A", "200"), at=40)),
    ),
    "calls for others are nothing that chance has drawn": (
        drawn, "nothing",
        story(*DRAWN[:3], *(call("answered", ("B", "200"), at=at, group="b") for at in range(7, 26)),
              call("answered", ("B", "503"), ("A", "200"), at=65, group="b")),
    ),
    "no failure, no cooldown": (rest, "nothing", story(*[call("answered", ("A", "200"))] * 9)),
}  # fmt: skip

CASES = (
    FALLBACK | RETRY | STREAM | BUDGET | CACHE | HEALTH | BALANCE | LATENCY | TOLD_COSTS
    | ASKED | ALLOWANCES | ROTATION | ERRORS
)  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_a_contract_sees(claim):
    contract, expected, history = CASES[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


@pytest.mark.parametrize("name", contracts())
def test_every_contract_is_seen_kept_broken_and_silent(name):
    seen = {expected for contract, expected, _ in CASES.values() if contract.id == name}
    assert seen == {"kept", "broken", "nothing"}


def test_a_broken_hint_says_how_early_and_how_long():
    [seen] = hint.check(story(call("failed", Step("A", "429", hint=20), Step("A", "200", at=2))))
    assert seen.says == "a2 asked a.example/model-a again 2 s after a1 was given a hint of 20 s"
    assert (seen.at, seen.evidence) == ("a2", ("a1", "a2"))


def test_a_call_left_without_an_answer_says_who_was_left_to_ask():
    [seen] = answers.check(story(call("failed", ("A", "503"))))
    assert (
        seen.says == "c1 failed after a1 got 503 from a.example/model-a, though B had not failed it"
    )


def test_overspending_says_what_was_spent_and_when():
    [seen] = cutoff.check(story(*SPENT, call("answered", PAID, at=8)))
    assert seen.says == "a4 asked a.example/model-a 3 s after $1.2 of $1 were spent at 5 s (a3)"
    assert seen.evidence == ("a1", "a2", "a3", "a4")
