"""What Hypothesis may try: faults, their times and places, workloads, prompts, and scenarios of these.

Everything that is generated can be written in a scenario file, and shrinks to what is said in few
words: one incident, a plain fault, the first attempt, a single call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from llmroute_sim import sense
from llmroute_sim.faults import FAULTS, Fault
from llmroute_sim.incidents import ALWAYS, Incident, Place, When
from llmroute_sim.names import Unknown
from llmroute_sim.scenario import Scenario
from llmroute_sim.workload import Ask

__all__ = ("asks", "faults", "incidents", "prompts", "scenarios", "whens", "workloads")

_PLAIN = ("outage", "rate-limit", "refused", "silence", "cut")
"""What happens every day, and what a counter-example is made of if it may be anything."""

_COUNTS = (1, 2, 3, 5)
_SECONDS = (1.0, 10.0, 60.0, 600.0)
_NUMBERS = (0, 1, 10, 100)
_STATUSES = (500, 502, 503, 504, 529)


def faults(*names: str) -> SearchStrategy[Fault]:
    """Faults: of these names, or of any. Shrinks to an outage, and to what a fault is unless told.

    Raises ``Unknown`` for a name that does not exist.
    """
    for name in names:
        if name not in FAULTS:
            raise Unknown("fault", name, FAULTS)
    return st.tuples(st.sampled_from(names or _everything()), st.integers(0, _VARIANTS - 1)).map(
        _fault
    )


def whens() -> SearchStrategy[When]:
    """Times of incidents: by the number of the attempt, in a window of round seconds, or always.

    Shrinks to the first attempt. Nothing is left to chance, which Hypothesis takes care of.
    """
    windows = [(start, start + length) for start in (0.0, *_SECONDS) for length in _SECONDS]
    return st.sampled_from(
        [
            When(first=1),
            ALWAYS,
            *(When(first=count) for count in _COUNTS[1:]),
            *(When(nth=count) for count in _COUNTS[1:]),
            *(When(after=count) for count in _COUNTS),
            *(When(every=count) for count in _COUNTS[1:]),
            *(When(between=window) for window in windows),
        ]
    )


def incidents(
    *places: str,
    fault: SearchStrategy[Fault] | None = None,
    when: SearchStrategy[When] | None = None,
) -> SearchStrategy[Incident]:
    """Incidents at some of these places (``provider/model@region#key``), or everywhere.

    Shrinks to the first place. Raises ``ValueError`` for what is no place.
    """
    known = [Place.parse(place) for place in places or ("*",)]
    at = st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True)
    return st.builds(
        Incident,
        faults() if fault is None else fault,
        at.map(tuple),
        whens() if when is None else when,
    )


def asks() -> SearchStrategy[Ask]:
    """Lines of a workload that any application can be asked. Shrinks to a single call."""
    return st.builds(
        Ask,
        times=st.sampled_from(_COUNTS),
        every=st.sampled_from((0.0, *_SECONDS)),
        together=st.sampled_from(_COUNTS[:3]),
        question=st.sampled_from((None, "A", "B")),
    )


def workloads(ask: SearchStrategy[Ask] | None = None) -> SearchStrategy[tuple[Ask, ...]]:
    """Workloads of one to three lines, one after the other. Shrinks to a single call."""
    return st.lists(asks() if ask is None else ask, min_size=1, max_size=3).map(tuple)


def scenarios(
    *places: str,
    incident: SearchStrategy[Incident] | None = None,
    workload: SearchStrategy[tuple[Ask, ...]] | None = None,
) -> SearchStrategy[Scenario]:
    """Scenarios: up to three incidents at some of these places, or everywhere, and a workload.

    An incident that could never act beside those before it is left out. A counter-example is shown as
    the file that holds it, and shrinks to few incidents, and those to a plain fault at the first
    attempt.
    """
    each = incidents(*places) if incident is None else incident
    asked = workloads() if workload is None else workload
    return st.tuples(st.lists(each, max_size=3), asked).map(_scenario)


def _scenario(drawn: tuple[list[Incident], tuple[Ask, ...]]) -> Scenario:
    incidents, asked = drawn
    kept: list[Incident] = []
    for incident in incidents:
        if _sound([*kept, incident], asked):
            kept.append(incident)
    return Scenario("scenario", incidents=tuple(kept), asks=asked)


def _sound(incidents: Sequence[Incident], asked: Sequence[Ask]) -> bool:
    """Whether a file may say all that."""
    try:
        sense.check([(incident, incident.at) for incident in incidents], asked)
    except ValueError:
        return False
    return True


def prompts() -> SearchStrategy[str]:
    """Texts that people ask models: short ones, long ones, in any script, with what formats trip over.
    Shrinks to ``hello``."""
    long = st.sampled_from((100, 1000, 10_000)).map(lambda words: " ".join(["word"] * words))
    anything = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)
    return st.one_of(st.sampled_from(_PROMPTS), anything, long)


_PROMPTS = (
    "hello",
    "What is 2 + 2?",
    "Grüße, 世界! 👋🏽 مرحبا",
    'He said "no"\\n, then {"role": "user"}.',
    "data: [DONE]\n\n",
    "<|endoftext|> </s> [INST]",
    "line one\r\nline two\ttabbed\n",
    " ",
)

# -- faults, from what their fields say of themselves


_VARIANTS = 60
"""How many numbers choose how a fault is. The same for all, since what takes fewer choices counts as
simpler; and one that numbers of variants divide."""


def _fault(drawn: tuple[str, int]) -> Fault:
    name, number = drawn
    variants = _variants(name)
    return variants[number % len(variants)]


@functools.cache
def _everything() -> tuple[str, ...]:
    """The names of all that clients of this process can meet: in memory no TLS is spoken."""
    others = [
        name
        for name, kind in FAULTS.items()
        if name not in _PLAIN and getattr(kind, "step", None) != "handshake"
    ]
    # What happens every day is tried as often as all the rest together.
    return (*_PLAIN, *others, *_PLAIN * (len(others) // len(_PLAIN) - 1))


@functools.cache
def _variants(name: str) -> Sequence[Fault]:
    """A fault as it is unless told, and as it may be."""
    kind = FAULTS[name]
    declared = get_type_hints(kind)
    found = [kind()]
    for field in dataclasses.fields(kind):
        values = _values(field.name, declared[field.name])
        for fault, value in itertools.product(tuple(found), values):
            # Not everything is allowed, nor goes with everything.
            with contextlib.suppress(ValueError):
                found.append(dataclasses.replace(fault, **{field.name: value}))
    return list(dict.fromkeys(found))


def _values(name: str, declared: Any) -> Sequence[Any]:
    """Values of a field: few and round ones."""
    if get_origin(declared) is Literal:
        return get_args(declared)
    options = get_args(declared) or (declared,)
    if name == "status":
        return _STATUSES
    if bool in options:
        return (False, True)
    if float in options:
        return _SECONDS
    return _NUMBERS if int in options else ()
