from __future__ import annotations

import tomllib

import pytest

from llmroute_sim import faults
from llmroute_sim.incidents import Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask, load, shipped

ROLES = {"target": ("openai/gpt-4o",), "next": ("anthropic",), "others": ("groq",)}
NUMBERS = {
    "retries": 2, "cooldown": 60, "timeout": 20, "patience": 5, "window": 86400, "ttl": 600,
    "bill_input": 100, "bill_output": 50, "fails": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_can_be_filled_in_and_says_what_is_good(name):
    template = shipped()[name]
    scenario = template.bind(ROLES, NUMBERS)
    assert scenario.title
    assert scenario.good
    assert scenario.tests
    assert scenario.calmed() != scenario


def test_roles_become_places_and_sums_become_numbers():
    scenario = load(
        "mine",
        """
        [[incident]]
        at = ["target", "groq"]
        fault = { name = "latency-spike", seconds = "= patience + 1" }
        when = { between = ["= cooldown - 10", "= 2 * cooldown"] }

        [[ask]]
        at = "= window / 2"
        """,
    ).bind(ROLES, NUMBERS)
    (incident,) = scenario.incidents
    assert incident.fault == faults.LatencySpike(6)
    assert incident.at == (Place("openai", "gpt-4o"), Place("groq"))
    assert incident.when == When(between=(50.0, 120.0))
    assert scenario.asks == (Ask(at=43200.0),)


def test_a_scenario_without_its_stimulus_is_the_same_but_for_it():
    spend = shipped()["spend"].bind(ROLES, NUMBERS)
    assert spend.bills == Usage(100, 50)
    assert spend.calmed().bills is None
    assert spend.calmed().asks == spend.asks
    repeat = shipped()["repeat"].bind(ROLES, NUMBERS)
    assert {ask.question for ask in repeat.asks} == {"A", None}
    assert {ask.question for ask in repeat.calmed().asks} == {None}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("titel = 'x'", "unknown key of a scenario 'titel'; did you mean 'title'?"),
        (
            "[[incident]]\nfault = 'outrage'",
            "incident[0]: unknown fault 'outrage'; did you mean 'outage'?",
        ),
        (
            "[[incident]]\nfault = 'cut'\nwher = 1",
            "unknown key of an incident 'wher'; did you mean 'when'?",
        ),
        ("[[incident]]\nat = 'openai'", "incident[0]: an incident needs a fault"),
        (
            "[[incident]]\nfault='cut'\nwhen={frist=1}",
            "unknown key of when 'frist'; did you mean 'first'?",
        ),
        ("[[incident]]\nfault='cut'\nwhen={nth=0}", "nth = 0 is not a count"),
        ("[[incident]]\nfault='cut'\nwhen={between=[9,3]}", "between = [9, 3] is not [start, end]"),
        ("[[incident]]\nfault='cut'\nwhen={chance=2}", "chance = 2 is not above 0 and at most 1"),
        ("[[incident]]\nfault='cut'\nat=''", "names no provider"),
        ("[[ask]]\ntime = 3", "unknown key of ask[0] 'time'; did you mean 'times'?"),
        ("[[ask]]\nat = '= cooldwn + 1'", "unknown number 'cooldwn'; did you mean 'cooldown'?"),
        ("[[ask]]\nat = '= len(x)'", "is not a sum of numbers and names"),
        ("modes = ['jsno']", "unknown one of modes 'jsno'; did you mean 'json'?"),
        ("bills = {inptu = 3}", "unknown one of bills 'inptu'; did you mean 'input'?"),
        ("[[ask]]\ntimes = 0", "ask[0]: times = 0 asks nothing"),
        ("stimulus = 'incident'", "unknown stimulus 'incident'; did you mean 'incidents'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_nearest_name(text, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is what is tested)
        load("mine", text).bind(ROLES, NUMBERS)
    assert says in str(caught.value)


def test_malformed_toml_names_its_line():
    with pytest.raises(tomllib.TOMLDecodeError, match="line 2"):
        load("mine", "title = 'x'\nbroken here\n")


def test_unknown_names_are_values_errors():
    assert issubclass(Unknown, ValueError)
