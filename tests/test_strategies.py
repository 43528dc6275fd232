from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

import pytest_llmroute
from llmroute_sim.faults import FAULTS
from llmroute_sim.incidents import ALWAYS
from llmroute_sim.prompt import Usage
from llmroute_sim.scenario import Ask, Scenario, load, shipped
from llmroute_sim.writing import toml
from pytest_llmroute import Incident, Place, Unknown, When, World, faults, strategies
from pytest_llmroute.contracts import stream

pytestmark = pytest.mark.once

OPENAI = "https://api.openai.com/v1/chat/completions"
PLACES = ("openai", "groq/llama-3.3-70b-versatile", "anthropic")

shrinking = settings(
    max_examples=200,
    database=None,
    derandomize=True,
    deadline=None,
    # Not Phase.explain, which traces every line of a few hundred examples.
    phases=[Phase.generate, Phase.shrink],
)


def request(text: str = "hello", **options: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": text}]
    headers = {"authorization": "Bearer sk-test"}
    return {
        "url": OPENAI,
        "headers": headers,
        "json": {"model": "gpt-4o", "messages": said, **options},
    }


# -- everything can be written down


@given(strategies.scenarios(*PLACES))
def test_a_scenario_reads_back_as_it_was_written(scenario: Scenario) -> None:
    assert load(scenario.name, toml(scenario)).bind() == scenario


@given(strategies.scenarios())
def test_a_scenario_is_shown_as_what_makes_it(scenario: Scenario) -> None:
    shown = pretty(scenario)
    assert shown.startswith("Scenario.parse(")
    assert eval(shown, {"Scenario": Scenario}) == scenario


def written() -> st.SearchStrategy[Ask]:
    texts = st.text(st.characters(codec="utf-8"), max_size=9).filter(
        lambda t: not t.startswith("=")
    )
    labels = st.dictionaries(texts, texts | st.lists(texts, min_size=1).map(tuple), max_size=2)
    values = texts | st.integers(-9, 9) | st.floats(-9, 9) | st.booleans()
    options = st.dictionaries(texts, values | st.lists(values) | st.dictionaries(texts, values))
    seconds = st.none() | st.floats(0, 1e6)
    return st.builds(
        Ask, at=seconds, times=st.integers(1, 9), question=st.none() | texts, options=options,
        labels=labels, stream=st.none() | st.booleans(), tokens=st.none() | st.integers(1, 9),
        beside=st.booleans(),
    )  # fmt: skip


@given(
    st.builds(
        Scenario,
        st.just("any"),
        title=st.text(st.characters(codec="utf-8")).filter(lambda text: not text.startswith("=")),
        tests=st.lists(st.sampled_from(("a.b", "c.d"))).map(tuple),
        modes=st.sampled_from((("json",), ("stream",), ("json", "stream"))),
        asks=st.lists(written(), max_size=2).map(tuple),
        bills=st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
        first_token=st.floats(0, 100),
        seed=st.integers(0, 99),
    )
)
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_whatever_a_scenario_says_a_file_can_say(scenario: Scenario) -> None:
    assert load("any", toml(scenario)).bind() == scenario


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_can_be_written_again(name: str) -> None:
    scenario = shipped()[name].tried()
    assert load(scenario.name, toml(scenario)).bind() == scenario


def test_a_file_says_only_what_does_not_go_without_saying() -> None:
    incident = Incident(faults.Outage(status=500), (Place.parse("openai/gpt-4o"),), When(first=2))
    asks = (Ask(), Ask(times=3, every=0.5, labels={"tenant": ("a", "b")}))
    assert toml(Scenario("x", title='"so"', incidents=(incident,), asks=asks)) == (
        'title = "\\"so\\""\n\n'
        "[[incident]]\n"
        'fault = { name = "outage", status = 500 }\n'
        'at = "openai/gpt-4o"\n'
        "when = { first = 2 }\n\n"
        "[[ask]]\n\n"
        "[[ask]]\n"
        "times = 3\n"
        "every = 0.5\n"
        'labels = { tenant = ["a", "b"] }\n'
    )
    assert toml(Scenario("x")) == "\n"


@pytest.mark.parametrize(
    "ask", [Ask(question="= 2 * 3"), Ask(options={"stop": None}), Ask(options={"stop": ["=x"]})]
)
def test_what_no_file_can_say_is_refused(ask: Ask) -> None:
    scenario = Scenario("x", asks=(ask,))
    with pytest.raises(ValueError, match="no file can say"):
        toml(scenario)
    assert "question=" in pretty(scenario)


# -- everything can happen


@given(strategies.scenarios("openai"))
@settings(max_examples=50)
def test_whatever_is_generated_can_be_played(scenario: Scenario) -> None:
    def ask(text: str) -> str:
        return httpx.post(**request(text), timeout=5).text

    with pytest_llmroute.world() as world:
        calls = world.play(scenario, ask)
        assert all(call.outcome in ("answered", "failed") for call in calls)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_comes_with_every_value_it_has_words_for(name: str) -> None:
    found = set()

    @given(strategies.faults(name))
    @settings(max_examples=200, database=None)
    def collect(fault: Any) -> None:
        found.add(fault)

    collect()
    assert {type(fault) for fault in found} == {FAULTS[name]}
    assert FAULTS[name]() in found
    assert len(found) == 1 or len(fields(FAULTS[name]))
    if name == "outage":
        assert {fault.status for fault in found} == {500, 502, 503, 504, 529}
    if name == "rate-limit":
        assert {fault.hint for fault in found} == {"seconds", "milliseconds", "date"}


def test_every_fault_is_generated_unless_some_are_named() -> None:
    found = set()

    @given(strategies.faults())
    @settings(max_examples=2000, database=None)
    def collect(fault: Any) -> None:
        found.add(type(fault))

    collect()
    # In one process no TLS is spoken.
    assert found == set(FAULTS.values()) - {faults.TLSFailure}


@given(strategies.prompts())
@settings(max_examples=50)
def test_prompts_are_texts_that_can_be_sent(text: str) -> None:
    with pytest_llmroute.world() as world:
        assert httpx.post(**request(text)).status_code in (200, 400)
        assert world.history.attempts[0].prompt is not None


def test_names_and_places_that_do_not_exist_are_refused() -> None:
    with pytest.raises(Unknown, match="did you mean 'outage'"):
        strategies.faults("outtage")
    with pytest.raises(ValueError, match="names no provider"):
        strategies.incidents("/gpt-4o")


# -- what is found is small


def smallest(strategy: Any, wanted: Callable[[Any], bool]) -> Any:
    return find(strategy, wanted, settings=shrinking)


def test_what_proves_nothing_shrinks_away() -> None:
    plain = Incident(faults.Outage(), (Place("openai"),), When(first=1))
    assert smallest(strategies.faults(), lambda fault: True) == faults.Outage()
    assert smallest(strategies.whens(), lambda when: True) == When(first=1)
    assert smallest(strategies.incidents(*PLACES), lambda incident: True) == plain
    assert smallest(strategies.workloads(), lambda asks: True) == (Ask(),)
    assert smallest(strategies.prompts(), lambda text: True) == "hello"
    assert smallest(strategies.scenarios(*PLACES), lambda scenario: True) == Scenario("scenario")
    one = smallest(strategies.scenarios(*PLACES), lambda scenario: bool(scenario.incidents))
    assert one == Scenario("scenario", incidents=(plain,))


def test_parts_may_be_given() -> None:
    fault = strategies.faults("cut", "reset")
    incident = strategies.incidents("groq", fault=fault, when=st.just(ALWAYS))
    workload = strategies.workloads(st.just(Ask(times=7)))
    found = smallest(
        strategies.scenarios(incident=incident, workload=workload), lambda s: s.incidents
    )
    assert found.incidents == (Incident(faults.Cut(), (Place("groq"),)),)
    assert found.asks == (Ask(times=7),)


# -- a planted bug


def post(text: str, **options: Any) -> http.client.HTTPResponse:
    asked = request(text, **options)
    line = http.client.HTTPSConnection("api.openai.com", timeout=5)
    line.request("POST", "/v1/chat/completions", json.dumps(asked["json"]), asked["headers"])
    return line.getresponse()


def gives_up_on_the_second_429(text: str) -> str:
    first, *_, last = (post(text).status for _ in range(2))
    if first == last == 429:
        raise KeyError("retry-after")
    return "well"


def takes_a_cut_for_the_end(text: str) -> Iterator[bytes]:
    answer = post(text, stream=True)
    try:
        while line := answer.readline():
            yield line
    except (OSError, http.client.HTTPException):
        return


def crashed(world: World) -> bool:
    return any(call.failure and "KeyError" in call.failure.kinds for call in world.history.calls)


def shown_as_whole(world: World) -> bool:
    return not all(seen.kept for seen in stream.Whole().check(world.history))


def played(scenario: Any, app: Any, broken: Callable[[World], bool]) -> bool:
    with pytest_llmroute.world() as world:
        world.play(scenario, app)
        return broken(world)


@pytest.mark.parametrize(
    ("app", "broken", "kinds"),
    [
        (gives_up_on_the_second_429, crashed, ["rate-limit"]),
        (takes_a_cut_for_the_end, shown_as_whole, []),
    ],
)
def test_a_planted_bug_shrinks_to_a_file_that_shows_it_again(
    app: Any, broken: Callable[[World], bool], kinds: list[str], tmp_path: Any
) -> None:
    found = smallest(strategies.scenarios("openai", "groq"), lambda s: played(s, app, broken))
    file = tmp_path / "found.toml"
    file.write_text(toml(found), "utf-8")
    (incident,) = found.incidents
    assert found.asks == (Ask(),)
    assert incident.at == (Place("openai"),)
    assert incident.when in (When(first=1), ALWAYS)
    assert not kinds or incident.fault == FAULTS[kinds[0]]()
    assert len(file.read_text("utf-8").splitlines()) <= 4
    assert played(file, app, broken)
    assert not played(replace(found, incidents=()), app, broken)
