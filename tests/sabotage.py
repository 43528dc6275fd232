"""Ways to break the product, one at a time, to see that a test notices.

``LLMROUTE_SABOTAGE=name pytest ...`` runs the tests on a product that lacks one stage, fault or rule
(``conftest.py`` applies it); ``benchmarks/sabotage.py`` does so for each name in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from llmroute_sim import (
    deployments,
    dialects,
    faults,
    incidents,
    intake,
    prose,
    providers,
    quotas,
    simulator,
    struck,
    trouble,
    watch,
)
from llmroute_sim.carriers import http1, network
from llmroute_sim.history import History
from pytest_llmroute import contracts


def names() -> list[str]:
    """Everything that can be broken."""
    return [
        *_STAGES,
        *(f"fault:{name}" for name in faults.FAULTS),
        *(f"rule:{name}" for name in contracts.contracts()),
        *(f"lenient:{name}" for name in contracts.contracts()),
        *(f"harsh:{name}" for name in contracts.contracts()),
    ]


def apply(name: str) -> None:
    """Break it, for the rest of the process."""
    kind, _, which = name.partition(":")
    match kind:
        case "fault":
            _calm(faults.FAULTS[which])
        case "rule":
            contracts.contracts()[which].check = lambda self, history: iter(())  # type: ignore[method-assign]
        case "lenient":
            _turn(contracts.contracts()[which], kept=True)
        case "harsh":
            _turn(contracts.contracts()[which], kept=False)
        case _:
            _STAGES[name]()


def _calm(kind: type[faults.Fault]) -> None:
    if issubclass(kind, faults.ConnectFault):
        kind.connect = lambda self: iter(())  # type: ignore[method-assign]
    elif issubclass(kind, faults.AdmitFault):
        kind.admit = lambda self, prompt, window: None  # type: ignore[method-assign]
    elif issubclass(kind, faults.AnswerFault):
        kind.speak = lambda self, answer, prompt, author: answer  # type: ignore[method-assign]
    else:
        kind.bend = lambda self, events, scene: events  # type: ignore[method-assign]


def _turn(kind: type[contracts.Contract], *, kept: bool) -> None:
    check = kind.check

    def turned(self: Any, history: History) -> Iterator[contracts.Observation]:
        return (replace(seen, kept=kept) for seen in check(self, history))

    kind.check = turned  # type: ignore[method-assign]


def _put(owner: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


_note = struck.Struck.note


def _harmless(self: Any, live: incidents.Live, flaw: object = None) -> None:
    _note(self, live)


_STAGES: dict[str, Callable[[], None]] = {
    "stage:name": _put(network.Network, "_looking_up", lambda self, address: iter(())),
    "stage:connect": _put(
        simulator.Simulator, "_dial", lambda self, step, address, call, via: simulator._nothing()
    ),
    "stage:admit": _put(struck.Struck, "turned_away", lambda self, prompt, window: None),
    "stage:answer": _put(
        struck.Struck, "spoken", lambda self, answer, prompt, author, stated: answer
    ),
    "stage:stream": _put(
        struck.Struck, "bent", lambda self, events, dialect, request_id, otherwise=None: events
    ),
    "stage:pretended": _put(trouble, "_check_form", lambda incident, lacking: None),
    "errors:one-table": _put(simulator, "find", lambda name, errors=None: dialects.find(name)),
    "place:ignored": _put(deployments.Deployment, "meets", lambda self, incident, attempt: True),
    "when:attempts": _put(incidents.When, "covers", lambda self, count: True),
    "when:window": _put(incidents.When, "open", lambda self, now: True),
    "when:healed": _put(incidents.Live, "heal", lambda self: None),
    "quota:none": _put(quotas.Meter, "lacking", lambda self, tokens, now: None),
    "quota:no-refill": _put(quotas.Bucket, "refill", lambda self, now: None),
    "quota:free": _put(quotas.Meter, "take", lambda self, tokens: None),
    "size:any": _put(intake, "_too_large", lambda request, provider: False),
    "price:nothing": _put(providers.Tariff, "charge", lambda self, usage: Decimal(0)),
    "prose:no-marks": _put(prose, "_EVERY", 10_000),
    "pace:none": _put(simulator, "paced", lambda events, pace, length: events),
    "stray:forgotten": _put(History, "add_stray", lambda self, at, host, port, call: None),
    "watch:outcome": _put(watch._Seen, "_outcome", lambda self: "200"),
    "watch:complete": _put(watch._Seen, "_whole", lambda self: True),
    "watch:flaws": _put(struck.Struck, "note", _harmless),
    "history:untied": _put(
        History,
        "of",
        lambda self, call: list(self.attempts),
    ),
    "carrier:wait": _put(http1, "Wait", type("NoWait", (), {})),
    "carrier:abort": _put(http1, "Abort", type("NoAbort", (), {})),
}
