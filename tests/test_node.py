# Node's own SDKs against a breaking world. They are installed from npm into a temporary folder:
#
#   pytest -m wide tests/test_node.py

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from llmroute_sim.incidents import Incident
from llmroute_sim.scenario import Scenario
from pytest_llmroute.serving.server import Server
from pytest_llmroute.serving.stage import Stage

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm"),
]

PACKAGES = ("openai@6", "@anthropic-ai/sdk@1")
SCRIPT = """
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";

const settings = {maxRetries: Number(process.argv[2]), timeout: 20000, logLevel: "off"};
const openai = new OpenAI(settings), anthropic = new Anthropic(settings);
const messages = [{role: "user", content: "hello"}];
const chat = {model: "gpt-4o-mini", messages};
const message = {model: "claude-haiku-4-5", max_tokens: 100, messages};
const marked = (name) => ({headers: {"x-llmroute-call": name}});

const ways = {
  "openai": async (options) => {
    const said = await openai.chat.completions.create(chat, options);
    return said.choices[0].message.content;
  },
  "openai-stream": async (options) => {
    let text = "";
    for await (const chunk of await openai.chat.completions.create({...chat, stream: true}, options))
      text += chunk.choices[0]?.delta?.content ?? "";
    return text;
  },
  "anthropic": async (options) => (await anthropic.messages.create(message, options)).content[0].text,
  "anthropic-stream": async (options) => {
    let text = "";
    for await (const event of anthropic.messages.stream(message, options))
      if (event.type === "content_block_delta") text += event.delta.text;
    return text;
  },
};

const got = {};
for (const [name, ask] of Object.entries(ways)) {
  try { got[name] = {text: await ask(marked(name))}; }
  catch (error) { got[name] = {error: error.constructor.name, status: error.status ?? null}; }
}
console.log(JSON.stringify(got));
"""
WAYS = ("openai", "openai-stream", "anthropic", "anthropic-stream")


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true, "type": "module"}', "utf-8")
    (folder / "ask.js").write_text(SCRIPT, "utf-8")
    ran = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--silent", *PACKAGES],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if ran.returncode:
        pytest.skip(f"npm cannot install the SDKs: {ran.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.fixture
def ask(project):
    """Break the world, let Node ask in every way, and give what it got and the history."""

    def asked(*incidents, retries=0, listeners=()):
        stage = Stage(
            Scenario(
                "",
                incidents=tuple(map(Incident.read, incidents)),
                first_token=0.001,
                per_token=0.001,
            )
        )
        server = Server(stage, listeners=dict.fromkeys(listeners, 0))
        outside = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with server.carrier:
            ran = subprocess.run(
                ["node", "ask.js", str(retries)],
                cwd=project, env=outside | server.environment,
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout), server.served.world.history

    return asked


def paths(history):
    return {
        name: " ".join(attempt.outcome for attempt in history.attempts if attempt.call == name)
        for name in WAYS
    }


def test_every_way_of_asking_is_answered_and_tied_to_its_call(ask):
    got, history = ask()
    assert paths(history) == dict.fromkeys(WAYS, "200")
    for name, attempt in zip(WAYS, history.attempts, strict=True):
        assert attempt.complete
        assert history.marks_in(got[name]["text"]) == attempt.marks


def test_a_rate_limit_is_waited_out_as_its_hint_says(ask):
    got, history = ask(
        {"fault": {"name": "rate-limit", "retry-after": 1}, "when": {"every": 2}}, retries=1
    )
    assert all("text" in one for one in got.values())
    refused, again = history.attempts[1:7:2], history.attempts[2:7:2]
    assert [one.call for one in refused] == [one.call for one in again] == list(WAYS[1:])
    for before, after in zip(refused, again, strict=True):
        assert (before.outcome, after.outcome) == ("429", "200")
        assert 1 <= after.started - before.ended < 2


def test_an_outage_is_an_error_with_its_status_once_retries_are_used_up(ask):
    got, history = ask({"fault": "outage"}, retries=1)
    assert [one["status"] for one in got.values()] == [503] * 4
    assert paths(history) == dict.fromkeys(WAYS, "503 503")


def test_what_is_cut_is_not_taken_for_an_answer(ask):
    got, history = ask({"fault": "cut"})
    assert all("error" in one for one in got.values())
    assert paths(history) == dict.fromkeys(WAYS, "200-cut")


def test_a_listener_of_its_own_refuses_and_its_neighbour_answers(ask):
    got, history = ask({"fault": "refused", "at": "openai"}, listeners=["openai"])
    assert got["openai"] == {"error": "APIConnectionError", "status": None} == got["openai-stream"]
    assert paths(history) == {name: "200" * name.startswith("anthropic") for name in WAYS}
