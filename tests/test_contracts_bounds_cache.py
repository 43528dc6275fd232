# Where the contracts about caches begin and end.

from __future__ import annotations

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract
from pytest_llmroute.contracts import cache as caching

from .balance_cases import adorned
from .stories import Step, call, story, verdict

pytestmark = pytest.mark.once

SAME = {"request": "r", "question": "q"}
WARM = {"request": "warm", "question": "q"}
hit, expires, apart, clean = caching.Hit(60), caching.Expires(60), caching.Apart(), caching.Clean()
FIRST = call("answered", ("A", "200"), at=0, **SAME)
LATE = call("answered", ("A", "200"), at=0, took=9, **SAME)
BAD = call("failed", ("A", "503"), at=0, **SAME)
NOBODYS = call("answered", ("A", "200"), at=8, tied=False)


def hits(at, **about):
    return call("answered", at=at, words=["a1"], **(SAME | about))


def asks(at, **about):
    return call("answered", ("A", "200"), at=at, **(SAME | about))


def served(at, *steps, took=None):
    return call("answered", *(steps or [Step("A", "200", took=1)]), at=at, took=took)


CACHE: dict[str, tuple[Contract, str, History]] = {
    # -- cache.hit
    "nearly at its end an answer lives": (hit, "broken", story(FIRST, asks(59.98))),
    "an instant before its end it may not": (hit, "nothing", story(FIRST, asks(59.99))),
    "who asks at the same moment again does not repeat": (
        hit, "nothing", story(call("answered", Step("A", "200", took=0), at=0, **SAME), asks(0)),
    ),
    "a repeat before the answer is no repeat": (hit, "nothing", story(FIRST, asks(0.9))),
    "a call that never came back is not repeated": (
        hit, "nothing", adorned(story(FIRST, asks(5)), c1={"ended": None}),
    ),
    "a hit does not make the answer younger": (hit, "kept", story(FIRST, hits(50), asks(70))),
    "the latest answer that was asked for is the one": (hit, "broken", story(FIRST, asks(65), asks(100))),
    "a repeat in another way in is no repeat": (hit, "nothing", story(FIRST, asks(5, entry="responses"))),
    "requests that nobody knows are not equal": (
        hit, "nothing", adorned(story(FIRST, asks(5)), c1={"request": ""}, c2={"request": ""}),
    ),
    "a call that failed without asking is no hit": (hit, "nothing", story(FIRST, call("failed", at=5, **SAME))),
    # -- cache.expires
    "an answer lives from when it came": (expires, "nothing", story(FIRST, asks(61))),
    "a moment more is too old": (expires, "kept", story(FIRST, asks(61.01))),
    "old words an instant after their end may pass": (expires, "nothing", story(FIRST, hits(61.005))),
    "old words a moment later do not": (expires, "broken", story(FIRST, hits(61.02))),
    "an answer lives from when its caller had it": (expires, "nothing", story(LATE, hits(65))),
    "and no longer": (expires, "broken", story(LATE, hits(70))),
    "words of nobody's call live from when they came": (
        expires, "broken",
        story(call("answered", ("A", "200"), at=0, tied=False, words=(), **SAME), asks(1), hits(63)),
    ),
    "without words nothing old was given": (expires, "nothing", story(FIRST, call("answered", at=70, words=(), **SAME))),
    "where nobody knows who asked, it may have been asked anew": (
        expires, "nothing", story(FIRST, call("answered", at=70, took=5, words=["a1"], **SAME), call("answered", ("A", "200"), at=72, tied=False)),
    ),
    "what failed is not old": (expires, "nothing", story(BAD, asks(70))),
    # -- cache.apart
    "another way in is another cache": (apart, "nothing", story(FIRST, hits(5, **WARM, entry="responses"))),
    "a stream is another cache": (apart, "nothing", story(FIRST, hits(5, **WARM, stream=True))),
    "texts that nobody knows are not the same": (
        apart, "nothing", adorned(story(FIRST, hits(5, **WARM)), c1={"question": ""}, c2={"question": ""}),
    ),
    "a call that failed was given nothing": (
        apart, "nothing", story(FIRST, call("failed", at=5, words=["a1"], **WARM)),
    ),
    "one foreign word among one's own is broken": (
        apart, "broken", story(FIRST, call("answered", ("A", "200"), at=5, words=["a2", "a1"], **WARM)),
    ),
    # -- cache.clean
    "a call that failed without asking spoils nothing": (
        clean, "nothing", story(call("failed", at=0, **SAME), asks(5)),
    ),
    "a damaged answer spoils nothing": (
        clean, "nothing", story(call("answered", ("A", "200-damaged"), at=0, **SAME), asks(5)),
    ),
    "a damaged answer may be given again": (
        clean, "nothing",
        story(call("answered", ("A", "200-damaged"), at=0, **SAME), call("failed", ("A", "503"), at=2, **SAME), hits(5)),
    ),
    "after a failure an older whole answer is as good": (clean, "kept", story(FIRST, call("failed", ("A", "503"), at=2, **SAME), hits(5))),
    "only the last words tell how an answer ended": (
        clean, "nothing",
        story(call("answered", ("A", "200-cut"), ("A", "200"), at=0, stream=True, words=["a1", "a2"], **SAME), asks(5, stream=True)),
    ),
    "somebody else's words are not one's own": (
        clean, "nothing",
        story(call("left", ("A", "200-cut"), at=0, words=()), call("answered", at=2, words=["a1"], **SAME), asks(5)),
    ),
    "attempts of nobody's leave it open": (
        clean, "nothing", story(BAD, call("failed", at=5, took=5, **SAME), NOBODYS),
    ),
    "who was served before the failure proves nothing": (
        clean, "nothing", story(served(0), call("failed", ("A", "503"), at=5, **SAME), call("failed", at=9, **SAME)),
    ),
    "who is served when the failure is known is in service": (
        clean, "broken", story(BAD, served(0), call("failed", at=1, **SAME)),
    ),
    "who is served later than the repeat proves nothing": (
        clean, "nothing", story(BAD, served(0.5), call("failed", at=1.4, **SAME)),
    ),
    "who is served elsewhere proves nothing": (
        clean, "nothing", story(BAD, served(2, ("B", "200")), call("failed", at=5, **SAME)),
    ),
    "a failure since then is a reason": (
        clean, "nothing", story(BAD, served(1), call("failed", ("A", "503"), at=3), call("failed", at=5, **SAME)),
    ),
    "a list of models proves nothing": (
        clean, "nothing", story(BAD, served(1, Step("A", "200", operation="models")), call("failed", at=5, **SAME)),
    ),
    "an answer that did not come whole proves nothing": (
        clean, "nothing", story(BAD, served(1, ("A", "200-degraded")), call("failed", at=5, **SAME)),
    ),
    "an answer in the router's own words is no failure": (
        clean, "nothing", story(BAD, served(1), call("answered", at=5, canned=True, **SAME)),
    ),
    "the last words of two answers tell": (
        clean, "broken",
        story(served(0), call("failed", ("A", "200-cut"), at=2, words=["a2"], **SAME), call("answered", at=5, words=["a1", "a2"], **SAME)),
    ),
    "where the last words are damaged nothing is told": (
        clean, "nothing",
        story(served(0), BAD, served(2, ("B", "200-damaged")), call("answered", at=5, words=["a1", "a3"], **SAME)),
    ),
    "a call that hangs did not fail like another": (
        clean, "nothing", story(BAD, served(1), call("hung", at=5, **SAME)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CACHE)
def test_a_bound_of_a_cache_is_where_it_is_said_to_be(claim):
    contract, expected, history = CACHE[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


def said(contract, *told):
    [seen] = contract.check(story(*told))
    return seen.at, seen.says, seen.evidence


TWICE = call("answered", ("B", "503"), ("A", "200"), at=70, **SAME)


def test_what_a_repeat_got_is_said_with_whose_it_was():
    assert said(hit, FIRST, call("answered", ("B", "503"), ("A", "200"), at=5, **SAME)) == (
        "c2", "c2 repeated c1 5 s later and made a2", ("c1", "c2", "a2", "a3"),
    )  # fmt: skip
    assert said(hit, FIRST, hits(5)) == (
        "c2", "c2 repeated c1 5 s later and asked nobody", ("c1", "c2"),
    )  # fmt: skip
    assert said(expires, FIRST, TWICE) == (
        "c2", "c2 repeated c1 69 s after its answer and asked anew (a2)", ("c1", "c2", "a2"),
    )  # fmt: skip
    assert said(expires, FIRST, hits(70)) == (
        "c2", "c2 was given the words of a1, 69 s old; they live 60 s", ("c2", "a1"),
    )  # fmt: skip
    assert said(apart, FIRST, hits(5, **WARM)) == (
        "c2", "c2 was given the words of a1, which c1 had asked for in another way", ("c2", "c1", "a1"),
    )  # fmt: skip
    assert said(apart, FIRST, asks(5, **WARM)) == (
        "c2", "c2 asked the text of c1 in another way and got other words", ("c1", "c2", "a2"),
    )  # fmt: skip
    assert said(clean, BAD, TWICE) == (
        "c2", "c2 repeated c1, which was spoiled, and asked anew", ("c1", "c2", "a2", "a3"),
    )  # fmt: skip
    assert said(clean, BAD, served(1), call("failed", at=5, **SAME)) == (
        "c3", "c3 failed like c1 without asking anybody, though a2 got 200 from a.example/model-a meanwhile", ("c1", "c3", "a2"),
    )  # fmt: skip
    both = call("answered", at=5, words=["a1", "a2"], **SAME)
    assert said(clean, served(0), call("failed", ("A", "200-cut"), at=2, words=["a2"], **SAME), both) == (
        "c3", "c3 repeated c2 and was given the words of a2, which got 200-cut", ("c2", "c3", "a1", "a2"),
    )  # fmt: skip
    half = call("failed", ("A", "200-cut"), at=0, words=["a1"], **SAME)
    assert said(clean, half, hits(5)) == (
        "c2", "c2 repeated c1 and was given the words of a1, which got 200-cut", ("c1", "c2", "a1"),
    )  # fmt: skip


def test_the_latest_of_several_answers_and_the_first_of_its_words_are_named():
    *_, latest = expires.check(story(FIRST, asks(65), asks(140)))
    assert latest.evidence == ("c2", "c3", "a3")
    mixed = call("answered", at=90, words=["a1", "a2"], **SAME)
    [seen] = expires.check(story(FIRST, asks(5), mixed))
    assert seen.says == "c3 was given the words of a1, 89 s old; they live 60 s"
    assert seen.evidence == ("c3", "a1")


def test_of_several_that_asked_otherwise_the_latest_and_its_first_words_are_named():
    hot = call("answered", ("A", "200"), at=3, request="hot", question="q")
    [*_, seen] = apart.check(story(FIRST, hot, call("answered", at=9, words=["a2", "a1"], **WARM)))
    assert seen.says == "c3 was given the words of a2, which c2 had asked for in another way"
    assert seen.evidence == ("c3", "c2", "a2")
    [*_, seen] = apart.check(story(FIRST, hot, asks(9, **WARM)))
    assert seen.says == "c3 asked the text of c2 in another way and got other words"
    assert seen.evidence == ("c2", "c3", "a3")
