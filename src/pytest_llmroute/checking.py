"""Checking a configuration from a test: its promises tried and judged in this process."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from llmroute_sim.names import Unknown
from pytest_llmroute import cases
from pytest_llmroute.configs import find
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.guest import Remembering
from pytest_llmroute.identity import lasting_names, meant
from pytest_llmroute.report import failure
from pytest_llmroute.report.findings import Finding, Sheet
from pytest_llmroute.report.terminal import Page, worded
from pytest_llmroute.routers import RoutingConfig
from pytest_llmroute.run import Choice
from pytest_llmroute.sweep import choose

__all__ = ("check",)

_INDENT = 4
"""Columns that pytest puts before the lines of an assertion."""

_ASIDE = 5
"""So many more are named when several promises do not hold."""


def check(
    config: str | os.PathLike[str],
    *,
    promise: str | None = None,
    scenario: str | None = None,
    entry: str | None = None,
    seed: int = 0,
) -> None:
    """Try the promises of a routing configuration, and fail unless all that were asked for hold.

    ``config`` is a LiteLLM ``config.yaml`` or an ``llmroute.toml``. ``promise`` is the id of one
    (``"fallback.order[assistant:20]"``, or without the line all that are called so), ``scenario``
    a shipped one or a TOML file, ``entry`` a way in (``"chat-async-stream"``), ``seed`` what chance is
    drawn from; what is not said is all that ``llmroute run`` would try. A line that is wrong since the
    file was edited does no harm.

    The router runs in this process, on a virtual clock, beside simulated providers. A promise that
    breaks in one scenario is broken; one that no scenario tried fails too, and says why.

    Raises ``AssertionError`` with the evidence; ``ValueError`` (``Unknown``) with the closest one for a
    promise, scenario or entry that does not exist or does not belong together; ``ConfigError`` for a file
    with something wrong in it; ``MissingPackage`` and ``CannotPlay`` for a router that cannot be run;
    ``RuntimeError`` inside a running event loop.
    """
    __tracebackhide__ = True
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "check() runs event loops of its own, so it cannot be called inside of one: call it in a "
            "plain function ('def test_...', not 'async def')"
        )
    path = Path(config)
    if path.is_dir():
        raise ConfigError("is a folder: name the configuration in it", path=path)
    (read,) = find([path]).configs
    chosen = _chosen(read, promise, scenario, entry, seed)
    found = cases.found(read, chosen, Remembering())
    if said := _said(found):
        raise AssertionError(said)


def _chosen(
    config: RoutingConfig, promise: str | None, scenario: str | None, entry: str | None, seed: int
) -> list[cases.Case]:
    """The cases that are asked for, every name checked."""
    asked = () if scenario is None else (scenario,)
    names = None if promise is None else _meant(config, promise)
    # A contract that is named is judged even where it is only good practice.
    contracts = sorted({name.partition("[")[0] for name in names or ()})
    every = cases.cases(config, choose(asked, contracts, seed=seed))
    chosen = [case for case in every if names is None or case.name in names]
    if names is not None and not chosen:
        raise ValueError(f"{scenario} does not try {promise}{_elsewhere(config, names)}")
    if not chosen:
        tried = f"{scenario} tries none of its promises" if scenario else "it promises nothing"
        raise ValueError(f"nothing of {config.path} can be checked: {tried}")
    if entry is not None:
        ways = {str(cell.entry) for case in chosen for cell in case.cells}
        if entry not in ways:
            raise Unknown("entry", entry, ways)
        chosen = [
            replace(case, cells=cells)
            for case in chosen
            if (cells := tuple(cell for cell in case.cells if str(cell.entry) == entry))
        ]
    return chosen


def _meant(config: RoutingConfig, promise: str) -> set[str]:
    """The ids of the promises that a name may mean. Raises ``Unknown``."""
    names = [name for name, _ in cases.named(config.promises)]
    known = dict(zip(names, dict.fromkeys(lasting_names(config.promises)), strict=True))
    if promise in known:
        return {promise}
    found = meant(promise, tuple(known.values()))
    if not found:
        raise Unknown("promise", promise, known)
    return {name for name, lasting in known.items() if lasting in found}


def _elsewhere(config: RoutingConfig, names: set[str]) -> str:
    tried = {
        case.scenario: None
        for case in cases.cases(config, Choice(policy=True))
        if case.name in names and case.scenario
    }
    return f" (scenarios that do: {', '.join(tried)})" if tried else ", nor does any other scenario"


def _said(found: Sheet) -> str:
    """What there is against a configuration: of the first promise everything, of others in short."""
    page = _page()
    failing: list[Finding] = [*found.those("broken"), *found.those("untested")]
    if not failing:
        return ""
    first, *others = failing
    if first.outcome == "untested":
        lines = [failure.untested(first, page)]
    else:
        told = failure.broken(found, first, page)
        lines = [told.text, "", told.timeline]
    if others:
        lines += ["", *(_short(one) for one in others[:_ASIDE])]
    if len(others) > _ASIDE:
        lines.append(f"and {len(others) - _ASIDE} more")
    return "\n".join(lines)


def _short(found: Finding) -> str:
    broken = found.those("broken")
    why = worded(broken[0])[0] if broken else "; ".join(found.reasons)
    return f"{found.outcome}: {found.id}: {why}"


def _page() -> Page:
    encoding = getattr(sys.__stdout__, "encoding", None) or ""
    columns = shutil.get_terminal_size().columns
    return Page(max(60, min(columns, 120)) - _INDENT, plain="utf" not in encoding.lower())
