from __future__ import annotations

import re
import shlex
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner
from junitparser import JUnitXml

from pytest_llmroute.baseline import Accepted, Baseline
from pytest_llmroute.cli import main
from pytest_llmroute.promises import Because
from pytest_llmroute.report.github import SHOWN, commands
from pytest_llmroute.report.junit import junit
from pytest_llmroute.report.summary import Links, markdown
from pytest_llmroute.report.terminal import Page
from pytest_llmroute.standing import Standing, Terms
from reports import cell, healthy, others, project, promised, report, sheet, tried

pytestmark = pytest.mark.once

OUTAGE = ("--scenario", "outage-503")
PAGE = Page(100)
NAME = "retry.bounded[chat] router_settings.num_retries of openai"
DAY, LATER, PAST = date(2027, 1, 1), date(2099, 12, 31), date(2020, 1, 1)
CI = Path(__file__).parent.parent / "docs" / "ci.md"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def llmroute(*arguments):
    ran = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran


def stood(*, allowed=(), accepted=(), day=DAY, untried=True):
    """A report with one promise broken, one kept elsewhere, and one that nothing tried."""
    rest = [(promised(line=9), "needs next")] if untried else []
    played = [cell(tried(3)), cell(healthy(), scenario="stream-cut", entry="chat-async")]
    found = report(sheet([promised(), others()[0]], played, untried=rest))
    known = Baseline(Path("baseline.toml"), tuple(accepted)) if accepted else None
    return Standing(found, Terms(frozenset(allowed), known, day))


def accepted(*, promise=NAME, expires=LATER, **more):
    return Accepted("routes.yaml", promise, "known", expires, place="baseline.toml:1", **more)


# -- JUnit

# What readers take: the elements and attributes of Jenkins' own schema, and of a test case also its
# file, line and properties, as pytest writes them.
FORM = {
    "testsuites": (("testsuite",), {"name", "time", "tests", "failures", "errors", "skipped"}, set()),
    "testsuite": (
        ("properties", "testcase"),
        {"name", "tests", "failures", "errors", "skipped", "time"},
        {"name", "tests", "failures", "errors"},
    ),
    "properties": (("property",), set(), set()),
    "property": ((), {"name", "value"}, {"name", "value"}),
    "testcase": (
        ("properties", "skipped", "error", "failure", "system-out"),
        {"name", "time", "classname", "file", "line"},
        {"name", "classname", "time"},
    ),
    "failure": ((), {"type", "message"}, {"message"}),
    "error": ((), {"type", "message"}, {"message"}),
    "skipped": ((), {"type", "message"}, {"message"}),
    "system-out": ((), set(), set()),
}  # fmt: skip


def checked(text):
    """The root of an XML text that readers take."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        children, allowed, needed = FORM[element.tag]
        assert {child.tag for child in element} <= set(children), element.tag
        assert needed <= set(element.attrib) <= allowed, element.attrib
        assert re.fullmatch(r"\d+(\.\d+)?", element.get("time", "0"))
    for suite in root:
        cases = suite.findall("testcase")
        counts = {
            "tests": len(cases),
            "failures": sum(case.find("failure") is not None for case in cases),
            "errors": sum(case.find("error") is not None for case in cases),
            "skipped": sum(case.find("skipped") is not None for case in cases),
        }
        assert {key: int(suite.get(key)) for key in counts} == counts
        assert len({case.get("name") for case in cases}) == len(cases)
    return root


def cases(standing):
    root = checked(junit(standing, PAGE))
    return {case.get("name"): case for case in root.iter("testcase")}


def test_a_promise_in_a_scenario_is_a_test_case():
    found = cases(stood())
    assert list(found) == [
        f"{NAME} in outage-503",
        f"{NAME} in stream-cut",
        "fallback.answers[chat] in outage-503",
        "fallback.answers[chat] in stream-cut",
        f"{NAME}~2",
    ]
    case = found[f"{NAME} in outage-503"]
    assert (case.get("classname"), case.get("file"), case.get("line")) == (
        "routes.yaml",
        "routes.yaml",
        "3",
    )
    properties = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert properties == {
        "promise": "retry.bounded: chat is tried 2 times at most",
        "because": "routes.yaml:3 router_settings.num_retries",
        "documentation": "https://docs.example/retries",
        "seed": "0",
        "ways in": "chat-sync broken",
    }


def test_a_broken_promise_is_a_failure_with_its_proof():
    failure = cases(stood())[f"{NAME} in outage-503"].find("failure")
    assert failure.get("message") == "#3: c1 asked openai 3 times; at most 2 allowed"
    assert "✗ retry.bounded" in failure.text
    command = "llmroute run routes.yaml --scenario outage-503 --contract retry.bounded --seed 0"
    assert failure.text.splitlines()[-1] == command


def test_an_untested_promise_is_an_error_unless_it_is_allowed():
    error = cases(stood())[f"{NAME}~2"].find("error")
    assert error.get("message") == "untested: needs next"
    skipped = cases(stood(allowed={"retry.bounded"}))[f"{NAME}~2"].find("skipped")
    assert skipped.get("message") == "untested: needs next"


def test_a_scenario_that_tried_nothing_is_skipped_where_another_tried():
    skipped = cases(stood())[f"{NAME} in stream-cut"].find("skipped")
    assert skipped.get("message").startswith("untested: nothing came of the history")


def test_what_is_accepted_is_skipped_and_what_no_longer_is_fails():
    case = cases(stood(accepted=[accepted()]))[f"{NAME} in outage-503"]
    assert case.find("skipped").get("message") == "accepted until 2099-12-31: known"
    assert "asked openai 3 times" in case.find("system-out").text
    case = cases(stood(accepted=[accepted(expires=PAST)]))[f"{NAME} in outage-503"]
    message = case.find("failure").get("message")
    assert message.startswith(
        "was accepted until 2020-01-01, which is over (baseline.toml:1): known"
    )


def test_an_entry_that_is_no_longer_true_is_a_failure_of_its_own():
    found = cases(stood(accepted=[accepted(), accepted(promise="stream.whole[chat]")]))
    case = found["stream.whole[chat] in routes.yaml (1)"]
    assert (case.get("file"), case.get("line")) == ("baseline.toml", "1")
    assert "makes no such promise any more" in case.find("failure").get("message")


def test_an_untested_promise_that_is_accepted_is_skipped():
    entry = accepted(promise=f"{NAME}~2", outcome="untested")
    skipped = cases(stood(accepted=[entry]))[f"{NAME}~2"].find("skipped")
    assert skipped.get("message") == "untested: accepted until 2099-12-31: known; needs next"


def test_the_names_of_test_cases_survive_lines_above():
    moved = report(sheet([promised(line=30)], [cell(tried(3))]))
    before = report(sheet([promised()], [cell(tried(3))]))
    assert list(cases(Standing(moved))) == list(cases(Standing(before)))


def test_what_xml_cannot_hold_is_replaced():
    promise = replace(promised(), text="a\x00b\x1b[31m & <c> \ud800", group="gr\x07up")
    found = cases(Standing(report(sheet([promise], [cell(tried(3))]))))
    (case,) = found.values()
    assert case.get("name").startswith("retry.bounded[gr\ufffdup]")
    assert "a\ufffdb\ufffd[31m & <c> \ufffd" in case.find("properties/property").get("value")


def test_another_reader_counts_the_same():
    read = JUnitXml.fromstring(junit(stood(), PAGE))
    assert (read.tests, read.failures, read.errors, read.skipped) == (5, 2, 1, 2)


def test_the_same_run_gives_the_same_bytes():
    project(Path("bad"), tries=3)
    for name in ("one.xml", "two.xml"):
        llmroute("run", "bad", *OUTAGE, "--junit", name)
    assert Path("one.xml").read_bytes() == Path("two.xml").read_bytes()
    root = checked(Path("one.xml").read_bytes())
    assert root.get("failures") == "1"
    assert root.find(".//testcase").get("file") == "bad/llmroute.toml"


# -- GitHub annotations


def understood(line):
    """A command as the runner of GitHub Actions reads it."""
    found = re.fullmatch(r"::(\w+) ([^:]*(?::(?!:)[^:]*)*)::(.*)", line)
    assert found is not None, line
    properties = dict(part.split("=", 1) for part in found[2].split(","))
    codes = (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))

    def decoded(text, codes):
        for code, sign in codes:
            text = text.replace(code, sign)
        return text

    named = {name: decoded(value, codes) for name, value in properties.items()}
    return found[1], named, decoded(found[3], codes[2:])


def told(standing, root="."):
    lines = list(commands(standing, PAGE, Path(root)))
    assert not any("\n" in line or "\r" in line for line in lines)
    return [understood(line) for line in lines]


def test_a_broken_promise_is_an_error_on_its_line():
    kind, properties, message = told(stood())[0]
    assert kind == "error"
    assert properties == {
        "file": "llmroute.toml",
        "line": "9",
        "title": "fallback.answers[chat] is broken",
    }
    kind, properties, message = told(stood())[1]
    assert (properties["file"], properties["line"]) == ("routes.yaml", "3")
    assert message.splitlines() == [
        "chat is tried 2 times at most",
        "in outage-503, chat-sync: #3: c1 asked openai 3 times; at most 2 allowed",
        "https://docs.example/retries",
        "llmroute run routes.yaml --scenario outage-503 --contract retry.bounded --seed 0",
    ]


def test_an_untested_promise_is_a_warning_unless_it_is_allowed():
    kind, properties, message = told(stood())[2]
    assert (kind, properties["title"]) == ("warning", "retry.bounded[chat] is untested")
    assert message.endswith("needs next")
    assert [kind for kind, _, _ in told(stood(allowed={"*"}))] == ["error", "error"]


def test_what_is_accepted_is_not_annotated_and_what_is_over_or_untrue_is():
    assert [one["line"] for _, one, _ in told(stood(accepted=[accepted()], allowed={"*"}))] == ["9"]
    entries = [accepted(expires=PAST), accepted(promise="stream.whole[chat]")]
    messages = told(stood(accepted=entries, allowed={"*"}))
    assert any("which is over (baseline.toml:1): known" in said for _, _, said in messages)
    assert messages[-1][1] == {
        "file": "baseline.toml",
        "line": "1",
        "title": "stream.whole[chat] is no longer broken",
    }


def test_what_separates_is_escaped():
    promise = replace(promised("a,b:c%.yaml"), text="50 %\nof :: it, \r%0A", group="x,y::z")
    ((kind, properties, message),) = told(Standing(report(sheet([promise], [cell(tried(3))]))))
    assert kind == "error"
    assert properties["file"] == "a,b:c%.yaml"
    assert properties["title"] == "retry.bounded[x,y::z] is broken"
    assert message.startswith("50 %\nof :: it, \r%0A\nin outage-503")


def test_paths_are_seen_from_the_root_of_the_workspace(folder, monkeypatch):
    project(folder / "deep/bad", tries=3)
    monkeypatch.chdir(folder / "deep")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
    ran = llmroute("run", "bad", *OUTAGE, "--github")
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("::")]
    assert understood(line)[1]["file"] == "deep/bad/llmroute.toml"


def test_a_file_outside_of_the_workspace_gets_no_place(folder):
    _, properties, message = told(stood(), folder / "elsewhere")[1]
    assert properties == {"title": "retry.bounded[chat] is broken"}
    assert "routes.yaml:3" in message


def many_broken(count, *, kind="user", line=None):
    because = [Because(kind, "routes.yaml", line or number) for number in range(1, count + 1)]
    return [
        replace(promised(retries=0), because=one, group=f"g{number}")
        for number, one in enumerate(because)
    ]


def test_no_more_than_are_shown_and_the_rest_is_counted():
    standing = Standing(report(sheet(many_broken(SHOWN + 3), [cell(tried(3))])))
    kinds = [kind for kind, _, _ in told(standing)]
    assert kinds == ["error"] * SHOWN + ["notice"]
    _, properties, message = told(standing)[-1]
    assert properties == {"title": "3 errors not shown here"}
    assert message.splitlines() == [f"retry.bounded[g{n}] is broken" for n in (10, 11, 12)]


def test_the_most_telling_come_first():
    policy = many_broken(SHOWN, kind="policy")
    same = many_broken(3, line=99)
    standing = Standing(report(sheet([*policy, *same], [cell(tried(3))])))
    errors = [one for kind, one, _ in told(standing) if kind == "error"]
    assert errors[0]["line"] == "99"
    assert [one["line"] for one in errors].count("99") == 1


def test_annotations_are_printed_in_github_actions_or_on_demand(monkeypatch):
    project(Path("bad"), tries=3)
    assert "::error" not in llmroute("run", "bad", *OUTAGE).stdout
    assert "\n::error file=bad/llmroute.toml,line=11," in llmroute("run", "bad", *OUTAGE, "--github").stdout  # fmt: skip
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "\n::error" in llmroute("run", "bad", *OUTAGE).stdout
    assert "::error" not in llmroute("run", "bad", *OUTAGE, "--no-github").stdout


# -- the summary


def test_the_summary_counts_and_shows_each_broken_promise():
    text = markdown(stood(), PAGE)
    assert text.startswith("## llmroute: 2 of 3 promises broken\n")
    assert "| `routes.yaml` | 0 | 2 | 1 | 2 |" in text
    assert "| 1 | ✗ broken | `retry.bounded` | `chat` | `routes.yaml:3 router_settings.num_retries` | broken in 1 of 2 scenarios |" in text  # fmt: skip
    assert "| 3 | ? untested | `retry.bounded` | `chat` | `routes.yaml:9 router_settings.num_retries` | needs next |" in text  # fmt: skip
    assert "  1 retry.bounded              ✗           ?" in text
    assert "https://docs.example/retries" in text
    assert "<details><summary>the proof: outage-503, chat-sync</summary>" in text
    assert "```sh\nllmroute run routes.yaml --scenario outage-503" in text
    assert text.count("<details>") == text.count("</details>")


def test_a_summary_of_nothing_broken_says_so():
    kept = Standing(report(sheet([promised()], [cell(tried(2))])))
    assert markdown(kept, PAGE).startswith("## llmroute: no promise broken\n")
    untested = Standing(report(sheet([promised()], [cell(healthy())])))
    assert markdown(untested, PAGE).startswith("## llmroute: no promise could be tested\n")
    nothing = Standing(report(sheet([], [cell(healthy())])))
    assert markdown(nothing, PAGE).startswith("## llmroute: nothing was judged\n")


def test_the_summary_tells_what_is_accepted_and_what_is_no_longer_true():
    entries = [accepted(), accepted(promise="stream.whole[chat]")]
    text = markdown(stood(accepted=entries), PAGE)
    assert "## llmroute: 1 of 3 promises broken" in text
    assert "1 of them accepted by the baseline." in text
    assert "| accepted until 2099-12-31: known |" in text
    assert "### No longer true in the baseline" in text


def test_places_lead_to_the_lines_of_the_commit():
    links = Links(Path(), "https://github.example/me/it/blob/abc")
    text = markdown(stood(), PAGE, links=links)
    place = "`routes.yaml:3 router_settings.num_retries`"
    assert f"[{place}](https://github.example/me/it/blob/abc/routes.yaml#L3)" in text


def test_nothing_in_a_configuration_breaks_out_of_the_summary():
    promise = replace(promised(), text="a | b\n<script> `c` *d*", group="x|`y`")
    Path("routes.yaml").write_text("\n\n```` fence: [1]\n")
    text = markdown(Standing(report(sheet([promise], [cell(tried(3))]))), PAGE)
    assert "a \\| b \\<script\\> \\`c\\` \\*d\\*" in text
    assert "| `` x\\|`y` `` |" in text
    assert "`````\n       3 | ```` fence: [1]\n`````" in text


def test_the_summary_fits_and_counts_what_does_not():
    standing = Standing(report(sheet(many_broken(40), [cell(tried(3))])))
    whole = markdown(standing, PAGE)
    for limit in (512, 2000, 10_000, len(whole.encode()) + 512):
        text = markdown(standing, PAGE, limit=limit)
        assert len(text.encode()) <= limit
        assert ("left out: no more fits here" in text) == (text != whole)
    assert markdown(standing, PAGE, limit=0) == ""


def test_the_summary_is_added_to_the_step_and_leaves_room(folder, monkeypatch):
    project(Path("bad"), tries=3)
    step = folder / "step.md"
    step.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    llmroute("run", "bad", *OUTAGE, "--summary", "own.md")
    assert step.read_text() == "# before\n" + Path("own.md").read_text()
    step.write_text("x" * (1024 * 1024 - 600))
    llmroute("run", "bad", *OUTAGE)
    assert "left out" in step.read_text()[-200:]
    assert step.stat().st_size <= 1024 * 1024
    step.write_text("")
    llmroute("run", "bad", *OUTAGE, "--no-github")
    assert step.read_text() == ""


def test_the_step_links_to_the_commit(folder, monkeypatch):
    project(Path("bad"), tries=3)
    for name, value in (
        ("GITHUB_STEP_SUMMARY", str(folder / "step.md")),
        ("GITHUB_WORKSPACE", str(folder)),
        ("GITHUB_SERVER_URL", "https://github.example"),
        ("GITHUB_REPOSITORY", "me/it"),
        ("GITHUB_SHA", "abc"),
    ):
        monkeypatch.setenv(name, value)
    llmroute("run", "bad", *OUTAGE)
    link = "https://github.example/me/it/blob/abc/bad/llmroute.toml#L11"
    assert link in (folder / "step.md").read_text()


# -- judging again, and what cannot be written


def test_a_saved_report_is_written_in_the_same_forms():
    project(Path("bad"), tries=3)
    llmroute("run", "bad", *OUTAGE, "--json", "r.json", "--junit", "1.xml", "--summary", "1.md")
    ran = llmroute("judge", "r.json", "--junit", "2.xml", "--summary", "2.md", "--github")
    assert ran.exit_code == 1
    assert Path("1.xml").read_bytes() == Path("2.xml").read_bytes()
    assert Path("1.md").read_bytes() == Path("2.md").read_bytes()
    assert "\n::error file=bad/llmroute.toml,line=11," in ran.stdout


@pytest.mark.parametrize("option", ["--junit", "--summary", "$GITHUB_STEP_SUMMARY"])
@pytest.mark.parametrize("target", ["no/such/folder/file", "bad"])
def test_what_cannot_be_written_is_said_before_anything_runs(option, target, monkeypatch):
    project(Path("bad"), tries=3)
    monkeypatch.setattr("pytest_llmroute.sweep.play", lambda cell: pytest.fail("it ran"))
    if option.startswith("$"):
        monkeypatch.setenv(option[1:], target)
        ran = llmroute("run", "bad")
    else:
        ran = llmroute("run", "bad", option, target)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"llmroute: {option} {target}: ")
    assert len(ran.stderr.splitlines()) == 1


# -- what the documentation shows


def documented(title):
    text = CI.read_text("utf-8")
    found = re.search(rf'^```yaml title="{re.escape(title)}"\n(.*?)^```$', text, re.M | re.S)
    assert found is not None, title
    return found[1]


def ours(script):
    """The commands of a shell script that are ours."""
    joined = script.replace("\\\n", " ")
    return [
        shlex.split(line)[1:]
        for line in joined.splitlines()
        if line.strip().startswith("llmroute ")
    ]


def workable(arguments):
    """A documented command does what it says in a project that it fits."""
    project(Path("config"), tries=3)
    Path("llmroute-baseline.toml").write_text("")
    assert llmroute(*arguments, *OUTAGE).exit_code == 1
    files = [arguments[n + 1] for n, word in enumerate(arguments) if word in ("--json", "--junit")]
    assert files
    assert all(Path(file).exists() for file in files)
    return files


def test_the_documented_workflow_asks_for_little_and_pins_what_it_runs():
    text = documented(".github/workflows/llmroute.yml")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"]
        for step in job["steps"]:
            if "uses" in step:
                pinned = rf"{re.escape(step['uses'])} # v\d+\.\d+\.\d+$"
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
                assert re.search(pinned, text, re.M)
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False
    assert "${{" not in "".join(
        step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]
    )


def test_the_documented_workflow_runs():
    workflow = yaml.safe_load(documented(".github/workflows/llmroute.yml"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    (command,) = [one for step in steps for one in ours(step.get("run", ""))]
    files = workable(command)
    (upload,) = [step for step in steps if "upload-artifact" in step.get("uses", "")]
    assert sorted(upload["with"]["path"].split()) == sorted(files)
    assert upload["if"] == "always()"


def test_the_documented_gitlab_job_runs():
    job = yaml.safe_load(documented(".gitlab-ci.yml"))["llmroute"]
    (command,) = [one for line in job["script"] for one in ours(line)]
    files = workable(command)
    assert job["artifacts"]["reports"]["junit"] in files
    assert job["artifacts"]["when"] == "always"
