"""Routers that do not listen to what a call asks of the choice: by tags, by sessions."""

from __future__ import annotations

from llmroute_sim.faults import Outage
from llmroute_sim.incidents import Incident
from llmroute_sim.scenario import Ask

from ..formats import Asked
from ..picking import Picking, Ticket
from ..scenes import FIRST, scene
from ..upstreams import Upstream
from .declared import Mutant
from .pairs import picked, picker

# -- tags decide who may be asked

TAGS = (("openai", ("free", "default")), ("groq", ("paid",)))
WITH_TAGS = (
    Ask(),
    Ask(times=2, options={"metadata": {"tags": ["free"]}}),
    Ask(times=2, options={"metadata": {"tags": ["paid"]}}),
)


@picker(
    "balance.tags",
    scene(Incident(Outage(500), (FIRST,)), asks=WITH_TAGS, stimulus="options"),
    picked("order", tags=TAGS),
    when="after a failure",
)
class ForgetsTagsInRetries(Picking):
    """Once an attempt of a call has failed, its tags no longer count."""

    def failed(self, ticket: Ticket) -> None:
        super().failed(ticket)
        self.lost: dict[int, Asked] = getattr(self, "lost", {})
        self.lost[id(ticket.asked)] = ticket.asked

    def tagged(self, upstream: Upstream, asked: Asked) -> bool:
        return id(asked) in getattr(self, "lost", {}) or super().tagged(upstream, asked)


@picker(
    "balance.tags",
    scene(asks=WITH_TAGS, stimulus="options"),
    picked("order", tags=TAGS),
    when="blocking calls only",
    only="sync",
)
class ReadsTagsWhenAwaited(Picking):
    """The tags of blocking calls are not read."""

    def tagged(self, upstream: Upstream, asked: Asked) -> bool:
        return asked.sync or super().tagged(upstream, asked)


# -- a session stays where it was

IN_SESSIONS = tuple(
    Ask(times=12, every=40, options={"metadata": {"session_id": name}}) for name in ("one", "two")
)


@picker(
    "balance.sticky",
    scene(asks=IN_SESSIONS, stimulus="options"),
    picked("weights", sticky=100.0),
    when="in a session longer than the idle time",
)
class PinsButOnce(Picking):
    """A session's pin is not renewed by its calls."""

    def pin(self, session: str, upstream: Upstream) -> None:
        if session not in self.pins:
            super().pin(session, upstream)


@picker(
    "balance.sticky",
    scene(asks=IN_SESSIONS, stimulus="options"),
    picked("weights", sticky=100.0),
    when="streams only",
    only="stream",
)
class PinsNoStreams(Picking):
    """Streamed calls of a session are picked afresh."""

    def session(self, asked: Asked) -> str | None:
        return None if asked.stream else super().session(asked)


MUTANTS: tuple[Mutant, ...] = (
    ForgetsTagsInRetries,
    ReadsTagsWhenAwaited,
    PinsButOnce,
    PinsNoStreams,
)
