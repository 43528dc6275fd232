"""The incidents that act on one attempt, and what they do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from llmroute_sim.dialects import Dialect
from llmroute_sim.faults import AdmitFault, AnswerFault, Scene, StreamFault
from llmroute_sim.history import Attempt
from llmroute_sim.incidents import Live
from llmroute_sim.prompt import FREE, Answer, Prompt, Refusal
from llmroute_sim.prose import Author
from llmroute_sim.wire import Data, Event, Flaw

__all__ = ("Struck",)

_OF_PROMPTS = frozenset({"context_length", "moderation", "insufficient_quota"})
"""Kinds of refusals that only what a model is asked can meet."""

Render = Callable[[], Iterator[Event]]


class Struck:
    """What the faults of ``lives``, decided for an attempt, do at each stage. ``flaws`` collects what
    becomes wrong with an answer that arrives to its end."""

    __slots__ = ("attempt", "flaws", "lives")

    def __init__(self, lives: Sequence[Live], attempt: Attempt, flaws: list[Flaw]) -> None:
        self.lives = lives
        self.attempt = attempt
        self.flaws = flaws

    def turned_away(self, prompt: Prompt, window: int | None) -> Refusal | None:
        """What the first fault of the admit stage says that will not let a prompt in."""
        for live in self.lives:
            if isinstance(live.incident.fault, AdmitFault):
                refusal = live.incident.fault.admit(prompt, window)
                if refusal is not None and not _pointless(refusal, prompt):
                    self.note(live)
                    known = {"model": prompt.model, "host": self.attempt.deployment}
                    return replace(refusal, facts={**refusal.facts, **known})
        return None

    def spoken(self, answer: Answer, prompt: Prompt, author: Author, stated: bool) -> Answer:
        """What the model says when the faults of the answer stage have had their say. With ``stated``
        it is charged as it was."""
        for live in self.lives:
            if isinstance(live.incident.fault, AnswerFault):
                said = live.incident.fault.speak(answer, prompt, author)
                if stated:
                    said = replace(said, usage=answer.usage)
                if said != answer:
                    self.note(live, "degraded")
                    answer = said
                author.keep(_text(answer))
        return answer

    def bent(
        self,
        events: Iterator[Event],
        dialect: Dialect,
        request_id: str,
        otherwise: Render | None = None,
    ) -> Iterator[Event]:
        """The events when the faults of the stream stage have bent them. ``otherwise`` renders the
        same answer streamed if it is not, and not streamed if it is."""
        if not self.lives:
            return events

        begun: list[Data] = []

        def opened(events: Iterator[Event]) -> Iterator[Event]:
            for event in events:
                if not begun and isinstance(event, Data):
                    begun.append(event)
                yield event

        def refuse(refusal: Refusal, instead: Event) -> Data:
            self.attempt.error = refusal.kind
            return dialect.refuse_midway(refusal, request_id, *begun, instead)

        def error(refusal: Refusal, instead: Data) -> bytes:
            self.attempt.error = refusal.kind
            return dialect.error(refusal, request_id, instead)

        events = opened(events)

        for live in self.lives:
            fault = live.incident.fault
            if isinstance(fault, StreamFault):

                def act(flaw: Flaw | None = None, live: Live = live) -> None:
                    self.note(live, flaw)

                events = fault.bend(events, Scene(dialect, refuse, error, otherwise, act))
        return events

    def note(self, live: Live, flaw: Flaw | None = None) -> None:
        """An incident did what it is there for."""
        if flaw is not None:
            self.flaws.append(flaw)
        if live.incident.name not in self.attempt.faults:
            live.met += 1
            self.attempt.faults = (*self.attempt.faults, live.incident.name)


def _pointless(refusal: Refusal, prompt: Prompt) -> bool:
    """Whether a refusal is about what a model is asked, where none is."""
    return prompt.operation in FREE and refusal.kind in _OF_PROMPTS


def _text(answer: Answer) -> str:
    """All that an answer says."""
    said = ["".join(answer.words), answer.refusal, "".join(answer.thinking)]
    for choice in answer.others:
        said += ("".join(choice.words), choice.refusal)
    for calls in (answer.calls, *(choice.calls for choice in answer.others)):
        said += ("".join(call.arguments) for call in calls)
    return " ".join(said)
