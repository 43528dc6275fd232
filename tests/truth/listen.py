"""Run as a script: what Python's audit hook hears of the network while clients ask in a world.

Prints JSON: for each client, what became of a request to a simulated host and to one that is not,
and every look-up, connection or datagram for anything but loopback.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import socket
import sys
from pathlib import Path

_HEARD: list[str] = []
_OUTWARD = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}
"""Audit events of whatever could reach the network, and which argument says where to."""


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event in _OUTWARD:
        where = arguments[_OUTWARD[event]]
        host = where[0] if isinstance(where, tuple) else where
        try:
            if ipaddress.ip_address(str(host)).is_loopback:
                return
        except ValueError:
            pass
        _HEARD.append(f"{event} {host}")


sys.addaudithook(_hear)  # before anything of ours or of a client's is imported
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks for a price list
sys.path.insert(0, str(Path(__file__).parents[1]))

from llmroute_sim.carriers.memory import in_memory  # noqa: E402  # after the hook
from llmroute_sim.clock import Clock  # noqa: E402
from truth.cells import HOSTS, ask  # noqa: E402
from truth.clients import CLIENTS  # noqa: E402
from truth.scripts import Scripted  # noqa: E402

_STRAY = "gateway.nobody-simulates.example"


class _Known(Scripted):
    def knows(self, host: str) -> bool:
        return host in HOSTS.values()


def _listen(client: str) -> dict[str, object]:
    found: dict[str, object] = {}
    dialect = CLIENTS[client].dialect
    for stream in (False, True):
        for what, host in (("known", HOSTS[dialect]), ("stray", _STRAY)):
            door = _Known(dialect, "none", stream)
            with in_memory(door, Clock()):
                outcome = ask(client, f"https://{host}/v1", stream, 30.0, 250.0)
            found[f"{what} {'stream' if stream else 'JSON'}"] = {
                "kinds": outcome.kinds,
                "tokens": outcome.tokens,
                "strays": [[address.host, address.port] for address in door.strays],
                "heard": _HEARD.copy(),
            }
            _HEARD.clear()
    return found


def _raw_socket() -> dict[str, object]:
    """A socket that goes past everything that we replaced."""
    door = _Known("openai", "none", False)
    raised = ""
    with in_memory(door, Clock()), socket.socket() as sock:
        try:
            sock.connect(("192.0.2.1", 443))
        except OSError as error:
            raised = type(error).__name__
    found = {"raised": raised, "heard": _HEARD.copy(), "strays": [a.host for a in door.strays]}
    _HEARD.clear()
    return found


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    answer: dict[str, object] = {n: _listen(n) for n, c in CLIENTS.items() if c.available}
    answer["raw socket"] = _raw_socket()
    socket.getaddrinfo("192.0.2.1", 443)  # a number: nobody is asked, but the hook hears of it
    answer["hook"] = _HEARD.copy()
    Path(sys.argv[1]).write_text(json.dumps(answer))
