# Which ways in are played in which scenarios, and with which options.

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from llmroute_sim.scenario import load, shipped
from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.balance import Rate
from pytest_llmroute.contracts.fallback import Answers
from pytest_llmroute.contracts.stream import Whole
from pytest_llmroute.promises import Because, Promise
from pytest_llmroute.routers import Entry
from pytest_llmroute.run import Choice, trials

WORDS = tuple(
    Entry(api, sync, stream)
    for api in ("chat", "responses", "messages")
    for sync in (True, False)
    for stream in (False, True)
    if not (sync and api == "messages")
)
CHATS, OTHERS = WORDS[:4], WORDS[4:]
ANSWERS = Answers((Target("one", (("one.example", None, None),)),))


@dataclass(frozen=True)
class Config:
    promises: tuple[Promise, ...]
    ways: tuple[Entry, ...] = WORDS

    kind: ClassVar[str] = "made up"
    path: ClassVar[Path] = Path("somewhere/config.toml")
    not_judged: ClassVar[tuple[()]] = ()
    deployments: ClassVar[tuple[()]] = ()
    environment: ClassVar[dict[str, str]] = field(default={})  # type: ignore[misc]  # never filled
    keys: ClassVar[frozenset[str]] = frozenset()

    def entries(self, group: str) -> tuple[Entry, ...]:
        return self.ways

    def open(self) -> Any:
        raise AssertionError("nothing is played here")


def promise(contract=ANSWERS, group="group", **more) -> Promise:
    because = Because("user", "config.toml", 1, ("promise",))
    return Promise(contract, because, "it answers", group, **more)


def scenario(name: str, text: str = ""):
    return load(name, f'tests = ["fallback.answers", "stream.whole"]\n{text}')


def played(*promises: Promise, scenarios=("first", "second"), full=False, text="", ways=WORDS):
    own = tuple(scenario(name, text) for name in scenarios)
    found, untried = trials(Config(promises, ways), Choice(own=own, full=full))
    assert not untried
    return [
        (trial.cell.scenario.name, str(trial.cell.entry))
        for trial in found
        if trial.cell.scenario.name in scenarios
    ]


def test_every_way_of_a_groups_own_api_is_played_in_every_scenario():
    cells = played(promise())
    for name in ("first", "second"):
        assert {way for scene, way in cells if scene == name} >= set(map(str, CHATS))


def test_each_other_api_is_played_once_streamed_and_once_not_on_asyncio():
    cells = played(promise())
    assert [cell for cell in cells if not cell[1].startswith("chat")] == [
        ("first", "responses-async"), ("first", "responses-async-stream"),
        ("first", "messages-async"), ("first", "messages-async-stream"),
    ]  # fmt: skip


def test_what_only_blocks_is_played_blocking():
    ways = (*CHATS, Entry("responses", sync=True))
    assert ("first", "responses-sync") in played(promise(), ways=ways)


def test_everything_is_played_when_everything_is_asked_for():
    cells = played(promise(), full=True)
    assert len(cells) == 2 * len(WORDS)


LONG = "[[ask]]\ntimes = 10\n"


def test_a_long_story_is_told_at_no_other_door_even_if_everything_is_asked_for():
    own = (scenario("short"), scenario("long", LONG))
    found, _ = trials(Config((promise(),)), Choice(own=own, full=True))
    cells = [trial.cell for trial in found if trial.cell.scenario.name in ("short", "long")]
    assert [cell.entry for cell in cells if cell.scenario.name == "short"] == list(WORDS)
    assert [cell.entry for cell in cells if cell.scenario.name == "long"] == list(CHATS)


def test_what_only_long_stories_try_is_tried_once_at_every_door():
    own = (scenario("long", LONG), scenario("longer", LONG))
    only = promise(avoid=dict.fromkeys(shipped(), "it cannot"))
    found, _ = trials(Config((only,)), Choice(own=own, full=True))
    others = [trial.cell for trial in found if trial.cell.entry.api != "chat"]
    assert [(cell.scenario.name, str(cell.entry)) for cell in others] == [
        ("long", "responses-async"), ("long", "responses-async-stream"),
        ("long", "messages-async"), ("long", "messages-async-stream"),
    ]  # fmt: skip


ROLES = {"target": ("one.example",), "next": ("two.example",), "others": ("two.example",)}


def ways_of(group: str, *promises: Promise, **choice: Any) -> dict[str, set[Entry]]:
    """The ways in that are played for a group, by scenario."""
    found, _ = trials(Config(promises, CHATS), Choice(**choice))
    ways: dict[str, set[Entry]] = {}
    for cell in (trial.cell for trial in found if trial.cell.group == group):
        ways.setdefault(cell.scenario.name, set()).add(cell.entry)
    return ways


def test_the_same_promise_of_another_group_is_tried_half_as_often_and_through_all_ways():
    first, second = promise(roles=ROLES), promise(group="second", roles=ROLES)
    whole, half = ways_of("group", first, second), ways_of("second", first, second)
    assert whole == ways_of("second", second)
    assert whole.keys() == half.keys()
    assert sum(map(len, half.values())) == sum(map(len, whole.values())) / 2
    assert set[Entry]().union(*half.values()) == set(CHATS)
    both = [ways for name, ways in half.items() if len(whole[name]) == 4]
    assert all(
        {way.sync for way in ways} == {way.stream for way in ways} == {True, False} for ways in both
    )


def test_a_promise_about_one_way_in_is_tried_in_every_scenario_for_every_group():
    first, second = (
        promise(group=name, roles=ROLES, entries=("chat-async",)) for name in ("group", "second")
    )
    assert ways_of("second", first, second) == ways_of("second", second)


def test_another_promise_of_another_group_is_tried_through_all_ways():
    first, second = promise(Whole(), roles=ROLES), promise(group="second", roles=ROLES)
    assert ways_of("second", first, second) == ways_of("second", second)


def test_a_scenario_that_is_asked_for_is_played_through_all_ways_for_every_group():
    first, second = promise(roles=ROLES), promise(group="second", roles=ROLES)
    asked = ("outage-500", "outage-503")
    assert ways_of("second", first, second, scenarios=asked) == {name: set(CHATS) for name in asked}


def test_the_only_scenario_that_tries_a_promise_is_played_through_all_ways_for_every_group():
    others = (template.name for template in Choice().templates if template.name != "outage-500")
    avoid = dict.fromkeys(others, "it cannot")
    first, second = (promise(group=name, roles=ROLES, avoid=avoid) for name in ("group", "second"))
    assert ways_of("second", first, second) == {"outage-500": set(CHATS)}


def test_a_cell_that_is_planned_anyway_tries_further_promises():
    only_second = promise(Whole(), avoid={"first": "it cannot"})
    cells = played(only_second, promise())
    others = [cell for cell in cells if not cell[1].startswith("chat")]
    assert {scene for scene, _ in others} == {"second"}
    assert len(others) == 4


def test_a_promise_about_one_other_api_is_tried_in_every_scenario():
    cells = played(promise(entries=("responses",)))
    assert len(cells) == 2 * 4
    assert {way.partition("-")[0] for _, way in cells} == {"responses"}


def test_a_promise_about_several_other_apis_tries_each_once():
    cells = played(promise(entries=("responses-async", "messages-async")))
    assert cells == [("first", "responses-async"), ("first", "messages-async")]


def test_a_scenario_for_one_way_is_played_through_the_first():
    assert played(promise(), scenarios=("long",), text="one-way = true\n") == [
        ("long", "chat-sync"),
    ]  # fmt: skip


BY_NUMBER = '[[ask]]\ntimes = "= load"\n'


@pytest.mark.parametrize(("load", "ways"), [(299, 4), (300, 1), (1000, 1)])
def test_a_scenario_of_many_calls_is_played_through_the_first(load, ways):
    cells = played(promise(numbers={"load": load}), text=BY_NUMBER, scenarios=("long",), ways=CHATS)
    assert len(cells) == ways
    assert cells[0] == ("long", "chat-sync")


def test_a_scenario_is_not_played_that_would_take_too_many_calls():
    config = Config((promise(numbers={"load": 1001}),), CHATS)
    found, _ = trials(config, Choice(own=(scenario("long", BY_NUMBER),)))
    assert not found


def test_that_a_limit_is_too_high_to_be_tried_is_said():
    rate = Rate(Target("one", (("one.example", None, None),)), 10_000)
    busy = promise(rate, numbers={"rpm": 10_000}, roles={"target": ("one.example",)})
    found, [untried] = trials(Config((busy,), CHATS), Choice())
    assert not found
    assert untried.outcome == "untested"
    assert "rate-window: takes 20,020 calls, and 1,000 at most are made" in untried.reason


def test_how_many_calls_somebodys_own_scenario_makes_is_their_own_business():
    cells = played(promise(), text="[[ask]]\ntimes = 2000\n", scenarios=("own",), ways=CHATS)
    assert cells == [("own", "chat-sync")]


def test_a_scenario_that_names_its_ways_is_played_through_no_other():
    cells = played(promise(), scenarios=("some",), text='entries = ["responses"]\n')
    assert {way.partition("-")[0] for _, way in cells} == {"responses"}


@pytest.mark.parametrize(
    ("lines", "carried"),
    [
        ("", [{"num_retries": 0}]),
        ("[[ask]]\noptions = { temperature = 1 }\n", [{"num_retries": 0, "temperature": 1}]),
        ("[[ask]]\noptions = { num_retries = 3 }\n[[ask]]\n", [{"num_retries": 3}, {"num_retries": 0}]),
    ],
)  # fmt: skip
def test_requests_carry_the_options_of_a_promise_beneath_the_scenarios_own(lines, carried):
    own = (scenario("asked", lines),)
    config = Config((promise(options={"num_retries": 0}),))
    found, _ = trials(config, Choice(own=own))
    for trial in found:
        assert [dict(ask.options) for ask in trial.cell.scenario.asks] == carried


def test_promises_with_other_options_are_played_apart():
    config = Config((promise(), promise(options={"num_retries": 0})), CHATS[:1])
    found, _ = trials(config, Choice(own=(scenario("asked"),)))
    assert [len(trial.promises) for trial in found] == [1, 1]
