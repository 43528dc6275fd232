"""What a served world begins with, and begins anew with after a reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llmroute_sim.clock import RealClock
from llmroute_sim.names import Unknown
from llmroute_sim.scenario import Scenario, Template
from llmroute_sim.simulator import Deployment, Pace, Simulator
from llmroute_sim.sums import NUMBERS
from llmroute_sim.wire import Request
from pytest_llmroute.library import ROLES, Library
from pytest_llmroute.serving.addresses import paths

__all__ = ("NOTHING", "Stage", "chosen", "warm_up")

NOTHING = Scenario("")
"""Nothing goes wrong."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A scenario whose workload is not played, the hosts that a configuration names beside those of
    the providers, and how many real seconds one of the world's takes."""

    scenario: Scenario = NOTHING
    deployments: tuple[Deployment, ...] = ()
    scale: float = 1.0

    def world(self) -> Simulator:
        """A new world, whose time begins now. Raises ``Unknown`` for a place that does not exist."""
        clock, scenario = RealClock(self.scale), self.scenario
        pace = Pace(scenario.first_token, scenario.per_token)
        simulator = Simulator(clock, seed=scenario.seed, pace=pace)
        for deployment in self.deployments:
            simulator.serve(deployment)
        simulator.stated_usage = scenario.bills
        simulator.history.clock = clock.description
        for incident in scenario.incidents:
            simulator.inject(incident)
        return simulator

    @property
    def labels(self) -> dict[str, str]:
        """The hosts of :attr:`deployments` by the names that paths and listeners have for them:
        their places, or the hosts' own names where a place is taken or is no plain word."""
        taken = {address.host: name for name, address in paths().items()}
        found: dict[str, str] = {}
        for deployment in self.deployments:
            if deployment.host in taken:
                continue
            place = deployment.place
            plain = place.replace("-", "").replace("_", "").replace(".", "").isalnum()
            free = plain and place not in found and place not in paths()
            found[place if free else deployment.host] = deployment.host
        return found


def chosen(name: str, roles: Mapping[str, Sequence[str]], numbers: Mapping[str, float]) -> Scenario:
    """A shipped scenario by its name, or a file's by its path, with its roles and numbers filled in.

    What only its workload needs need not be told. Raises ``Unknown`` for a name that does not exist
    and for a role or number that the scenario does not leave open, ``ValueError`` for a file with
    something wrong in it and for what is missing.
    """
    template = Library().find(name)
    whole, incidents = template.needs, _unasked(template)
    for given in (*roles, *numbers):
        if given not in whole:
            raise Unknown(f"role or number of the scenario {name}", given, whole)
    if missing := sorted(incidents.needs - {*roles, *numbers}):
        options = [f"--{one} PLACE" if one in ROLES else f"--number {one}=N" for one in missing]
        raise ValueError(
            f"the scenario {name} leaves open {', '.join(missing)}: add {' '.join(options)}"
        )
    try:
        # The workload is not played, but it is read: it belongs to the file.
        template.bind(roles, {**NUMBERS, **numbers})
        return incidents.bind(roles, numbers)
    except Unknown:
        raise
    except ValueError as error:
        raise ValueError(f"the scenario {name}: {error}") from error


def _unasked(template: Template) -> Template:
    """The same without its workload."""
    return replace(template, entry={k: v for k, v in template.entry.items() if k != "ask"})


_BODY = b'{"model": "%b", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}'
_FIRST = (
    ("openai", "/v1/chat/completions", b"gpt-4o-mini"),
    ("anthropic", "/v1/messages", b"claude-sonnet-4-5"),
)


def warm_up() -> None:
    """Answer once in a world of its own, so that no client waits for what the first answer needs:
    the vocabulary and the prices, about a second."""
    simulator = Stage().world()
    for provider, path, model in _FIRST:
        headers = (("authorization", "Bearer sk"), ("x-api-key", "sk"))
        request = Request("POST", path, headers, _BODY % model, paths()[provider])
        for _ in simulator.open(request):
            pass
