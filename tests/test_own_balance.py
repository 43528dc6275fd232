from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from pages import text
from pytest_llmroute.contracts import balance, budget, latency
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.routers.own import read

HEAD = """\
format = 1
[router]
kind = "callable"
call = "app:ask"
"""

GPT, LLAMA = "openai/gpt-4o", "groq/llama-3.3-70b-versatile"


def promises(folder: Path, written: str):
    (folder / "app.py").write_text("def ask(prompt): return prompt")
    file = folder / "llmroute.toml"
    file.write_text(f"{HEAD}{written}")
    found = read(file)
    assert found is not None
    return [promise for promise in found.promises if promise.because.kind == "user"]


def promised(folder: Path, contract: str, rest: str):
    [found] = promises(folder, f'[[promise]]\ncontract = "{contract}"\n{rest}')
    return found


def test_shares_are_a_table_of_places(tmp_path):
    found = promised(
        tmp_path, "balance.split", f'shares = {{ "{GPT}" = 9, "{LLAMA}" = 1 }}\nalarm = 1e-3'
    )
    assert isinstance(found.contract, balance.Split)
    assert [(one.name, share) for one, share in found.contract.shares] == [(GPT, 9.0), (LLAMA, 1.0)]
    assert found.contract.alarm == 1e-3
    assert all(one.alone for one, _ in found.contract.shares)
    assert found.numbers["load"] == balance.calls_to_tell((9.0, 1.0), 1e-3)
    assert f"shares {GPT} 9.0, {LLAMA} 1.0" in found.text


def test_shares_that_no_load_can_tell_apart_have_none(tmp_path):
    found = promised(tmp_path, "balance.split", f'shares = {{ "{GPT}" = 20, "{LLAMA}" = 21 }}')
    assert "load" not in found.numbers


def test_prices_are_strings_and_may_be_nothing(tmp_path):
    found = promised(
        tmp_path, "balance.cheapest", f'prices = {{ "{GPT}" = "12.5", "{LLAMA}" = "0" }}'
    )
    assert [price for _, price in found.contract.prices] == [Decimal("12.5"), Decimal(0)]


def test_tags_name_their_places(tmp_path):
    found = promised(
        tmp_path, "balance.tags",
        f'by = {{ paid = ["{GPT}"], free = ["{LLAMA}", "{GPT}"] }}\noptions = {{ tags = ["paid"] }}',
    )  # fmt: skip
    assert [(tag, [one.name for one in listed]) for tag, listed in found.contract.by] == [
        ("paid", [GPT]), ("free", [LLAMA, GPT]),
    ]  # fmt: skip
    assert found.options == {"tags": ["paid"]}
    assert f"paid: {GPT}; free: {LLAMA}, {GPT}" in found.text


@pytest.mark.parametrize(
    ("contract", "rest", "number"),
    [
        ("balance.rate", f'target = "{GPT}"\nlimit = 7', ("rpm", 7)),
        ("balance.rate", f'target = "{GPT}"\nlimit = 7\nunit = "tokens"', ("tpm", 7)),
        ("balance.in-flight", f'target = "{GPT}"\nlimit = 7', ("parallel", 7)),
        ("balance.room", f'targets = ["{GPT}"]\nlimit = 7', ("rpm", 7)),
        ("balance.room", f'targets = ["{GPT}"]\nlimit = 7\nunit = "in-flight"', ("parallel", 7)),
        ("latency.first-token", "seconds = 7", ("patience", 7)),
        ("latency.attempt", "seconds = 7", ("timeout", 7)),
        ("latency.answer", "seconds = 7", ("timeout", 7)),
    ],
)
def test_scenarios_are_given_the_numbers_of_a_line(tmp_path, contract, rest, number):
    name, value = number
    assert promised(tmp_path, contract, rest).numbers[name] == value


def test_scenarios_act_at_the_first_of_those_that_share(tmp_path):
    both = "\n".join(
        f'[[promise]]\ncontract = "{name}"\ntargets = ["{LLAMA}", "{GPT}"]'
        for name in ("fallback.once", "balance.fastest")
    )
    found = promises(tmp_path, both)
    assert [promise.roles["target"] for promise in found] == [found[0].roles["target"]] * 2
    assert found[1].roles["next"] == found[0].roles["next"]


@pytest.mark.parametrize(
    ("contract", "rest", "says"),
    [
        ("balance.split", 'shares = ["openai/gpt-4o"]', "is not a table of places with their shares"),
        ("balance.split", "shares = {}", "is not a table of places with their shares"),
        ("balance.split", f'shares = {{ "{GPT}" = 0 }}', "is not a table of places with their shares"),
        ("balance.split", f'shares = {{ "{GPT}" = 1 }}\nalarm = 2.0', "is not a probability"),
        ("balance.cheapest", f'prices = {{ "{GPT}" = 12.5 }}', "is not a table of places with their prices"),
        ("balance.tags", 'by = { paid = "openai/gpt-4oo" }', "gpt-4o"),
        ("balance.tags", "by = 3", "is not a table of tags"),
        ("balance.rate", f'target = "{GPT}"\nlimit = 3\nunit = "calls"', "is not 'requests' or 'tokens'"),
        ("balance.room", f'targets = ["{GPT}"]\nlimit = 3\nunit = "calls"', "is not 'requests' or 'in-flight'"),
        (
            "budget.cutoff", f'targets = ["{GPT}"]\nlimit = "5"\nwindow = 60\naborted = 1.5',
            "is not a part of the whole",
        ),
    ],
)  # fmt: skip
def test_what_is_no_such_thing_is_said(tmp_path, contract, rest, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        promised(tmp_path, contract, rest)


def test_the_example_in_the_page_is_read(tmp_path):
    [example] = [
        block
        for block in re.findall(r"```toml\n(.*?)```", text("promise.md"), re.S)
        if "balance.split" in block
    ]
    kinds = [type(promise.contract) for promise in promises(tmp_path, example)]
    assert kinds == [
        balance.Split, balance.Cheapest, balance.Tagged, balance.Rate, budget.Cutoff,
        latency.AnswerWithin,
    ]  # fmt: skip
    assert len(tomllib.loads(example)["promise"]) == len(kinds)


def test_the_page_says_how_many_calls_are_enough():
    rows = re.findall(r"^\| ([\d :]+) \| (\d+) \|$", text("promise.md"), re.M)
    assert rows
    for shares, calls in rows:
        assert balance.calls_to_tell(tuple(map(float, shares.split(" : ")))) == int(calls)
