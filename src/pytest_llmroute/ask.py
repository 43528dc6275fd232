"""Calls: asking a router, and writing down what the caller saw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from llmroute_sim import prose
from llmroute_sim.calling import inside_call
from llmroute_sim.clock import Stuck
from llmroute_sim.history import Call, Failure, History
from pytest_llmroute.failures import failure_of
from pytest_llmroute.routers import MissingPackage, Question, Reply
from pytest_llmroute.wanted import features, routing

__all__ = ("CALL_HORIZON", "Pen", "digest")

CALL_HORIZON = 2 * 3600.0
"""Virtual seconds after which a call counts as hanging: longer than the longest timeout that a router has
by default."""


class Ticking(Protocol):
    """What is asked of a clock."""

    def now(self) -> float:
        """Seconds since the world began."""
        ...


def digest(value: object) -> str:
    """A short digest of anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Pen:
    """Writes calls into a history as they happen. ``keys`` are the fingerprints of those that no
    caller should be shown, beside the ones that attempts carry."""

    def __init__(self, history: History, clock: Ticking, keys: Collection[str] = ()) -> None:
        self._history = history
        self._clock = clock
        self._keys = frozenset(keys)

    @contextmanager
    def writing(self, **seen: Any) -> Iterator[tuple[Call, Reply]]:
        """Record one call around the code that makes it; what it raises is recorded and goes on."""
        call = self._history.begin_call(self._clock.now(), **seen)

        def token() -> None:
            call.first_token = round(self._clock.now(), 6)

        reply = Reply(token)
        try:
            with inside_call(call.id):
                yield call, reply
        except Stuck as stuck:
            call.outcome = "hung"
            call.failure = Failure(("Stuck",), None, str(stuck))
            raise
        except MissingPackage:
            # This way in is not there: nobody was asked.
            call.outcome = "left"
            raise
        except Exception as error:
            call.outcome = "failed"
            call.failure = failure_of(error, self._secret())
            raise
        except BaseException:
            # Cancelled, interrupted, skipped, or the world ended: nobody waits for an answer.
            call.outcome = "left"
            raise
        else:
            call.outcome = "left" if reply.left else "answered"
        finally:
            call.ended = round(self._clock.now(), 6)
            call.finish = reply.finish
            call.cost, call.model = reply.cost, reply.model
            call.tokens_in, call.tokens_out = reply.tokens_in, reply.tokens_out
            call.dimension = len(reply.vectors[0]) if reply.vectors else None
            spelled = " ".join(map(prose.mark_of, reply.vectors))
            call.marks = self._history.marks_in(f"{reply.text} {spelled}")

    def _secret(self) -> frozenset[str]:
        """The fingerprints of every key that is known by now."""
        carried = (attempt.key for attempt in self._history.attempts)
        return self._keys.union(key for key in carried if key is not None)

    def about(self, question: Question, labels: Mapping[str, str]) -> dict[str, Any]:
        """What a call's record says of the question."""
        asked = [question.entry.api, question.group, question.text, question.options]
        return {
            "entry": question.entry.api,
            "group": question.group,
            "stream": question.entry.stream,
            "sync": question.entry.sync,
            "question": digest(question.text),
            "request": digest([*asked, question.past] if question.past else asked),
            "labels": dict(labels),
            "features": features(question.options),
            "options": routing(question.options),
        }
