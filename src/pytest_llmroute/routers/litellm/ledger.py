"""The account of a file: every key that a user wrote ends up under a promise or under a reason."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from llmroute_sim.faults import FAULTS, ConnectFault
from llmroute_sim.scenario import shipped
from pytest_llmroute.contracts import Contract
from pytest_llmroute.promises import Because, NotJudged, Promise, Source
from pytest_llmroute.routers import Api
from pytest_llmroute.routers.litellm.keys import DOCS, by_variable, documented, not_judged
from pytest_llmroute.routers.litellm.lines import KeyPath, Tree, leaves
from pytest_llmroute.routers.litellm.ways import CHATS, ways

__all__ = ("Ledger", "acting", "all_but", "connecting", "stories_of", "tried")


_IMPLIED = "pages say it of other ways in, and only imply it for these"

_BLOCKING = "the page is about asyncio, and says nothing of blocking calls"


class Ledger:
    """Promises, in the order in which they are found, and the keys that yield none."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._promises: list[Promise] = []
        self._skipped: dict[KeyPath, str] = {}

    def promise(
        self,
        contract: Contract,
        key: KeyPath,
        text: str,
        group: str,
        *,
        kind: Source = "config",
        pages: tuple[str, ...] = (),
        note: str = "",
        entries: tuple[str, ...] = (),
        roles: Mapping[str, tuple[str, ...]] | None = None,
        numbers: Mapping[str, float] | None = None,
        avoid: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Enter a promise. Its addresses are the key's own page, then ``pages`` (relative to the
        documentation, or absolute)."""
        own = documented(key)
        # That a name makes a group is no reason for what pages say of all groups.
        named = key[-1] == "model_name" and pages
        said = own is not None and own.address and kind == "config" and not named
        addresses = [str(own.address)] if own is not None and said else []
        addresses += [page if "://" in page else DOCS + page for page in pages]
        because = Because(
            kind,
            str(self._tree.path),
            self._tree.line(key),
            key,
            tuple(dict.fromkeys(addresses)),
            note,
        )
        self._promises.append(
            Promise(
                contract,
                because,
                text,
                group,
                entries,
                {role: places for role, places in (roles or {}).items() if places},
                dict(numbers or {}),
                dict(avoid or {}),
                dict(options or {}),
            )
        )

    def stated(
        self,
        apis: tuple[Api, ...],
        of: Api,
        contract: Contract,
        key: KeyPath,
        text: str,
        group: str,
        *,
        stream: bool | None = None,
        note: str = "",
        **more: Any,
    ) -> None:
        """Enter a promise that pages make for some APIs, and good practice for the others that a
        group (``of`` chats or embeddings) serves; ``stream`` restricts both."""
        served = _served(of)
        said = ways(*(api for api in served if api in apis), stream=stream)
        left = ways(*(api for api in served if api not in apis), stream=stream)
        self._apart(contract, key, text, group, (said, left), _IMPLIED, note, more)

    def on_asyncio(
        self,
        of: Api,
        contract: Contract,
        key: KeyPath,
        text: str,
        group: str,
        *,
        stream: bool | None = None,
        note: str = "",
        doubt: str = "",
        **more: Any,
    ) -> None:
        """Enter a promise that pages make for asyncio, and good practice for blocking calls."""
        apart = tuple(ways(*_served(of), sync=sync, stream=stream) for sync in (False, True))
        self._apart(contract, key, text, group, apart, doubt or _BLOCKING, note, more)

    def _apart(
        self,
        contract: Contract,
        key: KeyPath,
        text: str,
        group: str,
        apart: tuple[tuple[str, ...], ...],
        doubt: str,
        note: str,
        more: Mapping[str, Any],
    ) -> None:
        """Enter it for the ways in that pages mean, and for those of which that is doubtful."""
        kinds: tuple[tuple[Source, str], ...] = (("config", ""), ("policy", doubt))
        for (kind, doubtful), entries in zip(kinds, apart, strict=True):
            if entries:
                said = "; ".join(filter(None, (note, doubtful)))
                self.promise(
                    contract, key, text, group, kind=kind, note=said, entries=entries, **more
                )

    def skip(self, key: KeyPath, reason: str) -> None:
        """Say why a key yields no promise; the first reason stands."""
        self._skipped.setdefault(key, reason)

    @property
    def promises(self) -> tuple[Promise, ...]:
        """All promises in the order of the file's lines, those of one line as they were found."""
        return tuple(sorted(self._promises, key=lambda promise: promise.because.line or 0))

    def not_judged(self) -> tuple[NotJudged, ...]:
        """The keys that yield no promise, in the order of the file."""
        held = {promise.because.key for promise in self._promises}
        found: dict[KeyPath, NotJudged] = {}
        for leaf in leaves(self._tree.values):
            prefixes = [leaf[:length] for length in range(len(leaf), 0, -1)]
            if any(prefix in held for prefix in prefixes):
                continue
            key = next((prefix for prefix in prefixes if prefix in self._skipped), None)
            reason = self._skipped.get(key or ())
            key = key or _outermost(leaf)
            if reason is None and by_variable(self._value(leaf)) and _number(leaf):
                reason = "its value is read from a variable, so no one can tell it here"
            found.setdefault(key, not_judged(self._tree, key, reason))
        return tuple(found.values())

    def _value(self, key: KeyPath) -> object:
        value: object = self._tree.values
        for part in key:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list):
                value = value[int(part)]
        return value


def _number(key: KeyPath) -> bool:
    found = documented(key)
    return found is not None and found.type in ("seconds", "count", "number")


def _outermost(leaf: KeyPath) -> KeyPath:
    """The key that a reason is given for: of a section its keys, not what is inside of those."""
    match leaf:
        case ("model_list", _, "model_info", "allowed_fails_policy", *_):
            return leaf[:5]
        case ("model_list", _, "litellm_params" | "model_info", *_):
            return leaf[:4]
        case ("model_list", *_):
            return leaf[:3]
        case (_, "retry_policy" | "allowed_fails_policy" | "cache_params", *_):
            return leaf[:3]
        case ("router_settings", "routing_strategy_args" | "routing_groups", *_):
            return leaf[:4]
        case ("router_settings", "model_group_retry_policy", *_):
            return leaf[:4]
        case ("router_settings" | "litellm_settings" | "general_settings", *_):
            return leaf[:2]
        case _:
            return leaf[:1]


def _served(of: Api) -> tuple[Api, ...]:
    return ("embeddings",) if of == "embeddings" else CHATS


def all_but(reason: str, *names: str) -> dict[str, str]:
    """Every shipped scenario but these, with one reason."""
    return dict.fromkeys((name for name in shipped() if name not in names), reason)


def tried(contract: str, avoid: Mapping[str, str]) -> bool:
    """Whether a scenario that is played by default tries a contract, but for those to be avoided."""
    library = shipped()
    return any(name not in avoid and library[name].tries(contract) for name in library.default)


@cache
def connecting() -> tuple[str, ...]:
    """Scenarios whose fault meets a whole host, before it is known which model and key are meant."""
    kinds = {name for name, kind in FAULTS.items() if issubclass(kind, ConnectFault)}
    return tuple(name for name in shipped() if _faults(name) & kinds)


@cache
def acting(*faults: str) -> tuple[str, ...]:
    """Every scenario in which one of these faults acts."""
    return tuple(name for name in shipped() if _faults(name) & {*faults})


@cache
def stories_of(*faults: str) -> tuple[str, ...]:
    """Scenarios beside those that are played by default in which one of these faults acts."""
    library = shipped()
    return tuple(
        name for name in library if name not in library.default and _faults(name) & {*faults}
    )


def _faults(name: str) -> set[str]:
    """The faults of a scenario by their names."""
    said = [one.get("fault") for one in shipped()[name].entry.get("incident", ())]
    return {fault["name"] if isinstance(fault, Mapping) else str(fault) for fault in said}
