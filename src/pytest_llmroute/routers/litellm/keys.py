"""What LiteLLM's documentation says of each key of ``config.yaml``: where it is explained, what its
value must be, and why some yield no promise. The table is data (``llmroute_data/litellm``)."""

from __future__ import annotations

import difflib
import fnmatch
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pytest_llmroute.promises import NotJudged
from pytest_llmroute.routers.litellm.lines import KeyPath, Tree

__all__ = ("DOCS", "Key", "by_variable", "check", "data", "documented", "not_judged", "plain")

DOCS = "https://docs.litellm.ai/docs/"

_SECTIONS = ("router_settings", "litellm_settings", "general_settings")
_INNER = {
    ("router_settings", "retry_policy"): "retry_policy",
    ("router_settings", "allowed_fails_policy"): "allowed_fails_policy",
    ("router_settings", "routing_strategy_args"): "routing_strategy_args",
    ("litellm_settings", "cache_params"): "cache_params",
}
"""Tables whose keys are known, by where they stand."""


_TABLES = (("model_list",), ("router_settings", "routing_groups"))
"""Lists of tables whose keys are known."""


@dataclass(frozen=True, slots=True)
class Key:
    """A documented key. ``sure`` is how firmly its page says what it says; ``type`` what its value
    must be, None where anything goes; ``why`` the reason why it yields no promise."""

    page: str | None = None
    sure: str = "stated"
    type: str | None = None
    why: str | None = None

    @property
    def address(self) -> str | None:
        """The page's URL."""
        return None if self.page is None else DOCS + self.page


@cache
def data(name: str) -> Mapping[str, Any]:
    """A table of ``llmroute_data/litellm``."""
    text = files("llmroute_data").joinpath("litellm", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def _keys(section: str) -> Mapping[str, Key]:
    return {name: Key(**entry) for name, entry in data("keys").get(section, {}).items()}


def _place(path: KeyPath) -> tuple[str, str] | None:
    """The table that knows a key, and the key's name there."""
    match path:
        case ("model_list", _, "model_info", "allowed_fails_policy", name, *_):
            return "allowed_fails_policy", name
        case ("router_settings", "model_group_retry_policy", _, name, *_):
            return "retry_policy", name
        case ("router_settings", "routing_groups", _, name, *_):
            return "routing_groups", name
        case ("model_list", _, ("litellm_params" | "model_info") as section, name, *_):
            return section, name
        case ("model_list", _, name, *_):
            return "entry", name
        case (section, name, inner, *_) if (section, name) in _INNER:
            return _INNER[section, name], inner
        case (("router_settings" | "litellm_settings") as section, name, *_):
            return section, name
        case (name,) | (name, *_) if name not in (*_SECTIONS, "model_list"):
            return "top", name
        case _:
            return None


def documented(path: KeyPath) -> Key | None:
    """What is known of a key, None for one that no page explains."""
    place = _place(path)
    found = None if place is None else _keys(place[0]).get(place[1]) or _family(*place)
    if found is not None and found.page is None and len(path) > 2:
        outer = documented(path[:4] if path[0] == "model_list" else path[:2])
        page = None if outer is None else outer.page
        return Key(page, found.sure, found.type, found.why)
    return found


def _family(section: str, name: str) -> Key | None:
    """What is known of the family that a key of a deployment belongs to."""
    if section not in ("litellm_params", "model_info"):
        return None
    return next(
        (key for each, key in _keys("families").items() if fnmatch.fnmatch(name, each)), None
    )


def not_judged(tree: Tree, path: KeyPath, reason: str | None = None) -> NotJudged:
    """The entry of a key that yields no promise; without a reason, the table's."""
    found = documented(path)
    address = None if found is None else found.address
    if reason is None and found is not None:
        reason = found.why or "nothing in this file lets it be tried"
    if reason is None:
        reason, address = _unknown(path)
    return NotJudged(path, tree.line(path), reason, address)


def _unknown(path: KeyPath) -> tuple[str, str | None]:
    settings = DOCS + "proxy/config_settings"
    match path:
        case ("general_settings", *_):
            return (
                "belongs to the proxy's own server, which is not run here",
                f"{settings}#general_settings---reference",
            )
        case ("model_list", _, "litellm_params", name, *_) if name in _request_names():
            return "a parameter of every request; nothing about routing", DOCS + _request_page()
        case ("model_list", _, "model_info", *_):
            return "a note of the user's own about the model", DOCS + "proxy/configs"
        case ("router_settings" | "litellm_settings" | "model_list",):
            return "is empty", DOCS + "proxy/configs"
    place = _place(path)
    section, name = place or ("top", path[-1])
    known = {*_keys(section), *(_SECTIONS if section == "top" else ())}
    if section == "litellm_params":
        known |= _request_names()
    close = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    hint = f"; closest: {close[0]}" if close else ""
    effect = {
        "router_settings": "LiteLLM ignores it",
        "litellm_settings": "it only sets an attribute of that name",
        "litellm_params": "it goes to the provider as a parameter of the request",
    }.get(section, "nothing is known to read it")
    return (
        f"not a key that LiteLLM documents here, so it has no effect on routing: {effect}{hint}",
        None,
    )


@cache
def _request_names() -> frozenset[str]:
    return frozenset(data("keys")["request"]["names"])


def _request_page() -> str:
    return str(data("keys")["request"]["page"])


# -- values


_SAYS = {
    "seconds": "a number of seconds, 0 or more",
    "count": "a whole number, 0 or more",
    "number": "a number, 0 or more",
    "yes": "true or false",
    "text": "text",
    "list": "a list",
    "table": "a table of settings",
}


def by_variable(value: object) -> bool:
    """Whether a value is read from a variable of the environment."""
    return isinstance(value, str) and value.startswith("os.environ/")


def plain(path: KeyPath, table: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are empty, or whose number only a variable knows."""
    return {
        key: value
        for key, value in table.items()
        if value is not None and not (by_variable(value) and _measured((*path, key)))
    }


def _measured(path: KeyPath) -> bool:
    found = documented(path)
    return found is not None and found.type in (
        "seconds",
        "count",
        "number",
        "yes",
        "list",
        "table",
    )


def check(tree: Tree) -> None:
    """Raises ``ConfigError`` at the first documented key whose value is of another type."""
    for path, value in _documented_values(tree.values, ()):
        found = documented(path) if _exact(path) else None
        if found is None or found.type is None or value is None or by_variable(value):
            continue
        if not _fits(found.type, value):
            raise tree.error(f"must be {_SAYS[found.type]}", path)


def _exact(path: KeyPath) -> bool:
    """Whether a path is a key of a table itself, and not something inside its value."""
    match path:
        case ("model_list", _, "litellm_params" | "model_info", _) | ("model_list", _, _):
            return True
        case ("model_list", _, "model_info", "allowed_fails_policy", _):
            return True
        case ("router_settings", "model_group_retry_policy", _, _):
            return True
        case ("router_settings", "routing_groups", _, _):
            return True
        case (section, name, _):
            return (section, name) in _INNER
        case _:
            return len(path) < 3


def _documented_values(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if len(path) > 5:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), inner
            if path or key in (*_SECTIONS, "model_list"):
                yield from _documented_values(inner, (*path, key))
    elif isinstance(value, list) and path in _TABLES:
        for number, inner in enumerate(value):
            yield from _documented_values(inner, (*path, str(number)))


def _fits(kind: str, value: object) -> bool:
    match kind, value:
        case (("seconds" | "number" | "count"), bool()):
            return False
        case "count", int():
            return value >= 0
        case (("seconds" | "number"), (int() | float())):
            return value >= 0
        case "number", str():  # YAML 1.1 reads 1e-6, without a dot, as text
            try:
                return float(value) >= 0
            except ValueError:
                return False
        case "yes", bool():
            return True
        case "text", str():
            return True
        case "list", list():
            return True
        case "table", dict():
            return True
        case _:
            return False
