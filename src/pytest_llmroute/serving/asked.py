"""What is asked of the admin endpoints: whether it may be, what there is to ask for, what it says.

Only programs of this machine may ask. A browser that was led here by somebody else's page is turned
away, by the name under which it came (DNS rebinding) or by the page's origin, and nothing is said to
it about sharing answers with other origins.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote

from llmroute_sim.names import Unknown
from llmroute_sim.wire import Request

__all__ = ("LARGEST", "ROUTES", "Route", "Said", "TurnedAway", "asked", "numbers")

LARGEST = 1 << 20
"""Bytes of the largest request body that is read."""

Said: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for: how, what it does, and which method of :class:`Admin` does
    it. A segment in braces stands for any."""

    method: str
    path: str
    does: str
    by: str
    status: int = 200

    def fits(self, parts: list[str]) -> bool:
        """Whether a path is of this form."""
        mine = self.path.split("/")
        return len(mine) == len(parts) and all(
            one == other or one.startswith("{") for one, other in zip(mine, parts, strict=True)
        )


ROUTES = (
    Route("GET", "", "what there is", "index"),
    Route("GET", "health", "whether it is ready, and the seconds since the world began", "health"),
    Route("GET", "environment", "the variables that lead SDKs here", "environment"),
    Route("GET", "incidents", "the incidents so far, and how many attempts met each", "incidents"),
    Route("POST", "incidents", "let something go wrong: fault, at, when", "inject", 201),
    Route("DELETE", "incidents", "end every incident", "heal_all"),
    Route("GET", "incidents/{id}", "one incident", "incident"),
    Route("DELETE", "incidents/{id}", "end one incident", "heal"),
    Route("GET", "history", "every call and attempt so far", "history"),
    Route("GET", "path", "place:outcome of every attempt so far", "path"),
    Route("POST", "calls/{name}", "what a caller asked and got", "call"),
    Route("POST", "limit", "limits of each key and model: at, requests, tokens, requests-per-day, tokens-per-day", "limit"),
    Route("POST", "credit", "what each key may spend: at, usd; null: no end", "credit"),
    Route("POST", "pace", "seconds to the first token and per token: first-token, per-token", "pace"),
    Route("POST", "bill", "tokens that every answer is billed for: input, output; none: its own", "bill"),
    Route("POST", "reset", "begin the scenario anew, with an empty history", "reset"),
)  # fmt: skip


class TurnedAway(Exception):
    """A request that is answered with an error: its status, and what was probably meant."""

    def __init__(self, status: int, message: str, closest: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.closest = closest


def asked(request: Request) -> tuple[Route, list[Any]]:
    """What a request asks for: the values in its path, and after POST what its body says.

    Raises :class:`TurnedAway`, and ``ValueError`` for a body that is not a JSON object.
    """
    _check_origin(request)
    route, parts = _route(request)
    mine = route.path.split("/")
    values = [part for one, part in zip(mine, parts, strict=True) if one.startswith("{")]
    return route, [*values, _said(request)] if request.method == "POST" else [*values]


def _check_origin(request: Request) -> None:
    """Turn away who was led here by a page of another origin."""
    host = request.header("host") or ""
    if not _is_loopback(host):
        raise TurnedAway(
            403, f"asked for under the name {host!r}: only loopback's own names are served"
        )
    origin = request.header("origin")
    site = request.header("sec-fetch-site")
    if origin not in (None, f"http://{host}") or site not in (None, "none", "same-origin"):
        raise TurnedAway(403, "asked for by a page of another origin")


def _is_loopback(host: str) -> bool:
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name = host
    name = name.strip("[]")
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _route(request: Request) -> tuple[Route, list[str]]:
    parts = [unquote(part) for part in request.path.strip("/").split("/")]
    method = "GET" if request.method == "HEAD" else request.method
    fitting = [route for route in ROUTES if route.fits(parts)]
    for route in fitting:
        if route.method == method:
            return route, parts
    if fitting:
        allowed = ", ".join(route.method for route in fitting)
        raise TurnedAway(405, f"/_llmroute/{'/'.join(parts)} takes {allowed}, not {method}")
    known = sorted({route.path.split("/")[0] for route in ROUTES} - {""})
    close = difflib.get_close_matches(parts[0], known, 1)
    hint = f"; did you mean /_llmroute/{close[0]}?" if close else ""
    there = ", ".join(f"/_llmroute/{name}" for name in known)
    raise TurnedAway(404, f"no /_llmroute/{'/'.join(parts)}{hint} (there are {there})", *close)


def _said(request: Request) -> Said:
    """The JSON object of a body; nothing is an empty one."""
    if request.size > LARGEST:
        raise TurnedAway(413, f"a body of {request.size} bytes; at most {LARGEST}")
    if not request.body.strip():
        return {}
    try:
        said = json.loads(request.body, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"the body is not UTF-8: {error.reason}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise ValueError(f"the body is not a JSON object but {type(said).__name__}")
    return said


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number")


def numbers(said: Said, known: tuple[str, ...], what: str) -> dict[str, float]:
    """What was said, if all of it are numbers of these names. Raises ``ValueError``."""
    for key, value in said.items():
        if key not in known:
            raise Unknown(f"key of {what}", key, known)
        if type(value) not in (int, float) or value < 0:
            raise ValueError(f"{key} = {value!r} is not a number of at least 0")
    return dict(said)
