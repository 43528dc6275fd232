from __future__ import annotations

import pytest

from fixtured import APP, SETTINGS, run, run_apart, write

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write(pytester, app=APP, quick=SETTINGS)


# -- llmroute_scenario


PLAYED = """
    from app import ask

    def test_it(llmroute, llmroute_scenario):
        assert llmroute_scenario.name and llmroute_scenario.title and llmroute_scenario.good
        llmroute.play(llmroute_scenario, ask, target="openai", next="groq")
"""


def test_the_library_is_gone_through_with_readable_ids(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLAYED, "-v", "-rs")
    found = result.parseoutcomes()
    assert found["passed"] >= 10
    assert set(found) == {"passed", "skipped"}
    result.stdout.fnmatch_lines(
        [
            "*test_it.py::test_it[[]all-down] PASSED*",
            "*test_it.py::test_it[[]outage-503] PASSED*",
            "SKIPPED *the scenario near-repeats asks with *, and ask takes none of them",
            "SKIPPED *the scenario stream-cut is about streams, and ask did not stream",
        ]
    )


def test_scenarios_are_chosen_by_name_and_by_marker(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLAYED, "-k", "outage or blackout")
    assert result.parseoutcomes()["passed"] == 3
    (pytester.path / "mine.toml").write_text(
        'title = "t"\ngood = "g"\n[[incident]]\nfault = "outage"\nat = "openai"\n'
    )
    text = """
        import pytest
        from app import ask

        @pytest.fixture
        def played(llmroute, llmroute_scenario):
            return llmroute.play(llmroute_scenario, ask, target="openai")

        @pytest.mark.llmroute(scenarios=["outage-500", "mine.toml"])
        class TestSome:
            def test_it(self, played, llmroute):
                assert set(llmroute.path) <= {"openai:500", "openai:503", "groq:200"}

            @pytest.mark.llmroute(scenarios="refused")
            def test_one(self, played, llmroute):
                assert set(llmroute.path) == {"openai:refused", "groq:200"}

        @pytest.mark.parametrize("llmroute_scenario", ["outage-503"])
        def test_of_ones_own(llmroute, llmroute_scenario):
            assert llmroute_scenario == "outage-503"
    """
    result = run(pytester, text, "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["*test_it[[]outage-500]*", "*test_it[[]mine]*", "*test_one[[]refused]*"]
    )


def test_the_projects_own_scenarios_come_from_the_ini_file(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("scenarios")
    for name in ("brownout", "outage-503"):
        (folder / f"{name}.toml").write_text('[[incident]]\nfault = "outage"\nat = "openai"\n')
    (pytester.path / "single.toml").write_text("[[ask]]\ntimes = 2\n")
    pytester.makeini("[pytest]\nllmroute_scenarios = scenarios single.toml\n")
    text = """
        import pytest
        from app import ask

        def test_all(llmroute, llmroute_scenario):
            llmroute.play(llmroute_scenario, ask, target="openai", next="groq")

        @pytest.mark.llmroute(scenarios=["brownout", "single"])
        def test_some(llmroute, llmroute_scenario):
            llmroute.play(llmroute_scenario, ask)

        def test_by_name(llmroute):
            llmroute.play("brownout", ask)
            assert llmroute.path == ["openai:503", "groq:200"]
    """
    result = run(pytester, text, "-v", "-k", "some or by_name or single or brownout or outage-503")
    assert result.parseoutcomes()["passed"] == 7
    result.stdout.fnmatch_lines(
        ["*test_all[[]brownout]*", "*test_all[[]outage-503.toml]*", "*test_all[[]single]*",
         "*test_all[[]outage-503]*"]
    )  # fmt: skip


def test_a_scenario_of_the_ini_file_that_is_wrong_is_told_once_it_is_wanted(
    pytester: pytest.Pytester,
) -> None:
    (pytester.path / "mine.toml").write_text("[[incident]]\nfalt = 'outage'\n")
    text = """
        def test_it(llmroute):
            llmroute.play("mine", str)

        def test_another():
            pass
    """
    pytester.makeini("[pytest]\nllmroute_scenarios = mime.toml\n")
    result = run(pytester, text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: llmroute_scenarios: there is no */mime.toml; did you mean mine.toml?"]
    )
    pytester.makeini("[pytest]\nllmroute_scenarios = mine.toml\n")
    result = run(pytester, text)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["E * the scenario mine.toml: *unknown key of an incident 'falt'; did you mean 'fault'?*"]
    )
    (pytester.path / "mine.toml").write_text("[[incident]\n")
    result = run(pytester, text)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["llmroute_scenarios: *mine.toml: *"])


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("scenarios=['outage-505']", "*unknown scenario 'outage-505'; did you mean 'outage-50*'?*"),
        ("scenarios=['mime.toml']", "*unknown scenario file 'mime.toml'; did you mean 'mine.toml'?*"),
        ("scenarios=['mine.toml']", "*mine.toml: unknown key of a scenario 'incidents'; did you mean*"),
        ("scenarios=3", "*llmroute(scenarios=3): a list of names and paths*"),
        ("scenario=['x']", "*unknown keyword of the marker llmroute 'scenario'; did you mean 'scenarios'?*"),
    ],
)  # fmt: skip
def test_a_scenario_that_does_not_exist_is_told_when_tests_are_collected(
    pytester: pytest.Pytester, marker: str, says: str
) -> None:
    (pytester.path / "mine.toml").write_text("[[incidents]]\n")
    text = f"""
        import pytest

        @pytest.mark.llmroute({marker})
        def test_it(llmroute, llmroute_scenario):
            pass
    """
    result = run(pytester, text)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([says])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*fixtures.py*")


def test_scenarios_are_shared_out_over_workers(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    found = run_apart(pytester, PLAYED, "-n", "2", "-k", "outage or blackout or all-down")
    found.assert_outcomes(passed=4)
