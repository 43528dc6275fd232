from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.clock import RealClock
from llmroute_sim.history import History
from llmroute_sim.simulator import Simulator
from pytest_llmroute.aiming import aimed, target_at
from pytest_llmroute.contracts import Contract, Observation, Target
from pytest_llmroute.promises import retargeted


@dataclass(frozen=True, slots=True)
class Everywhere:
    id: ClassVar[str] = "own.everywhere"
    about: ClassVar[str] = "has targets wherever there can be some"

    one: Target
    chain: tuple[Target, ...]
    shares: tuple[tuple[Target, float], ...]
    by: tuple[tuple[str, tuple[Target, ...]], ...]
    perhaps: Target | None = None
    never: Target | None = None
    group: str = "openai"

    def check(self, _: History) -> Iterator[Observation]:
        yield from ()


class Plain:
    id: ClassVar[str] = "own.plain"
    about: ClassVar[str] = "is no dataclass and has no targets"

    def check(self, _: History) -> Iterator[Observation]:
        yield from ()


def everywhere(one, other):
    return Everywhere(
        one, (one, other), ((one, 0.8), (other, 0.2)), (("openai", (other,)), ("free", ())), other
    )


def test_every_target_of_a_contract_is_changed_wherever_it_stands_and_nothing_else() -> None:
    one, other = Target("one", ()), Target("other", ())
    found = retargeted(everywhere(one, other), lambda target: Target(target.name.upper(), ()))
    assert found == everywhere(Target("ONE", ()), Target("OTHER", ()))


def test_places_stand_for_targets_wherever_a_contract_has_some() -> None:
    simulator = Simulator(RealClock())
    found = aimed(simulator, everywhere("openai/gpt-4o", "anthropic"))
    places = (target_at(simulator, "openai/gpt-4o"), target_at(simulator, "anthropic"))
    assert found == everywhere(*places)


def test_a_contract_without_targets_stays_itself() -> None:
    contract: Contract = Plain()
    assert retargeted(contract, lambda target: target) is contract
