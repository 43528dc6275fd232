from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmroute_sim.faults import FAULTS
from llmroute_sim.scenario import Scenario, shipped
from pytest_llmroute.configs import read
from pytest_llmroute.contracts import Observation, contracts
from pytest_llmroute.run import Choice
from pytest_llmroute.sweep import plan

from .routers.driven import ENTRIES, Routed
from .routers.formats import Answer, Asked, Failed
from .routers.mutants import promised
from .routers.reference import Health, Open, Reference, Try
from .routers.scenes import COOLDOWN, TTL, WINDOW
from .routers.trials import EVERYTHING, played
from .routers.upstreams import MISTRAL, Group, Upstream, alone

pytestmark = pytest.mark.once

ROLES = {"target": ("openai",), "next": ("anthropic",), "others": ("groq",)}
NUMBERS = {
    "retries": 1, "cooldown": COOLDOWN, "timeout": 10, "patience": 10, "window": WINDOW, "ttl": TTL,
    "fails": 2, "bill_input": 80_000, "bill_output": 20_000,
}  # fmt: skip

ALONE = [name for name in shipped() if name.startswith("faults/")]
STORIES = [name for name in shipped() if name.startswith("stories/")]
IN_MEMORY = [name for name in (*ALONE, *STORIES) if name != "faults/tls-failure"]
"""In memory no TLS is spoken."""

CONFIGS = sorted(
    Path(str(found))
    for found in (
        *files("llmroute_data").joinpath("configs").glob("*.yaml"),  # type: ignore[attr-defined]  # a folder
        files("llmroute_data").joinpath("configs/own-code/llmroute.toml"),
    )
)


def scenario_of(name: str, seed: int = 0) -> Scenario:
    return replace(shipped()[name].bind(ROLES, NUMBERS), seed=seed)


def ways(scenario: Scenario, *, all_of_them: bool = False):
    """One way in for each mode, or all."""
    for mode in scenario.modes:
        found = [entry for entry in ENTRIES if entry.stream == (mode == "stream")]
        yield from found if all_of_them else found[entry_for(mode) :][:1]


def entry_for(mode: str) -> int:
    """Blocking for JSON, asyncio for streams."""
    return 1 if mode == "stream" else 0


def history(name: str, entry, seed: int = 0, router=Reference):
    return _played(name, entry, seed, router)


@cache
def _played(name: str, entry, seed: int, router):
    return played(Routed(EVERYTHING, router), scenario_of(name, seed), entry)


def observed(name: str, entry, seed: int = 0, router=Reference):
    found = history(name, entry, seed, router)
    seen: dict[str, list[Observation]] = {}
    for rule in promised(EVERYTHING):
        seen.setdefault(rule.id, []).extend(rule.check(found))
    return seen


# -- what there is


def test_there_is_a_scenario_for_every_fault():
    assert [name.removeprefix("faults/") for name in ALONE] == sorted(FAULTS)
    for name in ALONE:
        [incident] = scenario_of(name).incidents
        assert type(incident.fault) is FAULTS[name.removeprefix("faults/")]


@pytest.mark.parametrize("name", STORIES)
def test_a_story_says_where_it_comes_from(name):
    source = shipped()[name].source
    known = r"https://[\w.-]+\.\w+|incident [\w-]+$|^constructed"
    assert re.search(known, source)
    assert shipped()[name].tests


@pytest.mark.parametrize("name", [*ALONE, *STORIES])
def test_the_contracts_that_are_named_exist(name):
    assert set(shipped()[name].tests) <= set(contracts())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_can_play_the_stories(path):
    config = read(path)
    [planned] = plan([config], Choice(full=True), installed=lambda _: True)
    playing = {trial.cell.scenario.name for trial in planned.trials}
    served = {entry.api for one in config.promises for entry in config.entries(one.group)}
    fitting = {name for name in shipped() if served & {*shipped()[name].entries}}
    # Not everybody has a cache, a sibling that cools down, or a limit for silence.
    special = {"stories/poisoned-cache"}
    assert fitting & {*STORIES} - playing <= special
    assert fitting & {name for name in ALONE if shipped()[name].tests} <= playing


def test_the_default_run_does_not_grow_by_the_library():
    config = read(CONFIGS[-1])
    [planned] = plan([config], Choice(), installed=lambda _: True)
    assert not {trial.cell.scenario.name for trial in planned.trials} & {*ALONE, *STORIES}


# -- the reference router


@pytest.mark.parametrize("name", IN_MEMORY)
def test_a_router_that_does_everything_right_breaks_nothing(name):
    met = set()
    for entry in ways(scenario_of(name)):
        for contract, seen in observed(name, entry).items():
            assert [one for one in seen if not one.kept] == []
            met |= {contract} if seen else set()
    assert set(scenario_of(name).tests) - met == set()


@pytest.mark.wide
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", STORIES)
def test_it_breaks_nothing_whatever_chance_gives(name, seed):
    for entry in ways(scenario_of(name), all_of_them=True):
        for seen in observed(name, entry, seed).values():
            assert [one for one in seen if not one.kept] == []


@pytest.mark.parametrize("name", [name for name in IN_MEMORY if name in ALONE])
def test_every_fault_acts_in_its_scenario(name):
    found = [history(name, entry) for entry in ways(scenario_of(name))]
    assert any(attempt.faults for one in found for attempt in one.attempts)


@pytest.mark.parametrize("name", IN_MEMORY)
def test_when_it_is_over_all_is_well(name):
    for entry in ways(scenario_of(name)):
        after = [one for one in history(name, entry).calls if one.labels.get("phase") == "after"]
        assert {one.outcome for one in after} <= {"answered"}


def test_the_long_suspension_lasts_eighteen_days_with_a_call_every_hour():
    scenario = scenario_of("stories/long-suspension")
    [entry, *_] = ways(scenario)
    found = history(scenario.name, entry)
    refused = [one for one in found.attempts if one.faults]
    days = (refused[-1].started - refused[0].started) / 86400
    assert 17.9 < days <= 18
    starts = [call.started for call in found.calls]
    assert max(after - before for before, after in pairwise(starts)) <= 3600
    assert {one.status for one in refused} == {403, 404}
    assert {call.outcome for call in found.calls} == {"answered"}
    by_day = {call.labels["day"] for call in found.calls}
    assert by_day == {str(day) for day in range(1, 20)}
    assert found.attempts[-1].place == "openai"


# -- routers that get it wrong, as bluntly as can be


class GivesUp(Reference):
    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return False

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return []


class TakesTheLastFirst(Reference):
    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return visits[::-1]


class KnowsSomebodyElse(Reference):
    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return False

    def visits_after(
        self, failure: Failed, failures: list[Failed], visits: list[Group], asked: Asked
    ) -> list[Group]:
        return [] if "mistral" in failure.why else [alone(MISTRAL)]

    def speaks_on(self, failure: Failed) -> bool:
        return True


class TriesFourTimes(Reference):
    def hint(self, headers: httpx.Headers) -> float | None:
        return None

    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return len(trail) < 4

    def pick(self, group: Group, asked: Asked, trail: Sequence[Try]) -> Upstream | None:
        return super().pick(group, asked, [])

    def in_service(self, upstream: Upstream, asked: Asked) -> bool:
        return True

    def speaks_on(self, failure: Failed) -> bool:
        return True


class NeverTriesAgain(Reference):
    def tries_again(
        self, failure: Failed, group: Group, trail: Sequence[Try], asked: Asked
    ) -> bool:
        return False


class HearsNoHints(Reference):
    def hint(self, headers: httpx.Headers) -> float | None:
        return None

    def rest(self, health: Health, now: float) -> None:
        return


class WaitsAndWaits(Reference):
    def patience(self, upstream: Upstream, tries: int, asked: Asked) -> float:
        return super().patience(upstream, tries, asked) * 10


class SpeaksOn(Reference):
    def speaks_on(self, failure: Failed) -> bool:
        return True


class ShowsHalves(Reference):
    """What has come so far is the answer."""

    def attempt(self, opened: Open, asked: Asked, answer: Answer) -> Generator[Any, Any, None]:
        try:
            yield from super().attempt(opened, asked, answer)
        except Failed as failure:
            if failure.status not in (None, 200) and not answer.text:
                raise
            answer.finish = "stop"


class KeepsHalves(ShowsHalves):
    """And it is kept."""


class KeepsNothing(Reference):
    def store(self, key: str, answer: Answer, asked: Asked) -> None:
        return


class NeverComesBack(Reference):
    def rest(self, health: Health, now: float) -> None:
        health.rests_until = float("inf")


WRONG: dict[str, type[Reference]] = {
    "fallback.answers": GivesUp,
    "fallback.order": TakesTheLastFirst,
    "fallback.elsewhere": KnowsSomebodyElse,
    "retry.bounded": TriesFourTimes,
    "retry.tried": NeverTriesAgain,
    "retry.hint": HearsNoHints,
    "retry.hopeless": TriesFourTimes,
    "stream.stall": WaitsAndWaits,
    "stream.one-voice": SpeaksOn,
    "stream.whole": ShowsHalves,
    "cache.clean": KeepsHalves,
    "cache.hit": KeepsNothing,
    "health.cooldown": NeverComesBack,
}
"""For each contract a router that breaks it. ``fallback.once`` needs two that fail."""

ABOUT = {
    "at-capacity-with-200": "stream.whole",
    "contradicting-hints": "retry.hint",
    "control-plane": "retry.bounded",
    "five-minutes-on-and-off": "fallback.answers",
    "half-the-keys": "retry.tried",
    "limited-after-outage": "fallback.answers",
    "limited-for-ever": "retry.bounded",
    "limiter-fails-closed": "retry.bounded",
    "long-brownout": "retry.tried",
    "long-suspension": "retry.hopeless",
    "name-without-addresses": "fallback.answers",
    "nobody-noticed": "fallback.elsewhere",
    "one-cluster-431": "retry.bounded",
    "one-minute-down": "fallback.answers",
    "one-silent-call": "stream.stall",
    "overload-as-429": "fallback.answers",
    "poisoned-cache": "cache.clean",
    "queue-of-blank-lines": "fallback.answers",
    "recovery-stampede": "retry.bounded",
    "region-destroyed": "stream.stall",
    "retries-on-retries": "retry.bounded",
    "sign-in-down": "retry.hopeless",
    "sound-keys-refused": "retry.hopeless",
    "sound-requests-refused": "retry.hopeless",
    "sticky-fallback": "health.cooldown",
    "streams-that-stall": "stream.stall",
    "thirty-seconds-late": "stream.stall",
    "twenty-one-minutes": "fallback.answers",
}
"""What each story is told for."""


def caught(name: str, contract: str) -> bool:
    return any(
        not one.kept
        for entry in ways(scenario_of(name))
        for one in observed(name, entry, 0, WRONG[contract])[contract]
    )


def test_every_story_is_told_for_something():
    assert [f"stories/{name}" for name in ABOUT] == STORIES


@pytest.mark.parametrize("name", STORIES)
def test_a_story_catches_who_gets_wrong_what_it_is_about(name):
    assert caught(name, ABOUT[name.removeprefix("stories/")])


@pytest.mark.wide
@pytest.mark.parametrize(
    ("name", "contract"),
    [
        (name, contract)
        for name in IN_MEMORY
        for contract in shipped()[name].tests
        # The reference does not ask for gzip, and looks at no body as if it were.
        if contract in WRONG and name != "faults/damaged-compression"
    ],
)
def test_every_contract_that_is_named_can_be_broken_there(name, contract):
    assert caught(name, contract)


@pytest.mark.parametrize("name", ["stories/sign-in-down", "stories/recovery-stampede"])
def test_the_same_seed_tells_the_same_story_and_another_one_another(name):
    [entry, *_] = ways(scenario_of(name))

    def digest(seed):
        return played(Routed(EVERYTHING), scenario_of(name, seed), entry).digest()

    assert digest(1) == digest(1) != digest(2)
