"""The documentation, read: its pages, their fenced blocks, the commands in these.

Behind its language a fence may say::

    title="router.py"     the block is this file, there for every later command of its page
    needs=openai>=3       the block is left out where that is not installed (several: with commas)

and a page as a whole ``<!-- needs: openai>=3, anthropic -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": ROOT / "README.md"} | {
    page.name: page for page in sorted((ROOT / "docs").glob("*.md"))
}


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is its first in the page."""

    page: str
    line: int
    language: str
    title: str | None
    needs: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def missing(self) -> list[str]:
        return missing(self.needs)

    @property
    def commands(self) -> list[list[str]]:
        """Of a console: each command, and the lines that it prints."""
        found: list[list[str]] = []
        for line in self.text.splitlines() if self.language == "console" else ():
            if line.startswith("$ "):
                found.append([line.removeprefix("$ ")])
            else:
                found[-1].append(line)
        return found

    def runs(self, program: str) -> list[str]:
        """The commands of a program."""
        return [command for command, *_ in self.commands if command.split()[0] == program]


def text(page: str) -> str:
    return PAGES[page].read_text("utf-8")


def prose(page: str) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", text(page), flags=re.M | re.S)


def blocks(page: str) -> Iterator[Block]:
    whole = text(page)
    for found in re.finditer(r"^```(\w+)([^\n`]*)\n(.*?)^```$", whole, re.M | re.S):
        said = {
            key: value.strip('"') for key, value in re.findall(r'(\w+)=("[^"]*"|\S+)', found[2])
        }
        assert set(said) <= {"title", "needs"}, f"{page}: unknown fence {found[0].splitlines()[0]}"
        needs = tuple(filter(None, said.get("needs", "").split(",")))
        line = whole.count("\n", 0, found.start()) + 2
        yield Block(page, line, found[1], said.get("title"), needs, found[3])


def lacks(page: str) -> list[str]:
    """What a page as a whole needs and is not installed."""
    said = re.search(r"^<!-- needs: (.*) -->$", text(page), re.M)
    return missing(said[1].split(",")) if said else []


def missing(needs: list[str] | tuple[str, ...]) -> list[str]:
    return [need.strip() for need in needs if not _installed(Requirement(need))]


def _installed(need: Requirement) -> bool:
    try:
        return need.specifier.contains(version(need.name), prereleases=True)
    except PackageNotFoundError:
        return False
