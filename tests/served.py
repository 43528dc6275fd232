"""A server that a page of the documentation starts, and a shell beside it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

PORT = "4100"
"""What pages call the port of their server. It is any free one."""

_FOLDER = Path(sys.executable).parent


class Served:
    """What runs in the background of a page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._eval = ""
        self._server: subprocess.Popen[str] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])

    @property
    def runs(self) -> bool:
        return self._server is not None

    def start(self, arguments: list[str]) -> str:
        """What the server printed until it was ready."""
        assert self._server is None, "the page's server runs already"
        self._server = subprocess.Popen(
            [_FOLDER / "llmroute", *arguments, "--port", self._port],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            cwd=self._folder,
        )
        assert self._server.stdout is not None
        printed = ""
        for line in self._server.stdout:
            printed += line
            if line.startswith("ready on "):
                break
        return self._told(printed)

    def run(self, command: str) -> str:
        """What a command of the shell printed. What was evaluated before holds still."""
        if command.startswith("eval "):
            self._eval += f"{command}\n"
        found = subprocess.run(
            ["sh", "-c", re.sub(rf"\b{PORT}\b", self._port, f"{self._eval}{command}")],
            capture_output=True,
            text=True,
            cwd=self._folder,
            env={**os.environ, "PATH": f"{_FOLDER}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"},
            timeout=60,
            check=False,
        )
        assert not found.stderr, f"{command}: {found.stderr}"
        return self._told(found.stdout)

    def stop(self) -> str:
        """What the server printed since it was ready."""
        if self._server is None:
            return ""
        server, self._server = self._server, None
        server.send_signal(signal.SIGINT)
        printed, _ = server.communicate(timeout=60)
        assert server.returncode == 0
        return self._told(printed)

    def _told(self, printed: str) -> str:
        return re.sub(rf"\b{self._port}\b", PORT, printed)
