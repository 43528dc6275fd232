"""A history as a picture in text: who was asked when, and what came back.

Lanes where they fit, else a line for each attempt. Attempts are numbered in the order in which they
began, so that a message can say ``#2`` and mean one arrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from llmroute_sim.history import Attempt, Call, History

__all__ = ("Numbers", "draw")

_IDENTITY = re.compile(r"\ba\d+\b")

LANES = 4
"""More places than this are no picture any more."""
LINES = 60
"""More lines than this are left out around the marked ones."""
AROUND = 3
"""Lines that stay on each side of a marked one."""
EDGE = 8
"""Lines that stay at the beginning and at the end."""
_NOTES = 26
"""Columns that notes need beside the lanes."""
_NARROWEST, _WIDEST = 13, 18


@dataclass(frozen=True, slots=True)
class _Glyphs:
    bar: str
    dash: str
    right: str
    left: str
    fault: str
    broken: str
    begin: str
    end: str
    gap: str
    cut: str


_UNICODE = _Glyphs("│", "─", "▶", "◀", "⚡", "✗", "┌", "└", "⋮", "…")
_ASCII = _Glyphs("|", "-", ">", "<", "!", "x", "+", "+", ":", "...")


@dataclass(frozen=True, slots=True)
class _Moment:
    """One line of the picture."""

    at: float
    kind: Literal["begin", "request", "reply", "end", "stray"]
    subject: str
    text: str
    fault: str = ""
    broken: str = ""
    attempt: Attempt | None = None


class Numbers:
    """``#n`` for every attempt of a history, by its id."""

    def __init__(self, history: History) -> None:
        self._numbers = {attempt.id: number for number, attempt in enumerate(history.attempts, 1)}

    def __call__(self, identity: str) -> str:
        """``#2`` for an attempt; the id itself for a call."""
        number = self._numbers.get(identity)
        return identity if number is None else f"#{number}"

    def said(self, text: str) -> str:
        """A text that names attempts by their ids, with their numbers instead."""
        return _IDENTITY.sub(lambda found: self(found[0]), text)


def draw(
    history: History,
    *,
    width: int = 80,
    marks: Mapping[str, str] | None = None,
    ascii: bool = False,  # noqa: A002 - what it is called wherever text is drawn
) -> str:
    """The timeline of a history, at most ``width`` columns wide.

    ``marks`` says by the id of an attempt or call what it broke; those lines are marked, and stay
    where a long history is shortened. ``ascii`` avoids all other characters. Times are seconds
    since the world began.
    """
    glyphs = _ASCII if ascii else _UNICODE
    moments = list(_moments(history, marks or {}))
    if not moments:
        return "nothing was asked"
    places = list(dict.fromkeys(attempt.place for attempt in history.attempts))
    pitch = _pitch(places, width, _clock_width(moments))
    if pitch is None:
        moments = list(_joined(moments))
        lines = [_row(moment, glyphs) for moment in moments]
    else:
        board = _Board(places, pitch, glyphs, _vias(history))
        lines = [board.line(moment) for moment in moments]
    clock = _clock_width(moments)
    timed = [
        _fitted(f"{moment.at:{clock}.3f}s  {line}".rstrip(), width, glyphs.cut)
        for moment, line in zip(moments, lines, strict=True)
    ]
    kept = _shortened(timed, [bool(moment.broken) for moment in moments], glyphs, clock)
    if pitch is not None and places:
        kept.insert(0, (" " * (clock + 3) + board.heading()).rstrip())
    if history.clock != "virtual":
        kept.append(_fitted(f"clock: {history.clock}", width, glyphs.cut))
    return "\n".join(kept)


# -- what there is to draw


def _moments(history: History, marks: Mapping[str, str]) -> Iterator[_Moment]:
    """Everything that happened, in the order in which it is read."""
    numbers = Numbers(history)
    order: list[tuple[float, float, int, int, _Moment]] = []
    index = {attempt.id: number for number, attempt in enumerate(history.attempts, 1)}
    models: dict[str, set[str | None]] = {}
    for attempt in history.attempts:
        models.setdefault(attempt.place, set()).add(attempt.model)

    last = {attempt.id: index[attempt.id] for attempt in history.attempts}
    for attempt in reversed(history.attempts):
        # A gateway answers after the attempts that it made for it.
        if attempt.via in last:
            last[attempt.via] = max(last[attempt.via], last[attempt.id])
    for attempt in history.attempts:
        number = index[attempt.id]
        name = numbers(attempt.id)
        if attempt.model is not None and len(models[attempt.place] - {None}) > 1:
            name += f" {attempt.model}"
        broken = marks.get(attempt.id, "")
        asked = _Moment(attempt.started, "request", attempt.id, name, "", broken, attempt)
        order.append((attempt.started, number, 1, 0, asked))
        if attempt.ended is not None:
            fault = ", ".join(attempt.faults)
            got = _Moment(attempt.ended, "reply", attempt.id, attempt.outcome, fault, "", attempt)
            order.append((attempt.ended, last[attempt.id], 2, -number, got))

    reached = 0
    for place, call in enumerate(history.calls, 1):
        mine = [index[attempt.id] for attempt in history.attempts if attempt.call == call.id]
        # A call without attempts comes after those of the calls before it.
        first, final = (mine[0], mine[-1]) if mine else (reached + 0.5 + place / 1e6,) * 2
        reached = max([reached, *mine])
        broken = marks.get(call.id, "")
        early = "" if call.ended is not None else broken
        begun = _Moment(call.started, "begin", call.id, _asked(call), "", early)
        order.append((call.started, first, 0, 0, begun))
        if call.ended is not None:
            told = _Moment(call.ended, "end", call.id, _told(call, history, numbers), "", broken)
            order.append((call.ended, final, 3, 0, told))
    for stray in history.strays:
        text = f"stray: {stray.host}:{stray.port} is not simulated, and was refused"
        order.append((stray.at, reached, 2, 1, _Moment(stray.at, "stray", "", text)))
    order.sort(key=lambda entry: entry[:4])
    return (entry[4] for entry in order)


def _asked(call: Call) -> str:
    labels = " ".join(f"{key}={value}" for key, value in call.labels.items())
    stream = "streamed" if call.stream else ""
    group = call.group if call.group != call.entry else None
    return " ".join(part for part in (call.id, call.entry, group, stream, labels) if part)


def _told(call: Call, history: History, numbers: Numbers) -> str:
    if call.failure is not None:
        status = f" {call.failure.status}" if call.failure.status else ""
        return f"{call.id} {call.outcome}: {call.failure.kinds[0]}{status}"
    said = f"{call.id} {call.outcome}"
    if call.finish:
        said += f" ({call.finish})"
    sources = history.sources(call)
    return f"{said} from {', '.join(numbers(a.id) for a in sources)}" if sources else said


def _vias(history: History) -> dict[str, str]:
    """Where an attempt was made, if a gateway somewhere else made it: the gateway's place."""
    places = {attempt.id: attempt.place for attempt in history.attempts}
    return {
        made.id: places[made.via]
        for made in history.attempts
        if made.via in places and places[made.via] != made.place
    }


# -- lanes


def _clock_width(moments: Sequence[_Moment]) -> int:
    return max(8, *(len(f"{moment.at:.3f}") for moment in moments)) if moments else 8


def _pitch(places: Sequence[str], width: int, clock: int) -> int | None:
    """How far apart the lanes are, or None where they do not fit."""
    if len(places) > LANES:
        return None
    if not places:
        return _WIDEST
    room = (width - clock - 3 - _NOTES) // len(places)
    pitch = min(_WIDEST, room)
    longest = max(map(len, places))
    return pitch if pitch >= max(_NARROWEST, longest + 2) else None


class _Board:
    """Vertical lanes, one for the router and one for each place."""

    def __init__(
        self, places: Sequence[str], pitch: int, glyphs: _Glyphs, vias: Mapping[str, str]
    ) -> None:
        self._places = list(places)
        self._lane = {place: 2 + pitch * number for number, place in enumerate(places, 1)}
        self._end = 3 + pitch * len(places)
        self._glyphs = glyphs
        self._vias = vias

    def heading(self) -> str:
        """The names, each centred over its lane."""
        line = ""
        for name, column in [("router", 2), *self._lane.items()]:
            start = max(column - len(name) // 2, len(line) + 1 if line else 0)
            line = line.ljust(start) + name
        return line

    def line(self, moment: _Moment) -> str:
        glyphs, attempt = self._glyphs, moment.attempt
        if attempt is None:
            sign = {"begin": glyphs.begin, "end": glyphs.end}.get(moment.kind, glyphs.fault)
            return f"  {sign} {moment.text}{_broken(moment, glyphs)}"
        source = self._lane.get(self._vias.get(attempt.id, ""), 2)
        target = self._lane[attempt.place]
        cells = list(" " * self._end)
        for column in (2, *self._lane.values()):
            cells[column] = glyphs.bar
        low, high = min(source, target), max(source, target)
        rightward = (source < target) == (moment.kind == "request")
        label = f" {moment.text} "
        space = high - low - 2
        if len(label) > space - 2:
            label = f" {moment.text.split(' ')[0]} "
        arrow = label.center(space, glyphs.dash)
        body = arrow + glyphs.right if rightward else glyphs.left + arrow
        cells[low + 1 : high] = body
        fault = f"   {glyphs.fault} {moment.fault}" if moment.fault else ""
        return f"{''.join(cells)}{fault}{_broken(moment, glyphs)}".rstrip()


def _broken(moment: _Moment, glyphs: _Glyphs) -> str:
    return f"   {glyphs.broken} {moment.broken}" if moment.broken else ""


# -- a line for each attempt


def _joined(moments: Sequence[_Moment]) -> Iterator[_Moment]:
    """Requests with their replies in one line."""
    replies = {m.subject: m for m in moments if m.kind == "reply"}
    for moment in moments:
        attempt = moment.attempt
        if moment.kind == "reply" or attempt is None:
            if moment.kind != "reply":
                yield moment
            continue
        reply = replies.get(moment.subject)
        text = f"{moment.text} {attempt.place}: {attempt.outcome}"
        if reply is not None and reply.at > moment.at:
            text += f" at {reply.at:.3f}s"
        fault = reply.fault if reply else ""
        yield _Moment(moment.at, "request", moment.subject, text, fault, moment.broken, attempt)


def _row(moment: _Moment, glyphs: _Glyphs) -> str:
    if moment.attempt is None:
        sign = {"begin": glyphs.begin, "end": glyphs.end}.get(moment.kind, glyphs.fault)
        return f"{sign} {moment.text}{_broken(moment, glyphs)}"
    broken = f"  {glyphs.broken} {moment.broken}" if moment.broken else ""
    fault = f"  {glyphs.fault} {moment.fault}" if moment.fault else ""
    sign = glyphs.broken if broken else glyphs.bar
    return f"{sign} {moment.text}{broken}{fault}"


# -- what fits


def _fitted(line: str, width: int, cut: str) -> str:
    return line if len(line) <= width else line[: width - len(cut)] + cut


def _shortened(
    lines: Sequence[str], marked: Sequence[bool], glyphs: _Glyphs, clock: int
) -> list[str]:
    """A long picture without most of what is not marked; beginning and end stay."""
    if len(lines) <= LINES:
        return list(lines)
    kept = {*range(EDGE), *range(len(lines) - EDGE, len(lines))}
    spots = [number for number, mark in enumerate(marked) if mark]
    for spot in spots[: (LINES - 2 * EDGE) // (2 * AROUND + 1)]:
        kept.update(range(max(0, spot - AROUND), min(len(lines), spot + AROUND + 1)))
    shown: list[str] = []
    for keep, group in groupby(range(len(lines)), kept.__contains__):
        numbers = list(group)
        if keep:
            shown += (lines[number] for number in numbers)
            continue
        missing = sum(marked[number] for number in numbers)
        more = f", {missing} of them marked" if missing else ""
        shown.append(f"{glyphs.gap:>{clock}}   {len(numbers)} lines left out{more}")
    return shown
