"""Calls of programs that are not this process: begun by the header of their first attempt, or told.

The header ``x-llmroute-call`` ties an attempt to a call of any name. What the caller saw is only
known if the caller tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from llmroute_sim.history import Attempt, Call, Failure, History
from llmroute_sim.names import Unknown
from pytest_llmroute.ask import digest

__all__ = ("Calls",)

_ASKED = ("entry", "group", "stream", "question", "labels")
_GOT = ("answer", "finish", "failure", "status", "left")
_KINDS: Mapping[str, type] = {
    "entry": str,
    "group": str,
    "stream": bool,
    "question": str,
    "labels": dict,
    "answer": str,
    "finish": str,
    "failure": str,
    "status": int,
    "left": bool,
}
_LONGEST = 200


class Ticking(Protocol):
    """What is asked of a clock."""

    def now(self) -> float:
        """Seconds since the world began."""
        ...


class Calls:
    """The calls of a history, by their names."""

    def __init__(self, history: History, clock: Ticking) -> None:
        self._history = history
        self._clock = clock
        self._known: dict[str, Call] = {}

    def met(self, attempt: Attempt) -> None:
        """An attempt began: so did its call, if nobody heard of it before."""
        if attempt.call is not None:
            self._begun(attempt.call, attempt.started)

    def seen(self, attempt: Attempt) -> None:
        """An attempt is over, and showed whether its call streams."""
        call = self._known.get(attempt.call or "")
        if call is not None and attempt.stream:
            call.stream = True

    def told(self, name: str, said: Mapping[str, Any]) -> Call:
        """Take what a caller says of its call: what it asked (``entry``, ``group``, ``stream``,
        ``question``, ``labels``), and, when it is over, what it got: the text of the ``answer`` and its
        ``finish`` reason, or the name of the exception as ``failure`` with its ``status``, or
        ``left``, for a caller that did not wait.

        Raises ``ValueError`` (``Unknown``) for what a call does not have, and for one that is over.
        """
        _check(name, said)
        call = self._begun(name, self._clock.now())
        if call.ended is not None:
            raise ValueError(f"the call {name!r} is over; one of another name begins a new one")
        for key in ("entry", "group", "stream"):
            if key in said:
                setattr(call, key, said[key])
        if "question" in said:
            call.question = digest(said["question"])
            call.request = digest([call.entry, call.group, said["question"]])
        call.labels |= {str(key): str(value) for key, value in said.get("labels", {}).items()}
        if any(key in said for key in _GOT):
            self._over(call, said)
        return call

    def _begun(self, name: str, at: float) -> Call:
        call = self._known.get(name)
        if call is None:
            call = self._known[name] = Call(name, round(at, 6))
            self._history.calls.append(call)
        return call

    def _over(self, call: Call, said: Mapping[str, Any]) -> None:
        call.ended = round(self._clock.now(), 6)
        if "failure" in said or "status" in said:
            call.outcome = "failed"
            call.failure = Failure((said.get("failure", "Error"),), said.get("status"))
        else:
            call.outcome = "left" if said.get("left") else "answered"
        call.finish = said.get("finish")
        call.marks = self._history.marks_in(said.get("answer", ""))


def _check(name: str, said: Mapping[str, Any]) -> None:
    if not name or len(name) > _LONGEST:
        raise ValueError(f"a call's name has 1 to {_LONGEST} characters, not {len(name)}")
    for key, value in said.items():
        if key not in _KINDS:
            raise Unknown("key of a call", key, _KINDS)
        if type(value) is not _KINDS[key]:
            raise ValueError(f"{key} = {value!r} is not of type {_KINDS[key].__name__}")
