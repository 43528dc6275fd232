"""What a report is written to besides the terminal: files, and what GitHub Actions reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pytest_llmroute.cli.mistakes import Wrong

if TYPE_CHECKING:
    from pytest_llmroute.report.summary import Links
    from pytest_llmroute.report.terminal import Page
    from pytest_llmroute.standing import Standing

__all__ = ("Outputs", "options", "writable", "write")

_Command = TypeVar("_Command", bound=Callable[..., Any])

_STEP = "GITHUB_STEP_SUMMARY"
"""The variable that names the file which GitHub shows as the summary of a step."""
_WIDTH = 100


def options(command: _Command) -> _Command:
    """The options that say where a report goes."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--github/--no-github", default=None, help="Print GitHub annotations, and add to the job summary; by itself in GitHub Actions."),
        click.option("--summary", type=path, metavar="FILE", help="Write a summary in Markdown."),
        click.option("--junit", type=path, metavar="FILE", help="Write JUnit XML: a test case for each promise and scenario."),
    ):  # fmt: skip
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a report goes. ``github`` None leaves it to the environment."""

    junit: Path | None
    summary: Path | None
    github: bool | None
    json: Path | None = None

    def check(self) -> None:
        """Find out before anything runs what cannot be written. Raises ``Wrong``."""
        files = (("--json", self.json), ("--junit", self.junit), ("--summary", self.summary))
        for option, file in (*files, (f"${_STEP}", self._step)):
            if file is not None:
                writable(option, file)

    def write(self, standing: Standing, page: Page) -> Iterator[str]:
        """Write every file, and yield what is to be printed. Raises ``Wrong``."""
        from pytest_llmroute.report.github import commands
        from pytest_llmroute.report.terminal import Page

        root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
        wide = Page(_WIDTH, python=page.python)
        if self.json is not None:
            from pytest_llmroute.report.saved import dump

            write("--json", self.json, dump(standing.report))
        if self.junit is not None:
            from pytest_llmroute.report.junit import junit

            write("--junit", self.junit, junit(standing, wide).decode())
        if self.summary is not None or self._step is not None:
            self._summarize(standing, wide, _links(root))
        if self._annotated:
            yield from commands(standing, wide, root)

    def _summarize(self, standing: Standing, page: Page, links: Links | None) -> None:
        from pytest_llmroute.report.summary import LIMIT, markdown

        if self.summary is not None:
            write("--summary", self.summary, markdown(standing, page, links=links))
        if self._step is not None:
            try:
                taken = self._step.stat().st_size if self._step.exists() else 0
                with self._step.open("a", encoding="utf-8", newline="\n") as file:
                    file.write(markdown(standing, page, links=links, limit=LIMIT - taken))
            except OSError as error:
                raise Wrong(f"${_STEP} {self._step}: {error.strerror or error}") from error

    @property
    def _annotated(self) -> bool:
        if self.github is not None:
            return self.github
        return os.environ.get("GITHUB_ACTIONS") == "true"

    @property
    def _step(self) -> Path | None:
        """The file of the job summary, unless it is not wanted."""
        name = os.environ.get(_STEP, "")
        return Path(name) if name and self.github is not False else None


def writable(option: str, file: Path) -> None:
    """Raises ``Wrong`` for a file that cannot be written."""
    from tempfile import TemporaryFile

    if file.is_dir():
        raise Wrong(f"{option} {file}: is a folder")
    try:
        with TemporaryFile(dir=file.parent):
            return
    except OSError as error:
        raise Wrong(f"{option} {file}: {error.strerror or error}") from error


def write(option: str, file: Path, text: str) -> None:
    """Write a file at once or not at all. Raises ``Wrong``."""
    from pytest_llmroute.report import saved

    try:
        saved.write(file, text)
    except OSError as error:
        raise Wrong(f"{option} {file}: {error.strerror or error}") from error


def _links(root: Path) -> Links | None:
    """Where the files of this commit can be looked at, if the environment says so."""
    from pytest_llmroute.report.summary import Links

    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA")
    server, repository, commit = (os.environ.get(name, "") for name in names)
    if not (server and repository and commit):
        return None
    return Links(root, f"{server}/{repository}/blob/{commit}")
