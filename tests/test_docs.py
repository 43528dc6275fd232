# The documentation is executed. Behind its language a fence may say
#
#   title="router.py"     the block is this file, there for every later command of its page
#   needs=openai>=3       the block is left out where that is not installed (several: with commas)
#
# and a page "<!-- needs: openai>=3, anthropic -->", then it is left out as a whole.
#
# A python block that defines tests is tested, one with a title is only written (a later "$ pytest" has
# to run its tests), any other is run as a script. A toml block that is a scenario, a provider or an llmroute.toml is read as one. In a console
# block the commands behind "$ " are run where the page's files are; what stands below a command is
# what it prints, "..." standing for any lines or any part of one, and "$ echo $?" tells its exit status. pytest
# runs beside no plugin but ours, in this process. The commands of an sh block are not run, but
# those of ours must be ones that there are.
#
# "$ llmroute serve ... &" starts a server and waits until it is ready, "$ kill %1" ends it. Between the
# two, commands are a shell's, and the port 4100 is any free one. Without curl, such a page is left out from there on.
#
# Tables between "<!-- table: NAME -->" and "<!-- end -->" are what the code says; a test that fails
# prints the table that belongs there.

from __future__ import annotations

import inspect
import json
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement

import pytest_llmroute
from llmroute_sim import faults, providers, scenario
from pytest_llmroute import baseline, census, configs
from pytest_llmroute.cli import main
from pytest_llmroute.contracts import contracts
from pytest_llmroute.routers.litellm.keys import Key, data
from pytest_llmroute.serving.asked import ROUTES
from served import Served
from suites import QUIET

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": ROOT / "README.md"} | {
    page.name: page for page in sorted((ROOT / "docs").glob("*.md"))
}
ELSEWHERE = {"pytest.md"}
"""Whose Python is run by a test of its own, in test_plugin.py."""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    title: str | None
    needs: tuple[str, ...]
    text: str

    @property
    def where(self):
        return f"{self.page}:{self.line}"

    @property
    def missing(self):
        return _missing(self.needs)


def _missing(needs):
    return [need for need in needs if not _installed(Requirement(need))]


def _installed(need):
    try:
        return need.specifier.contains(version(need.name), prereleases=True)
    except PackageNotFoundError:
        return False


def needs(page):
    said = re.search(r"^<!-- needs: (.*) -->$", PAGES[page].read_text("utf-8"), re.M)
    return [need.strip() for need in said[1].split(",")] if said else []


def blocks(page):
    text = PAGES[page].read_text("utf-8")
    for found in re.finditer(r"^```(\w+)([^\n`]*)\n(.*?)^```$", text, re.M | re.S):
        said = {
            key: value.strip('"') for key, value in re.findall(r'(\w+)=("[^"]*"|\S+)', found[2])
        }
        assert set(said) <= {"title", "needs"}, f"{page}: unknown fence {found[0].splitlines()[0]}"
        wanted = tuple(filter(None, said.get("needs", "").split(",")))
        line = text.count("\n", 0, found.start()) + 2
        yield Block(page, line, found[1], said.get("title"), wanted, found[3])


def code(block):
    return compile("\n" * (block.line - 1) + block.text, block.where, "exec")


def _names(block):
    found = block.language == "python" and not block.title and block.page not in ELSEWHERE
    return re.findall(r"^def (test_\w+)", block.text, re.M) if found else []


def examples():
    for page in PAGES:
        for block in blocks(page):
            for name in _names(block):
                skip = pytest.mark.skipif(bool(block.missing), reason=f"needs {block.missing}")
                yield pytest.param(block, name, id=f"{block.where}-{name}", marks=skip)


# -- examples


@pytest.mark.parametrize(("block", "name"), list(examples()))
def test_every_example_passes(block, name, request):
    module: dict[str, Any] = {"__name__": "example"}
    exec(code(block), module)
    arguments = inspect.signature(module[name]).parameters
    module[name](**{argument: request.getfixturevalue(argument) for argument in arguments})


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_script_runs(page, pytester, monkeypatch, request):
    if missing := _missing(needs(page)):
        pytest.skip(f"{page} needs {', '.join(missing)}")
    folder = pytester.path
    monkeypatch.setenv("COLUMNS", "80")
    (folder / "fixtures").symlink_to(ROOT / "fixtures")
    left_out = [block for block in blocks(page) if block.missing and not _names(block)]
    served = Served(folder)
    request.addfinalizer(served.stop)
    for block in blocks(page):
        if block.missing:
            continue
        if block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text, "utf-8")
        if block.language == "console" and (served.runs or _serves(block)):
            if shutil.which("curl") is None:
                pytest.skip(f"{block.where} needs curl")
            session(block, served)
        else:
            RUN.get(block.language, lambda *_: None)(block, pytester)
    if left_out:
        pytest.skip("; ".join(f"{b.where} needs {', '.join(b.missing)}" for b in left_out))


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_tests_is_run(page):
    waiting = {}
    for block in blocks(page):
        if block.title and re.search(r"^(async )?def test_", block.text, re.M):
            waiting[block.title] = block.where
        if block.language == "console":
            for command in re.findall(r"^\$ pytest(.*)", block.text, re.M):
                named = re.findall(r"\S+\.py", command)
                waiting = {
                    title: one for title, one in waiting.items() if named and title not in named
                }
    assert not waiting


def python(block, pytester):
    if not (block.title or _names(block) or block.page in ELSEWHERE):
        exec(code(block), {"__name__": "__main__"})


def toml(block, pytester):
    entry = tomllib.loads(block.text)
    name = (block.title or block.where).removesuffix(".toml")
    if "router" in entry:
        file = pytester.mkdir(f"read-{block.line}") / "llmroute.toml"
        file.write_text(block.text, "utf-8")
        assert configs.read(file) is not None
    elif {"ask", "incident"} & set(entry):
        template = scenario.load(name, block.text)
        roles = {role: ["openai"] for role in ("target", "next", "others")}
        template.bind(roles, dict.fromkeys(template.needs, 60.0))
        assert set(template.tests) <= set(contracts())
    elif "accepted" in entry:
        assert baseline.Baseline.read(pytester.path / block.title).entries
    elif "dialect" in entry:
        providers.load(name, block.text)


def yaml_file(block, pytester):
    assert yaml.safe_load(block.text)


def console(block, pytester):
    status = None
    for command, *shown in _commands(block.text):
        if command == "echo $?":
            assert shown == [str(status)], f"{block.where}: the exit status is {status}"
            status = 0
            continue
        assert status != 2, f"{block.where}: ended with 2, and the page does not say so"
        program, *arguments = shlex.split(command)
        if program == "pytest":
            status, printed = _pytest(arguments, pytester)
            assert not shown or _matches(shown, printed), f"{block.where}: {command}\n\n{printed}"
            continue
        assert program == "llmroute", (
            f"{block.where}: {command} is not run here: write it in an sh block"
        )
        ran = CliRunner().invoke(main, arguments)
        assert isinstance(ran.exception, SystemExit | None), f"{block.where}: {ran.exception!r}"
        status = ran.exit_code
        assert status in (0, 1, 2, 3), f"{block.where}: {command} ended with {status}: {ran.output}"
        printed = ran.output if status == 2 else ran.stdout
        if shown:
            assert _matches(shown, printed), f"{block.where}: {command} prints\n\n{printed}"
    assert status != 2, f"{block.where}: ended with 2, and the page does not say so"


def _pytest(arguments, pytester):
    """Beside no plugin but ours, unless it is asked for."""
    others = () if "-n" in " ".join(arguments) else ("-p", "no:xdist")
    census.handed_over()  # what ran before is not counted
    imported = Imported()
    done = pytester.runpytest_inprocess(*QUIET, *others, *arguments, plugins=[imported])
    imported.keep(pytester.path)
    return int(done.ret), "\n".join(done.outlines)


class Imported:
    """What a pytest in this process imports, which would be imported anew by the next one."""

    def pytest_unconfigure(self):
        self.modules = dict(sys.modules)

    def keep(self, folder):
        for name, module in self.modules.items():
            if not str(getattr(module, "__file__", None)).startswith(str(folder)):
                sys.modules.setdefault(name, module)


def _serves(block):
    return re.search(r"^\$ llmroute serve .*&$", block.text, re.M)


def session(block, served):
    for command, *shown in _commands(block.text):
        if command.startswith("llmroute serve ") and command.endswith(" &"):
            printed = served.start(shlex.split(command.removesuffix(" &"))[1:])
        elif command == "kill %1":
            printed = served.stop()
        else:
            printed = served.run(command)
        if shown:
            assert _matches(shown, printed), f"{block.where}: {command} prints\n\n{printed}"


def _commands(text):
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append([line.removeprefix("$ ")])
        else:
            found[-1].append(line)
    return found


def _matches(shown, printed):
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r" *\n"
        for line in shown
    ]
    return re.fullmatch("".join(lines), printed.rstrip("\n") + "\n")


def shell(block, pytester):
    for line in block.text.splitlines():
        for command in line.split("&&"):
            program, *arguments = shlex.split(command, comments=True) or [""]
            if program.endswith("llmroute") and arguments:
                found = main.get_command(click.Context(main), arguments[0])
                assert found is not None, f"{block.where}: there is no llmroute {arguments[0]}"
                found.make_context(arguments[0], arguments[1:])


def json_text(block, pytester):
    json.loads(block.text)


RUN = {
    "python": python, "toml": toml, "yaml": yaml_file, "console": console, "sh": shell,
    "json": json_text,
}  # fmt: skip


def test_the_two_jobs_come_first_in_the_readme():
    first, second = [
        block.text for block in blocks("README.md") if block.language in ("sh", "console")
    ][:2]
    assert "llmroute run fixtures/llmroute_data/configs --json report.json" in first
    assert "tox run" in second


# -- links


def _anchors(text):
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text = PAGES[page].read_text("utf-8")
    for link in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    ):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = PAGES[page].parent / file if file else PAGES[page]
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in _anchors(target.read_text("utf-8")), f"{page}: {link}"


def test_every_page_is_in_the_index():
    listed = re.findall(r"\]\(([\w-]+\.md)\)", PAGES["index.md"].read_text("utf-8"))
    assert set(listed) == set(PAGES) - {"README.md", "index.md"}


# -- tables


def _table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines)


def _key(field):
    name = field.name.replace("_", "-")
    if field.default is MISSING or field.default in (None, float("inf")):
        return f"`{name}`"
    return f"`{name} = {json.dumps(field.default)}`"


STAGES = {
    faults.ConnectFault: "connect", faults.AdmitFault: "admit", faults.AnswerFault: "answer",
    faults.StreamFault: "stream",
}  # fmt: skip


def faults_table():
    stage = {name: STAGES[kind.__mro__[1]] for name, kind in faults.FAULTS.items()}
    return _table(
        ("name", "class", "keys", "stage", "what it does"),
        [
            (f"`{name}`", f"`{kind.__name__}`", ", ".join(map(_key, fields(kind))), stage[name], kind.__doc__.replace("``", "`"))
            for name, kind in faults.FAULTS.items()
        ],
    )  # fmt: skip


def scenarios_table():
    library = scenario.shipped()
    return _table(
        ("name", "what happens", "what a good router does"),
        [(f"`{name}`", library[name].title, library[name].good) for name in library.default],
    )


def _folder(name):
    library = scenario.shipped()
    return [library[one] for one in library if one.startswith(f"{name}/")]


def stories_table():
    return _table(
        ("name", "what happened", "what a good router does", "where that was seen"),
        [
            (f"`{one.name}`", one.title, one.good, re.sub(r"(https://[^\s;,]+)", r"<\1>", one.source))
            for one in _folder("stories")
        ],
    )  # fmt: skip


def alone_table():
    return _table(
        ("name", "what a good router does", "contracts that can see it"),
        [
            (f"`{one.name}`", one.good, ", ".join(f"`{name}`" for name in one.tests) or "none")
            for one in _folder("faults")
        ],
    )


def contracts_table():
    def keys(kind):
        for field in fields(kind):
            if field.name != "group":
                optional = field.default is not MISSING
                yield f"`{field.name}`" + " (optional)" * optional

    return _table(
        ("contract", "rule", "fields"),
        [(f"`{name}`", kind.about, ", ".join(keys(kind))) for name, kind in contracts().items()],
    )


def providers_table():
    return _table(
        ("name", "title", "hosts", "format", "base path", "source"),
        [
            (f"`{name}`", one.title, ", ".join(f"`{host}`" for host in one.hosts), one.dialect, f"`{one.base_path}`" if one.base_path else "", f"<{one.source}>")
            for name, one in providers.providers().items()
        ],
    )  # fmt: skip


SECTIONS = {"entry": "model_list", "retry_policy": "router_settings.retry_policy", "cache_params": "litellm_settings.cache_params"}  # fmt: skip


def keys_table():
    found: dict[str, list[tuple[str, Key]]] = {}
    for section, keys in data("keys").items():
        if section == "request":
            continue
        for name, entry in keys.items():
            if (key := Key(**entry)).why is None:
                found.setdefault(name, []).append((SECTIONS.get(section, section), key))
    return _table(
        ("key", "where it stands", "page"),
        [
            (f"`{name}`", ", ".join(f"`{section}`" for section, _ in given), _page(given[0][1]))
            for name, given in found.items()
        ],
    )


def _page(key):
    return f"[{key.page.partition('#')[0]}]({key.address})" if key.page else ""


def endpoints_table():
    return _table(
        ("request", "what it does"),
        [(f"`{route.method} /_llmroute/{route.path}`", route.does) for route in ROUTES],
    )


TABLES = {
    "endpoints": ("serve.md", endpoints_table),
    "faults": ("fault.md", faults_table),
    "scenarios": ("scenario.md", scenarios_table),
    "stories": ("scenario.md", stories_table),
    "alone": ("scenario.md", alone_table),
    "contracts": ("promise.md", contracts_table),
    "providers": ("provider.md", providers_table),
    "keys": ("routing-config.md", keys_table),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_what_the_code_says(name):
    page, make = TABLES[name]
    text = PAGES[page].read_text("utf-8")
    found = re.search(rf"<!-- table: {name} -->\n(.*?)\n<!-- end -->", text, re.S)
    assert found is not None, f"{page} has no table {name}"
    expected = make()
    assert found[1] == expected, f"{page} is behind the code; this belongs there:\n\n{expected}\n"


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("griffe")
    return runpy.run_path(str(ROOT / ".ci" / "reference.py"))["page"]()


def test_the_reference_says_what_the_code_says(reference):
    written = PAGES["reference.md"].read_text("utf-8")
    assert written == reference, "docs/reference.md is behind: python .ci/reference.py --write"


def test_everything_public_is_in_the_reference(reference):
    headings = set(re.findall(r"^### (\w+)$", reference, re.M))
    modules = {"contracts", "faults", "strategies"}
    assert set(pytest_llmroute.__all__) - modules <= headings


def test_every_role_and_number_of_the_library_is_explained():
    page = PAGES["scenario.md"].read_text("utf-8")
    needed = {name for template in scenario.shipped().values() for name in template.needs}
    assert {name for name in needed if f"`{name}`" not in page} == set()
