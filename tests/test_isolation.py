from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from .isolation import differences, process

litellm = pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be copied")


def different(seed: int, count: int, pattern: str) -> object:
    asked = {"seed": seed, "count": count, "pattern": pattern}
    together = process({**asked, "how": "together"}, hashed=1)
    assert len(together) == count
    return differences(together, process({**asked, "how": "apart"}, hashed=2))


@forking
def test_cells_of_own_code_played_in_a_row_are_as_cells_played_alone():
    assert different(1, 24, "llmroute.toml") == {}


@litellm
@forking
def test_a_dozen_cells_of_litellm_played_in_a_row_are_as_cells_played_alone():
    assert different(1, 12, "*.yaml") == {}


@pytest.mark.wide
@litellm
@forking
def test_two_hundred_shuffled_cells_in_one_process_give_what_fresh_processes_give():
    assert different(2, 200, "*.yaml") == {}


@pytest.mark.wide
@litellm
@pytest.mark.parametrize("number", range(4))
def test_a_cell_in_an_interpreter_of_its_own_is_as_one_in_a_row(number):
    asked = {"seed": 3, "count": 24, "pattern": "*.yaml"}
    row = process({**asked, "how": "together"})
    alone = process({**asked, "how": "together", "only": [number * 6]}, hashed=number + 1)
    assert differences([row[number * 6]], alone) == {}
