"""Histories that are written down call by call."""

from __future__ import annotations

from decimal import Decimal

from llmroute_sim.history import Episode, Failure

HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com", "groq": "api.groq.com"}


def ask(history, at=0.0, until=None, **seen):
    """A call that is answered unless something else is said of it."""
    call = history.begin_call(at, entry="chat", group=seen.pop("group", "chat"))
    call.ended, call.outcome = at if until is None else until, seen.pop("outcome", "answered")
    if call.outcome == "failed":
        call.failure = Failure(("APIError",), 503)
    for name, value in seen.items():
        setattr(call, name, value)
    return call


def go(history, call, place="openai", outcome="200", at=None, until=None, **seen):
    """An attempt; an answer that the caller is shown has words of its own."""
    begin = call.started if at is None and call else at or 0.0
    made = history.begin_attempt(
        begin, call and call.id, place=place, provider=place, deployment=HOSTS[place], model="m"
    )
    made.outcome, made.ended = outcome, begin if until is None else until
    head = outcome.partition("-")[0]
    made.status = int(head) if head.isdigit() else None
    shown = seen.pop("shown", made.status == 200)
    if made.status == 200:
        made.marks = (f"{made.id}first", f"{made.id}last")
        made.complete = outcome == "200"
    if shown and call is not None:
        call.marks += made.marks
    for name, value in seen.items():
        setattr(made, name, value)
    return made


def answered(history, at=0.0, until=None, place="openai", **seen):
    call = ask(history, at, until, **seen)
    go(history, call, place, until=until)
    return call


def failing(history, at=0.0, until=None, outcome="503", **seen):
    call = ask(history, at, until, outcome="failed")
    go(history, call, outcome=outcome, **seen)
    return call


def spread(times):
    return (times.count, times.p50, times.p95, times.p99, times.worst)


def outage(history, started, ended=None, name="outage at openai"):
    history.incidents.append(Episode(name, started, ended))
    return name


def charged(attempt, spent, tokens_in, tokens_out):
    attempt.spent = Decimal(spent)
    attempt.tokens_in, attempt.tokens_out = tokens_in, tokens_out
    return attempt
