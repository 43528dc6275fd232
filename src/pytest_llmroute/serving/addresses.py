"""Where each provider is on a loopback server: its path, its base URL, the variables that lead there."""

from __future__ import annotations

import os
from collections.abc import Mapping

from llmroute_sim.providers import provider as provider_named
from llmroute_sim.providers import providers
from llmroute_sim.wire import Address

__all__ = ("base_url", "environment", "past_proxies", "paths", "roots")

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def paths() -> dict[str, Address]:
    """The first path segment of each provider (its name), and the address that it leads to."""
    return {name: Address(found.hosts[0]) for name, found in providers().items()}


def base_url(origin: str, provider: str) -> str:
    """The base URL that a client of a provider is given, where all are behind one ``origin``.

    It is the origin, the provider's name, and the path of the provider's own base URL:
    ``http://127.0.0.1:8080/openai/v1``, ``http://127.0.0.1:8080/anthropic``.
    Raises ``Unknown`` for a provider that does not exist.
    """
    return f"{origin.rstrip('/')}/{provider}{provider_named(provider).base_path}"


def roots(origin: str) -> dict[str, str]:
    """Where each provider is, by its name, if all are behind one ``origin``: the URL that the path of
    a provider's own base URL follows."""
    return {name: f"{origin.rstrip('/')}/{name}" for name in providers()}


def environment(found_at: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead the SDKs of every provider to where it is (:func:`roots`), with keys
    that open nothing."""
    found: dict[str, str] = {}
    for name, known in providers().items():
        if (variable := known.environment.get("base-url")) is not None:
            path = known.environment.get("base-path", known.base_path)
            found[variable] = f"{found_at[name]}{path}"
        if (variable := known.environment.get("key")) is not None:
            found[variable] = f"sk-llmroute-{name}"
    return found


def past_proxies(beside: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that have a proxy leave loopback alone, where ``beside`` names a proxy."""
    if not any(beside.get(name) or beside.get(name.upper()) for name in _PROXIES):
        return {}
    ours = "127.0.0.1,localhost"
    return {
        name: f"{beside[name]},{ours}" if beside.get(name) else ours
        for name in ("NO_PROXY", "no_proxy")
    }
