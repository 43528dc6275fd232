"""What is wrong with what a user wrote, or asked for."""

from __future__ import annotations

from pathlib import Path

__all__ = ("CannotPlay", "ConfigError")


class ConfigError(Exception):
    """A configuration cannot be read: where, what is wrong there, and what was probably meant."""

    def __init__(
        self,
        message: str,
        *,
        path: Path | str,
        line: int | None = None,
        key: tuple[str, ...] = (),
        closest: str | None = None,
    ) -> None:
        place = f"{path}:{line}" if line else str(path)
        where = f"{place}: {'.'.join(key)}" if key else place
        hint = f" (did you mean {closest!r}?)" if closest else ""
        super().__init__(f"{where}: {message}{hint}")
        self.path = path
        self.line = line
        self.key = key
        self.message = message
        self.closest = closest


class CannotPlay(Exception):
    """A router or an interpreter cannot be run: says which, and why."""
