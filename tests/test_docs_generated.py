# What in the documentation is made of the code: the reference, and tables between
# "<!-- table: NAME -->" and "<!-- end -->". A test that fails prints what belongs there, or says how to
# make it.

from __future__ import annotations

import json
import re
import runpy
from dataclasses import MISSING, fields

import pytest

import pytest_llmroute
from llmroute_sim import faults, providers, scenario
from pages import ROOT, text
from pytest_llmroute.contracts import contracts
from pytest_llmroute.routers.litellm.keys import Key, data
from pytest_llmroute.serving.asked import ROUTES


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
            (f"`{name}`", one.title, ", ".join(f"`{host}`" for host in one.hosts), ", ".join((one.dialect, *one.also)), f"`{one.base_path}`" if one.base_path else "", f"<{one.source}>")
            for name, one in providers.providers().items()
        ],
    )  # fmt: skip


SECTIONS = {
    "entry": "model_list", "retry_policy": "router_settings.retry_policy",
    "allowed_fails_policy": "router_settings.allowed_fails_policy",
    "routing_groups": "router_settings.routing_groups", "cache_params": "litellm_settings.cache_params",
}  # fmt: skip


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
    found = re.search(rf"<!-- table: {name} -->\n(.*?)\n<!-- end -->", text(page), re.S)
    assert found is not None, f"{page} has no table {name}"
    expected = make()
    assert found[1] == expected, f"{page} is behind the code; this belongs there:\n\n{expected}\n"


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("griffe")
    return runpy.run_path(str(ROOT / ".ci" / "reference.py"))["page"]()


def test_the_reference_says_what_the_code_says(reference):
    assert text("reference.md") == reference, (
        "docs/reference.md is behind: python .ci/reference.py --write"
    )


def test_everything_public_is_in_the_reference(reference):
    headings = set(re.findall(r"^### (\w+)$", reference, re.M))
    modules = {"contracts", "faults", "strategies"}
    assert set(pytest_llmroute.__all__) - modules <= headings


def test_every_role_and_number_of_the_library_is_explained():
    page = text("scenario.md")
    needed = {name for template in scenario.shipped().values() for name in template.needs}
    assert {name for name in needed if f"`{name}`" not in page} == set()
