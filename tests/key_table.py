# The tables of docs/litellm.md: what every key of LiteLLM's promises, and why some promise nothing.

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edits import EDITS
from pytest_llmroute.promises import Promise
from pytest_llmroute.routers import litellm
from pytest_llmroute.routers.litellm.keys import Key, data, documented
from pytest_llmroute.routers.litellm.lines import KeyPath

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "litellm.md"
SECTIONS = {
    "entry": "model_list", "litellm_params": "litellm_params", "model_info": "model_info",
    "router_settings": "router_settings", "retry_policy": "router_settings.retry_policy",
    "allowed_fails_policy": "router_settings.allowed_fails_policy",
    "routing_strategy_args": "router_settings.routing_strategy_args",
    "routing_groups": "router_settings.routing_groups", "litellm_settings": "litellm_settings",
    "cache_params": "litellm_settings.cache_params", "top": "", "families": "litellm_params",
}  # fmt: skip
PATHS = {
    "entry": ("model_list", "0"), "litellm_params": ("model_list", "0", "litellm_params"),
    "model_info": ("model_list", "0", "model_info"),
    "routing_groups": ("router_settings", "routing_groups", "0"),
    "top": (), "families": ("model_list", "0", "litellm_params"),
}  # fmt: skip

TABLES_OF_KEYS = {
    "router_settings.retry_policy", "router_settings.allowed_fails_policy",
    "router_settings.routing_groups", "litellm_settings.cache_params",
}  # fmt: skip
"""Whose own keys are in the tables."""


def promises() -> Iterator[Promise]:
    """All that is promised by the files that are edited to show what each key promises."""
    texts = dict.fromkeys(text for edit in EDITS for text in (edit.before, edit.after))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        for text in texts:
            path.write_text(text, "utf-8")
            config = litellm.read(path)
            assert config is not None
            yield from config.promises


def place(key: KeyPath) -> tuple[str, str]:
    """The section of the table of keys, and the name there."""
    match key:
        case ("model_list", _, "model_info", "allowed_fails_policy", _):
            return "model_info", "allowed_fails_policy"
        case ("router_settings", "model_group_retry_policy", *_):
            return "router_settings", "model_group_retry_policy"
        case ("router_settings", "routing_groups", _, name):
            return "routing_groups", name
        case ("model_list", _, ("litellm_params" | "model_info") as section, name, *_):
            return section, name
        case ("model_list", _, name):
            return "entry", name
        case (_, ("retry_policy" | "allowed_fails_policy" | "cache_params") as section, name):
            return section, name
        case (section, name, *_):
            return section, name
    raise AssertionError(key)


def governed(section: str, name: str) -> list[str]:
    """The contracts of other keys that a key says something about."""
    return sorted({f"`{edit.contract}`" for edit in EDITS if edit.key == f"{section}.{name}"})


def followed(section: str, name: str) -> str:
    """Whether what LiteLLM asks changes with a key, or why it does not."""
    edits = [edit for edit in EDITS if edit.key == f"{section}.{name}"]
    return "yes" if any(not edit.why for edit in edits) else "; ".join({e.why for e in edits})


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def page(key: Key | None) -> str:
    if key is None or key.address is None or key.page is None:
        return ""
    return f"[{key.page.partition('#')[0].rstrip('/')}]({key.address})"


def known(section: str, name: str) -> Key:
    path = PATHS.get(section) or tuple(SECTIONS[section].split(".")) if section != "top" else ()
    key = documented((*path, name)) if section != "families" else Key(**data("keys")[section][name])
    assert key is not None, (section, name)
    return key


def promised() -> str:
    """Key, contracts, how many promises the edited files make, address and sureness."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for promise in promises():
        kinds = found.setdefault(place(promise.because.key), {})
        kinds.setdefault(promise.contract.id, set()).add(promise.because.kind)
    lines = [
        row(("key", "where", "contracts", "number", "page", "sure", "LiteLLM follows an edit")),
        row(["---"] * 7),
    ]
    for section, keys in data("keys").items():
        for name in keys if section in SECTIONS else ():
            if f"{section}.{name}" in TABLES_OF_KEYS:
                continue
            key, kinds = known(section, name), found.get((section, name), {})
            if key.why is not None:
                continue
            named = ", ".join(
                f"`{contract}`" if kinds[contract] != {"policy"} else f"*`{contract}`*"
                for contract in sorted(kinds)
            )
            named = named or f"counts for {', '.join(governed(section, name))} of other keys"
            lines.append(
                row(
                    (
                        f"`{name}`",
                        f"`{SECTIONS[section]}`",
                        named,
                        str(len(kinds)),
                        page(key),
                        key.sure,
                        followed(section, name),
                    )
                )
            )
    return "\n".join(lines)


def not_judged() -> str:
    """Key, reason, address and sureness."""
    lines = [row(("key", "where", "why it promises nothing", "page", "sure")), row(["---"] * 5)]
    for section, keys in data("keys").items():
        for name in keys if section in SECTIONS else ():
            key = known(section, name)
            if key.why is None:
                continue
            where = f"`{SECTIONS[section]}`" if SECTIONS[section] else "the file"
            cells = (f"`{name}`", where, key.why.replace("|", "\\|"), page(key), key.sure)
            lines.append(row(cells))
    return "\n".join(lines)


def tables() -> Mapping[str, str]:
    return {"promised": promised(), "not-judged": not_judged()}


def written(text: str, made: Mapping[str, str]) -> str:
    """A page with its tables made anew."""
    for name, table in made.items():
        whole = f"<!-- table: {name} -->\n{table}\n<!-- end -->"
        text = re.sub(
            rf"<!-- table: {name} -->\n.*?<!-- end -->",
            lambda _, whole=whole: whole,
            text,
            flags=re.S,
        )
    return text
