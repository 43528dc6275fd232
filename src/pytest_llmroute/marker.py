"""The marker ``llmroute``, read; and backends that cannot take part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from llmroute_sim.names import Unknown

__all__ = ("Marked", "marked", "refuse_backend", "refuse_trio")


@dataclass(frozen=True, slots=True)
class Marked:
    """What the markers of a test say, the closest first."""

    strict: bool = True
    seed: int | None = None
    hosts: tuple[str, ...] = ()
    scenarios: tuple[str, ...] | None = None


_KEYS = ("hosts", "scenarios", "seed", "strict")


def marked(item: pytest.Item) -> Marked:
    """Read the markers of a test. Raises ``Unknown`` or ``TypeError`` with what is wrong."""
    settings: dict[str, Any] = {}
    hosts: list[str] = []
    for marker in item.iter_markers("llmroute"):
        if marker.args:
            raise TypeError(
                f"the marker llmroute takes keywords only ({', '.join(_KEYS)}), not {marker.args!r}"
            )
        for key, value in marker.kwargs.items():
            if key not in _KEYS:
                raise Unknown("keyword of the marker llmroute", key, _KEYS)
            if not _fits(key, value):
                raise TypeError(f"llmroute({key}={value!r}): {_WANTED[key]}")
            match key, value:
                case "hosts", str():
                    hosts.append(value)
                case "hosts", _:
                    hosts += value
                case "scenarios", _:
                    settings.setdefault(key, (value,) if isinstance(value, str) else tuple(value))
                case _:
                    settings.setdefault(key, value)
    return Marked(**settings, hosts=tuple(hosts))


_WANTED = {
    "strict": "True or False",
    "seed": "a whole number",
    "hosts": "a list of host names",
    "scenarios": "a list of names and paths",
}


def _fits(key: str, value: object) -> bool:
    match key:
        case "strict":
            return isinstance(value, bool)
        case "seed":
            return value is None or type(value) is int
        case _:
            return isinstance(value, Iterable)


def refuse_trio(request: pytest.FixtureRequest) -> None:
    """Fail a test that would run on a loop whose time is not ours to give."""
    if "anyio_backend" in request.fixturenames:
        refuse_backend(request.getfixturevalue("anyio_backend"))


def refuse_backend(backend: Any) -> None:
    """Fail a test that runs on another backend of anyio than asyncio."""
    name = backend if isinstance(backend, str) else backend[0]
    if name != "asyncio":
        pytest.fail(
            f"llmroute: this test runs on {name}, whose clock and sockets are out of reach. Run it on "
            "asyncio: give the module or conftest.py a fixture\n\n"
            "    @pytest.fixture\n"
            "    def anyio_backend():\n"
            '        return "asyncio"\n',
            pytrace=False,
        )
