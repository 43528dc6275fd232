"""Variables as shells set them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping

__all__ = ("SHELLS", "lines")


def lines(variables: Mapping[str, str], shell: str) -> list[str]:
    """The lines that set variables in a shell of :data:`SHELLS`."""
    return SHELLS[shell](variables)


def _sh(variables: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _fish(variables: Mapping[str, str]) -> list[str]:
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in variables.items()}  # fmt: skip
    return [f"set -gx {name} '{value}'" for name, value in quoted.items()]


def _powershell(variables: Mapping[str, str]) -> list[str]:
    quoted = {name: value.replace("'", "''") for name, value in variables.items()}
    return [f"$env:{name} = '{value}'" for name, value in quoted.items()]


def _json(variables: Mapping[str, str]) -> list[str]:
    return json.dumps(variables, indent=1).splitlines()


SHELLS: Mapping[str, Callable[[Mapping[str, str]], list[str]]] = {
    "sh": _sh,
    "fish": _fish,
    "powershell": _powershell,
    "json": _json,
}
"""How each shell is told."""
