# Where the contracts about what a caller asked for and about allowances begin and end.

from __future__ import annotations

import pytest

from llmroute_sim.history import History
from pytest_llmroute.contracts import Contract, Target, fallback, retry
from pytest_llmroute.contracts.allowances import KINDS

from .asked_cases import NO_FALLBACKS, vectors
from .balance_cases import adorned
from .stories import CHAIN, SHARED, A, B, C, Step, call, story, verdict

pytestmark = pytest.mark.once

disabled, named, fits = fallback.Disabled(CHAIN), fallback.Named(CHAIN), fallback.Fits(A, 1000)
capable, dimension = fallback.Capable(CHAIN), fallback.Dimension()
total = retry.Total(CHAIN, 1)
twice = retry.Classed(A, (("internal", 1), ("unavailable", 2), ("content_policy", 1)))

TOOLS = ("tools",)
LOST = call("failed", ("A", "503"))
CUT_OFF = Step("A", "200-error", error="moderation")
WAITS = Step("A", "503", hint=9)

CASES: dict[str, tuple[Contract, str, History]] = {
    # -- fallback.disabled
    "who goes elsewhere and comes back has been elsewhere": (
        disabled, "broken",
        story(call("failed", ("A", "503"), ("B", "503"), ("A", "503"), options=NO_FALLBACKS)),
    ),
    "whom a call asked before its own group failed is no fallback": (
        disabled, "kept", story(call("failed", ("B", "200"), ("A", "503"), options=NO_FALLBACKS)),
    ),
    "somebody outside the chain is no fallback of it": (
        disabled, "kept", story(call("answered", ("A", "503"), ("Z", "200"), options=NO_FALLBACKS)),
    ),
    "a caller who left may have been taken elsewhere later": (
        disabled, "nothing", story(call("left", ("A", "503"), options=NO_FALLBACKS)),
    ),
    # -- fallback.capable
    "who is asked outside the targets need not be able": (
        fallback.Capable((A,)), "nothing", story(call("answered", ("B", "200"), features=TOOLS)),
    ),
    "JSON that is asked for by a tool is not seen to be dropped": (
        capable, "nothing", story(call("answered", Step("A", "200", features=TOOLS), features=("json",))),
    ),
    "tools are not asked for by a schema": (
        capable, "broken", story(call("answered", Step("A", "200", features=("schema",)), features=TOOLS)),
    ),
    "thinking is not asked for by a tool": (
        capable, "broken",
        story(call("answered", Step("A", "200", operation="messages", features=TOOLS), features=(*TOOLS, "thinking"))),
    ),
    "a schema is asked for in no other words": (
        capable, "broken", story(call("answered", Step("A", "200", operation="messages"), features=("schema",))),
    ),
    "a completion has no words for tools": (
        capable, "nothing", story(call("answered", Step("A", "200", operation="completions"), features=TOOLS)),
    ),
    "where one of two was asked in a way that does not show nothing is said": (
        capable, "nothing",
        story(call("answered", Step("A", "503", features=("json",)), Step("B", "200", features=TOOLS), features=("json",))),
    ),
    # -- fallback.dimension
    "a failure that came later is no reason for another length": (
        dimension, "nothing", story(vectors("A", 512), vectors("B", 256), LOST),
    ),
    "a failure at the very moment is one": (
        dimension, "kept", story(vectors("A", 512, at=0), call("failed", ("A", "503"), at=5), vectors("B", 512, at=5)),
    ),
    "vectors of two sources are nobody's": (
        dimension, "nothing",
        story(vectors("A", 512), LOST, call("answered", ("A", "200"), ("B", "200"), dimension=256, words=("a3", "a4"))),
    ),
    "vectors of a call that failed were not given": (
        dimension, "nothing", story(vectors("A", 512), LOST, call("failed", ("B", "200"), dimension=256)),
    ),
    "another model of the same host is another": (
        dimension, "broken", story(vectors("A", 512), LOST, vectors("A mini", 256)),
    ),
    "who asks for lengths does so for one group": (
        dimension, "broken",
        story(vectors("A", 512), vectors("A", 256), vectors("A", 512, group="b"), LOST, vectors("B", 256), vectors("B", 256, group="b")),
    ),
    "longer vectors are no better than shorter ones": (
        dimension, "broken", story(vectors("A", 512), LOST, vectors("B", 1024)),
    ),
    # -- fallback.named
    "who was asked may name another of its own group": (
        fallback.Named((A, Target("both", (*B.deployments, *C.deployments)))), "nothing",
        story(call("answered", ("A", "503"), ("B", "200"), model="model-c")),
    ),
    "the first may be called anything when it answers again": (
        named, "nothing", story(LOST, call("answered", ("A", "200"), model="model-b")),
    ),
    "without a failure an answer may name anybody": (
        named, "nothing", story(call("answered", ("B", "200"), model="model-a")),
    ),
    "somebody outside may name anybody": (
        named, "nothing", story(call("answered", ("A", "503"), ("Z", "200"), model="model-a")),
    ),
    "a call that was not answered names nobody": (
        named, "nothing", story(call("failed", ("A", "503"), ("B", "200"), model="model-a")),
    ),
    "an answer may carry what its model calls itself": (
        named, "kept",
        adorned(story(call("answered", ("A", "503"), ("B", "200"), model="b-0613")), a2={"shown": "b-0613"}),
    ),
    # -- fallback.fits
    "a fifth more than fits may be counted otherwise": (
        fits, "nothing", story(call("answered", Step("A", "200", tokens=1200))),
    ),
    "a token more than that is too long": (fits, "broken", story(call("answered", Step("A", "200", tokens=1201)))),
    "tokens that were made up tell nothing": (
        fits, "nothing",
        adorned(story(call("answered", Step("A", "200", tokens=1300))), a1={"billed_as_stated": True}),
    ),
    "who was answered nowhere was not kept off": (
        fits, "nothing", story(call("failed", Step("B", "503", tokens=1300))),
    ),
    # -- retry.total
    "six attempts are two for each of three": (total, "kept", story(call("failed", *[("A", "500")] * 6))),
    "seven are more": (total, "broken", story(call("failed", *[("A", "500")] * 7))),
    "retries of the client may count or not": (
        total, "kept", story(call("failed", *[("A", "500")] * 12, options={"max_retries": 3})),
    ),
    "who left may have made more": (total, "nothing", story(call("left", ("A", "500")))),
    # -- retry.class
    "a last failure with a hint asks for patience": (
        twice, "nothing", story(call("failed", ("A", "503"), WAITS)),
    ),
    "a first failure with a hint asks for none later": (
        twice, "broken", story(call("failed", WAITS, ("A", "503"))),
    ),
    "a stream that failed before its first word is tried again": (
        twice, "broken", story(call("failed", ("A", "500"), stream=True)),
    ),
    "a stream that was cut off for what it said is not": (
        twice, "nothing", story(call("failed", CUT_OFF, stream=True)),
    ),
    "a refusal of what was asked is counted by that": (
        twice, "broken", story(call("failed", *[Step("A", "400", error="moderation")] * 3)),
    ),
    "a prompt that is too long can be called more than one thing": (
        retry.Classed(A, (("bad_request", 0), ("content_policy", 0))), "nothing",
        story(call("failed", *[Step("A", "400", error="context_length")] * 2)),
    ),
    "who failed for others meanwhile may be out by the end": (
        twice, "nothing", story(call("failed", ("A", "500"), at=0, took=9), call("left", ("A", "500"), at=3)),
    ),
    "who hangs has no end to wait for": (
        twice, "broken", adorned(story(call("hung", ("A", "500"))), c1={"ended": None}),
    ),
    "who failed for others before may be out when a call moves on": (
        twice, "nothing",
        story(call("left", ("A", "500"), at=2), call("answered", ("A", "500"), ("B", "200"), at=9)),
    ),
    "a refused connection at a shared host may have been the retry": (
        retry.Classed(SHARED, (("internal", 1),)), "nothing",
        story(call("answered", ("A", "500"), ("A", "refused"), ("B", "200"))),
    ),
    "who answered after two failures of three kept on": (
        twice, "kept", story(call("answered", ("A", "503"), ("A", "503"), ("A", "200"))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_a_bound_is_where_it_is_said_to_be(claim):
    contract, expected, history = CASES[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


STATUSES = {
    400: "bad_request", 401: "authentication", 404: "not_found", 408: "timeout", 429: "rate_limit",
    500: "internal", 503: "unavailable",
}  # fmt: skip


@pytest.mark.parametrize("status", [*range(396, 432), *range(498, 506), 529])
def test_a_status_is_counted_as_one_kind_of_failure_or_none(status):
    never = retry.Classed(A, tuple((kind, 0) for kind in KINDS))
    seen = list(never.check(story(call("failed", *[("A", str(status))] * 2))))
    assert [f"after {STATUSES[status]};" in one.says for one in seen] == [True] * (
        status in STATUSES
    )


def test_the_first_failure_and_the_first_elsewhere_are_named():
    steps = ("A", "503"), ("B", "500"), ("A", "429"), ("A2", "500"), ("C", "200")
    [seen] = disabled.check(story(call("answered", *steps, options=NO_FALLBACKS)))
    assert (seen.at, seen.evidence) == ("a2", ("c1", "a1", "a2", "a3", "a4", "a5"))
    assert seen.says == (
        "a2 asked b.example/model-b after a1 got 503 from a.example/model-a, though c1 disables fallbacks"
    )


def test_who_stayed_stayed_after_the_first_failure():
    [seen] = disabled.check(story(call("failed", ("A", "503"), ("A", "500"), options=NO_FALLBACKS)))
    assert seen.says == (
        "c1, which disables fallbacks, asked nobody else after a1 got 503 from a.example/model-a"
    )


def test_a_wish_is_told_of_whoever_was_asked_last():
    asked = [Step(place, "503", features=TOOLS) for place in "ABC"]
    [seen] = capable.check(story(call("failed", *asked, features=TOOLS)))
    assert seen.says == "c1 wanted tools, and a3 asked c.example/model-c for it"
    assert (seen.at, seen.evidence) == ("c1", ("c1", "a1", "a2", "a3"))


def test_the_first_dropped_wish_is_told():
    steps = Step("A", "503", features=TOOLS), ("B", "503"), ("C", "503")
    [seen] = capable.check(story(call("failed", *steps, features=("json", "tools"))))
    assert seen.says == "a2 asked b.example/model-b without the json that c1 wanted"
    assert seen.evidence == ("c1", "a2")


def test_two_lengths_are_told_with_who_gave_them():
    [seen] = dimension.check(story(vectors("A", 512), LOST, vectors("B", 256)))
    assert seen.says == (
        "c3 got vectors of 256 numbers from b.example/model-b, c1 of 512 from a.example/model-a"
    )
    assert seen.evidence == ("c3", "a3", "c1", "a1")


def test_a_prompt_is_as_long_as_the_most_that_was_counted():
    steps = Step("B", "503", tokens=1100), Step("B", "200", tokens=1300)
    [seen] = fits.check(story(call("answered", *steps)))
    assert seen.says == "c1 has a prompt of 1300 tokens, A takes 1000, and was not asked"
    assert (seen.at, seen.evidence) == ("c1", ("c1", "a1", "a2"))
    sent = story(call("answered", ("A", "400"), ("A", "400"), Step("B", "200", tokens=1300)))
    [seen] = fits.check(sent)
    assert (seen.at, seen.evidence) == ("a1", ("c1", "a1", "a2"))
    assert seen.says.endswith("; a1 asked it")


def test_the_attempt_that_is_one_too_many_is_named():
    [seen] = total.check(story(call("failed", *[("A", "500")] * 8)))
    assert (seen.at, seen.says) == ("a7", "c1 made 8 attempts; at most 6 allowed")
    [seen] = twice.check(story(call("failed", *[("A", "503")] * 5)))
    assert (seen.at, seen.says) == ("a4", "c1 asked A 5 times after unavailable; 3 allowed")
    assert seen.evidence == ("c1", "a1", "a2", "a3", "a4", "a5")


def test_who_gave_up_did_so_after_the_last_failure():
    [seen] = twice.check(story(call("failed", ("A", "503"), ("A", "503"))))
    assert (seen.at, seen.evidence) == ("c1", ("c1", "a1", "a2"))
    assert seen.says == (
        "c1 gave up after a2 got 503 from a.example/model-a:"
        " c1 asked A 2 times after unavailable; 3 allowed"
    )
