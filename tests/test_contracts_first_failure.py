from __future__ import annotations

import pytest

from pytest_llmroute.contracts.health import Transient

from .stories import A, Step, call, story, verdict

pytestmark = pytest.mark.once

NEARLY_ALL = Transient((A,), share=0.999, answers=0)
HALF = Transient((A,), share=0.5, answers=0)
fails = call("failed", ("A", "500"), at=0)


def away(count, start=10):
    return [call("answered", ("B", "200"), at=start + number) for number in range(count)]


@pytest.mark.parametrize(
    ("contract", "history", "expected"),
    [
        pytest.param(NEARLY_ALL, story(fails, *away(2)), "broken", id="two calls that nearly never go elsewhere do"),
        pytest.param(NEARLY_ALL, story(fails, *away(1)), "nothing", id="one of a thousand may go elsewhere by chance"),
        pytest.param(NEARLY_ALL, story(fails, call("answered", ("A", "200"), at=10), *away(3, 20)), "kept", id="the next call begins there"),
        pytest.param(NEARLY_ALL, story(fails, *away(1), call("answered", ("A", "200"), at=20)), "kept", id="the call after the next begins there"),
        pytest.param(NEARLY_ALL, story(call("failed", ("A", "401"), at=0), *away(5)), "nothing", id="a wrong key does not pass"),
        pytest.param(NEARLY_ALL, story(call("failed", Step("A", "503", hint=60.0), at=0), *away(5)), "nothing", id="a hint to wait is heeded"),
        pytest.param(NEARLY_ALL, story(*away(5)), "nothing", id="nothing failed"),
        pytest.param(NEARLY_ALL, story(fails, *[call("answered", ("B", "200"), at=n, group="b") for n in (10, 11)]), "nothing", id="another group's calls tell nothing"),
        pytest.param(HALF, story(fails, *away(19)), "nothing", id="one of two is missed nineteen times by chance"),
        pytest.param(HALF, story(fails, *away(20)), "broken", id="one of two is not missed twenty times"),
        pytest.param(Transient((A,), share=1.0, answers=0), story(fails, *away(1)), "broken", id="who gets all is not left out once"),
        pytest.param(Transient((A,), share=0.999), story(fails, *away(2)), "nothing", id="the first of all calls may be held against it"),
        pytest.param(
            Transient((A,), share=0.999),
            story(call("answered", ("A", "200"), at=0), call("failed", ("A", "500"), at=5), *away(2)),
            "broken", id="one failure among two calls may not",
        ),
        pytest.param(
            Transient((A,), share=0.999),
            story(call("failed", ("A", "401"), at=0), call("answered", ("A", "200"), at=2), call("failed", ("A", "500"), at=5), *away(2)),
            "nothing", id="the second failure is not the first",
        ),
    ],
)  # fmt: skip
def test_a_first_failure_is_judged_by_the_share_of_the_calls(contract, history, expected):
    assert verdict(contract, history) == expected
