"""Reading ``llmroute.toml``: which functions to ask, in what world, and what they promise."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from llmroute_sim.history import fingerprint
from llmroute_sim.names import Unknown
from llmroute_sim.providers import provider, providers
from llmroute_sim.simulator import Deployment
from pytest_llmroute.errors import ConfigError
from pytest_llmroute.promises import NotJudged, Promise
from pytest_llmroute.routers import Entry, Router
from pytest_llmroute.routers.own.added import AddedConfig, added
from pytest_llmroute.routers.own.callables import (
    WAYS,
    Callables,
    Function,
    Unusable,
    awaited,
    imported,
)
from pytest_llmroute.routers.own.promises import promises_in
from pytest_llmroute.routers.own.tables import Table, load
from pytest_llmroute.routers.own.targets import Map

__all__ = ("NAME", "OwnConfig", "read")

NAME = "llmroute.toml"

_KEYS = ("format", "policy", "router", "options", "hosts", "environment", "promise")
_ROUTER_KEYS = ("kind", *WAYS, "group")
_ANSWERING = ("call", "text", "responses", "messages")
_HOST_KEYS = ("provider", "models", "place")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class OwnConfig:
    """A router of the user's own, as ``llmroute.toml`` describes it.

    ``functions`` are the ``package.module:name`` strings by what they answer (``call``, ``stream``,
    ``messages``, ``embed``...). The module is imported only when the ways in have to be known, or the
    router is opened.
    """

    kind: ClassVar[str] = "callable"

    path: Path
    group: str
    functions: Mapping[str, str]
    promises: tuple[Promise, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def not_judged(self) -> tuple[NotJudged, ...]:
        """Nothing: a key that means nothing is an error."""
        return ()

    @property
    def keys(self) -> frozenset[str]:
        """The fingerprints of the values of variables that are called a key."""
        named = (value for name, value in self.environment.items() if name.endswith("_KEY"))
        return frozenset(map(fingerprint, named))

    def entries(self, group: str) -> tuple[Entry, ...]:
        """The ways in: blocking or on asyncio, as the functions are. Raises ``ConfigError``."""
        return self._entries if group == self.group else ()

    def load(self) -> None:
        """Nothing: the functions are imported afresh for each router."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Router]:
        """Import the functions afresh; on leaving, forget their modules. Raises ``ConfigError``."""
        with self._imported() as functions:
            yield Callables(functions)

    @cached_property
    def _entries(self) -> tuple[Entry, ...]:
        with self._imported() as functions:
            return tuple(
                replace(entry, sync=not awaited(functions[role]))
                for role, entry in WAYS.items()
                if role in functions
            )

    @contextmanager
    def _imported(self) -> Iterator[Mapping[str, Function]]:
        with ExitStack() as stack:
            folder = self.path.parent.resolve()
            try:
                found = stack.enter_context(imported(folder, self.functions, self.environment))
            except Unusable as error:
                raise ConfigError(
                    str(error),
                    path=self.path,
                    line=self.lines.get(error.role),
                    key=("router", error.role),
                    closest=error.closest,
                ) from error
            yield found


def read(path: Path) -> OwnConfig | AddedConfig | None:
    """Read a file, None if it is not called ``llmroute.toml`` or describes no router. Raises
    ``ConfigError`` with the line of what is wrong."""
    if path.name != NAME:
        return None
    whole = load(path)
    if "router" not in whole.entry:
        return None
    version = whole.entry.get("format")
    if version != 1:
        said = "format is missing" if version is None else f"format {version!r} is not known"
        raise whole.error(f"{said} (write format = 1)", None if version is None else "format")
    router = whole.table("router")
    if _kind(router) == AddedConfig.kind:
        return added(whole)
    whole.check(NAME, _KEYS)
    router.check("router", _ROUTER_KEYS)
    functions = _functions(router)
    group = router.text("group", "a name") or path.resolve().parent.name
    environment = _environment(whole.table("environment"))
    hosts = tuple(
        _host(name, whole.table("hosts").table(name)) for name in whole.table("hosts").entry
    )
    promises = promises_in(whole, Map(hosts, environment), group)
    lines = {role: router.line(role) for role in functions}
    return OwnConfig(path, group, functions, promises, hosts, environment, lines)


def _kind(router: Table) -> str:
    kind = router.text("kind", "a kind of router")
    if kind is None:
        raise router.error('kind is missing (write kind = "callable")')
    known = (OwnConfig.kind, AddedConfig.kind)
    if kind not in known:
        raise router.unknown(Unknown("kind of router", kind, known), "kind")
    return kind


def _functions(router: Table) -> dict[str, str]:
    found = {}
    for role in WAYS:
        name = router.text(role, "package.module:name")
        if name is not None:
            if not _FUNCTION.fullmatch(name):
                raise router.error(f"{name!r} is not package.module:name", role)
            found[role] = name
    if found.keys().isdisjoint(_ANSWERING):
        raise router.error('call is missing (write call = "package.module:name")')
    return found


def _environment(table: Table) -> dict[str, str]:
    """Variables and their values; a key that is left empty gets one that opens nothing."""
    found = {}
    for name, value in table.entry.items():
        if not isinstance(value, str):
            raise table.error(f"{value!r} is not a string", name)
        throw_away = f"sk-llmroute-{name.lower().replace('_', '-')}"
        found[name] = throw_away if not value and name.endswith("_KEY") else value
    return found


def _host(name: str, table: Table) -> Deployment:
    table.check("a host", _HOST_KEYS)
    if not _HOST.fullmatch(name):
        raise table.error(f"{name!r} is not a host name (lower case, without scheme or port)")
    maker = table.text("provider", "the name of a provider")
    if maker is None:
        raise table.error("provider is missing: whose format and prices the host has")
    try:
        found = provider(maker)
    except Unknown as unknown:
        raise table.unknown(unknown, "provider") from unknown
    models = frozenset(table.texts("models", "models"))
    place = table.text("place", "a short name") or name
    if place in providers():
        raise table.error(f"{place!r} is the name of a provider", "place")
    return Deployment(name, found, place, models=models)
