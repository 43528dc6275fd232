"""Reports made by hand, and a router of somebody's own to be run for real."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from pathlib import Path

from llmroute_sim.history import Failure, History
from pytest_llmroute.contracts import Target
from pytest_llmroute.contracts.budget import Cutoff
from pytest_llmroute.contracts.fallback import Answers
from pytest_llmroute.contracts.retry import Bounded
from pytest_llmroute.promises import Because, NotJudged, Promise
from pytest_llmroute.report.findings import Played, Report, Sheet, findings
from pytest_llmroute.verdicts import Verdict, judge

OPENAI = Target("openai", (("api.openai.com", "gpt-4o-mini", None),), alone=True)
ANTHROPIC = Target("anthropic", (("api.anthropic.com", None, None),))


def attempt(history, call, at, *, place="openai", outcome="503", faults=("outage at openai",)):
    host = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}[place]
    made = history.begin_attempt(
        at, call.id, place=place, provider=place, deployment=host, model="gpt-4o-mini"
    )
    made.outcome, made.status, made.ended = outcome, int(outcome[:3]), at
    made.faults = faults
    made.complete = outcome == "200"
    made.spent = Decimal("0.000125") if made.complete else Decimal(0)
    return made


def tried(times: int, *, calls: int = 1) -> History:
    """Calls that ask openai so often, get 503 each time, and fail."""
    history = History()
    for _ in range(calls):
        call = history.begin_call(0.0, entry="chat", group="chat")
        for number in range(times):
            attempt(history, call, float(number))
        call.ended, call.outcome = float(times), "failed"
        call.failure = Failure(("HTTPStatusError", "HTTPError"), 503, "unavailable")
    return history


def healthy() -> History:
    history = History()
    call = history.begin_call(0.0, entry="chat", group="chat")
    attempt(history, call, 0.0, outcome="200", faults=())
    call.ended, call.outcome, call.finish = 0.5, "answered", "stop"
    return history


def promised(path="routes.yaml", *, line=3, retries=1) -> Promise:
    because = Because(
        "config",
        str(path),
        line,
        ("router_settings", "num_retries"),
        ("https://docs.example/retries",),
    )
    return Promise(
        Bounded(OPENAI, retries),
        because,
        f"chat is tried {1 + retries} times at most",
        "chat",
        roles={"target": ("api.openai.com/gpt-4o-mini",)},
        numbers={"retries": retries},
    )


def others() -> tuple[Promise, ...]:
    """Promises with every kind of parameter."""
    return (
        Promise(
            Answers((OPENAI, ANTHROPIC)), Because("user", "llmroute.toml", 9), "answers", "chat"
        ),
        Promise(Cutoff((OPENAI,), Decimal("0.50"), 86400.0), Because("policy"), "spends", "chat"),
    )


def cell(history: History, *, scenario="outage-503", entry="chat-sync", calm=None) -> Played:
    name = f"routes.yaml::{scenario}::chat::{entry}"
    title = "every answer of the target is a 503"
    return Played(name, scenario, title, "chat", entry, 0, history, calm)


def sheet(promises, played, *, untried=(), path="routes.yaml") -> Sheet:
    verdicts = [(one, judge(promise, one.history)) for promise in promises for one in played]
    verdicts += [(None, Verdict(promise, "untested", (), reason)) for promise, reason in untried]
    everything = (*promises, *(promise for promise, _ in untried))
    return Sheet(
        path,
        "callable",
        everything,
        (NotJudged(("general_settings", "master_key"), 12, "belongs to the proxy"),),
        tuple(played),
        findings(everything, verdicts),
    )


def report(*sheets: Sheet) -> Report:
    return Report({"pytest-llmroute": "0.1.0", "python": "3.11.7"}, sheets)


ROUTER = """
import os

import httpx

TRIES = {tries}


def ask(text):
    print("a router that talks")
    for _ in range(TRIES):
        answer = httpx.post(
            "https://api.openai.com/v1/chat/completions",
            headers={{"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}},
            json={{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": text}}]}},
            timeout=5,
            verify=False,
        )
        if answer.status_code == 200:
            break
    answer.raise_for_status()
    return answer.json()
"""

TOML = """
format = 1

[router]
kind = "callable"
call = "{module}:ask"
group = "chat"

[environment]
OPENAI_API_KEY = ""

[[promise]]
contract = "retry.bounded"
target = "openai/gpt-4o-mini"
retries = 1
"""


def project(folder: Path, *, tries: int = 2, module: str = "routes_of_mine") -> Path:
    """A folder with a router of one's own, which promises one retry; returns its llmroute.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(textwrap.dedent(ROUTER.format(tries=tries)))
    file = folder / "llmroute.toml"
    file.write_text(TOML.format(module=module).lstrip())
    return file
