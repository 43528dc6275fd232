# The documentation is executed. How fences are marked is said in pages.py. A python block
#
# - that defines tests is tested;
# - with a title is only written, and a later "$ pytest" has to run the tests in it;
# - is run as a script otherwise.
#
# A toml block that is a scenario, a provider, a baseline or an llmroute.toml is read as one. In a
# console block the commands behind "$ " are run where the page's files are. What stands below a command
# is what it prints, "..." standing for any lines or any part of one; "$ echo $?" tells its exit status.
# pytest runs in this process, beside no plugin but ours. The commands of an sh block are not run, but
# those of ours must be ones that there are.
#
# "$ llmroute serve ... &" starts a server and waits until it is ready, "$ kill %1" ends it. Between the
# two, commands are a shell's, and the port 4100 is any free one. Without curl, such a page is left out
# from there on.

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from typing import Any
from unittest.mock import patch

import click
import pytest
import yaml
from click.testing import CliRunner

from llmroute_sim import providers, scenario
from pages import PAGES, ROOT, blocks, lacks, prose, text
from pytest_llmroute import baseline, census, configs
from pytest_llmroute.cli import main
from pytest_llmroute.contracts import contracts
from served import Served
from suites import QUIET

ELSEWHERE = {"pytest.md"}
"""Whose Python is run by a test of its own, in test_plugin.py."""


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
def test_every_command_and_script_runs(page, tmp_path, monkeypatch, request):
    if missing := lacks(page):
        pytest.skip(f"{page} needs {', '.join(missing)}")
    # Only where it is used: it forgets what a page without a pytest of its own has imported.
    wanted = any(block.runs("pytest") for block in blocks(page))
    suite = request.getfixturevalue("pytester") if wanted else None
    folder = tmp_path if suite is None else suite.path
    monkeypatch.chdir(folder)
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
            at_a_server(block, served)
        elif block.language == "console":
            console(block, suite)
        else:
            RUN.get(block.language, lambda *_: None)(block, folder)
    if left_out:
        pytest.skip("; ".join(f"{b.where} needs {', '.join(b.missing)}" for b in left_out))


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_tests_is_run(page):
    waiting = {}
    for block in blocks(page):
        if block.title and re.search(r"^(async )?def test_", block.text, re.M):
            waiting[block.title] = block.where
        for command in block.runs("pytest"):
            named = re.findall(r"\S+\.py", command)
            waiting = {title: one for title, one in waiting.items() if named and title not in named}
    assert not waiting


def python(block, folder):
    if not (block.title or _names(block) or block.page in ELSEWHERE):
        exec(code(block), {"__name__": "__main__"})


def toml(block, folder):
    entry = tomllib.loads(block.text)
    name = (block.title or block.where).removesuffix(".toml")
    if "router" in entry:
        file = folder / f"read-{block.line}" / "llmroute.toml"
        file.parent.mkdir()
        file.write_text(block.text, "utf-8")
        for beside in folder.glob("*.yaml"):
            shutil.copy(beside, file.parent)
        assert configs.read(file) is not None
    elif {"ask", "incident"} & set(entry):
        template = scenario.load(name, block.text)
        roles = {role: ["openai"] for role in ("target", "next", "others")}
        template.bind(roles, dict.fromkeys(template.needs, 60.0))
        assert set(template.tests) <= set(contracts())
    elif "accepted" in entry:
        assert baseline.Baseline.read(folder / block.title).entries
    elif "dialect" in entry:
        providers.load(name, block.text)


def yaml_file(block, folder):
    assert yaml.safe_load(block.text)


def console(block, suite):
    status = None
    for command, *shown in block.commands:
        if command == "echo $?":
            assert shown == [str(status)], f"{block.where}: the exit status is {status}"
            status = 0
            continue
        assert status != 2, f"{block.where}: ended with 2, and the page does not say so"
        program, *arguments = shlex.split(command)
        if program == "pytest":
            status, printed = _pytest(arguments, suite)
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


def _pytest(arguments, suite):
    """Beside no plugin but ours, unless it is asked for."""
    others = () if "-n" in " ".join(arguments) else ("-p", "no:xdist")
    census.handed_over()  # what ran before is not counted
    imported = Imported()
    with patch.dict(os.environ):
        done = suite.runpytest_inprocess(*QUIET, *others, *arguments, plugins=[imported])
    imported.keep(suite.path)
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


def at_a_server(block, served):
    for command, *shown in block.commands:
        if command.startswith("llmroute serve ") and command.endswith(" &"):
            printed = served.start(shlex.split(command.removesuffix(" &"))[1:])
        elif command == "kill %1":
            printed = served.stop()
        else:
            printed = served.run(command)
        if shown:
            assert _matches(shown, printed), f"{block.where}: {command} prints\n\n{printed}"


def _matches(shown, printed):
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r" *\n"
        for line in shown
    ]
    return re.fullmatch("".join(lines), printed.rstrip("\n") + "\n")


def shell(block, folder):
    for line in block.text.splitlines():
        for command in line.split("&&"):
            program, *arguments = shlex.split(command, comments=True) or [""]
            if program.endswith("llmroute") and arguments:
                found = main.get_command(click.Context(main), arguments[0])
                assert found is not None, f"{block.where}: there is no llmroute {arguments[0]}"
                found.make_context(arguments[0], arguments[1:])


def json_text(block, folder):
    json.loads(block.text)


RUN = {"python": python, "toml": toml, "yaml": yaml_file, "sh": shell, "json": json_text}


def test_the_two_jobs_come_first_in_the_readme():
    first, second = [
        block.text for block in blocks("README.md") if block.language in ("sh", "console")
    ][:2]
    named = "{two-providers,context-ladder,budget-and-cache}.yaml fixtures/llmroute_data/configs/own-code"
    assert f"llmroute run fixtures/llmroute_data/configs/{named} --json report.json" in first
    assert "tox run" in second


# -- links


def _anchors(page):
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = PAGES[page].parent / file if file else PAGES[page]
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in _anchors(target.name), f"{page}: {link}"


def test_every_page_is_in_the_index():
    listed = re.findall(r"\]\(([\w-]+\.md)\)", text("index.md"))
    assert sorted(listed) == sorted(set(PAGES) - {"README.md", "index.md"})
