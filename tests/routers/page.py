"""The page about the mutants: who breaks which contract, and what every other contract says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pytest_llmroute.contracts import contracts

from .mutants import MUTANTS
from .mutants.declared import Mutant
from .trials import REFERENCE, Seen, seen

__all__ = ("line", "page", "rows")

_OPENING = """\
# Who watches the contracts

A contract is worth what it catches. The tests have a small router that does everything right, and
mutants of it: the same router with one decision wrong, each written from a rule before the contract of
that rule was. {total} mutants, {conditional} of which misbehave only under a condition. Each is caught by
the contract meant for it, and by no other unless the table says why; without the stimulus of its
scenario (the fault, the repeat, the spend, the concurrency, the options) that contract sees nothing; and
the router without the mutation, in the same scenario, is seen to keep it.

This page is written by `python benchmarks/mutants.py --write`, and the tests play every line of it.

## The mutants
"""

_MATRIX = """
## Mutant by contract

A line per mutant, in the scenario that is meant for it, through all the ways in that this is played
through; a column per contract that the router promises there. `X` is the contract meant for the mutant
and broken, `x` another one that is broken by the same conduct, `+` a contract that was tried and kept,
`.` one that had nothing to judge. The first line is the router without a mutation, over all these
scenarios and {more} busier ones.
"""

_SIGNS = {"kept": "+", "broken": "x", "untested": "."}


def page(progress: Callable[[str], object] = lambda _: None) -> str:
    """The whole page. Plays everything, which takes minutes; ``progress`` is told each line."""
    from .trials import MORE

    lines = []
    for name in (REFERENCE, *MUTANTS):
        lines.append(line(name))
        progress(lines[-1])
    numbered = [f"{number:>3} {name}" for number, name in enumerate(contracts(), 1)]
    conditional = sum(bool(mutant.when) for mutant in MUTANTS.values())
    return "\n".join(
        [
            _OPENING.format(total=len(MUTANTS), conditional=conditional),
            "| mutant | breaks | when | what it does wrong | breaks too |",
            "| --- | --- | --- | --- | --- |",
            *rows(),
            _MATRIX.format(more=len(MORE)),
            "```text",
            *numbered,
            "",
            *_head(),
            *lines,
            "```",
            "",
        ]
    )


def rows() -> list[str]:
    """A row for each mutant: what it says of itself."""
    return [_row(name, mutant) for name, mutant in MUTANTS.items()]


def line(router: str) -> str:
    """What every contract says of a router, a sign for each."""
    from .trials import MORE

    if router in MUTANTS:
        meant, found = MUTANTS[router].breaks, seen(router, router)
    else:
        meant, found = "", _together(seen(REFERENCE, trial) for trial in (*MUTANTS, *MORE))
    signs = [
        "X" if name == meant and _sign(found, name) == "x" else _sign(found, name)
        for name in contracts()
    ]
    return f"{router:<{_WIDTH}} " + "  ".join(signs)


_WIDTH = max(map(len, (REFERENCE, *MUTANTS)))


def _head() -> list[str]:
    numbers = [f"{number:>2}" for number in range(1, len(contracts()) + 1)]
    return [f"{'':<{_WIDTH}}{' '.join(numbers)}"]


def _sign(found: Mapping[str, Seen], name: str) -> str:
    return _SIGNS[found[name].outcome] if name in found else "."


def _together(each: Iterable[Mapping[str, Seen]]) -> Mapping[str, Seen]:
    """The worst that was said."""
    order = ("untested", "kept", "broken")
    whole: dict[str, Seen] = {}
    for found in each:
        for name, one in found.items():
            before = whole.get(name, one)
            whole[name] = max(before, one, key=lambda seen: order.index(seen.outcome))
    return whole


def _row(name: str, mutant: Mutant) -> str:
    also = "; ".join(f"`{other}`: {why}" for other, why in mutant.also.items())
    cells = (name, f"`{mutant.breaks}`", mutant.when or "always", mutant.conduct, also)
    return f"| {' | '.join(cells)} |"
