from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from llmroute_sim import faults
from llmroute_sim.carriers.tcp import serve
from llmroute_sim.clock import RealClock
from llmroute_sim.incidents import Incident, Place, When
from llmroute_sim.simulator import Simulator
from llmroute_sim.wire import Address

PATHS = {"openai": Address("api.openai.com"), "anthropic": Address("api.anthropic.com")}
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}

NODE = """
const [url, call, body] = process.argv.slice(1);
const ask = () => fetch(url, {
  method: "POST", body,
  headers: {"content-type": "application/json", authorization: "Bearer sk-node", "x-llmroute-call": call},
});
let answer = await ask();
while (answer.status === 503) answer = await ask();
console.log(await answer.text());
"""


@pytest.fixture
def simulator():
    made = Simulator(RealClock())
    made.inject(Incident(faults.Outage(503), (Place("openai"),), When(first=1)))
    return made


def curl(url: str, call: str | None) -> str:
    marker = ["-H", f"x-llmroute-call: {call}"] if call else []
    ran = subprocess.run(
        ["curl", "-s", "--noproxy", "*", *marker, "-H", "authorization: Bearer sk-curl",
         "-H", "content-type: application/json", "-d", json.dumps(BODY), url],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return ran.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_attempts_of_another_process_belong_to_the_call_that_it_names(simulator):
    history = simulator.history
    first, second = history.begin_call(0, group="chat"), history.begin_call(0, group="chat")
    with serve(simulator, paths=PATHS) as server:
        url = server.url("openai") + "/v1/chat/completions"
        refused = json.loads(curl(url, first.id))
        answered = json.loads(curl(url, first.id))
        other = json.loads(curl(url, second.id))
        nobody = json.loads(curl(url, None))
    assert refused["error"]["type"] == "server_error"
    assert [a.outcome for a in history.of(first)] == ["503", "200"]
    assert [a.ordinal for a in history.of(first)] == [1, 2]
    assert [a.outcome for a in history.of(second)] == ["200"]
    assert len(history.untied) == 1
    assert nobody["choices"]
    texts = [said["choices"][0]["message"]["content"] for said in (answered, other)]
    for text, call in zip(texts, (first, second), strict=True):
        call.marks = history.marks_in(text)
        assert history.sources(call) == (history.of(call)[-1],)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_a_program_in_another_language_retries_and_is_seen_to(simulator):
    call = simulator.history.begin_call(0, group="chat")
    with serve(simulator, paths=PATHS) as server:
        url = server.url("openai") + "/v1/chat/completions"
        ran = subprocess.run(
            ["node", "--input-type=module", "-e", NODE, url, call.id, json.dumps(BODY)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    call.marks = simulator.history.marks_in(
        json.loads(ran.stdout)["choices"][0]["message"]["content"]
    )
    attempts = simulator.history.of(call)
    assert [attempt.step for attempt in attempts] == ["openai:503", "openai:200"]
    assert simulator.history.sources(call) == (attempts[1],)
    assert len({attempt.key for attempt in attempts}) == 1
