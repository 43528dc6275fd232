# Where the contracts about errors begin and end.

from __future__ import annotations

import pytest

from llmroute_sim.history import Failure, History
from pytest_llmroute.contracts import Contract, errors

from .asked_cases import shown
from .stories import A, B, Step, call, story, verdict

pytestmark = pytest.mark.once

own, secrets, told = errors.Own((A, B)), errors.Secrets(), errors.Told()

LOST = call("failed", ("A", "503"))

CASES: dict[str, tuple[Contract, str, History]] = {
    # -- errors.own
    "an error that is one's own has a status of at least 400": (
        own, "nothing", story(call("failed", ("A", "399"), ("B", "500"), **shown(500))),
    ),
    "of 400 one may be told": (own, "kept", story(call("failed", ("A", "400"), ("B", "400"), **shown(400)))),
    "500 is an outage": (own, "kept", story(call("failed", ("A", "529"), ("B", "529"), **shown(500)))),
    "an outage is not told as a wrong request": (
        own, "broken", story(call("failed", ("A", "500"), ("B", "500"), **shown(499))),
    ),
    "with a target unasked, it may say that it has reached a limit": (
        own, "kept", story(call("failed", ("A", "401"), **shown(429))),
    ),
    "with all asked, it may not": (own, "broken", story(call("failed", ("A", "401"), ("B", "401"), **shown(429)))),
    "a call that hangs is shown nothing": (own, "nothing", story(call("hung", ("A", "429"), ("B", "429")))),
    # -- errors.secrets
    "an answer that came is no failure with a key": (
        secrets, "nothing", story(call("failed", ("A", "200"), **shown(500, leaked=("key-a",)))),
    ),
    "a call that hangs shows nothing": (secrets, "nothing", story(call("hung", ("A", "503")))),
    # -- errors.hint
    "who is refused with a limit is told when to come back": (
        told, "broken", story(LOST, call("failed", **shown(429))),
    ),
    "who failed and answered since does not rest": (
        told, "nothing", story(LOST, call("answered", ("A", "200")), call("failed", **shown(503))),
    ),
    "who answered and failed since rests": (
        told, "broken", story(call("answered", ("A", "200")), LOST, call("failed", **shown(503))),
    ),
    "what others' groups met is nobody's rest": (
        told, "nothing", story(call("failed", ("A", "503"), group="b"), call("failed", **shown(503))),
    ),
    "what a gateway met is nobody's rest": (
        told, "nothing", story(call("failed", Step("A", "503", via=True)), call("failed", **shown(503))),
    ),
    "what is known at the very moment counts": (
        told, "broken",
        story(call("failed", Step("A", "503", took=1), at=0), call("failed", at=1, **shown(503))),
    ),
    "what is not known yet does not": (
        told, "nothing",
        story(call("failed", Step("A", "503", took=2), at=0), call("failed", at=1, **shown(503))),
    ),
    "another key of a host is another": (
        told, "nothing",
        story(call("answered", ("A2", "200")), LOST, call("failed", **shown(503))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_a_bound_is_where_it_is_said_to_be(claim):
    contract, expected, history = CASES[claim]
    assert verdict(contract, history) == expected, list(contract.check(history))


ALIKE = [{401, 403}, {400, 413, 415, 422, 431}, {402, 429}, {408, 504}]


@pytest.mark.parametrize("status", [*range(400, 433), 499, 500, 503, 504, 505])
def test_a_status_may_be_told_as_its_like(status):
    history = [
        story(call("failed", ("A", str(status)), ("B", str(status)), **shown(other)))
        for other in range(400, 510)
    ]
    kept = {400 + n for n, each in enumerate(history) if verdict(own, each) == "kept"}
    like = {status, *(one for kind in ALIKE if status in kind for one in kind)}
    assert kept == like | (set(range(500, 510)) if status >= 500 else set())


def test_an_error_is_told_with_what_it_shows():
    history = story(call("failed", ("A", "401"), ("B", "500"), **shown(None, leaked=("k1", "k2"))))
    [seen] = own.check(history)
    assert seen.says == (
        "c1 was shown no status after a1 got 401 from a.example/model-a"
        " and a2 got 500 from b.example/model-b"
    )
    assert seen.evidence == ("c1", "a1", "a2")
    [seen] = secrets.check(history)
    assert seen.says == (
        "c1 raised ProviderError, which shows the key k1, after a2 got 500 from b.example/model-b"
    )
    assert seen.evidence == ("c1", "a1", "a2")


def test_an_error_of_no_kind_is_an_error():
    history = story(call("failed", ("A", "401"), raised=Failure(())))
    assert [one.says for one in secrets.check(history)] == [
        "c1 raised an error, which shows no key, after a1 got 401 from a.example/model-a"
    ]


def test_a_refusal_is_told_with_who_rests():
    both = call("failed", ("A", "503"), ("B", "503"))
    [seen] = told.check(story(both, call("failed", **shown(503, hint=12.0))))
    assert seen.says == (
        "c2 was refused while a.example/model-a and b.example/model-b rested, and was told 12 s"
    )
    assert seen.evidence == ("c2", "a1", "a2")
