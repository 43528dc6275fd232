from __future__ import annotations

from decimal import Decimal

import pytest

from llmroute_sim.history import Attempt, Call
from pytest_llmroute.contracts import Target, reading

from .stories import MINI, SHARED, A, B, Step, call, story

pytestmark = pytest.mark.once


def attempt(outcome="200", **about):
    head = outcome.partition("-")[0]
    status = int(head) if head.isdigit() else None
    known = {"deployment": "a.example", "model": "model-a", "key": "key-a", "status": status}
    return Attempt("a1", "c1", 1, 1.0, "A", "A", **known | {"outcome": outcome} | about)


def asked(**about):
    return Call("c1", 1.0, **{"group": "chat", "outcome": "answered", "ended": 9.0} | about)


# -- what an attempt came to

# of an outcome: whether it is whole, failed, flawed, may be mended by another try
CAME_TO = {
    "200": (True, False, False, False),
    "200-degraded": (False, False, True, False),
    "200-damaged": (False, True, True, False),
    "200-cut": (False, True, False, True),
    "200-error": (False, True, False, False),
    "200-left": (False, False, False, False),
    "open": (False, False, False, False),
    "left": (False, False, False, False),
    "silence": (False, True, False, True),
    "refused": (False, True, False, True),
    "tls-expired": (False, True, False, False),
    "300": (False, True, False, False),
    "407": (False, True, False, False),
    "408": (False, True, False, True),
    "409": (False, True, False, False),
    "429": (False, True, False, False),
    "499": (False, True, False, False),
    "500": (False, True, False, True),
    "529": (False, True, False, True),
}


@pytest.mark.parametrize("outcome", CAME_TO)
def test_an_outcome_says_what_an_attempt_came_to(outcome):
    one = attempt(outcome)
    seen = reading.whole(one), reading.failed(one), reading.flawed(one), reading.transient(one)
    assert seen == CAME_TO[outcome]


@pytest.mark.parametrize("outcome", ["left", "200-left"])
def test_a_client_that_left_because_of_a_fault_met_a_failure(outcome):
    assert reading.failed(attempt(outcome, faults=("slow",)))


def test_an_error_in_a_stream_may_be_mended_and_one_in_a_body_is_not_seen():
    assert reading.transient(attempt("200-error", stream=True))
    assert not reading.transient(attempt("200-damaged", stream=True))


def test_nothing_is_changed_by_asking_again_what_was_wrong():
    statuses = [None, 200, *range(400, 432), 500, 503]
    hopeless = [status for status in statuses if reading.changes_nothing(attempt(status=status))]
    assert hopeless == [400, 401, 402, 403, 404, 405, 413, 415, 422]


def test_only_a_stream_speaks_before_its_end():
    assert reading.spoke(attempt(stream=True, first_token=0.0))
    assert not reading.spoke(attempt(stream=True))
    assert not reading.spoke(attempt(first_token=2.0))


def test_what_has_no_end_is_known_from_its_beginning():
    assert reading.ended(attempt(ended=4.0)) == 4
    assert reading.ended(attempt(ended=0.0)) == 0
    assert reading.ended(attempt()) == 1


@pytest.mark.parametrize("other", [{"deployment": "b"}, {"model": "b"}, {"key": "b"}, {}])
def test_a_deployment_is_a_host_a_model_and_a_key(other):
    one, two = attempt(), attempt()
    for name, value in other.items():
        setattr(two, name, value)
    assert reading.same_deployment(one, two) == (not other)


# -- what a call came to


@pytest.mark.parametrize(
    ("outcome", "fruitless", "settled", "routed"),
    [
        ("answered", False, True, True),
        ("failed", True, True, True),
        ("hung", True, True, True),
        ("left", False, False, False),
        ("open", False, False, False),
    ],
)
def test_an_outcome_says_what_a_call_came_to(outcome, fruitless, settled, routed):
    history = story(call(outcome, ("A", "200")))
    [one] = history.calls
    assert reading.fruitless(one) == fruitless
    assert reading.settled(history, one) == settled
    assert reading.routed(history, one) == routed


def test_an_answer_from_nowhere_was_not_routed():
    history = story(call("answered"), call("failed"))
    assert [reading.routed(history, one) for one in history.calls] == [False, True]


def test_a_call_made_what_the_router_asked_to_get_an_answer():
    history = story(
        call("answered", ("A", "503"), Step("A", "200", via=True), Step("A", "200", operation="models")),
        call("answered", ("B", "200")),
    )  # fmt: skip
    assert [[one.id for one in reading.made(history, each)] for each in history.calls] == [
        ["a1"],
        ["a4"],
    ]


@pytest.mark.parametrize(
    ("outcome", "left", "ended", "until", "forsaken"),
    [
        ("left", True, 9.0, 9.0, True),
        ("left", True, 8.99, 9.0, True),
        ("left", True, 8.98, 9.0, False),
        ("left", True, 12.0, 9.0, True),
        ("left", True, 2.0, None, True),
        ("left", False, 9.0, 9.0, False),
        ("failed", True, 9.0, 9.0, False),
        ("open", True, 9.0, 9.0, False),
    ],
)
def test_an_attempt_is_forsaken_when_its_caller_goes(outcome, left, ended, until, forsaken):
    one = attempt("200-left", left=left, ended=ended)
    assert reading.forsaken(asked(outcome=outcome, ended=until), one) == forsaken


@pytest.mark.parametrize(
    ("at", "until", "step", "shadowed"),
    [
        (0.9, 9.0, {}, False),
        (1.0, 9.0, {}, True),
        (9.0, 9.0, {}, True),
        (9.1, 9.0, {}, False),
        (99.0, None, {}, True),
        (0.5, None, {}, False),
        (5.0, 9.0, {"via": True}, False),
        (5.0, 9.0, {"operation": "models"}, False),
    ],
)
def test_what_nobody_made_leaves_open_what_was_asked_meanwhile(at, until, step, shadowed):
    history = story(call("open", Step("A", "200", at=at, **step), tied=False))
    one = asked(ended=until)
    assert reading.shadowed(history, one) == shadowed
    assert reading.settled(history, one) == (not shadowed)


@pytest.mark.parametrize(
    ("options", "retries"),
    [
        ({}, (3, 3)),
        ({"num_retries": 2}, (2, 2)),
        ({"num_retries": 0}, (0, 0)),
        ({"num_retries": -1}, (3, 3)),
        ({"num_retries": "2"}, (3, 3)),
        ({"max_retries": 1}, (1, 3)),
        ({"max_retries": 0}, (0, 3)),
        ({"max_retries": 5}, (3, 5)),
        ({"max_retries": -1}, (3, 3)),
        ({"num_retries": 2, "max_retries": 5}, (2, 2)),
    ],
)
def test_a_call_may_say_how_often_it_is_retried(options, retries):
    assert reading.retries_of(asked(options=options), 3) == retries


@pytest.mark.parametrize(
    ("option", "rerouted"),
    [("fallbacks", True), ("context_window_fallbacks", True), ("disable_fallbacks", False), ("tags", False)],
)  # fmt: skip
def test_a_call_that_names_its_fallbacks_is_not_about_those_that_are_configured(option, rerouted):
    history = story(call("answered", ("A", "200"), options={option: ["x"]}))
    assert reading.calls_of(history, (A,), None) == ([] if rerouted else history.calls)


def of(history, targets=(A, B), group=None):
    return [one.id for one in reading.calls_of(history, targets, group)]


def test_a_rule_is_about_the_calls_that_asked_for_its_group():
    to_b = call("answered", ("B", "200"))
    to_b_for_b = call("answered", ("B", "200"), group="b")
    both = call("answered", ("A", "503"), ("B", "200"))
    history = story(both, to_b_for_b, call("failed"), call("answered", ("Z", "200")))
    assert of(history, group="chat") == ["c1"]
    assert of(history, group="b") == ["c2"]
    assert of(history) == ["c1"]
    assert of(story(both, to_b)) == ["c1", "c2"]
    assert of(story(call("answered", ("B", "200"), group=None))) == []
    assert of(story(call("answered", ("A", "200"), group=None), to_b)) == ["c1"]


# -- attempts and targets


def test_a_target_owns_what_nothing_told_apart():
    nobody = {"model": None, "key": None}
    assert A.owns(attempt())
    assert A.owns(attempt(**nobody))
    assert not A.owns(attempt(key="key-2"))
    assert not A.owns(attempt(model="model-mini"))
    assert not A.owns(attempt(deployment="b.example"))
    assert Target("any", (("a.example", None, None),)).owns(attempt())
    assert not Target("keyed", (("a.example", None, "key-2"),)).owns(attempt())


def test_a_refused_connection_is_surely_of_whoever_is_alone():
    refused = attempt("refused", model=None, key=None)
    assert reading.surely(A, refused)
    assert not reading.surely(SHARED, refused)
    assert reading.surely(SHARED, attempt())
    assert reading.surely(Target("any", (("a.example", None, None),)), refused)
    assert not reading.surely(B, refused)
    assert not reading.surely(A, attempt(via="a0"))
    assert not reading.surely(A, attempt(operation="models"))


def test_attempts_belong_to_the_deployment_that_they_told():
    pair = Target("pair", (("a.example", "model-a", "key-a"), ("a.example", "model-a", "key-2")), alone=True)  # fmt: skip

    def found(target, *places):
        history = story(call("failed", *places))
        return [[one.id for one in each] for each in reading.deployments_of(history, target)]

    hidden = ("A", "refused")
    assert found(A, ("A", "503"), hidden, ("A", "200"), ("B", "200")) == [["a1", "a2", "a3"]]
    assert found(pair, ("A", "503"), hidden, ("A2", "200")) == [["a1"], ["a3"]]
    assert found(pair, ("A", "503"), hidden) == [["a1", "a2"]]
    assert found(A, hidden, hidden) == [["a1", "a2"]]


# -- who may be out of rotation

FAILED = call("failed", Step("A", "503", took=1), at=0)


@pytest.mark.parametrize(
    ("then", "moment", "down"),
    [
        ([], 0.9, False),
        ([], 1.0, True),
        ([call("answered", ("A", "200"), at=2)], 3.0, False),
        ([call("answered", ("A", "200"), at=2)], 2.9, True),
        ([call("answered", ("A", "200"), at=1)], 3.0, True),
        ([call("answered", Step("A", "200", at=5), at=0.5)], 9.0, True),
        ([call("answered", Step("A", "200", operation="models"), at=2)], 9.0, True),
        ([call("answered", ("A", "200-degraded"), at=2)], 9.0, True),
        ([call("answered", ("A", "200"), at=2), call("failed", ("A", "500"), at=5)], 9.0, True),
        ([call("answered", ("A", "200"), at=2, tied=False)], 9.0, False),
        ([call("answered", Step("A", "200", via=True), at=2)], 9.0, True),
    ],
)  # fmt: skip
def test_who_failed_is_down_until_a_later_call_is_answered(then, moment, down):
    assert reading.down(story(FAILED, *then), A, moment) == down


def test_what_a_gateway_met_and_what_others_met_takes_nobody_out():
    history = story(call("failed", Step("A", "503", via=True), ("B", "503")))
    assert not reading.down(history, A, 9)
    assert reading.down(history, B, 9)
    assert not reading.down(history, B, 9, leave_out=history.calls[0])
    later = story(call("failed", ("Z", "503")), call("failed", ("B", "503")))
    assert reading.down(later, B, 9, leave_out=later.calls[0])


def test_a_damaged_answer_and_a_failed_list_of_models_are_reasons_to_keep_away():
    for step in (("A", "200-damaged"), ("A", "200-degraded"), Step("A", "503", operation="models")):
        assert reading.down(story(call("failed", step)), A, 9)


def test_what_came_after_an_attempt_was_not_known_when_it_was_made():
    history = story(call("answered", Step("B", "200", took=0), ("A", "503")))
    assert not reading.down(history, A, 9, before=history.attempts[0])
    assert not reading.down(history, A, 9, before=history.attempts[1])
    assert reading.down(history, A, 9)


@pytest.mark.parametrize(
    ("moment", "since", "serves"),
    [(0.9, 0, False), (1, 0, True), (5.9, 0, True), (6, 0, False), (5, 1, True), (5, 1.1, False), (8, 0, True)],
)  # fmt: skip
def test_a_sibling_serves_when_the_last_that_was_heard_was_an_answer(moment, since, serves):
    history = story(
        call("answered", ("B", "200"), at=0),
        call("failed", ("B", "503"), at=6),
        call("answered", ("B", "200"), at=7),
        call("failed", ("B", "503"), at=7.5, group="b"),
        call("failed", ("A", "503"), at=7.6),
        call("failed", Step("B", "503", operation="models"), Step("B", "503", via=True), at=7.7),
    )
    assert reading.sibling_serves(history, {"chat"}, {"a5"}, moment, since) == serves


def test_a_sibling_may_have_served_from_the_beginning():
    history = story(call("answered", Step("B", "200", took=0), at=0))
    assert reading.sibling_serves(history, {"chat"}, (), 5)


def test_a_rule_follows_an_attempt_every_way_that_it_may_have_gone():
    history = story(call("failed", ("Z", "503"), ("A", "refused"), ("A mini", "503"), ("B", "503")))

    def later(reached, attempt, number):
        return number if number > reached else None

    targets = (SHARED, MINI)
    assert reading.follow(-1, history.attempts[:2], targets, later) == ({0, 1}, None)
    assert reading.follow(-1, history.attempts, targets, later) == ({1}, None)
    assert reading.follow(0, history.attempts[:2], (SHARED,), later) == (set(), history.attempts[1])


# -- words


def test_times_and_sums_are_told_in_words():
    assert reading.seconds(12.0) == "12 s"
    assert reading.seconds(1.23456) == "1.235 s"
    assert reading.money(Decimal("1E+1")) == "$10"
    assert reading.where(attempt()) == "a.example/model-a"
    assert reading.where(attempt(model=None)) == "a.example"
    assert reading.became(attempt("503")) == "a1 got 503 from a.example/model-a"
