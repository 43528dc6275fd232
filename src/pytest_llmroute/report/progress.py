"""How a run goes, while it goes: a bar and the first bad news on a terminal, a line for each
configuration elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmroute.report.findings import Sheet, relative
from pytest_llmroute.report.terminal import Page, many

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from pytest_llmroute.run import Result
    from pytest_llmroute.sweep import Plan

__all__ = ("Bar", "Lines")


class Lines:
    """A line for each configuration when it is done."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, plan: Plan) -> None:
        """Nothing is said yet."""

    def played(self, result: Result) -> None:
        """Nothing is said yet."""

    def done(self, found: Sheet) -> None:
        """Say how its promises came out."""
        counts = ", ".join(
            f"{len(found.those(outcome))} {outcome}" for outcome in ("kept", "broken", "untested")
        )
        cells = many(len(found.played), "cell")
        self._console.print(f"{found.path}: {counts} ({cells})", soft_wrap=True)


class Bar:
    """A bar over all cells, and above it each promise when it is first found broken."""

    def __init__(self, console: Console, page: Page, cells: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._page = page
        self._known: set[str] = set()
        self._bar: Progress = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=cells)

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, plan: Plan) -> None:
        """Name the configuration."""
        self._bar.update(self._task, description=relative(plan.config.path))

    def played(self, result: Result) -> None:
        """Move on, and say what is new."""
        self._bar.advance(self._task)
        for verdict in result.verdicts:
            name = f"{relative(result.config.path)}: {verdict.promise.id}"
            if verdict.outcome == "broken" and name not in self._known and result.cell:
                self._known.add(name)
                sign = self._page.signs.broken
                self._bar.console.print(
                    f"{sign} {name} in {result.cell.scenario.name}", style="red", soft_wrap=True
                )

    def done(self, found: Sheet) -> None:
        """The bar says it already."""
