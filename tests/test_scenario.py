from __future__ import annotations

import contextlib
import copy
import functools
import operator
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim import faults
from llmroute_sim.incidents import Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask, Template, load, shipped

ROLES = {"target": ("openai/gpt-4o",), "next": ("anthropic",), "others": ("groq",)}
NUMBERS = {
    "retries": 2, "cooldown": 60, "timeout": 20, "patience": 5, "window": 86400, "ttl": 600,
    "bill_input": 100, "bill_output": 50, "fails": 3, "parallel": 2, "rpm": 4, "tpm": 1000,
    "load": 30, "context": 8000,
}  # fmt: skip


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_can_be_filled_in_and_says_what_is_good(name):
    template = shipped()[name]
    scenario = template.bind(ROLES, NUMBERS)
    assert template.tried().name == name
    assert scenario.title
    assert scenario.good
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
            "incident[0].fault: unknown fault 'outrage'; did you mean 'outage'?",
        ),
        (
            "[[incident]]\nfault = 'cut'\nwher = 1",
            "unknown key of an incident 'wher'; did you mean 'when'?",
        ),
        ("[[incident]]\nat = 'openai'", "incident[0].fault: an incident needs a fault"),
        (
            "[[incident]]\nfault='cut'\nwhen={frist=1}",
            "unknown key of when 'frist'; did you mean 'first'?",
        ),
        (
            "[[incident]]\nfault='cut'\nwhen={nth=0}",
            "incident[0].when.nth = 0 is not a whole number from 1 up",
        ),
        (
            "[[incident]]\nfault='cut'\nwhen={between=[9,3]}",
            "incident[0].when.between = [9, 3] is not [start, end]",
        ),
        (
            "[[incident]]\nfault='cut'\nwhen={chance=2}",
            "incident[0].when.chance = 2 is not above 0 and at most 1",
        ),
        ("[[incident]]\nfault='cut'\nat=''", "names no provider"),
        ("[[ask]]\ntime = 3", "unknown key of ask[0] 'time'; did you mean 'times'?"),
        ("[[ask]]\nat = '= cooldwn + 1'", "unknown number 'cooldwn'; did you mean 'cooldown'?"),
        ("[[ask]]\nat = '= len(x)'", "is not a sum of numbers and names"),
        ("modes = ['jsno']", "unknown one of modes 'jsno'; did you mean 'json'?"),
        ("bills = {inptu = 3}", "unknown key of bills 'inptu'; did you mean 'input'?"),
        ("[[ask]]\ntimes = 0", "ask[0].times = 0 is not a whole number from 1 up"),
        ("stimulus = 'incident'", "unknown stimulus 'incident'; did you mean 'incidents'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_nearest_name(text, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is what is tested)
        load("mine", text).bind(ROLES, NUMBERS)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("when", "says"),
    [
        (
            "between = [60, 60]",
            "incident[0].when.between = [60, 60] is not [start, end] with start",
        ),
        ("between = [0]", "incident[0].when.between = [0] is not [start, end]"),
        ("between = ['soon', 9]", "incident[0].when.between = ['soon', 9] is not [start, end]"),
        ("chance = 0", "incident[0].when.chance = 0 is not above 0 and at most 1"),
        ("chance = 'half'", "incident[0].when.chance = 'half' is not above 0"),
        ("first = 2, nth = 5", "incident[0].when: no attempt is one of first = 2, nth = 5"),
        ("first = 3, after = 3", "incident[0].when: no attempt is one of first = 3, after = 3"),
        ("nth = 3, every = 2", "incident[0].when: no attempt is one of nth = 3, every = 2"),
        (
            "between = [3600, 7200]",
            "begins at 3600 s, and the last call is due at 40 s: nothing can",
        ),
    ],
)
def test_an_incident_that_nothing_can_meet_is_refused(when, says):
    text = f"""
        [[incident]]
        fault = "outage"
        when = {{ {when} }}

        [[ask]]
        times = 5
        every = 10
    """
    assert says in refused(text)


def test_a_timeline_without_a_workload_may_last_as_long_as_it_likes():
    text = "[[incident]]\nfault = 'outage'\nwhen = { between = [7200, 9000] }"
    assert load("mine", text).bind().incidents


def test_a_window_that_only_late_calls_can_meet_is_none_of_our_business():
    text = "[[incident]]\nfault = 'outage'\nwhen = { between = [500, 900] }\n[[ask]]\nat = 0"
    assert load("mine", text).bind().incidents


def incidents(*said):
    return "".join(
        f"[[incident]]\nat = {at!r}\nfault = {fault}\nwhen = {{ {when} }}\n"
        for at, fault, when in said
    )


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (
            ("openai", "'outage'", "between = [0, 60]"),
            ("openai", "'outage'", "between = [59, 90]"),
            "incident[1].when: overlaps incident[0].when, outage at openai too",
        ),
        (
            ("openai", "'cut'", "chance = 0.1"),
            ("openai/gpt-4o", "'cut'", "chance = 0.5"),
            "incident[1].when: overlaps incident[0].when, cut at openai/gpt-4o too",
        ),
        (
            ("*", "'outage'", ""),
            ("openai", "'rate-limit'", "first = 2"),
            "incident[1] never acts: incident[0], outage at openai, turns everything away before it",
        ),
        (
            ("target", "'refused'", "between = [0, 90]"),
            ("target", "'silence'", "between = [10, 20]"),
            "incident[1] never acts: incident[0], refused at target, turns everything away",
        ),
        (
            ("openai", "'unauthorized'", "between = [0, 90]"),
            ("openai", "'model-gone'", "between = [0, 90]"),
            "incident[1] never acts: incident[0], unauthorized at openai",
        ),
    ],
)
def test_incidents_that_get_in_each_others_way_are_refused(first, second, says):
    assert says in refused(incidents(first, second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("openai", "'outage'", "between = [0, 60]"), ("openai", "'outage'", "between = [60, 90]")),
        (("openai", "'outage'", ""), ("anthropic", "'outage'", "")),
        (("openai/gpt-4o", "'outage'", ""), ("openai/gpt-4o-mini", "'outage'", "")),
        (("openai", "'outage'", "chance = 0.5"), ("openai", "'unauthorized'", "")),
        (("openai", "'outage'", "first = 2"), ("openai", "'outage'", "nth = 9")),
        (("openai", "'outage'", ""), ("openai", "'latency-spike'", "")),
        (
            ("openai", "{ name = 'context-length-exceeded', limit = 9 }", ""),
            ("openai", "'outage'", ""),
        ),
        (("openai", "'rate-limit'", "between = [0, 60]"), ("*", "'outage'", "between = [0, 60]")),
    ],
)
def test_incidents_that_leave_each_other_room_are_not(first, second):
    assert len(load("mine", incidents(first, second)).bind().incidents) == 2


JUNK = st.sampled_from(
    [None, True, 0, -1, 1.5, float("nan"), 10**30, "", "x", "= 1 +", "= 1 / 0", "= retries - 9", "target",
     [], ["x"], [[1]], [{}], [5, 1], {}, {"first": "x"}, {"name": "outage"}]
)  # fmt: skip


def places_in(value, path=()):
    """Where something stands in nested tables and lists."""
    if path:
        yield path
    match value:
        case dict():
            inner = value.items()
        case list():
            inner = enumerate(value)
        case _:
            return
    for key, one in inner:
        yield from places_in(one, (*path, key))


@given(st.data())
def test_whatever_stands_in_a_scenario_is_read_or_refused_with_what_is_wrong(data):
    entry = copy.deepcopy(dict(shipped()[data.draw(st.sampled_from(list(shipped())))].entry))
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from(list(places_in(entry))))
        place = functools.reduce(operator.getitem, path, entry)
        place[last] = copy.deepcopy(data.draw(JUNK))
    template = Template("mine", entry)
    with contextlib.suppress(ValueError):
        assert template.bind(ROLES, NUMBERS).name == "mine"
    with contextlib.suppress(ValueError):
        template.tried()


def refused(text, name="mine", folder=None):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is what is tested)
        load(name, text, folder).bind(ROLES, NUMBERS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title = 3", "title = 3 is not a string"),
        ("seed = 1.5", "seed = 1.5 is not a whole number from 0 up"),
        ("seed = true", "seed = True is not a whole number"),
        ("first-token = -1", "first-token = -1 is not a number from 0 up"),
        ("per-token = inf", "per-token = inf is not a number from 0 up"),
        ("tests = 'retry.tried'", "tests = 'retry.tried' is not a list of strings"),
        ("modes = 'json'", "modes = 'json' is not a list of strings"),
        ("one-way = 'yes'", "one-way = 'yes' is neither true nor false"),
        ("ask = 3", "ask is not a list of tables: write [[ask]]"),
        ("ask = [3]", "ask[0] is not a table"),
        ("bills = 3", "bills is not a table"),
        ("bills = { input = -3 }", "bills.input = -3 is not a whole number from 0 up"),
        ("[[incident]]\nfault = 3", "incident[0].fault: an incident needs a fault"),
        ("[[incident]]\nfault = 'cut'\nat = []", "incident[0].at: [] is not a place"),
        ("[[incident]]\nfault = 'cut'\nwhen = 3", "incident[0].when = 3 is not a table"),
        ("[[ask]]\nat = -1", "ask[0].at = -1 is not a number from 0 up"),
        ("[[ask]]\nat = 'noon'", "ask[0].at = 'noon' is not a number from 0 up"),
        ("[[ask]]\nevery = nan", "ask[0].every = nan is not a number from 0 up"),
        ("[[ask]]\nrate = 0", "ask[0].rate = 0 is not a number above 0"),
        ("[[ask]]\ntimes = 2.5", "ask[0].times = 2.5 is not a whole number from 1 up"),
        ("[[ask]]\ntimes = 'often'", "ask[0].times = 'often' is not a whole number"),
        ("[[ask]]\nquestion = 3", "ask[0].question = 3 is not a string"),
        ("[[ask]]\noptions = 3", "ask[0].options = 3 is not a table"),
        ("[[ask]]\nlabels = { who = 3 }", "has who = 3, which is neither a string nor a list"),
        ("[[ask]]\nlabels = { who = [] }", "has who = [], which is neither"),
        ("[[ask]]\nstream = 'yes'", "ask[0].stream = 'yes' is neither true nor false"),
        ("[[ask]]\nleave-after = 0", "ask[0].leave-after = 0 is not a whole number from 1 up"),
        (
            "[[ask]]\nleave_afer = 1",
            "unknown key of ask[0] 'leave_afer'; did you mean 'leave-after'",
        ),
        (
            "[[ask]]\nstream = false\nleave-after = 3",
            "ask[0].leave-after: nobody leaves in the middle of what is not streamed",
        ),
        ("[[ask]]\nrate = 1\nevery = 2", "ask[0]: rate and every exclude each other"),
        ("[[ask]]\nrate = 1\nconversation = true", "rate and conversation exclude each other"),
        ("[[ask]]\nat = '= 1 / 0'", "'1 / 0' divides by nothing"),
        ("[[ask]]\nat = '= 1 +'", "'1 +' is not a sum of numbers and names"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_key_and_what_is_allowed(text, says):
    assert says in refused(text)


def test_a_number_that_is_known_but_not_said_here_is_no_unknown_number():
    template = load("mine", "[[ask]]\nat = '= ttl'")
    with pytest.raises(ValueError, match="nothing says what the number 'ttl' is here"):
        template.bind(ROLES, {})


def test_a_role_that_may_be_nobodys_needs_nobody():
    template = load("mine", "[[incident]]\nfault = 'cut'\nat = ['others?']")
    assert template.needs == frozenset()
    assert template.bind({"target": ("openai",)}).incidents == ()
    [incident] = template.bind(ROLES).incidents
    assert incident.at == (Place("groq"),)


def test_a_scenario_may_be_written_in_json():
    text = '{"title": "x", "incident": [{"fault": "cut", "at": "target"}], "ask": [{"rate": 2.0}]}'
    scenario = load("mine.json", text).bind(ROLES)
    assert (scenario.title, scenario.asks) == ("x", (Ask(rate=2.0),))
    with pytest.raises(ValueError, match="line 1 column 2"):
        load("mine.json", "{titel}")


def test_every_key_of_a_workload_can_be_written():
    [ask] = (
        load(
            "mine",
            """
            [[ask]]
            at = 1
            times = 2
            every = 3.5
            together = 4
            question = "A"
            options = { temperature = 0.5 }
            labels = { tenant = ["a", "b"], tier = "gold" }
            tokens = 50
            stream = true
            conversation = true
            leave-after = 6
            beside = true
            """,
        )
        .bind()
        .asks
    )
    assert ask == Ask(
        1.0, 2, 3.5, 4, None, "A", {"temperature": 0.5}, {"tenant": ("a", "b"), "tier": "gold"},
        50, True, True, 6, True,
    )  # fmt: skip


# -- the library


def test_a_story_is_found_with_its_folder_and_without():
    library = shipped()
    assert library["long-suspension"] is library["stories/long-suspension"]
    assert "long-suspension" in library
    assert library.full_name("long-suspension") == "stories/long-suspension"
    assert library["refused"].name == "refused"
    with pytest.raises(KeyError):
        library["stories/nothing"]


def test_only_what_is_in_no_folder_is_played_by_default():
    library = shipped()
    assert 0 < len(library.default) < len(library)
    assert {name for name in library if library[name].default} == set(library.default)
    assert not any("/" in name for name in library.default)


def test_no_file_of_the_library_hides_behind_anothers_short_name():
    short = [name.rpartition("/")[2] for name in shipped() if not name.startswith("faults/")]
    assert len(short) == len(set(short))


def test_a_scenario_that_says_that_it_tries_nothing_tries_nothing():
    assert not Template("mine", {"tests": []}).tries("retry.tried")
    assert Template("mine", {}).tries("retry.tried")
    assert Template("mine", {"tests": ["retry.tried"]}).tries("retry.tried")
    assert not Template("mine", {"tests": ["retry.tried"]}).tries("retry.hint")


def test_malformed_toml_names_its_line():
    with pytest.raises(tomllib.TOMLDecodeError, match="line 2"):
        load("mine", "title = 'x'\nbroken here\n")


def test_unknown_names_are_values_errors():
    assert issubclass(Unknown, ValueError)
