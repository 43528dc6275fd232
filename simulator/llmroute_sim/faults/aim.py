"""Where in an answer a fault of the stream stage strikes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from llmroute_sim.faults.stages import Scene
from llmroute_sim.wire import Abort, Data, Event, Framing, Head

__all__ = ("chunked", "ended", "interrupted", "rewritten")


def interrupted(
    events: Iterator[Event], after: int, *, bodies: bool = True
) -> Iterator[tuple[Event, bool]]:
    """Each event, and whether the interruption comes just before it: once, when ``after`` tokens of
    a stream are out, or half way through a JSON body."""
    tokens = 0
    pending = True
    for event in events:
        if pending and isinstance(event, Data):
            if event.part == "body" and bodies:
                pending = False
                half = len(event.body) // 2
                yield Data(event.body[:half]), False
                yield Data(event.body[half:]), True
                continue
            if event.part in ("token", "finish", "terminal") and tokens >= after:
                pending = False
                yield event, True
                continue
            tokens += event.part == "token"
        yield event, False


def ended(events: Iterator[Event], after: int, scene: Scene, how: Abort) -> Iterator[Event]:
    """Events up to the interruption, and then an end."""
    for event, due in interrupted(events, after):
        if due:
            scene.act()
            yield how
            return
        yield event


def chunked(events: Iterator[Event]) -> Iterator[Event]:
    """The same, framed in chunks."""
    for event in events:
        yield (
            replace(event, framing=Framing.CHUNKED, length=None)
            if isinstance(event, Head)
            else event
        )


def rewritten(events: Iterator[Event], change: Callable[[Data], Data | None]) -> Iterator[Event]:
    """An answer with status 200 each of whose segments is changed, or left out. A head that counts its
    body is held back until it is known how long that is."""
    for event in events:
        match event:
            case Head(status=200, framing=Framing.LENGTH):
                held: list[Event] = []
                for following in events:
                    held.append(following)
                    if isinstance(following, Data | Abort):
                        break
                if held and isinstance(body := held[-1], Data):
                    changed = change(body)
                    if changed is not body:
                        size = 0 if changed is None else len(changed.body)
                        event = replace(event, length=(event.length or 0) + size - len(body.body))
                        held[-1:] = [] if changed is None else [changed]
                yield event
                yield from held
            case Head(status=200):
                yield event
            case Head():
                yield event
                yield from events
            case Data(raw=False):
                changed = change(event)
                if changed is not None:
                    yield changed
            case _:
                yield event
