"""How a provider says no: tables of error kinds, and the filling of their forms.

The tables are data (``llmroute_data/errors/NAME.toml``): for each kind its status, headers, body
and where that was seen. A table is ``like`` another in all that it does not say itself, and every
one in the end like ``edge``, which is what the network in front of a provider says. In a body or a
header, ``{name}`` stands for a fact of the refusal, ``{name:,}`` writes
a number with thousands separators and ``{name:duration}`` seconds as OpenAI writes them. A JSON
string that is nothing but ``{name}`` becomes null where the fact is absent.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from email.utils import formatdate
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from llmroute_sim.dialects.bodies import encoded, quoted
from llmroute_sim.prompt import Refusal
from llmroute_sim.wire import Data, Event, Head, Headers

__all__ = ("ErrorForm", "ErrorTable", "Template", "duration", "hint", "table")

Fact: TypeAlias = str | int | float | Decimal

_SLOT = re.compile(r'"\{(\w+)\}"|\{(\w+)(?::(,|duration))?\}')
_GIVEN = frozenset({"request_id", "ray", "seconds"})
_ROOT = "edge"


@dataclass(frozen=True, slots=True)
class Template:
    """JSON text with slots for facts: literal pieces alternate with (name, format) pairs, where the
    format ``json`` is a whole value."""

    pieces: tuple[str | tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Find the slots of a text."""
        pieces: list[str | tuple[str, str]] = []
        end = 0
        for found in _SLOT.finditer(text):
            pieces.append(text[end : found.start()])
            whole, name, form = found.groups()
            pieces.append((whole, "json") if whole else (name, form or ""))
            end = found.end()
        pieces.append(text[end:])
        return cls(tuple(pieces))

    @property
    def needs(self) -> set[str]:
        """The facts without which the text cannot be written."""
        return {p[0] for p in self.pieces if isinstance(p, tuple) and p[1] != "json"}

    def fill(self, facts: Mapping[str, Fact]) -> bytes:
        """Write the text. Raises ``KeyError`` for a fact that it needs and does not get."""
        return encoded(
            "".join(
                piece if isinstance(piece, str) else _written(piece, facts) for piece in self.pieces
            )
        )


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """One kind of error: ``body`` answers a request, ``event`` is the same on one line, for an
    error inside a stream. ``facts`` are used where a refusal brings none. ``edge`` says that it is
    not the provider that answers, so none of its headers come with it."""

    status: int
    headers: tuple[tuple[str, Template], ...]
    body: Template
    event: Template
    facts: Mapping[str, Fact]
    evidence: str
    edge: bool = False


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """The error forms of one dialect, by kind."""

    name: str
    forms: Mapping[str, ErrorForm]

    def __getitem__(self, kind: str) -> ErrorForm:
        """Raises ``KeyError`` with the kinds there are, and the closest."""
        try:
            return self.forms[kind]
        except KeyError:
            close = difflib.get_close_matches(kind, self.forms, 1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise KeyError(
                f"no error {kind!r} in {self.name}.toml, only {', '.join(self.forms)}{meant}"
            ) from None

    def refuse(self, refusal: Refusal, request_id: str, headers: Headers) -> Iterator[Event]:
        """A whole answer that says no."""
        form = self[refusal.kind]
        facts = _facts(form, refusal, request_id)
        body = form.body.fill(facts)
        own = tuple((name, text.fill(facts).decode()) for name, text in form.headers)
        yield Head(
            form.status if refusal.status is None else refusal.status,
            (() if form.edge else headers) + own + hint(refusal),
            length=len(body),
        )
        yield Data(body)

    def line(self, refusal: Refusal, request_id: str) -> bytes:
        """The JSON of a refusal on one line, for an event of a stream."""
        form = self[refusal.kind]
        return form.event.fill(_facts(form, refusal, request_id))


def hint(refusal: Refusal) -> Headers:
    """When to come back, as a header; whole seconds without a fraction, and never a moment too
    early for want of digits. Never is not a moment, and no header says it. A date is told with the
    date on which it is told."""
    match refusal.retry_after, refusal.hint:
        case None, _:
            return ()
        case str(text), _:
            return (("retry-after", text),)
        case seconds, _ if math.isinf(seconds):
            return ()
        case seconds, "milliseconds":
            return (("retry-after-ms", str(_milliseconds(seconds))),)
        case seconds, "date":
            moment = math.ceil(round(refusal.at + seconds, 3))
            return (("date", _date(math.floor(refusal.at))), ("retry-after", _date(moment)))
        case seconds, _:
            return (("retry-after", _seconds(_milliseconds(seconds))),)


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``12ms``, ``6s``, ``3.976s``, ``7m12s``, ``1h0m0s``."""
    left = max(0, _milliseconds(seconds))
    if 0 < left < 1000:
        return f"{left}ms"
    minutes, left = divmod(left, 60_000)
    hours, minutes = divmod(minutes, 60)
    lead = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{lead}{_seconds(left)}s"


@cache
def table(name: str) -> ErrorTable:
    """The error table of a name. Raises ``ValueError`` naming the kind that cannot be used."""
    text = (files("llmroute_data") / "errors" / f"{name}.toml").read_text("utf-8")
    entries = tomllib.loads(text)
    like = entries.pop("like", _ROOT)
    forms: dict[str, ErrorForm] = {}
    for kind, entry in entries.items():
        forms[kind] = _form(f"{name}.toml, {kind}", _completed(entry, entries))
    return ErrorTable(name, forms if name == _ROOT else {**table(like).forms, **forms})


def _completed(entry: Mapping[str, Any], entries: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry with what it takes from another one of its table."""
    if "like" not in entry:
        return entry
    model = entries[entry["like"]]
    return {**model, **entry, "facts": {**model.get("facts", {}), **entry.get("facts", {})}}


def _form(place: str, entry: Mapping[str, Any]) -> ErrorForm:
    headers = {"content-type": "application/json"} | entry.get("headers", {})
    try:
        event = json.dumps(json.loads(entry.get("event", entry["body"])), ensure_ascii=False)
    except ValueError as error:
        raise ValueError(f"{place}: a stream can carry only JSON: {error}") from error
    form = ErrorForm(
        entry["status"],
        tuple((name, Template.parse(text)) for name, text in headers.items()),
        Template.parse(entry["body"]),
        Template.parse(event),
        entry.get("facts", {}),
        entry["evidence"],
        entry.get("edge", False),
    )
    needs = set().union(form.body.needs, form.event.needs, *(t.needs for _, t in form.headers))
    if lacking := needs - _GIVEN - set(form.facts):
        raise ValueError(f"{place}: no default for {', '.join(sorted(lacking))}")
    return form


def _facts(form: ErrorForm, refusal: Refusal, request_id: str) -> dict[str, Fact]:
    hinted: dict[str, Fact] = {}
    if isinstance(refusal.retry_after, int | float) and math.isfinite(refusal.retry_after):
        hinted["seconds"] = refusal.retry_after
    given = {"request_id": request_id, "ray": request_id[:16]}
    return {"seconds": 1, **form.facts, **hinted, **refusal.facts, **given}


def _written(slot: tuple[str, str], facts: Mapping[str, Fact]) -> str:
    match slot:
        case name, "json":
            return _json(facts[name]) if name in facts else "null"
        case name, "duration" if not isinstance(facts[name], str):
            return duration(float(facts[name]))
        case name, "," if not isinstance(facts[name], str):
            return f"{facts[name]:,}"
        case name, _:
            return quoted(_plain(facts[name]))[1:-1]


def _json(fact: Fact) -> str:
    return quoted(fact) if isinstance(fact, str) else _plain(fact)


def _plain(fact: Fact) -> str:
    return str(int(fact)) if isinstance(fact, float) and fact.is_integer() else str(fact)


def _milliseconds(seconds: float) -> int:
    # The float that is nearest to 3.976 times a thousand must not count as 3977.
    return math.ceil(round(seconds * 1000, 3))


def _seconds(milliseconds: int) -> str:
    sign = "-" if milliseconds < 0 else ""
    whole, rest = divmod(abs(milliseconds), 1000)
    return sign + (f"{whole}.{rest:03}".rstrip("0") if rest else str(whole))


def _date(moment: int) -> str:
    """A moment as HTTP writes it."""
    return formatdate(moment, usegmt=True)
