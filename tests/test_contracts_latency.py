from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmroute.contracts import latency

from .balance_cases import answer, within
from .stories import Step, call, story, verdict


@given(st.floats(0, 40).map(lambda took: round(took, 1)))
def test_an_attempt_is_judged_by_its_bound_and_a_second_of_slack(took):
    history = story(call("answered", Step("A", "silence", took=took), ("B", "200")))
    expected = "broken" if took > 6 else "kept" if took >= 5 else "nothing"
    assert verdict(within, history) == expected


@given(st.floats(0, 40).map(lambda took: round(took, 1)))
def test_a_caller_is_promised_the_seconds_and_no_more(took):
    history = story(call("failed", Step("A", "silence", took=took)))
    assert verdict(answer, history) == ("broken" if took > 20 else "kept")


def test_a_late_answer_says_how_late_and_how_long_was_allowed():
    [seen] = answer.check(story(call("answered", Step("A", "503", took=30), ("B", "200"))))
    assert seen.says == "c1 answered after 31 s; 20 s allowed"
    assert seen.evidence == ("c1", "a1", "a2")


def test_a_first_token_is_waited_for_at_a_place():
    [seen] = latency.FirstToken(5).check(
        story(call("answered", Step("A", "silence", took=9), ("B", "200"), stream=True))
    )
    assert seen.says == "a1 waited 9 s for its first token at a.example/model-a; 5 s allowed"
