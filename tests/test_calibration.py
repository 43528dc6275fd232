from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_llmroute.configs import read

from .calibration import CONFIGS, ENVIRONMENTS, RELEASED, ROWS, environments, interpreter, judged

PAIRS = [(row, *pair) for row in ROWS for pair in row.releases]


def test_every_configuration_has_a_row_and_every_release_a_day():
    assert {row.name for row in ROWS} == {path.stem for path in CONFIGS.glob("*.yaml")}
    assert {release for _, release, _ in PAIRS} == set(RELEASED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_a_promise_of_its_configuration_of_the_kind_that_it_says(row):
    config = read(CONFIGS / f"{row.name}.yaml")
    kinds = {one.because.kind for one in config.promises if one.contract.id == row.contract}
    assert row.source in kinds
    assert set(row.ways) <= {str(way) for group in config.groups for way in config.entries(group)}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.source == "config"], ids=lambda r: r.name
)
def test_a_promise_of_a_key_names_the_page_that_makes_it_one(row):
    config = read(CONFIGS / f"{row.name}.yaml")
    for promise in config.promises:
        if promise.contract.id == row.contract and promise.because.kind == "config":
            assert promise.because.key
            assert promise.because.addresses


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_page_about_trust_says_what_is_run(row):
    page = (Path(__file__).parents[1] / "docs" / "trust.md").read_text("utf-8")
    [line] = [line for line in page.splitlines() if line.startswith(f"| `{row.name}` |")]
    cells = [cell.strip(" `") for cell in line.split("|")]
    assert {row.contract, row.source, row.scenario, row.broken, row.kept} <= set(cells)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return environments(tmp_path_factory.getbasetemp() / "releases")


@pytest.mark.wide
@pytest.mark.parametrize("release", sorted({release for _, release, _ in PAIRS}))
def test_a_release_is_judged_as_it_behaved(release, folder):
    try:
        python = interpreter(release, folder)
    except FileNotFoundError as error:
        pytest.skip(f"{error}, and {ENVIRONMENTS}={os.environ.get(ENVIRONMENTS)!r} has none")
    expected = {row.name: verdict for row, of, verdict in PAIRS if of == release}
    found = list(judged([row for row in ROWS if row.name in expected], python))
    assert {one.release for one in found} == {release}
    assert {one.row.name: one.verdict for one in found} == expected
