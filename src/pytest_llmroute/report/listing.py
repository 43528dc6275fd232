"""What there is: the promises of a configuration, scenarios, faults, contracts and providers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from pytest_llmroute.report.findings import relative
from pytest_llmroute.report.terminal import Page, addressed, placed

if TYPE_CHECKING:
    from pytest_llmroute.routers import RoutingConfig

__all__ = ("LISTS", "promise_lines")


def promise_lines(config: RoutingConfig, page: Page) -> Iterator[str]:
    """A configuration's promises with what makes them, and the keys that are not judged."""
    path, promises, others = relative(config.path), config.promises, config.not_judged
    yield page.headed(f"{path} ({config.kind})")
    for promise in promises:
        because = promise.because
        yield ""
        # Every promise names its source; placed() leaves it out where a line says it.
        source = " (config)" if because.kind == "config" else ""
        yield f"{placed(because)}{source}"
        yield from page.wrapped(f"{promise.contract.id}: {promise.text}", "    ", "  ")
        yield from addressed(because, page)
    if others:
        yield ""
        yield "not judged:"
        for entry in others:
            place = f"{path}:{entry.line}" if entry.line else path
            address = f" ({entry.address})" if entry.address else ""
            where = " ".join(part for part in (place, ".".join(entry.key)) if part)
            yield f"  {where}"
            yield from page.wrapped(f"{entry.reason}{address}", "    ")
    yield ""
    yield f"{path}: {len(promises)} promises, {len(others)} keys not judged"


def _scenarios(page: Page) -> Iterator[str]:
    from llmroute_sim.scenario import shipped

    return _entries({name: found.title for name, found in shipped().items()}, page)


def _faults(page: Page) -> Iterator[str]:
    from llmroute_sim.faults import FAULTS

    return _entries(
        {
            name: " ".join(
                part for part in (_first(kind.__doc__), f"({_settings(kind)})") if part != "()"
            )
            for name, kind in sorted(FAULTS.items())
        },
        page,
    )


def _contracts(page: Page) -> Iterator[str]:
    from pytest_llmroute.contracts import contracts

    return _entries({name: kind.about for name, kind in sorted(contracts().items())}, page)


def _providers(page: Page) -> Iterator[str]:
    from llmroute_sim.providers import providers

    return _entries(
        {
            name: f"{found.title}: {', '.join(found.hosts)} ({found.dialect})"
            for name, found in providers().items()
        },
        page,
    )


LISTS: Mapping[str, Callable[[Page], Iterator[str]]] = {
    "scenarios": _scenarios,
    "faults": _faults,
    "contracts": _contracts,
    "providers": _providers,
}
"""What can be listed."""


def _entries(found: Mapping[str, str], page: Page) -> Iterator[str]:
    column = max(map(len, found), default=0) + 2
    for name, about in found.items():
        yield from page.wrapped(about or name, " " * column, f"{name:<{column}}")


def _first(doc: str | None) -> str:
    """The first sentence of a docstring, without addresses."""
    text = " ".join((doc or "").replace("``", "").split())
    text = re.sub(r" \(https?://[^)\s]+\)", "", text)
    return text.partition(". ")[0].rstrip(".") + "."


def _settings(kind: Any) -> str:
    return ", ".join(
        f"{field.name.replace('_', '-')} = {str(field.default).lower()}"
        for field in fields(kind)
        if field.default is not MISSING
    )
