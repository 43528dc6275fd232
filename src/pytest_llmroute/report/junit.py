"""Reports as JUnit XML, for the systems that show test results.

A test case is a promise in a scenario. Its name holds when lines of the file move, so that a system
knows it again. No times are given: a run's own would differ each time, and the virtual ones would be
added up as if somebody had waited for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from junitparser import (
    Attr,
    Error,
    Failure,
    JUnitXml,
    Properties,
    Property,
    Skipped,
    TestCase,
    TestSuite,
)

from pytest_llmroute.identity import lasting_names
from pytest_llmroute.report.findings import HISTORY, Finding, Seen, Sheet, relative
from pytest_llmroute.report.terminal import (
    Page,
    evidence_lines,
    placed,
    reproduction,
    smallest,
    worded,
)
from pytest_llmroute.standing import Standing
from pytest_llmroute.verdicts import Outcome

__all__ = ("junit",)

_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold."""


class _Case(TestCase):
    """A test case with the place of its promise."""

    file = Attr()
    line = Attr()


def junit(standing: Standing, page: Page) -> bytes:
    """The text of a file. The same findings give the same bytes."""
    root: Any = JUnitXml("llmroute")
    for sheet in standing.report.sheets:
        suite = TestSuite(_fit(sheet.path))
        for name, release in standing.report.versions.items():
            suite.add_property(name, release)
        names = lasting_names(sheet.promises)
        for found in sheet.findings:
            name = names[sheet.promises.index(found.promise)]
            suite.add_testcases(list(_cases(standing, sheet, found, name, page)))
        root.add_testsuite(suite)
    if standing.terms.baseline is not None and standing.stale:
        root.add_testsuite(_stale(standing))
    root.update_statistics()
    file = BytesIO()
    root.write(file, pretty=True)
    return file.getvalue().rstrip() + b"\n"


def _cases(
    standing: Standing, sheet: Sheet, found: Finding, name: str, page: Page
) -> Iterator[Any]:
    scenarios = found.by_scenario()
    for scenario, outcome in scenarios.items():
        seen = tuple(
            one for one in found.seen if one.played is not None and one.played.scenario == scenario
        )
        case = _case(sheet, found, f"{name} in {scenario}", seen)
        _end(case, standing, sheet, found, (scenario, outcome), seen, page)
        yield case
    if not scenarios:
        case = _case(sheet, found, name, ())
        _end(case, standing, sheet, found, (None, "untested"), found.seen, page)
        yield case


def _case(sheet: Sheet, found: Finding, name: str, seen: tuple[Seen, ...]) -> Any:
    promise, because = found.promise, found.promise.because
    case: Any = _Case(_fit(name), _fit(sheet.path), 0)
    if because.file is not None:
        case.file = _fit(relative(because.file))
    if because.line is not None:
        case.line = str(because.line)
    seeds = sorted({one.played.seed for one in seen if one.played is not None})
    ways = [f"{one.played.entry} {one.verdict.outcome}" for one in seen if one.played is not None]
    properties: Mapping[str, Any] = {
        "promise": f"{promise.contract.id}: {promise.text}",
        "because": placed(because),
        "documentation": " ".join(because.addresses),
        "seed": ", ".join(map(str, seeds)),
        "ways in": ", ".join(ways) if sheet.kind != HISTORY else "",
    }
    listed = Properties()  # type: ignore[no-untyped-call]  # the library forgot its types
    for key, value in properties.items():
        if value:
            listed.add_property(Property(key, _fit(value)))
    case.append(listed)
    return case


def _end(
    case: Any,
    standing: Standing,
    sheet: Sheet,
    found: Finding,
    came: tuple[str | None, Outcome],
    seen: tuple[Seen, ...],
    page: Page,
) -> None:
    """Say how a case ended: passed needs no word."""
    scenario, outcome = came
    kind = found.promise.contract.id
    entry = standing.terms.accepted(sheet, found, scenario, outcome)
    if outcome == "broken":
        first = smallest(one for one in seen if one.verdict.outcome == "broken")
        said = next(iter(worded(first)), found.promise.text)
        text = "\n".join(
            (*evidence_lines(first, page), "", reproduction(sheet, found, first, page))
        )
        if entry is None or entry.expired:
            said = said if entry is None else f"{entry.says}; {said}"
            case.result = [_result(Failure, said, kind, text)]
        else:
            case.result = [_result(Skipped, entry.says, kind)]
            case.system_out = _fit(text)
    elif outcome == "untested":
        own = (one.verdict.reason for one in seen if one.verdict.outcome == "untested")
        said = "; ".join(dict.fromkeys(own))
        ruling = standing.terms.ruling(sheet, found)
        if found.outcome == "untested" and ruling.fails:
            said = f"{ruling.remark}; {said}" if ruling.remark else said
            case.result = [_result(Error, f"untested: {said}", kind)]
        else:
            said = said if entry is None else f"{entry.says}; {said}"
            case.result = [_result(Skipped, f"untested: {said}", kind)]


def _stale(standing: Standing) -> TestSuite:
    """A suite for the entries of the baseline that are no longer true."""
    assert standing.terms.baseline is not None  # only then is an entry stale
    path = relative(standing.terms.baseline.path)
    suite = TestSuite(_fit(path))
    for number, stale in enumerate(standing.stale, 1):
        name = f"{stale.entry.promise} in {stale.entry.config} ({number})"
        case = _Case(_fit(name), _fit(path), 0)
        case.file, case.line = _fit(path), stale.entry.place.rpartition(":")[2]
        case.result = [_result(Failure, stale.remark, "stale")]
        suite.add_testcase(case)
    return suite


def _result(kind: Any, message: str, name: str, text: str = "") -> Any:
    result = kind(_fit(message), name)
    if text:
        result.text = _fit(text)
    return result


def _fit(text: str) -> str:
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
