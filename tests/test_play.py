from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

import pytest_llmroute
from llmroute_sim.scenario import Ask, Scenario, load
from pytest_llmroute import Incident, Place, When, World, faults
from pytest_llmroute.contracts import fallback
from pytest_llmroute.library import Library, chosen

OPENAI = "https://api.openai.com/v1/chat/completions"
GROQ = "https://api.groq.com/openai/v1/chat/completions"


@pytest.fixture
def world() -> Iterator[World]:
    with pytest_llmroute.world(seed=1) as found:
        yield found


def request(url: str, text: str, **options: Any) -> dict[str, Any]:
    model = "gpt-4o" if url == OPENAI else "llama-3.3-70b-versatile"
    said = [{"role": "user", "content": text}]
    headers = {"authorization": "Bearer sk-test"}
    return {"url": url, "headers": headers, "json": {"model": model, "messages": said, **options}}


def ask(text: str) -> str:
    for url in (OPENAI, GROQ):
        answer = httpx.post(**request(url, text))
        if answer.is_success:
            return str(answer.json()["choices"][0]["message"]["content"])
    raise RuntimeError("nobody answered")


async def aask(text: str) -> str:
    async with httpx.AsyncClient() as client:
        for url in (OPENAI, GROQ):
            answer = await client.post(**request(url, text))
            if answer.is_success:
                return str(answer.json()["choices"][0]["message"]["content"])
    raise RuntimeError("nobody answered")


def streamed(text: str) -> Iterator[str]:
    with httpx.stream("POST", **request(OPENAI, text, stream=True)) as answer:
        yield from answer.iter_lines()


async def astreamed(text: str) -> AsyncIterator[str]:
    asked = request(OPENAI, text, stream=True)
    async with httpx.AsyncClient() as client, client.stream("POST", **asked) as answer:
        async for line in answer.aiter_lines():
            yield line


def scenario(*asks: Ask, **settings: Any) -> Scenario:
    return Scenario("made", asks=asks or (Ask(),), **settings)


OUTAGE = Incident(faults.Outage(), (Place("openai"),))


# -- what is played


def test_a_shipped_scenario_is_played_by_name_against_an_application(world: World) -> None:
    calls = world.play("outage-503", ask, target="openai")
    assert calls == world.history.calls
    assert {call.outcome for call in calls} == {"answered"}
    assert world.path == ["openai:503", "groq:200"] * len(calls)
    assert world.holds(fallback.Order(["openai", "groq"]))


def test_a_file_is_played_by_its_path(world: World, tmp_path: Any) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[incident]]\nfault = "outage"\nat = "openai"\n[[ask]]\ntimes = 2\n')
    for named in (file, str(file)):
        assert len(world.play(named, ask)) == 2
    assert world.path == ["openai:503", "groq:200"] * 4


def test_a_template_and_a_scenario_are_played_as_they_are(world: World) -> None:
    template = load("mine.toml", '[[incident]]\nfault = "outage"\nat = ["target", "next"]\n')
    with_places = world.play(template, ask, target="openai/gpt-4o", next=["mistral", "deepseek"])
    made = world.play(scenario(incidents=(OUTAGE,)), ask)
    assert world.path == ["openai:503", "groq:200"] * 2
    assert len(with_places) == len(made) == 1


def test_every_default_scenario_of_the_library_can_be_played(world: World) -> None:
    def everything(text: str, **options: Any) -> Any:
        if options.pop("stream", False):
            return streamed(text)
        answer = httpx.post(**request(OPENAI, text), timeout=30)
        return answer.raise_for_status().json()

    for template in chosen(Library(), None).values():
        calls = world.play(template, everything, target="openai", next="groq", others=["mistral"])
        assert calls
        assert all(call.ended is not None for call in calls)


@pytest.mark.parametrize(
    ("play", "says"),
    [
        (lambda w: w.play("outage-530", ask), "unknown scenario 'outage-530'; did you mean 'outage-5"),
        (lambda w: w.play("outage-503", ask), "leaves open: target; say who"),
        (lambda w: w.play("outage-503", ask), "as in play('outage-503', app, target='openai')"),
        (lambda w: w.play("outage-503", ask, taget="openai"), "did you mean 'target'?"),
        (lambda w: w.play("outage-503", ask, target="opnai"), "did you mean 'openai'?"),
        (lambda w: w.play("spend", ask, target="openai", bill_input="x"), "bill_input='x' is not a number"),
        (lambda w: w.play("outage-503", ask, target=7), "target=7 is not a place"),
        (lambda w: w.play("nowhere.toml", ask), "unknown scenario file 'nowhere.toml'"),
        (lambda w: w.play("outage-503", lambda: "", target="openai"), "which it does not take"),
        (lambda w: w.play("outage-503", lambda text: aask(text), target="openai"), "async def app(text)"),
        (lambda w: w.play("near-repeats", ask), "ask takes none of them"),
        (lambda w: w.play("stream-cut", ask, target="openai"), "is about streams, and ask did not stream"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_told_why(world: World, play: Any, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        play(world)
    assert all(live.healed for live in world.simulator.incidents)


def test_who_a_scenario_has_no_part_for_is_passed_over(world: World) -> None:
    world.play("outage-503", ask, target="openai", next="groq", others=["mistral"], cooldown=60)
    world.play("blackout", ask, target="openai")
    assert "openai:503" in world.path


# -- the scene


def test_the_scene_is_over_when_the_play_is(world: World) -> None:
    world.bill(input=1, output=1)
    pace = world.simulator.pace
    world.play("spend", ask, target="openai", bill_input=70_000, bill_output=10)
    assert world.history.attempts[-1].tokens_in == 70_000
    ask("afterwards")
    assert world.history.attempts[-1].tokens_in == 1
    assert world.simulator.pace == pace


def test_times_count_from_the_beginning_of_the_play(world: World) -> None:
    world.clock.sleep(1000)
    window = Incident(faults.Outage(), (Place("openai"),), When(between=(60, 120)))
    lines = (Ask(at=0), Ask(at=60), Ask(at=120))
    world.play(scenario(*lines, incidents=(window,), first_token=0, per_token=0), ask)
    assert [attempt.started for attempt in world.history.attempts] == [1000, 1060, 1060, 1120]
    assert world.path == ["openai:200", "openai:503", "groq:200", "openai:200"]


def test_a_seed_in_a_file_gives_the_same_in_every_world() -> None:
    chance = Incident(faults.Outage(), (Place("openai"),), When(chance=0.5))
    found = []
    for seed in (1, 2):
        for own in (0, 7):
            with pytest_llmroute.world(seed=seed) as world:
                world.inject("outage", at="groq", nth=1000)
                world.play(scenario(Ask(times=20), incidents=(chance,), seed=own), ask)
                found.append(list(world.path))
    (first, fixed), (second, again) = found[:2], found[2:]
    assert fixed == again
    assert first != second


def test_a_scenario_can_be_staged_for_calls_of_ones_own(world: World) -> None:
    with world.stage("outage-503", target="openai"):
        ask("hello")
    ask("again")
    assert world.path == ["openai:503", "groq:200", "openai:200"]


def test_a_staged_scenario_is_played_without_being_staged_twice(world: World) -> None:
    world.stage("outage-503", target="openai")
    world.play("outage-503", ask, target="openai")
    assert len(world.simulator.incidents) == 1
    world.stage("refused", target="openai")
    world.play("outage-503", ask, target="openai")
    assert "openai:refused" not in world.path
    assert len(world.simulator.incidents) == 3


# -- how it is asked


def test_concurrent_calls_of_a_blocking_application_run_at_the_same_time(world: World) -> None:
    threads = []

    def noted(text: str) -> str:
        threads.append(threading.current_thread())
        return ask(text)

    world.play(scenario(Ask(times=2, together=3), first_token=1, per_token=0), noted)
    starts = [call.started for call in world.history.calls]
    assert starts == [0, 0, 0, 1, 1, 1]
    assert {call.ended for call in world.history.calls} == {1, 2}
    assert threads.count(threading.main_thread()) == 2


def test_calls_one_after_the_other_are_made_by_the_thread_that_plays(world: World) -> None:
    seen = []
    lines = (Ask(times=3, every=5), Ask(at=30))
    world.play(scenario(*lines), lambda text: seen.append(threading.current_thread()))
    assert set(seen) == {threading.current_thread()}


async def played(world: World, *args: Any, **kwargs: Any) -> Any:
    return await world.play(*args, **kwargs)


def test_an_async_application_is_awaited(world: World) -> None:
    calls = asyncio.run(played(world, "outage-503", aask, target="openai"))
    assert calls == world.history.calls
    assert not any(call.sync for call in calls)
    assert world.path == ["openai:503", "groq:200"] * len(calls)


def test_concurrent_calls_of_an_async_application_run_at_the_same_time(world: World) -> None:
    asyncio.run(played(world, scenario(Ask(together=3), first_token=1, per_token=0), aask))
    assert [(call.started, call.ended) for call in world.history.calls] == [(0, 1)] * 3
    for call in world.history.calls:
        assert len(world.history.of(call)) == 1


def test_a_blocking_application_can_be_played_inside_of_a_running_loop(world: World) -> None:
    async def main() -> list[Any]:
        return world.play("outage-503", ask, target="openai")

    calls = asyncio.run(main())
    assert {call.outcome for call in calls} == {"answered"}


def test_an_application_that_runs_a_loop_of_its_own_is_blocking(world: World) -> None:
    calls = world.play("outage-503", lambda text: asyncio.run(aask(text)), target="openai")
    assert {call.outcome for call in calls} == {"answered"}


@pytest.mark.parametrize("app", [streamed, astreamed])
def test_streams_are_run_to_their_end_and_recorded_as_such(world: World, app: Any) -> None:
    playing = world.play("stream-cut", app, target="openai")
    calls = asyncio.run(_await(playing)) if app is astreamed else playing
    assert all(call.stream for call in calls)
    assert {attempt.outcome for attempt in world.history.attempts} == {"200-cut"}
    assert {call.outcome for call in calls} == {"failed"}


async def _await(playing: Any) -> Any:
    return await playing


@pytest.mark.parametrize("app", [streamed, astreamed])
def test_a_client_may_leave_in_the_middle_of_a_stream(world: World, app: Any) -> None:
    playing = world.play(scenario(Ask(leave_after=3), per_token=1), app)
    (call,) = asyncio.run(_await(playing)) if app is astreamed else playing
    assert call.outcome == "left"
    assert world.path == ["openai:200-left"]


def test_what_a_call_raises_is_in_the_history_and_the_workload_goes_on(world: World) -> None:
    down = Incident(faults.Outage(), (Place("*"),), When(first=2))
    calls = world.play(scenario(Ask(times=3), incidents=(down,)), ask)
    assert [call.outcome for call in calls] == ["failed", "answered", "answered"]
    assert calls[0].failure is not None
    assert calls[0].failure.kinds[0] == "RuntimeError"


def test_a_call_that_would_never_end_is_ended_and_the_workload_goes_on(world: World) -> None:
    silent = Incident(faults.Silence(), (Place("openai"),), When(first=1))

    def patient(text: str) -> str:
        return httpx.post(**request(OPENAI, text), timeout=None).text

    calls = world.play(scenario(Ask(times=2), incidents=(silent,)), patient)
    assert [call.outcome for call in calls] == ["hung", "answered"]


def test_an_interrupt_ends_the_play(world: World) -> None:
    def interrupted(text: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.play(scenario(Ask(times=3, together=2)), interrupted)
    assert len(world.history.calls) <= 2


def test_options_labels_and_what_was_said_before_reach_the_application(world: World) -> None:
    seen = []

    def chat(text: str, history: Any = (), temperature: float | None = None) -> str:
        seen.append((text, list(history), temperature))
        return f"answer {len(seen)}"

    line = Ask(
        times=2, conversation=True, options={"temperature": 0.5, "seed": 1}, labels={"tenant": "a"}
    )
    calls = world.play(scenario(line), chat)
    (first, nothing, warm), (_, before, _) = seen
    assert (nothing, warm) == ([], 0.5)
    assert before == [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "answer 1"},
    ]
    assert [call.labels for call in calls] == [{"tenant": "a"}] * 2


def test_an_application_of_one_text_is_told_a_conversation_as_text(world: World) -> None:
    seen = []
    world.play(scenario(Ask(times=2, conversation=True)), lambda text: seen.append(text) or "well")
    assert seen[1].startswith(f"user: {seen[0]}\n\nassistant: well\n\nuser: ")


def test_stream_is_said_where_the_scenario_leaves_it_open_and_the_application_takes_it(
    world: World,
) -> None:
    seen = []

    def app(text: str, stream: bool | None = None) -> Any:
        seen.append(stream)
        return iter(["a"]) if stream else "a"

    world.play(scenario(Ask(), Ask(stream=False)), app)
    world.play(scenario(), app, stream=True)
    world.play(scenario(modes=("stream",)), app)
    assert seen == [None, False, True, True]


def test_two_plays_at_once_are_refused(world: World) -> None:
    async def main() -> None:
        one = world.play(scenario(), aask)
        other = world.play(scenario(), aask)
        await asyncio.gather(one, other)

    with pytest.raises(RuntimeError, match="one after the other"):
        asyncio.run(main())


def test_a_play_is_the_same_again() -> None:
    digests = set()
    for _ in range(2):
        with pytest_llmroute.world(seed=3) as world:
            world.play(scenario(Ask(times=3, together=4), incidents=(OUTAGE,)), ask)
            digests.add(world.history.digest())
    assert len(digests) == 1


def test_a_play_in_a_world_inside_of_another_stays_there(world: World) -> None:
    with pytest_llmroute.world() as inner:
        calls = inner.play(scenario(Ask(together=3), Ask(), incidents=(OUTAGE,)), ask)
        assert {call.outcome for call in calls} == {"answered"}
    assert len(inner.path) == 8
    assert world.path == []


def test_worlds_side_by_side_play_at_the_same_time() -> None:
    async def one(incidents: tuple[Incident, ...]) -> list[str]:
        with pytest_llmroute.world() as world:
            await world.play(scenario(Ask(times=2, together=2), incidents=incidents), aask)
            return list(world.path)

    async def main() -> list[list[str]]:
        with pytest_llmroute.world():
            return await asyncio.gather(one(()), one((OUTAGE,)))

    calm, broken = asyncio.run(main())
    assert calm == ["openai:200"] * 4
    assert sorted(broken) == ["groq:200"] * 4 + ["openai:503"] * 4


def test_an_error_of_the_simulators_own_is_no_failure_of_a_provider(monkeypatch: Any) -> None:
    def breaks(*_: object) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("llmroute_sim.simulator.say", breaks)
    with (
        pytest.raises(ZeroDivisionError, match="a mistake of ours"),
        pytest_llmroute.world() as world,
    ):
        world.play("outage-503", ask, target="groq")
