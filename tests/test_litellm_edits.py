from __future__ import annotations

import importlib.util

import pytest

from edits import EDITS, Edit
from llmroute_sim.history import History
from llmroute_sim.scenario import load
from pytest_llmroute.play import Cell, play
from pytest_llmroute.promises import Promise
from pytest_llmroute.routers import Entry, litellm

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)
NAMES = [f"{edit.key}-{edit.contract}-{number}" for number, edit in enumerate(EDITS)]
PLAYED = [pytest.param(e, id=n) for e, n in zip(EDITS, NAMES, strict=True) if e.asks]


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
    """The attempts as an edit tells them: the hosts of each call, the hosts there were, or a number:
    of attempts, or of the seconds until a call was given up."""
    hosts = [
        " ".join(one.deployment.partition(".")[0] for one in history.of(call))
        for call in history.calls
    ]
    match like:
        case set():
            return {host for call in hosts for host in call.split()}
        case int():
            return len(history.attempts)
        case float():
            return round(max(call.ended or 0.0 for call in history.calls) / 2) * 2.0
        case _:
            return " | ".join(hosts)


@needs_litellm
@pytest.mark.parametrize("edit", PLAYED)
def test_an_edited_line_changes_what_litellm_asks(read, edit):
    assert edit.attempts is not None
    given = both(read, edit)
    either = next(promise for promises in given for promise in promises)
    for text, mine, expected in zip((edit.before, edit.after), given, edit.attempts, strict=True):
        history = asked(read(text), edit, mine[0] if mine else either)
        assert told(history, expected) == expected
