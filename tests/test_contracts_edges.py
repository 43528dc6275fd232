from __future__ import annotations

from pytest_llmroute.contracts import cache, health

from .stories import A, call, story, verdict


def test_the_same_text_asked_in_another_way_is_no_repeat():
    asked = {"question": "q"}
    history = story(
        call("answered", ("A", "200"), at=0, request="r", **asked),
        call("answered", ("A", "200"), at=10, request="s", **asked),
    )
    assert verdict(cache.Hit(60), history) == "nothing"


def test_a_repeat_that_failed_got_no_old_answer():
    asked = {"question": "q", "request": "r"}
    history = story(
        call("answered", ("A", "200"), at=0, **asked), call("failed", ("A", "500"), at=100, **asked)
    )
    assert verdict(cache.Expires(60), history) == "nothing"


def test_a_deployment_that_is_asked_again_after_its_cooldown_is_seen_to_be_back():
    down = [call("answered", ("A", "503"), ("B", "200"), at=at) for at in (0, 2)]
    away, again = call("answered", ("B", "200"), at=10), call("answered", ("A", "200"), at=62)
    rested, back = health.Cooldown(A, 60, failures=2).check(story(*down, away, again))
    assert (rested.at, rested.kept) == ("a3", True)
    assert (back.at, back.kept) == ("a6", True)
