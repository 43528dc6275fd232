from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

from llmroute_sim.history import History
from pytest_llmroute.configs import read
from pytest_llmroute.play import Cell, play
from pytest_llmroute.run import Choice, trials

CONFIGS = Path(str(files("llmroute_data").joinpath("configs")))
OWN = CONFIGS / "own-code" / "llmroute.toml"


def shown_all_the_same(path: Path, choice: Choice) -> Iterator[str]:
    """What contracts observe in scenarios of which the stimulus was taken away."""
    played: dict[str, History] = {}
    for trial in trials(read(path), choice)[0]:
        if trial.cell.scenario.one_way:
            continue
        calm = replace(trial.cell, scenario=trial.cell.scenario.calmed())
        history = remembered(played, calm)
        for promise in trial.promises:
            for seen in promise.contract.check(history):
                yield f"{trial.cell.id}: {promise.contract.id}: {seen.says}"


def remembered(played: dict[str, History], cell: Cell) -> History:
    """Many scenarios are the same without what makes them different."""
    same = repr(
        (
            cell.group,
            cell.entry,
            replace(cell.scenario, name="", title="", good="", source="", tests=()),
        )
    )
    if same not in played:
        played[same] = play(cell)
    return played[same]


def test_without_the_stimulus_no_verdict_on_own_code_has_anything_to_say():
    assert list(shown_all_the_same(OWN, Choice(policy=True))) == []


@pytest.mark.wide
def test_without_the_stimulus_the_whole_library_has_nothing_to_say_of_own_code():
    assert list(shown_all_the_same(OWN, Choice(policy=True, full=True))) == []


@pytest.mark.wide
@pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_without_the_stimulus_no_verdict_on_litellm_has_anything_to_say(path):
    assert list(shown_all_the_same(path, Choice(policy=True))) == []
