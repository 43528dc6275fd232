"""Throw-away keys. What a file says of secrets is replaced as soon as it is read: a variable gets a
value of its own, a key written out gets another one in its place, and is not kept."""

from __future__ import annotations

import re
from typing import Any

from llmroute_sim.history import fingerprint
from pytest_llmroute.routers.litellm.keys import by_variable

__all__ = ("Vault",)

_SECRET = re.compile(
    r"(^|_)(key|secret|password|credentials)$|_(key|secret)_id$"
    r"|^token$|(?<!_per)_token$|^authorization$",
    re.IGNORECASE,
)
_URL = re.compile(r"(^|_)(base|url|endpoint|host)(_url)?$", re.IGNORECASE)


class Vault:
    """The secrets of one file, and what stands for them: the same for the same."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        """Variables that the file reads, each with a throw-away value."""
        self._literals: dict[str, str] = {}

    @property
    def marks(self) -> frozenset[str]:
        """The fingerprints of all that stands for a secret."""
        values = (*self.variables.values(), *self._literals.values())
        return frozenset(fingerprint(value) for value in values if not value.startswith("https:"))

    def scrub(self, value: Any, key: str = "") -> Any:
        """The same value without anything secret, variables by their throw-away values."""
        match value:
            case dict():
                return {name: self.scrub(inner, name) for name, inner in value.items()}
            case list():
                return [self.scrub(inner, key) for inner in value]
            case str() if by_variable(value):
                return self.variable(value.removeprefix("os.environ/"), like=key)
            case str() if _SECRET.search(key):
                return self._literals.setdefault(
                    value, f"sk-llmroute-written-out-{len(self._literals) + 1}"
                )
            case _:
                return value

    def variable(self, name: str, *, like: str = "api_key") -> str:
        """The throw-away value of a variable: a key, or where ``like`` is the name of an address, a
        URL of a host that exists nowhere."""
        if name not in self.variables:
            plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
            address = _URL.search(like) or _URL.search(name)
            self.variables[name] = (
                f"https://{plain}.example/v1" if address else f"sk-llmroute-{plain}"
            )
        return self.variables[name]
