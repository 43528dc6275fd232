from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

CONFIGS = Path(str(files("llmroute_data").joinpath("configs")))
OWN = CONFIGS / "own-code" / "llmroute.toml"
TWO = CONFIGS / "two-providers.yaml"

PROGRAM = """
import sys
from pathlib import Path
from test_determinism import digests
print(digests(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""


def digests(path: Path, order: int, every: int) -> str:
    """One digest of the histories of every so-manieth cell, played in a shuffled order."""
    from pytest_llmroute.configs import read
    from pytest_llmroute.play import play
    from pytest_llmroute.run import Choice, trials

    found, _ = trials(read(path), Choice())
    cells = [trial.cell for trial in found[::every]]
    shuffled = cells.copy()
    random.Random(order).shuffle(shuffled)
    said = {cell.id: play(cell).digest() for cell in shuffled}
    return hashlib.sha256(repr([said[cell.id] for cell in cells]).encode()).hexdigest()


def fresh(path: Path, order: int, every: int) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(order), str(every)],
        env={**os.environ, "PYTHONHASHSEED": str(order), "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip().splitlines()[-1]


def test_ten_shuffled_runs_and_ten_fresh_processes_with_other_hash_seeds_give_one_digest():
    here = {digests(OWN, order, 20) for order in range(10)}
    there = {fresh(OWN, order, 20) for order in range(10)}
    assert len(here | there) == 1


@pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
def test_litellm_gives_one_digest_in_any_order_and_in_a_fresh_process():
    here = {digests(TWO, order, 7) for order in range(3)}
    assert here == {fresh(TWO, 3, 7)}


@pytest.mark.wide
@pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
def test_litellm_gives_one_digest_in_ten_orders_and_ten_fresh_processes():
    here = {digests(TWO, order, 3) for order in range(10)}
    assert here == {fresh(TWO, order, 3) for order in range(10)}
    assert len(here) == 1
