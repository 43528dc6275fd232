"""The door as one accepted connection sees it.

Over TCP a connection stands before anybody can be asked, and a shared port learns only from the
request whom it is for. So the address is found here, and the connect stage is performed in front
of the first answer from it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import replace

from llmroute_sim.wire import Abort, Address, Data, Door, Exchange, Framing, Head, Request

__all__ = ("Doorstep", "check_paths", "find")


def check_paths(paths: Mapping[str, Address]) -> None:
    """Raise ``ValueError`` for a path that is not one plain segment."""
    for name in paths:
        if not name or any(mark in name for mark in "/?# "):
            raise ValueError(f"path {name!r} of {paths[name].host}: one plain segment, no / ? #")


def find(paths: Mapping[str, Address], request: Request) -> Request | None:
    """The request as its provider sees it: addressed, and its first path segment taken off."""
    name, slash, rest = request.target[1:].partition("/")
    if not slash:
        name, mark, query = name.partition("?")
        rest = mark + query
    address = paths.get(name)
    if address is None:
        return None
    return replace(request, target="/" + rest, address=address)


class Doorstep:
    """A :class:`Door` for one connection: to one address, or by path to any of several."""

    __slots__ = ("_current", "_dialled", "_door", "_paths")

    def __init__(self, door: Door, paths: Mapping[str, Address] | None) -> None:
        self._door = door
        self._current: Address | None = None
        self._paths = paths
        self._dialled: set[Address] = set()

    def knows(self, host: str) -> bool:
        """As the door."""
        return self._door.knows(host)

    def stray(self, address: Address, call: str | None) -> None:
        """As the door."""
        self._door.stray(address, call)

    def connect(self, address: Address, call: str | None) -> Exchange:
        """As the door."""
        return self._door.connect(address, call)

    def keeps(self, _address: Address) -> bool:
        """As the door, of the address last asked for."""
        return self._current is None or self._door.keeps(self._current)

    def open(self, request: Request) -> Exchange:
        """Answer a request, after what its connection would have met had it been dialled now."""
        if self._paths is not None:
            found = find(self._paths, request)
            if found is None:
                return self._astray(request, self._paths)
            request = found
        address = self._current = request.address
        if address in self._dialled and self._door.keeps(address):
            return self._door.open(request)
        self._dialled.add(address)
        return self._dial(request)

    def _dial(self, request: Request) -> Exchange:
        for event in self._door.connect(request.address, request.call):
            match event:
                case Abort(kind="refused"):
                    yield Abort("reset")  # it was accepted long ago
                    return
                case Abort():
                    yield event
                    return
                case _:
                    yield event
        yield from self._door.open(request)

    def _astray(self, request: Request, paths: Mapping[str, Address]) -> Exchange:
        name = request.target[1:].partition("/")[0].partition("?")[0]
        self._door.stray(Address(name.lower(), 0), request.call)
        message = f"no simulated provider at /{name}; there are " + ", ".join(
            f"/{known}" for known in sorted(paths)
        )
        if close := difflib.get_close_matches(name, paths, 1):
            message += f"; did you mean /{close[0]}?"
        body = json.dumps({"error": {"type": "llmroute", "message": message}}).encode()
        yield Head(404, (("content-type", "application/json"),), Framing.LENGTH, len(body))
        yield Data(body)
