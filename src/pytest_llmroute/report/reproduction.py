"""The pytest test that would have caught a broken promise, as text to be pasted."""

from __future__ import annotations

import re
from textwrap import wrap

__all__ = ("test_text",)

_WIDTH = 80
_NAME = 60
"""Characters of a test's name; promises of long groups are told apart by what is checked."""


def test_text(
    config_path: str,
    promise_id: str,
    scenario: str,
    entry: str,
    seed: int,
    says: str,
    *,
    width: int = _WIDTH,  # noqa: PT028 (no test itself)
) -> str:
    """A whole module with one test, which fails as long as the promise is broken.

    ``config_path`` is the file as the test shall name it, ``promise_id``, ``scenario`` (a shipped name,
    or a file) and ``entry`` (a way in; empty: all) are what :func:`pytest_llmroute.check` takes,
    ``says`` is what is promised, in lines of at most ``width`` characters.
    """
    given = [
        _quoted(config_path),
        f"promise={_quoted(promise_id)}",
        f"scenario={_quoted(scenario)}",
        *([f"entry={_quoted(entry)}"] if entry else []),
        *([f"seed={seed}"] if seed else []),
    ]
    said = " ".join(says.split())
    return "\n".join(
        [
            "from pytest_llmroute import check",
            "",
            "",
            f"def {_name(promise_id, scenario)}():",
            *wrap(said, width, initial_indent="    # ", subsequent_indent="    # "),
            "    check(",
            *(f"        {one}," for one in given),
            "    )",
            "",
        ]
    )


def _name(promise_id: str, scenario: str) -> str:
    contract, _, rest = promise_id.partition("[")
    group = re.sub(r"(:\d+)?\](~\d+)?$", "", rest)
    last = scenario.rpartition("/")[2].removesuffix(".toml")
    words = re.sub(r"[^a-z0-9]+", "_", f"{contract} of {group} in {last}".lower())
    return f"test_{words[:_NAME].strip('_')}"


def _quoted(text: str) -> str:
    """A string literal, in double quotes where that needs no escape."""
    literal = ascii(text)
    return literal if '"' in literal else f'"{literal[1:-1]}"'
