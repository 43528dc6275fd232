from __future__ import annotations

import pytest

from suites import run, write


def said(pytester: pytest.Pytester, *lines: str, args: tuple[str, ...] = ()) -> str:
    """The one message of a run that does not begin."""
    write(pytester.path)
    pytester.makeini("\n".join(("[pytest]", *lines)))
    pytester.makepyfile(test_it="def test_it(llmroute): pass")
    result = run(pytester, "-W", "error", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line]
    return line.removeprefix("ERROR: ").replace(f"{pytester.path}/", "")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("llmroute_confgs = x", "tox.ini: unknown option 'llmroute_confgs'; did you mean 'llmroute_configs'? (known: llmroute_allow_untested, "),
        ("llmroute_seed = many", "tox.ini: llmroute_seed: not a whole number: "),
        ("llmroute_policy = perhaps", "tox.ini: llmroute_policy: not true or false: "),
        ("llmroute_allow_untested = retry.bound", "tox.ini: llmroute_allow_untested: unknown contract 'retry.bound'; did you mean 'retry.bounded'?"),
        ("llmroute_configs = llmrout.toml", "tox.ini: llmroute_configs: 'llmrout.toml' does not exist (did you mean 'llmroute.toml'?)"),
    ],
)  # fmt: skip
def test_what_an_option_cannot_mean_is_said_before_anything_is_collected(pytester, line, says):
    assert said(pytester, line).startswith(says)


def test_the_command_line_is_held_to_the_same(pytester):
    assert "not true or false" in said(pytester, args=("-o", "llmroute_policy=perhaps"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "known.toml: cannot be read: "),
        (b"\xff", "known.toml: not UTF-8 text"),
        (b"[[acepted]]", "known.toml: acepted: unknown key of a baseline (allowed: accepted) (did you mean 'accepted'?)"),
        (b"[[accepted]]\nconfig = 3", "known.toml:2: accepted.config: 3 is not"),
    ],
    ids=["missing", "binary", "misspelled", "number"],
)  # fmt: skip
def test_a_baseline_that_cannot_be_read_is_said_once(pytester, text, says):
    if text is not None:
        (pytester.path / "known.toml").write_bytes(text)
    found = said(pytester, "llmroute_baseline = known.toml", "llmroute_configs = llmroute.toml")
    assert found.startswith(f"tox.ini: llmroute_baseline: {says}")


def test_options_that_are_right_are_left_alone(pytester):
    pytester.makeini("[pytest]\nllmroute_seed = 7\nllmroute_policy = true\n")
    pytester.makepyfile(test_it="def test_it(llmroute): pass")
    run(pytester, "-W", "error").assert_outcomes(passed=1)


def test_without_an_ini_file_nothing_is_said(pytester):
    pytester.makepyfile(test_it="def test_it(llmroute): pass")
    run(pytester, "-W", "error").assert_outcomes(passed=1)
