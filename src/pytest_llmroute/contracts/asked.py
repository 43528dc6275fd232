"""What a caller asked for goes with it to whoever is asked in the end: that there be no fallback,
tools and forms, the length of vectors, room for a long prompt; and the answer says who gave it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llmroute_sim.history import Attempt, Call, History
from pytest_llmroute.contracts import Observation, Target, answered
from pytest_llmroute.contracts.reading import (
    became,
    down,
    failed,
    made,
    owned,
    settled,
    shadowed,
    surely,
    where,
    whole,
)

__all__ = ("Capable", "Dimension", "Disabled", "Fits", "Named")


@dataclass(frozen=True, slots=True)
class Disabled:
    """A call whose options disable fallbacks (``disable_fallbacks``) reaches nobody but the first of
    the chain, also when that fails."""

    id: ClassVar[str] = "fallback.disabled"
    about: ClassVar[str] = "a call that disables fallbacks reaches only its own group"

    chain: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that disables fallbacks and met a failure at the first target."""
        own, *others = self.chain
        for call in history.calls:
            if call.options.get("disable_fallbacks") is not True:
                continue
            attempts = made(history, call)
            failures = [a for a in attempts if surely(own, a) and failed(a)]
            if not failures:
                continue
            evidence = (call.id, *(attempt.id for attempt in attempts))
            outside = [
                attempt
                for attempt in attempts[attempts.index(failures[0]) :]
                if not own.owns(attempt) and owned(others, attempt)
            ]
            if outside:
                says = (
                    f"{outside[0].id} asked {where(outside[0])} after {became(failures[0])}, though"
                    f" {call.id} disables fallbacks"
                )
                yield Observation(False, outside[0].id, says, evidence)
            elif settled(history, call):
                says = f"{call.id}, which disables fallbacks, asked nobody else after {became(failures[0])}"
                yield Observation(True, call.id, says, evidence)


_SAYS = {
    "chat": ("json", "schema", "tools"),
    "messages": ("json", "schema", "thinking", "tools"),
    "responses": ("json", "schema", "thinking", "tools"),
}
"""What requests of an operation can say that they want. Thinking shows in no chat: the models that do
think without being asked."""


@dataclass(frozen=True, slots=True)
class Capable:
    """What a call asked for besides words (tools, JSON, JSON of a schema, thinking) is asked of every
    target that it reaches, whoever that is; a target that cannot do it is not asked.

    Where a format has no words for JSON, a tool that returns it is as good.
    """

    id: ClassVar[str] = "fallback.capable"
    about: ClassVar[str] = "what a call wants besides words is asked of every target too"

    targets: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that wanted more than words and reached a target."""
        for call in history.calls:
            if not call.features:
                continue
            asked = [
                attempt
                for attempt in made(history, call)
                if attempt.prompt is not None
                and owned(self.targets, attempt)
                and any(
                    wanted in _SAYS.get(attempt.operation or "", ()) for wanted in call.features
                )
            ]
            dropped = [(a, lost) for a in asked for lost in call.features if _lost(lost, call, a)]
            if dropped:
                attempt, lost = dropped[0]
                says = (
                    f"{attempt.id} asked {where(attempt)} without the {lost} that {call.id} wanted"
                )
                yield Observation(False, attempt.id, says, (call.id, attempt.id))
            elif asked and not any(_doubtful(call, attempt) for attempt in asked):
                wanted = " and ".join(call.features)
                says = (
                    f"{call.id} wanted {wanted}, and {asked[-1].id} asked {where(asked[-1])} for it"
                )
                yield Observation(True, call.id, says, (call.id, *(a.id for a in asked)))


def _lost(wanted: str, call: Call, attempt: Attempt) -> bool:
    """Whether an attempt surely does not ask for something that its call wanted."""
    if wanted in attempt.features or wanted not in _SAYS.get(attempt.operation or "", ()):
        return False
    if wanted == "json" and "schema" in attempt.features:
        return False
    by_tool = wanted in ("json", "schema") and "tools" in attempt.features
    # Anthropic's format knows JSON of a schema only: JSON of any kind is asked for in words.
    in_words = wanted == "json" and attempt.operation == "messages"
    return not (by_tool or in_words)


def _doubtful(call: Call, attempt: Attempt) -> bool:
    """Whether an attempt may ask for what its call wanted in a way that does not show."""
    told = _SAYS.get(attempt.operation or "", ())
    return any(wanted in told and wanted not in attempt.features for wanted in call.features)


@dataclass(frozen=True, slots=True)
class Dimension:
    """Vectors of one group have one length, whoever made them: those of another length cannot be
    compared with what is stored. Where one deployment gave different lengths they were asked for, and
    nothing is said."""

    id: ClassVar[str] = "fallback.dimension"
    about: ClassVar[str] = "vectors have the same length, whoever makes them"

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call whose vectors came, after something had failed, from somebody else
        than those of earlier calls of its group."""
        groups: dict[str | None, dict[tuple[str, str | None], set[int]]] = {}
        seen: list[tuple[Call, Attempt, int]] = []
        for call in history.calls:
            sources = history.sources(call)
            if call.dimension and answered(call) and len(sources) == 1:
                [source] = sources
                of = (source.deployment, source.model)
                groups.setdefault(call.group, {}).setdefault(of, set()).add(call.dimension)
                seen.append((call, source, call.dimension))
        for number, (call, source, length) in enumerate(seen):
            lengths = groups[call.group]
            if any(len(each) > 1 for each in lengths.values()):
                continue
            other = next(
                (
                    (before, its, than)
                    for before, its, than in seen[:number]
                    if before.group == call.group
                    and any(failed(a) and a.started <= source.started for a in history.attempts)
                    and (its.deployment, its.model) != (source.deployment, source.model)
                ),
                None,
            )
            if other is None:
                continue
            before, its, than = other
            says = (
                f"{call.id} got vectors of {length} numbers from {where(source)}, {before.id} of {than}"
                f" from {where(its)}"
            )
            evidence = (call.id, source.id, before.id, its.id)
            yield Observation(length == than, call.id, says, evidence)


@dataclass(frozen=True, slots=True)
class Named:
    """The answer names who gave it: the model that was asked, what that calls itself, or the name that
    the caller asked for; never the model of somebody who did not answer. A name that is nobody's says
    nothing."""

    id: ClassVar[str] = "fallback.named"
    about: ClassVar[str] = "the answer names the model that gave it"

    targets: tuple[Target, ...]

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call that was answered by another than the first target, which had failed,
        and names somebody."""
        for call in history.calls:
            sources = history.sources(call)
            if not answered(call) or not call.model or len(sources) != 1:
                continue
            [source] = sources
            if (
                self.targets[0].owns(source)
                or not owned(self.targets, source)
                or not down(history, self.targets[0], source.started)
            ):
                continue
            others: set[str | None] = {
                model
                for target in self.targets
                for _, model, _ in target.deployments
                if model is not None and not target.owns(source)
            }
            own = {source.model, source.shown, call.group}
            evidence = (call.id, source.id)
            if _same_name(call.model, own):
                says = f"{call.id} was answered by {where(source)} and says so"
                yield Observation(True, call.id, says, evidence)
            elif _same_name(call.model, others):
                says = (
                    f"{call.id} names {call.model}, but {source.id} of {where(source)} answered it"
                )
                yield Observation(False, call.id, says, evidence)


def _same_name(name: str, known: set[str | None]) -> bool:
    """Whether a name is one of those that are known, with a provider before it or without."""
    return any(one is not None and _bare(name) == _bare(one) for one in known)


def _bare(name: str) -> str:
    return name.rpartition("/")[2].lower()


@dataclass(frozen=True, slots=True)
class Fits:
    """A prompt that is longer than ``window`` tokens is never sent to the target. Tokens are those that
    who answered it counted; one within a fifth of the window may be counted otherwise."""

    id: ClassVar[str] = "fallback.fits"
    about: ClassVar[str] = "a prompt that is too long for a target is not sent there"

    target: Target
    window: int

    def check(self, history: History) -> Iterator[Observation]:
        """One observation per call whose prompt was known to be too long."""
        for call in history.calls:
            attempts = made(history, call)
            tokens = max((a.tokens_in for a in attempts if not a.billed_as_stated), default=0)
            if tokens <= 1.2 * self.window:
                continue
            sent = [attempt for attempt in attempts if surely(self.target, attempt)]
            long = (
                f"{call.id} has a prompt of {tokens} tokens, {self.target.name} takes {self.window}"
            )
            if sent:
                evidence = (call.id, *(attempt.id for attempt in sent))
                yield Observation(False, sent[0].id, f"{long}; {sent[0].id} asked it", evidence)
            elif any(map(whole, attempts)) and not shadowed(history, call):
                evidence = (call.id, *(attempt.id for attempt in attempts))
                yield Observation(True, call.id, f"{long}, and was not asked", evidence)
