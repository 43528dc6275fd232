"""What happens in a served world, shown while it happens, and what it came to in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from llmroute_sim.history import Attempt, History, Stray
from llmroute_sim.incidents import Live
from pytest_llmroute.census import Census
from pytest_llmroute.contracts.reading import failed, whole
from pytest_llmroute.report.closing import closing_lines as census_lines
from pytest_llmroute.report.figures import Times
from pytest_llmroute.report.terminal import Page
from pytest_llmroute.serving.served import News, Told

__all__ = ("Board", "closing_lines")

_GAP = "  "
_HEADS = ("", "attempts", "answered", "failed", "left", "p50", "p95", "first token")


class Board:
    """Lines for a page: one for everything that is told.

    ``show`` prints a line. Once it cannot, because nobody reads any more, nothing is shown.
    """

    def __init__(self, show: Callable[[str], None], page: Page) -> None:
        self._show: Callable[[str], None] | None = show
        self._page = page
        self._place = 28

    def tell(self, told: Told) -> None:
        """Show something that is over."""
        match told:
            case Attempt():
                self.say(self._attempt(told))
            case Stray():
                self.say(f"{told.at:9.3f}s  {_astray(told)}")
            case News():
                self.say(f"{told.at:9.3f}s  {self._page.signs.rule * 2} {told.text}")

    def say(self, line: str) -> None:
        """Show a line as it can be shown: some of its words were chosen by whoever asked."""
        if self._show is None:
            return
        shown = "".join(char if char.isprintable() else "?" for char in line.rstrip())
        if self._page.plain:
            shown = shown.encode("ascii", "replace").decode("ascii")
        try:
            self._show(shown)
        except OSError:
            self._show = None

    def _attempt(self, attempt: Attempt) -> str:
        place = f"{attempt.place}/{attempt.model}" if attempt.model else attempt.place
        self._place = max(self._place, min(len(place), 40))
        took = (attempt.ended or attempt.started) - attempt.started
        fault = "!" if self._page.plain else "⚡"
        words = [
            f"{attempt.started:9.3f}s",
            f"{place:<{self._place}}",
            f"{attempt.outcome:<14}",
            f"{took:7.3f}s",
            f"key {attempt.key}" if attempt.key else f"{'no key':<12}",
        ]
        if attempt.call is not None:
            words.append(f"call {attempt.call}")
        if attempt.faults:
            words.append(f"{fault} {', '.join(attempt.faults)}")
        return _GAP.join(words)


def closing_lines(
    history: History, incidents: Sequence[Live], page: Page, unseen: Collection[Live] = ()
) -> Iterator[str]:
    """What was asked of whom and what came of it, which faults were met, and which incidents nobody
    met. ``unseen`` are those that may have been met without a trace. Times in seconds."""
    yield page.headed("what was met")
    if history.attempts:
        rows = [_row(place, them) for place, them in _by_place(history.attempts).items()]
        yield from _table(_HEADS, rows)
        yield ""
    census = Census()
    census.add(history)
    yield from census_lines(census, page.width, page.signs)
    for stray, times in Counter(map(_astray, history.strays)).items():
        yield f"{stray} ({times} x)"
    for live in incidents:
        named = f"{live.number} {live.incident.name}"
        if live in unseen:
            yield f"{named}: the port of its own refuses, and sees nobody"
        elif not live.met:
            yield f"not met: {named}"


def _by_place(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        found.setdefault(attempt.place, []).append(attempt)
    return found


def _row(place: str, attempts: Sequence[Attempt]) -> tuple[str, ...]:
    answered = [attempt for attempt in attempts if whole(attempt)]
    broken = sum(map(failed, attempts))
    took = Times.of(one.ended - one.started for one in answered if one.ended is not None)
    first = Times.of(
        one.first_token - one.started for one in answered if one.stream and one.first_token
    )
    return (
        place,
        str(len(attempts)),
        str(len(answered)),
        str(broken),
        str(len(attempts) - len(answered) - broken),
        *(("-", "-") if took is None else (f"{took.p50:.3f}", f"{took.p95:.3f}")),
        "-" if first is None else f"{first.p50:.3f}",
    )


def _astray(stray: Stray) -> str:
    """A path of the shared port has no port of its own."""
    return f"{stray.host if stray.port else f'/{stray.host}'}: nothing is simulated there"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        first, *rest = [
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield _GAP.join((first, *rest))
