"""The reference page, made of what the code says of itself: docstrings, the options of pytest and of
the command line.

``python .ci/reference.py`` prints it; with ``--write`` it goes to ``docs/reference.md``. A test
compares the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import griffe

from pytest_llmroute import cli, plugin

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference.md"

SECTIONS = (
    ("Fixtures", "pytest_llmroute.plugin", ("llmroute", "llmroute_factory", "llmroute_scenario", "llmroute_server")),
    ("Worlds", "pytest_llmroute", ("world", "World", "Recorded", "WorldFactory", "Server", "Clock")),
    ("Configurations", "pytest_llmroute", ("check",)),
    ("What is set up", "pytest_llmroute", ("Place", "When", "Incident", "Live", "Scenario", "Template")),
    ("", "llmroute_sim.workload", ("Ask",)),
    ("What is found", "pytest_llmroute", ("History", "Call", "Attempt", "Path", "Figures", "measure")),
    ("Errors", "pytest_llmroute", ("Stuck", "Unknown", "Unplayable")),
    ("Strategies of Hypothesis", "pytest_llmroute.strategies", ()),
    ("Contracts", "pytest_llmroute", ("Contract", "Observation", "Target", "Entry")),
    ("Contracts of fallback", "pytest_llmroute.contracts.fallback", ()),
    ("Contracts of retries", "pytest_llmroute.contracts.retry", ()),
    ("Contracts of streams", "pytest_llmroute.contracts.stream", ()),
    ("Contracts of budgets", "pytest_llmroute.contracts.budget", ()),
    ("Contracts of caches", "pytest_llmroute.contracts.cache", ()),
    ("Contracts of health", "pytest_llmroute.contracts.health", ()),
)  # fmt: skip
"""Headings, the module that the names are taken from, and the names (none: all that it exports)."""

OURS = {
    "World": {"library", "marks", "unfiled"},
    "Server": {"marks"},
    "Recorded": {"leaves", "running", "settle"},
    "WorldFactory": {"last"},
    "Clock": {"add_horizon", "begin", "block", "call_at", "call_later", "drop_horizon", "finish", "glide", "horizon_at", "monotonic", "monotonic_ns", "waiter"},
    "When": {"covers", "last", "open", "read"},
    "Incident": {"read"},
    "Live": {"strikes"},
    "Scenario": {"calmed"},
    "History": {"add_incident", "add_stray", "begin_attempt", "begin_call", "marks_in"},
    "Target": {"owns"},
}  # fmt: skip
"""Members that are public for other modules of this project, and not for its users."""

WIDTH = 96

HEAD = """\
# Reference

Made of the docstrings, of the plugin's options and of the command's. Times are virtual seconds and
money is in USD unless said otherwise. Everything is imported from `pytest_llmroute`, contracts from
`pytest_llmroute.contracts`, strategies from `pytest_llmroute.strategies`, and faults, which have
[a page of their own](fault.md), from `pytest_llmroute.faults`.
"""


def page() -> str:
    """The whole page."""
    text = "".join([HEAD, *_documented(), *_of_pytest(), *_of_the_command()])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


# -- docstrings


def _documented() -> Iterator[str]:
    loader = griffe.GriffeLoader(
        search_paths=[ROOT / "src", ROOT / "simulator", ROOT / "fixtures"],
        allow_inspection=False,
    )
    for package in ("llmroute_sim", "pytest_llmroute"):
        loader.load(package)
    loader.resolve_aliases(external=False)
    for title, name, names in SECTIONS:
        module = loader.modules_collection[name]
        if title:
            yield f"\n## {title}\n"
        if not names and module.docstring:
            yield f"\n{_prose(module.docstring.value)}\n"
        for one in names or tuple(_exported(module)):
            yield from _entry(_member(module, one), one)


def _exported(module: griffe.Object) -> Iterator[str]:
    for export in module.exports or ():
        name = export if isinstance(export, str) else export.name
        if name != "CONTRACTS":
            yield name


def _member(module: griffe.Object, name: str) -> griffe.Object:
    found = module.members.get(name)
    if found is None:
        raise KeyError(f"{module.path} has no public {name}")
    return found.final_target if isinstance(found, griffe.Alias) else found


def _entry(found: griffe.Object, name: str) -> Iterator[str]:
    yield f"\n### {name}\n"
    match found:
        case griffe.Class():
            yield from _class(found)
        case griffe.Function() if not _is_fixture(found):
            yield _block(f"{name}(", _parameters(found), ")")
        case griffe.Attribute():
            yield f"\n```text\n{name} = {found.value}\n```\n"
    if found.docstring:
        yield f"\n{_prose(found.docstring.value)}\n"
    if isinstance(found, griffe.Class):
        yield "\n"
        for base in reversed(found.mro()):
            yield from _members(base, found)
        yield from _members(found, found)


def _class(found: griffe.Class) -> Iterator[str]:
    if any("dataclass" in str(one.value) for one in found.decorators):
        yield _block(f"{found.name}(", list(map(_field, _fields(found))), ")")
    elif "__call__" in found.members:
        yield _block(f"{found.name}()(", _parameters(found.members["__call__"]), ")")


def _fields(found: griffe.Class) -> Iterator[griffe.Attribute]:
    for one in found.attributes.values():
        shown = not one.name.startswith("_") and "repr=False" not in str(one.value)
        if shown and "instance-attribute" in one.labels and "ClassVar" not in str(one.annotation):
            yield one


def _field(one: griffe.Attribute) -> str:
    made = re.fullmatch(r"field\(default(?:_factory)?=(\w+)\)", str(one.value))
    value = {"list": "[]", "dict": "{}"}.get(made[1], made[1]) if made else one.value
    return f"{one.name}: {one.annotation}{'' if value is None else f' = {value}'}"


def _members(found: griffe.Class, shown_of: griffe.Class) -> Iterator[str]:
    for name, one in found.members.items():
        ours = name.startswith("_") or name in OURS.get(shown_of.name, ())
        inherited = found is not shown_of and name in shown_of.members
        if ours or inherited or one.is_alias or not one.docstring:
            continue
        said = _prose(one.docstring.value)
        if name == "check" and "id" in found.members and "history" in str(one.parameters):
            # What every contract has: how many observations it makes.
            yield f"\n{said}\n"
        elif isinstance(one, griffe.Function):
            yield f"- `{name}({', '.join(_parameters(one, short=True))})`\n\n{_indented(said)}\n\n"
        else:
            yield f"- `{name}`: {_indented(said).lstrip()}\n"


def _is_fixture(found: griffe.Function) -> bool:
    return any("fixture" in str(one.value) for one in found.decorators)


def _parameters(found: griffe.Function, *, short: bool = False) -> list[str]:
    kinds = griffe.ParameterKind
    shown = []
    for one in found.parameters:
        if one.name in ("self", "cls"):
            continue
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(one.kind, "")
        if one.kind is kinds.keyword_only and not any(name.startswith("*") for name in shown):
            shown.append("*")
        text = f"{stars}{one.name}"
        if one.annotation is not None and not short:
            text += f": {one.annotation}"
        if one.default is not None and not stars:
            text += f"={one.default}" if short else f" = {one.default}"
        shown.append(text)
    return shown


def _block(head: str, parts: list[str], tail: str) -> str:
    line = f"{head}{', '.join(parts)}{tail}"
    if len(line) > WIDTH:
        line = f"{head}\n{''.join(f'    {part},\n' for part in parts)}{tail}"
    return f"\n```text\n{line}\n```\n"


def _prose(text: str) -> str:
    """Markdown of a docstring: its roles and literals are reStructuredText's."""
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")


def _indented(text: str) -> str:
    return re.sub(r"^(?=.)", "  ", text, flags=re.M)


# -- options


class _Options:
    """A parser of pytest's that keeps what it is told."""

    def __init__(self) -> None:
        self.options: list[tuple[str, str]] = []
        self.ini: list[tuple[str, str, Any, str]] = []

    def getgroup(self, *_: object) -> _Options:
        return self

    def addoption(self, name: str, *, help: str, metavar: str, **_: object) -> None:  # noqa: A002
        self.options.append((f"{name}={metavar}", help))

    def addini(self, name: str, help: str, type: str, default: Any) -> None:  # noqa: A002
        self.ini.append((name, type, default, help))


def _of_pytest() -> Iterator[str]:
    said = _Options()
    plugin.pytest_addoption(said)  # type: ignore[arg-type]  # what of a parser is used
    marker, about = plugin._MARKER.split(": ", 1)
    yield "\n## Options of pytest\n\n"
    yield _table(("option", "meaning"), [(f"`{name}`", text) for name, text in said.options])
    yield "\n\n"
    yield _table(
        ("in the ini file", "kind", "unless said", "meaning"),
        [
            (f"`{name}`", kind, f"`{default}`" if default not in ([], "") else "", text)
            for name, kind, default, text in said.ini
        ],
    )
    yield f"\n\n### The marker\n\n```text\npytest.mark.{marker}\n```\n\n"
    yield f"{about[0].upper()}{about[1:]}\n"


def _of_the_command() -> Iterator[str]:
    yield "\n## The command\n"
    context = click.Context(cli.main, info_name="llmroute")
    for name in cli.main.list_commands(context):
        command = cli.main.get_command(context, name)
        assert command is not None
        own = click.Context(command, info_name=name, parent=context)
        yield f"\n### llmroute {name}\n"
        yield f"\n```text\n{own.command_path} {' '.join(command.collect_usage_pieces(own))}\n```\n"
        about, _, example = (command.help or "").partition("\b\n")
        yield f"\n{about.strip()}\n" + (f"\n```sh\n{example.strip()}\n```\n" if example else "")
        records = [
            one.get_help_record(own) for one in command.get_params(own) if one.name != "help"
        ]
        options = [(f"`{record[0]}`", record[1]) for record in records if record is not None]
        yield f"\n{_table(('option', 'meaning'), options)}\n" if options else ""


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")
