"""What happened: calls as the caller saw them, attempts as the providers saw them.

Append-only, and the only thing that a contract may read. It can be saved and judged again in a
process that has neither the router nor the simulator's world. It never holds an API key, a prompt
or an answer: keys are fingerprints, prompts are digests, and of an answer only the coined words
remain that tell which attempt produced it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

from llmroute_sim.entries import plain, read_all, tuples

__all__ = (
    "Attempt",
    "Call",
    "Episode",
    "Failure",
    "History",
    "Stray",
    "fingerprint",
)

CallOutcome: TypeAlias = Literal["open", "answered", "failed", "hung", "left"]

_ASIDE = frozenset({"models", "model", "count_tokens"})

_WORD = re.compile(r"[a-z]+")


def fingerprint(secret: str | bytes) -> str:
    """Eight hex digits that tell two secrets apart and give neither away."""
    data = secret.encode() if isinstance(secret, str) else secret
    return blake2b(data, digest_size=4, person=b"llmroute").hexdigest()


@dataclass(frozen=True, slots=True)
class Failure:
    """What a call raised: the class names of the exception and its bases, the HTTP status that it
    carries, if any, and the hint when to come back (seconds). ``message`` is only of failures that are
    our own finding (a call that hangs): what an exception says may hold a key or a prompt. ``leaked``
    are the fingerprints of the keys that its words did hold."""

    kinds: tuple[str, ...]
    status: int | None = None
    message: str = ""
    retry_after: float | None = None
    leaked: tuple[str, ...] = ()


@dataclass(slots=True)
class Call:
    """One thing the application asked, and what it got: the caller's view.

    Times are virtual seconds since the world began. ``entry`` is the way in (``chat``,
    ``embeddings``, ...), ``group`` the name that was asked for, ``request`` a digest of all that
    the caller asked, ``question`` of its text alone: two calls ask the same exactly when ``request``
    is equal, and nearly the same when only ``question`` is. ``marks`` are the
    coined words found in the answer, in order. ``finish`` is the finish reason the caller was
    shown, None where the answer has no place for one; ``cost`` what the router said it cost (USD),
    ``tokens_in`` and ``tokens_out`` the usage that the answer states, ``model`` the name that it shows,
    ``dimension`` the length of its vectors.

    ``features`` are what was asked for besides words, as :attr:`Attempt.features` names it;
    ``options`` the options of the request that tell the router what to do (``disable_fallbacks``,
    ``num_retries``, ``timeout``, ``tags``...), never what is sent on to a model.
    """

    id: str
    started: float
    entry: str = "call"
    group: str | None = None
    stream: bool = False
    sync: bool = True
    request: str = ""
    question: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    ended: float | None = None
    outcome: CallOutcome = "open"
    failure: Failure | None = None
    first_token: float | None = None
    marks: tuple[str, ...] = ()
    finish: str | None = None
    cost: Decimal | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str | None = None
    dimension: int | None = None
    features: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Attempt:
    """One request that reached a simulated provider, and what it got: the provider's view.

    ``call`` is the call it belongs to, None where nothing told; ``ordinal`` counts within the call
    from 1; ``via`` is the attempt of a hosted gateway that made this one. ``place`` is the short
    name used in a path, ``deployment`` the host that was dialled. ``operation`` is what was wanted:
    ``chat``, ``completions``, ``messages``, ``responses``, ``embeddings``, ``models``, ``model``,
    ``count_tokens``; ``features`` what was wanted besides words: ``json``, ``schema``, ``thinking``,
    ``tools``. ``outcome`` is the status; or, if
    there was none, how it ended (``refused``, ``no-name``, ``tls-expired``, ``silence``, ``reset``,
    ``end``, ``left``...); or the status with what became of the body (``200-cut``, ``200-reset``,
    ``200-stall``, ``200-error``, ``200-unfinished``, ``200-garbled``, ``200-length``, ``200-damaged``,
    ``200-degraded``, ``200-left``). ``faults`` names
    the incidents that acted on it. ``retry_after`` is the hint the client was given (seconds).
    ``spent`` is what the provider charged (USD), for ``tokens_in`` and ``tokens_out`` tokens;
    ``billed_as_stated`` says that the token counts were set by the scenario. ``head``,
    ``first_token`` and ``last`` are when the head, the first and the last segment of the body were
    performed. ``shown`` is the model that the answer names, ``dimension`` the length of its vectors.
    ``marks`` are all coined words of the whole answer; ``complete`` says that all of it was performed, ``left`` that the
    client went away before.
    """

    id: str
    call: str | None
    ordinal: int
    started: float
    place: str
    provider: str
    deployment: str
    via: str | None = None
    region: str | None = None
    model: str | None = None
    key: str | None = None
    operation: str | None = None
    stream: bool = False
    prompt: str | None = None
    request: str | None = None
    ended: float | None = None
    status: int | None = None
    outcome: str = "open"
    error: str | None = None
    faults: tuple[str, ...] = ()
    retry_after: float | None = None
    head: float | None = None
    first_token: float | None = None
    last: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    billed_as_stated: bool = False
    spent: Decimal = Decimal(0)
    marks: tuple[str, ...] = ()
    complete: bool = False
    left: bool = False
    features: tuple[str, ...] = ()
    shown: str | None = None
    dimension: int | None = None

    @property
    def aside(self) -> bool:
        """Whether no model was to answer: a list of models, a count of tokens."""
        return self.operation in _ASIDE

    @property
    def step(self) -> str:
        """``place:outcome``, as a path shows it."""
        return f"{self.place}:{self.outcome}"


@dataclass(frozen=True, slots=True)
class Stray:
    """A connection to a host that is not simulated. It was refused."""

    at: float
    host: str
    port: int
    call: str | None = None


@dataclass(slots=True)
class Episode:
    """When an incident acted. ``name`` is what the attempts that met it call it among their faults.

    ``ended`` is when it was healed, its window closed, or the last of the attempts came that it was
    counted out for; None: it has no end that was known.
    """

    name: str
    started: float
    ended: float | None = None

    def end(self, at: float) -> None:
        """Note that it is over, unless it was already."""
        self.ended = _tidy(at) if self.ended is None else min(self.ended, _tidy(at))


@dataclass(slots=True)
class History:
    """Everything that ran, in the order in which it began.

    ``clock`` says on what clock: ``virtual``, ``real``, or ``virtual, degraded`` and the like.
    ``incidents`` is when the world was broken, which nobody in it could know.
    """

    calls: list[Call] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    clock: str = "virtual"
    incidents: list[Episode] = field(default_factory=list)
    _ordinals: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    # -- writing

    def begin_call(self, at: float, **seen: Any) -> Call:
        """Record that the application asked something; the caller fills in what it got."""
        call = Call(f"c{len(self.calls) + 1}", _tidy(at), **seen)
        self.calls.append(call)
        return call

    def begin_attempt(
        self,
        at: float,
        call: str | None,
        *,
        place: str,
        provider: str,
        deployment: str,
        **seen: Any,
    ) -> Attempt:
        """Record that a request reached a provider."""
        ordinal = 0
        if call is not None:
            ordinal = self._ordinals[call] = self._ordinals.get(call, 0) + 1
        number = f"a{len(self.attempts) + 1}"
        attempt = Attempt(number, call, ordinal, _tidy(at), place, provider, deployment, **seen)
        self.attempts.append(attempt)
        return attempt

    def add_stray(self, at: float, host: str, port: int, call: str | None) -> None:
        """Record a connection to a host that is not simulated."""
        self.strays.append(Stray(_tidy(at), host, port, call))

    def add_incident(self, name: str, started: float, ended: float | None = None) -> Episode:
        """Record that something goes wrong from a moment on, if it is known until when."""
        episode = Episode(name, _tidy(started))
        if ended is not None:
            episode.end(ended)
        self.incidents.append(episode)
        return episode

    # -- reading

    @property
    def path(self) -> list[str]:
        """``place:outcome`` of every attempt, in order."""
        return [attempt.step for attempt in self.attempts]

    def of(self, call: Call) -> list[Attempt]:
        """The attempts that belong to a call, in order."""
        return [attempt for attempt in self.attempts if attempt.call == call.id]

    @property
    def untied(self) -> list[Attempt]:
        """Attempts that no call is known to have made."""
        return [attempt for attempt in self.attempts if attempt.call is None]

    def marks_in(self, text: str) -> tuple[str, ...]:
        """The coined words in a text, in order: which attempts it came from."""
        known = {mark for attempt in self.attempts for mark in attempt.marks}
        return tuple(word for word in _WORD.findall(text) if word in known)

    def sources(self, call: Call) -> tuple[Attempt, ...]:
        """The attempts whose words the answer of a call carries, in order of appearance."""
        owner = {mark: attempt for attempt in self.attempts for mark in attempt.marks}
        found: dict[str, Attempt] = {}
        for mark in call.marks:
            if mark in owner:
                found.setdefault(owner[mark].id, owner[mark])
        return tuple(found.values())

    # -- keeping

    def digest(self) -> str:
        """A digest of what happened, in canonical order, without anything drawn by the machine."""
        lines = [
            (_tidy(a.started), a.call or "", a.ordinal, "attempt", a.place, a.model, a.operation,
             a.stream, a.outcome, a.prompt, a.tokens_in, a.tokens_out, a.faults, a.ended)
            for a in self.attempts
        ] + [
            (_tidy(c.started), c.id, -1, "call", c.entry, c.group, c.stream, c.outcome, c.ended,
             c.failure.kinds[:1] if c.failure else (), c.finish, len(c.marks))
            for c in self.calls
        ] + [(_tidy(s.at), s.call or "", -2, "stray", s.host, s.port) for s in self.strays]  # fmt: skip
        text = json.dumps(sorted(lines, key=lambda line: (line[0], line[1], line[2])), default=str)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """A form that JSON can hold: money as strings, times in virtual seconds."""
        return {
            "clock": self.clock,
            "calls": [plain(asdict(call)) for call in self.calls],
            "attempts": [plain(asdict(attempt)) for attempt in self.attempts],
            "strays": [asdict(stray) for stray in self.strays],
            "incidents": [asdict(episode) for episode in self.incidents],
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> History:
        """Read what :meth:`to_dict` wrote.

        Raises ``ValueError`` naming the entry that is not of this form.
        """
        history = cls(clock=saved.get("clock", "virtual"))
        history.calls = read_all(saved, "calls", _read_call)
        history.attempts = read_all(saved, "attempts", _read_attempt)
        history.strays = read_all(saved, "strays", lambda entry: Stray(**entry))
        history.incidents = read_all(saved, "incidents", lambda entry: Episode(**entry))
        return history


def _tidy(moment: float) -> float:
    """Microseconds are as exact as a virtual second needs to be; the rest is float dust."""
    return round(moment, 6)


def _read_call(entry: Mapping[str, Any]) -> Call:
    fields = tuples(entry, {"marks", "features"})
    if fields.get("failure") is not None:
        fields["failure"] = Failure(**tuples(fields["failure"], {"kinds", "leaked"}))
    if fields.get("cost") is not None:
        fields["cost"] = Decimal(fields["cost"])
    return Call(**fields)


def _read_attempt(entry: Mapping[str, Any]) -> Attempt:
    fields = tuples(entry, {"marks", "faults", "features"})
    fields["spent"] = Decimal(fields.get("spent", 0))
    return Attempt(**fields)
