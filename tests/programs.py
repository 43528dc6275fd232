"""Programs on the other side of a server that serves a world."""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from llmroute_sim.scenario import Scenario
from pytest_llmroute.serving.server import Server
from pytest_llmroute.serving.stage import Stage

LLMROUTE = Path(sys.executable).with_name("llmroute")
QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
AT_ONCE = Scenario("", first_token=0, per_token=0)


class Client:
    """One program on the other side of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def send(self, method, url, said=None, **headers):
        """Status and answer; headers with ``_`` for ``-``."""
        parts = urlsplit(url)
        if parts.scheme == "https":
            trusted = ssl.create_default_context(cafile=self.server.environment["SSL_CERT_FILE"])
            connection = HTTPSConnection(parts.hostname, parts.port, timeout=30, context=trusted)
        else:
            connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = said if isinstance(said, bytes) else None if said is None else json.dumps(said)
        with contextlib.closing(connection):
            connection.request(method, parts.path or "/", body, named)
            answer = connection.getresponse()
            text = answer.read()
        return answer.status, json.loads(text) if text else None

    def admin(self, method, path, said=None, **headers):
        return self.send(method, f"{self.server.origin}/_llmroute/{path}", said, **headers)

    def ask(self, provider="openai", call=None, **changes):
        marker = {} if call is None else {"x_llmroute_call": call}
        url = self.server.urls[provider]
        secret = self.server.environment[f"{provider.upper()}_API_KEY"]
        return self.send(
            "POST",
            f"{url}/chat/completions",
            QUESTION | changes,
            authorization=f"Bearer {secret}",
            **marker,
        )


@contextlib.contextmanager
def serving(stage: Stage | None = None, **options) -> Iterator[Client]:
    server = Server(stage or Stage(AT_ONCE), **options)
    with server.carrier:
        yield Client(server)
