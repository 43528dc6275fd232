from __future__ import annotations

import importlib.util
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest
import yaml

from edits import EDITS, Edit
from llmroute_sim.history import History
from llmroute_sim.scenario import load
from pytest_llmroute.play import Cell, play
from pytest_llmroute.promises import Promise
from pytest_llmroute.routers import Entry, litellm
from pytest_llmroute.run import Choice, trials

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)
NAMES = [f"{edit.key}-{edit.contract}-{number}" for number, edit in enumerate(EDITS)]
PLAYED = [pytest.param(e, id=n) for e, n in zip(EDITS, NAMES, strict=True) if e.asks]
DELETED = [
    pytest.param(edit, id=name)
    for edit, name in zip(EDITS, NAMES, strict=True)
    # An entry without a name is none, nor is a group without a strategy; the last is only in ``after``.
    if edit.key
    not in (
        "entry.model_name", "routing_groups.routing_strategy", "router_settings.routing_strategy_args",
    )
]  # fmt: skip
EITHER_WAY = {
    "balance.cheapest", "balance.split", "balance.tags", "retry.bounded", "retry.class", "retry.tried",
}  # fmt: skip
"""Contracts that the same scenarios try, whatever number or order a file says."""
KNOWN = "1.106."
"""The releases of which the table says what they do not do."""


def promised(config: litellm.LiteLLMConfig, edit: Edit) -> list[Promise]:
    return [
        promise
        for promise in config.promises
        if (promise.contract.id, promise.group, promise.because.kind)
        == (edit.contract, edit.group, edit.kind)
        # What a request may say is promised of every file; tags are what the file says.
        and (not promise.options or "tags" in edit.contract)
    ]


def both(read, edit: Edit) -> tuple[list[Promise], list[Promise]]:
    """What an edit is about, before and after: the promises of its key, where that has any, else
    those of the keys that are judged with it."""
    found = [promised(read(text), edit) for text in (edit.before, edit.after)]
    name = edit.key.rpartition(".")[2]
    of_key = [[p for p in promises if name in p.because.key] for promises in found]
    before, after = of_key if any(of_key) else found
    return before, after


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_an_edited_line_changes_what_is_promised(read, edit):
    found = tuple([edit.says(promise) for promise in promises] for promises in both(read, edit))
    assert found == edit.promised


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_a_promise_names_the_line_that_was_edited(read, edit):
    for text, promises in zip((edit.before, edit.after), both(read, edit), strict=True):
        for promise in promises:
            line = text.splitlines()[(promise.because.line or 0) - 1]
            assert promise.because.key[-1] in line


def asked(config: litellm.LiteLLMConfig, edit: Edit, promise: Promise) -> History:
    """What the real LiteLLM does in an edit's scenario, with the roles and numbers of a promise."""
    assert edit.asks is not None
    api, _, way = edit.entry.partition("-")
    entry = Entry(api, sync=way.split("-")[0] == "sync", stream="stream" in way)
    scenario = load("edit", edit.asks).bind(promise.roles, promise.numbers)
    return play(Cell(config, scenario, edit.group, entry))


def told(history: History, like: object) -> object:
    """The attempts as an edit tells them: the hosts of each call, the hosts there were, of all calls or
    (frozen) of the later half, or a number: of hosts, of attempts, of the seconds until a call was given
    up, or of the dollars that the caller was told."""
    hosts = [
        " ".join(one.deployment.partition(".")[0] for one in history.of(call))
        for call in history.calls
    ]
    match like:
        case Decimal():
            return sum((call.cost or Decimal(0) for call in history.calls), Decimal(0))
        case frozenset():
            return frozenset(host for call in hosts[len(hosts) // 2 :] for host in call.split())
        case str() if like.endswith((" host", " hosts")):
            number = len({host for call in hosts for host in call.split()})
            return f"{number} host{'s' * (number != 1)}"
        case set():
            return {host for call in hosts for host in call.split()}
        case int():
            return len(history.attempts)
        case float():
            return round(max(call.ended or 0.0 for call in history.calls) / 2) * 2.0
        case _:
            return " | ".join(hosts)


def without(text: str, name: str) -> str:
    """A file from which a key was deleted, wherever it stands."""

    def kept(value: Any) -> Any:
        match value:
            case dict():
                return {key: kept(inner) for key, inner in value.items() if key != name}
            case list():
                return [kept(inner) for inner in value]
        return value

    whole = {key: inner for key, inner in kept(yaml.safe_load(text)).items() if inner}
    return str(yaml.safe_dump(whole, sort_keys=False))


def upside_down(text: str) -> str:
    """A file whose keys stand in the opposite order, all lists as they were."""

    def turned(value: Any) -> Any:
        match value:
            case dict():
                return {key: turned(value[key]) for key in reversed(value)}
            case list():
                return [turned(inner) for inner in value]
        return value

    return str(yaml.safe_dump(turned(yaml.safe_load(text)), sort_keys=False))


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_the_order_of_keys_changes_nothing(read, edit):
    for text in (edit.before, edit.after):
        found = [edit.says(promise) for promise in promised(read(text), edit)]
        turned = promised(read(upside_down(text)), edit)
        assert sorted(map(repr, map(edit.says, turned))) == sorted(map(repr, found))


@pytest.mark.parametrize("edit", DELETED)
def test_a_line_that_is_deleted_is_promised_no_more(read, edit):
    name = edit.key.rpartition(".")[2]
    before, after = read(edit.before), read(without(edit.before, name))
    assert [*map(edit.says, promised(before, edit))] != [*map(edit.says, promised(after, edit))]
    assert not [promise for promise in after.promises if name in promise.because.key]


@needs_litellm
@pytest.mark.wide
@pytest.mark.parametrize("edit", [one for one in DELETED if one.values[0].asks])
def test_a_line_that_is_deleted_changes_what_litellm_asks(read, edit):
    if edit.why or edit.key == "litellm_params.input_cost_per_token":
        pytest.skip(edit.why or "where nobody has a price all cost the same, so the first is asked")
    either = next(promise for promises in both(read, edit) for promise in promises)
    history = asked(read(without(edit.before, edit.key.rpartition(".")[2])), edit, either)
    assert told(history, edit.attempts[0]) != edit.attempts[0]


def planned(config: litellm.LiteLLMConfig, edit: Edit) -> set[str]:
    """What is played to try what an edit is about."""
    found, _ = trials(config, Choice(contracts=(edit.contract,), policy=True))
    return {
        f"{trial.cell.entry} {trial.cell.scenario!r} {trial.promises[0].roles}"
        for trial in found
        if trial.cell.group == edit.group
    }


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_what_is_played_follows_an_edited_line(read, edit):
    before, after = planned(read(edit.before), edit), planned(read(edit.after), edit)
    assert before or after
    assert before != after or edit.contract in EITHER_WAY or edit.why


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_what_no_attempt_follows_has_a_reason(edit):
    follows = edit.attempts is not None and edit.attempts[0] != edit.attempts[1]
    assert follows != bool(edit.why)
    assert bool(edit.asks) == (edit.attempts is not None)


@needs_litellm
@pytest.mark.parametrize("edit", PLAYED)
def test_an_edited_line_changes_what_litellm_asks(read, edit):
    assert edit.attempts is not None
    if edit.why and not version("litellm").startswith(KNOWN):
        pytest.skip("another release may do what this one does not")
    given = both(read, edit)
    either = next(promise for promises in given for promise in promises)
    for text, mine, expected in zip((edit.before, edit.after), given, edit.attempts, strict=True):
        history = asked(read(text), edit, mine[0] if mine else either)
        assert told(history, expected) == expected
