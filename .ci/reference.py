"""The reference page, made of the docstrings of everything that is public.

``python .ci/reference.py`` prints it; with ``--write`` it goes to ``docs/reference.md``. A test
compares the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference.md"

SECTIONS = (
    ("Fixtures", "pytest_llmroute.plugin", ("llmroute", "llmroute_factory", "llmroute_scenario", "llmroute_server")),
    ("In a world", "pytest_llmroute", ("world", "World", "Recorded")),
    ("What is set up", "pytest_llmroute", ("Place", "When", "Incident", "Live", "Scenario")),
    ("What is found", "pytest_llmroute", ("History", "Call", "Attempt", "Path", "Clock")),
    ("Contracts", "pytest_llmroute", ("Contract", "Observation", "Target", "Entry")),
    ("Errors", "pytest_llmroute", ("Stuck", "Unknown")),
    ("Strategies of Hypothesis", "pytest_llmroute.strategies", ()),
    ("Fallback contracts", "pytest_llmroute.contracts.fallback", ()),
    ("Retry contracts", "pytest_llmroute.contracts.retry", ()),
    ("Stream contracts", "pytest_llmroute.contracts.stream", ()),
    ("Budget contracts", "pytest_llmroute.contracts.budget", ()),
    ("Cache contracts", "pytest_llmroute.contracts.cache", ()),
    ("Health contracts", "pytest_llmroute.contracts.health", ()),
)  # fmt: skip
"""Headings, the module that the names are taken from, and the names (none: all that it exports)."""

HEAD = """\
# Reference

Made of the docstrings. Times are virtual seconds, money is in USD, unless said otherwise. Faults have
a page of their own: [fault](fault.md).
"""


def page() -> str:
    """The whole page."""
    loader = griffe.GriffeLoader(
        search_paths=[ROOT / "src", ROOT / "simulator", ROOT / "fixtures"],
        docstring_parser="auto",
        allow_inspection=False,
    )
    for package in ("llmroute_sim", "pytest_llmroute"):
        loader.load(package)
    loader.resolve_aliases(external=False)
    parts = [HEAD]
    for title, module, names in SECTIONS:
        found = loader.modules_collection[module]
        parts.append(f"\n## {title}\n")
        if not names and found.docstring:
            parts.append(f"\n{_prose(found.docstring.value)}\n")
        for name in names or tuple(_exported(found)):
            parts += _entry(_resolved(loader, found, name), name)
    return "".join(parts)


def _exported(module: griffe.Object) -> Iterator[str]:
    for export in module.exports or ():
        name = export if isinstance(export, str) else export.name
        if name != "CONTRACTS":
            yield name


def _resolved(loader: griffe.GriffeLoader, module: griffe.Object, name: str) -> griffe.Object:
    found = module.members.get(name)
    if found is None:
        raise KeyError(f"{module.path} has no public {name}")
    return found.final_target if isinstance(found, griffe.Alias) else found


def _entry(found: griffe.Object, name: str) -> Iterator[str]:
    yield f"\n### {name}\n"
    if isinstance(found, griffe.Class):
        yield from _class(found)
    elif isinstance(found, griffe.Function):
        yield _signature(found)
    if found.docstring:
        yield f"\n{_prose(found.docstring.value)}\n"
    if isinstance(found, griffe.Class):
        yield from _members(found)


def _class(found: griffe.Class) -> Iterator[str]:
    values = [one for one in found.attributes.values() if _is_field(one)]
    if values and any("dataclass" in str(one.value) for one in found.decorators):
        fields = ", ".join(_field(one) for one in values)
        yield f"\n```text\n{found.name}({fields})\n```\n"


def _is_field(one: griffe.Attribute) -> bool:
    shown = not one.name.startswith("_") and "repr=False" not in str(one.value)
    return shown and "instance-attribute" in one.labels and "ClassVar" not in str(one.annotation)


def _field(one: griffe.Attribute) -> str:
    made = re.fullmatch(r"field\(default(?:_factory)?=(\w+)\)", str(one.value))
    value = {"list": "[]", "dict": "{}"}.get(made[1], made[1]) if made else one.value
    return f"{one.name}: {one.annotation}{'' if value is None else f' = {value}'}"


def _members(found: griffe.Class) -> Iterator[str]:
    for base in reversed(found.mro()):
        yield from _own_members(base)
    yield from _own_members(found)


def _own_members(found: griffe.Class) -> Iterator[str]:
    for name, one in found.members.items():
        if name.startswith("_") or one.is_alias or not one.docstring:
            continue
        said = _prose(one.docstring.value)
        if isinstance(one, griffe.Function):
            shown = f"`{name}({_parameters(one, short=True)})`"
        elif isinstance(one, griffe.Attribute):
            shown = f"`{name}`"
        else:
            continue
        yield f"\n- {shown}: {_indented(said)}"
    yield "\n"


def _signature(found: griffe.Function) -> str:
    if any("fixture" in str(one.value) for one in found.decorators):
        return ""
    return f"\n```text\n{found.name}({_parameters(found)})\n```\n"


def _parameters(found: griffe.Function, *, short: bool = False) -> str:
    shown, star = [], False
    for one in found.parameters:
        if one.name in ("self", "cls"):
            continue
        if one.kind is griffe.ParameterKind.keyword_only and not star:
            star = True
            shown.append("*")
        prefix = {
            griffe.ParameterKind.var_positional: "*",
            griffe.ParameterKind.var_keyword: "**",
        }.get(one.kind, "")  # type: ignore[arg-type]  # None has no prefix either
        star = star or prefix == "*"
        kind = "" if short or one.annotation is None else f": {one.annotation}"
        default = "" if one.default is None or prefix else f"={one.default}"
        shown.append(f"{prefix}{one.name}{kind}{default}")
    return ", ".join(shown)


def _prose(text: str) -> str:
    """Markdown of a docstring: its roles and literals are reStructuredText's."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def _indented(text: str) -> str:
    return re.sub(r"\n(?=.)", "\n  ", text)


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page())
