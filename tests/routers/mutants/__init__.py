"""The mutants: the reference router with one decision wrong, mostly under a condition only.

Each is written from its contract's rule, by family. A family's module lists its ``MUTANTS``, and says
with ``promised(knobs)`` what a router that is set up so promises of the family.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_llmroute.contracts import Contract

from ..reference import Knobs
from . import asked, balance, budget, cache, errors, fallback, health, latency, retry, stream
from .declared import Mutant

FAMILIES = (fallback, asked, retry, stream, budget, cache, balance, health, latency, errors)

MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant for family in FAMILIES for mutant in family.MUTANTS
}
"""Every mutant by its name."""


def promised(knobs: Knobs) -> tuple[Contract, ...]:
    """All that a router promises that is set up so."""
    return tuple(contract for family in FAMILIES for contract in family.promised(knobs))
