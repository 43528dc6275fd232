"""Lines on a terminal, coloured by their signs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_llmroute.report.terminal import Page

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ("page_for", "show", "stderr", "stdout")

_STYLES = (
    (re.compile(r"^── .*$|^-- .*$"), "bold"),
    (re.compile(r"✓"), "green"),
    (re.compile(r"✗.*$"), "red"),
    (re.compile(r"⚡.*?(?=✗|$)"), "yellow"),
    (re.compile(r"^\? .*$|^ +untested: .*$|^note: .*$"), "yellow"),
    (re.compile(r"^ +llmroute run .*$"), "cyan"),
    (re.compile(r"https?://\S+"), "blue"),
)


def stdout() -> Console:
    """Where reports go."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """Where progress and errors go."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, stderr=True)


def page_for(console: Console, *, detail: bool = False, python: str | None = None) -> Page:
    """The page that a console offers."""
    plain = not _encoding(console).lower().replace("-", "").startswith("utf")
    return Page(max(60, min(console.width, 120)), plain, detail, python)


def _encoding(console: Console) -> str:
    return getattr(console.file, "encoding", None) or sys.getdefaultencoding()


def show(console: Console, lines: Iterable[str]) -> None:
    """Print lines as they are: nothing is wrapped, so that places can be searched for. What the
    stream has no characters for, as a user's own words may hold, is shown as ``?``."""
    from rich.text import Text

    encoding = _encoding(console)
    for line in lines:
        text = Text(line.encode(encoding, "replace").decode(encoding))
        if console.color_system:
            for pattern, style in _STYLES:
                text.highlight_regex(pattern, style)
        console.print(text, soft_wrap=True)
