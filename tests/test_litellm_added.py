# Deployments that are added at run time stand in no file: a router of one's own adds them, and promises
# for it what the file would.

from __future__ import annotations

import importlib.util
import json
import os
import subprocess

import pytest

from programs import LLMROUTE

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)
ROUTER = """
from litellm import Router
from litellm.types.router import Deployment


def entry(host, **more):
    where = {"model": "openai/gpt-4o", "api_key": "sk-x", "api_base": f"https://{host}.example.net/v1"}
    budget = {"max_budget": BUDGET, "budget_duration": "1d"}
    return {"model_name": "chat", "litellm_params": {**where, **budget, **more}}


router = None


async def ask(text, **options):
    global router
    if router is None:
        router = Router(model_list=[entry("one", weight=1)], num_retries=0)
        router.add_deployment(Deployment(**entry("two", weight=9999)))
    said = [{"role": "user", "content": text}]
    return await router.acompletion(model="chat", messages=said, **options)
"""
PROMISES = """
format = 1

[router]
kind = "callable"
call = "added:ask"
group = "chat"

[hosts."one.example.net"]
provider = "openai"
models = ["gpt-4o"]

[hosts."two.example.net"]
provider = "openai"
models = ["gpt-4o"]

[[promise]]
contract = "budget.cutoff"
text = "A deployment that is added at run time has a budget like any other."
targets = ["two.example.net/gpt-4o"]
limit = "2"
window = 86400
"""


@pytest.mark.wide
def test_a_deployment_added_at_run_time_keeps_to_its_budget(tmp_path):
    for name, budget in (("kept", 2.0), ("broken", 600.0)):
        folder = tmp_path / name
        folder.mkdir()
        folder.joinpath("added.py").write_text(ROUTER.replace("BUDGET", str(budget)))
        folder.joinpath("llmroute.toml").write_text(PROMISES)
    # In a process of its own: nothing puts LiteLLM back behind a router that is not ours.
    command = [LLMROUTE, "run", "kept", "broken", "--scenario", "spend", "--json", "report.json"]
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    report = json.loads(tmp_path.joinpath("report.json").read_text("utf-8"))
    outcomes = [verdict["verdict"] for verdict in report["verdicts"]]
    assert (done.returncode, sorted(outcomes)) == (1, ["broken", "kept"])
