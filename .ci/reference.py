"""The reference page, made of what the code says of itself: docstrings, the options of pytest and of
the command line.

``python .ci/reference.py`` prints it; with ``--write`` it goes to ``docs/reference.md``. A test
compares the two.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import griffe

from pytest_llmroute import cli, plugin

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference.md"

SECTIONS = (
    ("Fixtures", "pytest_llmroute.fixtures", ("llmroute", "llmroute_factory", "llmroute_scenario", "llmroute_server"), ("pytest", "hypothesis")),
    ("Worlds", "pytest_llmroute", ("world", "World", "Recorded", "WorldFactory", "Server", "Clock"), ("pytest", "time")),
    ("Configurations", "pytest_llmroute", ("check",), ("configs-in-pytest",)),
    ("What is set up", "pytest_llmroute", ("Place", "When", "Incident", "Live", "Scenario", "Template", "Ask"), ("incident", "scenario")),
    ("What is found", "pytest_llmroute", ("History", "Call", "Attempt", "Path", "Figures", "measure"), ("history", "figures")),
    ("Errors", "pytest_llmroute", ("Stuck", "Unknown", "Unplayable"), ()),
    ("Strategies of Hypothesis", "pytest_llmroute.strategies", (), ("hypothesis",)),
    ("Contracts", "pytest_llmroute", ("Contract", "Observation", "Target", "Entry"), ("promise",)),
    ("Contracts of fallback", "pytest_llmroute.contracts.fallback", (), ()),
    ("Contracts of retries", "pytest_llmroute.contracts.retry", (), ()),
    ("Contracts of streams", "pytest_llmroute.contracts.stream", (), ()),
    ("Contracts of budgets", "pytest_llmroute.contracts.budget", (), ()),
    ("Contracts of caches", "pytest_llmroute.contracts.cache", (), ()),
    ("Contracts of health", "pytest_llmroute.contracts.health", (), ()),
)  # fmt: skip
"""Headings, the module that the names are taken from, the names (none: all that it exports), and the
pages that say more."""

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
    shown: dict[str, str] = {}
    for title, name, names, pages in SECTIONS:
        module = loader.modules_collection[name]
        yield f"\n## {title}\n"
        if pages:
            yield f"\nMore: {', '.join(f'[{_title(page)}]({page}.md)' for page in pages)}.\n"
        if not names and module.docstring:
            yield f"\n{_prose(module.docstring.value)}\n"
        for one in names or tuple(_exported(module)):
            yield from _entry(_member(module, one), one, shown)


def _title(page: str) -> str:
    heading = (PAGE.parent / f"{page}.md").read_text("utf-8").partition("\n")[0].removeprefix("# ")
    return heading[0].lower() + heading[1:]


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


def _entry(found: griffe.Object, name: str, shown: dict[str, str]) -> Iterator[str]:
    yield f"\n### {name}\n"
    match found:
        case griffe.Class():
            yield from _class(found)
        case griffe.Function() if not _is_fixture(found):
            yield _block(f"{name}(", _parameters(found), ")")
        case griffe.Attribute():
            value = textwrap.fill(
                f"{name} = {_spelled(found.value)}", WIDTH, subsequent_indent="    "
            )
            yield f"\n```text\n{value}\n```\n"
    if found.docstring:
        yield f"\n{_prose(found.docstring.value)}\n"
    if isinstance(found, griffe.Class):
        yield from _called(found)
        yield "\n"
        if stale := OURS.get(name, set()) - set(found.all_members):
            raise KeyError(f"{name} has no {', '.join(stale)}")
        for base in reversed(found.mro()):
            if base.path in shown:
                same = (f"`{one}`" for one, _ in _documented_members(base, found))
                yield f"- As {shown[base.path]} has them: {', '.join(same)}\n"
            else:
                yield from _members(base, found)
                shown[base.path] = f"[{name}](#{name.lower()})"
        yield from _members(found, found)


def _class(found: griffe.Class) -> Iterator[str]:
    if any("dataclass" in str(one.value) for one in found.decorators):
        yield _block(f"{found.name}(", list(map(_field, _fields(found))), ")")


def _called(found: griffe.Class) -> Iterator[str]:
    """How an object of a class is called."""
    call = found.members.get("__call__")
    if isinstance(call, griffe.Function) and call.docstring:
        yield _block("factory(" if "Factory" in found.name else "(", _parameters(call), ")")
        yield f"\n{_prose(call.docstring.value)}\n"


def _fields(found: griffe.Class) -> Iterator[griffe.Attribute]:
    for one in found.attributes.values():
        shown = not one.name.startswith("_") and "repr=False" not in str(one.value)
        if shown and "instance-attribute" in one.labels and "ClassVar" not in str(one.annotation):
            yield one


def _field(one: griffe.Attribute) -> str:
    made = re.fullmatch(r"field\(default(?:_factory)?=(\w+)\)", str(one.value))
    value = {"list": "[]", "dict": "{}"}.get(made[1], made[1]) if made else one.value
    return f"{one.name}: {one.annotation}{'' if value is None else f' = {_spelled(value)}'}"


def _members(found: griffe.Class, shown_of: griffe.Class) -> Iterator[str]:
    for name, one in _documented_members(found, shown_of):
        said = _prose(one.docstring.value) if one.docstring else ""
        short = name
        if isinstance(one, griffe.Function):
            short = f"{name}({', '.join(_parameters(one, short=True))})"
        if name == "check" and found.name != "Contract":
            # What every contract has: when it observes something.
            yield f"{said}\n"
        elif "\n\n" in said:
            yield f"- `{short}`\n\n{_indented(said)}\n\n"
        else:
            yield f"- `{short}`: {_indented(said).lstrip()}\n"


def _documented_members(
    found: griffe.Class, shown_of: griffe.Class
) -> Iterator[tuple[str, griffe.Object]]:
    for name, one in found.members.items():
        ours = name.startswith("_") or name in OURS.get(shown_of.name, ())
        overridden = found is not shown_of and name in shown_of.members
        if not (ours or overridden or one.is_alias) and one.docstring:
            yield name, one


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
            text += f"={_spelled(one.default)}" if short else f" = {_spelled(one.default)}"
        shown.append(text)
    return shown


def _spelled(value: object) -> str:
    """A value as this project spells it."""
    return re.sub(r"'([^'\"]*)'", r'"\1"', str(value))


def _block(head: str, parts: list[str], tail: str) -> str:
    line = f"{head}{', '.join(parts)}{tail}"
    if len(line) > WIDTH:
        line = "\n".join([head, *(f"    {part}," for part in parts), tail])
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
    first, _, rest = about.partition(". ")
    yield "\n## Options of pytest\n\n"
    yield _table(("option", "meaning"), [(f"`{name}`", text) for name, text in said.options])
    yield "\n\n"
    yield _table(
        ("in the ini file", "kind", "unless said", "meaning"),
        [
            (f"`{name}`", kind, f"`{default}`".lower() if default not in ([], "") else "", text)
            for name, kind, default, text in said.ini
        ],
    )
    yield f"\n\n### The marker\n\n```text\npytest.mark.{marker}\n```\n\n"
    yield f"{first[0].upper()}{first[1:]}.\n\n"
    for keyword in rest.rstrip(".").split("; "):
        name, _, text = keyword.partition(": ")
        yield f"- `{name}`: {text}\n"


def _of_the_command() -> Iterator[str]:
    yield "\n## The command\n"
    context = click.Context(cli.main, info_name="llmroute")
    for name in cli.main.list_commands(context):
        command = cli.main.get_command(context, name)
        assert command is not None
        own = click.Context(command, info_name=name, parent=context)
        yield f"\n### llmroute {name}\n"
        yield f"\n```text\n{own.command_path} {' '.join(command.collect_usage_pieces(own))}\n```\n"
        about, _, example = inspect.cleandoc(command.help or "").partition("\b\n")
        yield f"\n{about.strip()}\n" + (f"\n```sh\n{example.strip()}\n```\n" if example else "")
        options = [_option(one) for one in command.params if isinstance(one, click.Option)]
        yield f"\n{_table(('option', 'meaning'), options)}\n" if options else ""


def _option(one: click.Option) -> tuple[str, str]:
    names = ", ".join(one.opts) + "".join(f", {name}" for name in one.secondary_opts)
    choices = "|".join(one.type.choices) if isinstance(one.type, click.Choice) else "PATH"
    value = "" if one.is_flag else f" {one.metavar or choices}".replace(" [=", "[=")
    notes = ["required"] * one.required
    if one.show_default and not one.is_flag:
        notes.append(f"{one.default} unless told")
    return f"`{names}{value}`", f"{one.help}{f' ({chr(59).join(notes)})' if notes else ''}"


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
