"""Histories told by hand, in few words: who was asked in each call, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from llmroute_sim.history import Attempt, Call, Failure, History
from pytest_llmroute.contracts import Contract, Target

PLACES = {
    "A": ("a.example", "model-a", "key-a"),
    "B": ("b.example", "model-b", "key-b"),
    "C": ("c.example", "model-c", "key-c"),
    "A2": ("a.example", "model-a", "key-2"),
    "A mini": ("a.example", "model-mini", "key-a"),
    "Z": ("z.example", "model-z", "key-z"),
}
A, B, C = (Target(name, (PLACES[name],), alone=True) for name in "ABC")
SHARED = Target("A", (PLACES["A"],))
MINI = Target("A mini", (PLACES["A mini"],))
CHAIN = (A, B, C)

NO_ANSWER = ("refused", "silence", "reset", "end", "left")


@dataclass(frozen=True)
class Step:
    """An attempt: where, what came of it, how many seconds it took (a refusal none)."""

    place: str
    outcome: str
    took: float | None = None
    at: float | None = None
    hint: float | None = None
    error: str | None = None
    spent: str = "0"
    spoke: bool | None = None
    via: bool = False
    prompt: str = "p"
    head: float | None = None
    faults: tuple[str, ...] | None = None
    features: tuple[str, ...] = ()
    operation: str = "chat"
    tokens: int = 0


@dataclass(frozen=True)
class Told:
    """A call: what the caller got, and the steps. ``words`` are the ids of the attempts whose words
    the answer carries (None: of the last step that spoke);
    ``canned`` ones are the router's own."""

    outcome: str
    steps: tuple[Step, ...] = ()
    at: float | None = None
    took: float | None = None
    group: str | None = "chat"
    stream: bool = False
    question: str = ""
    request: str = ""
    finish: str | None = "stop"
    words: Sequence[str] | None = None
    tied: bool = True
    entry: str = "chat"
    canned: bool = False
    features: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict)
    model: str | None = None
    dimension: int | None = None
    raised: Failure = field(default_factory=lambda: Failure(("ProviderError",)))


def call(outcome: str, *steps: Step | tuple[str, str], **about: object) -> Told:
    made = tuple(step if isinstance(step, Step) else Step(*step) for step in steps)
    return Told(outcome, made, **about)  # type: ignore[arg-type]  # keyword fields of Told


@dataclass
class Teller:
    history: History = field(default_factory=History)
    now: float = 0.0

    def tell(self, told: Told) -> None:
        began = self.now if told.at is None else told.at
        number = len(self.history.calls) + 1
        call = Call(
            f"c{number}", began, told.entry, told.group, told.stream, True,
            told.request or f"r{number}", told.question or f"q{number}",
            outcome=told.outcome,  # type: ignore[arg-type]  # the literals of Call
            finish=told.finish if told.outcome == "answered" else None,
            features=told.features, options=dict(told.options), model=told.model,
            dimension=told.dimension,
        )  # fmt: skip
        self.history.calls.append(call)
        now = began
        made = []
        for ordinal, step in enumerate(told.steps, 1):
            attempt = self._attempt(step, told, call, ordinal, now if step.at is None else step.at)
            made.append(attempt)
            now = max(now, attempt.ended or now)
        call.ended = now if told.took is None else began + told.took
        if told.outcome == "failed":
            call.failure = told.raised
        spoke = [
            attempt.id for attempt in made if attempt.marks and attempt.first_token is not None
        ]
        sources = spoke[-1:] if told.words is None else told.words
        by_id = {attempt.id: attempt for attempt in self.history.attempts}
        for source in (one for one in sources if one in by_id):
            whole = by_id[source].outcome == "200"
            call.marks += by_id[source].marks if whole else by_id[source].marks[:1]
        if call.marks or told.canned:
            call.first_token = began
        self.now = max(self.now, call.ended)

    def _attempt(self, step: Step, told: Told, call: Call, ordinal: int, began: float) -> Attempt:
        host, model, key = PLACES[step.place]
        status = None if step.outcome in NO_ANSWER else int(step.outcome[:3])
        took = step.took if step.took is not None else 1.0 if status in (None, 200) else 0.0
        hidden = step.outcome == "refused" or step.operation == "none"
        number = len(self.history.attempts) + 1
        speaks = status == 200 if step.spoke is None else step.spoke
        streamed = told.stream and not hidden
        faults = (
            (() if step.outcome == "200" else ("fault",)) if step.faults is None else step.faults
        )
        head = None if status is None else began + (step.head or 0.0)
        attempt = Attempt(
            f"a{number}", call.id if told.tied else None, ordinal, began, step.place, step.place,
            host, "a0" if step.via else None, None, None if hidden else model,
            None if hidden else key, None if hidden else step.operation, streamed,
            None if hidden else step.prompt,
            ended=began + took, status=status, outcome=step.outcome, error=step.error,
            faults=faults, retry_after=step.hint, head=head,
            first_token=head if speaks else None, last=head if speaks else None,
            spent=Decimal(step.spent), marks=(f"a{number}-one", f"a{number}-two"),
            complete=step.outcome == "200",
            left=step.outcome.endswith(("left", "silence", "stall")),
            features=step.features, tokens_in=step.tokens,
        )  # fmt: skip
        self.history.attempts.append(attempt)
        return attempt


def story(*calls: Told) -> History:
    """A history of calls, one after the other unless they say when they began."""
    teller = Teller()
    for told in calls:
        teller.tell(told)
    return teller.history


def verdict(contract: Contract, history: History) -> str:
    """What a contract makes of a history: kept, broken, or nothing."""
    observations = list(contract.check(history))
    if not observations:
        return "nothing"
    return "kept" if all(seen.kept for seen in observations) else "broken"
