"""How tokens are counted: one deterministic count, used for usage, quotas, prices and windows.

A token is a run of letters or digits of at most eight characters, or one other visible character.
Providers' own tokenizers give other numbers for the same text, so nothing that depends on a limit
may come closer to it than a fifth.
"""

from __future__ import annotations

import re

__all__ = ("PER_MESSAGE", "count")

PER_MESSAGE = 4
"""What each message adds beside its text: its role and its delimiters."""

_TOKEN = re.compile(r"\w{1,8}|[^\w\s]")


def count(text: str) -> int:
    """The number of tokens in a text."""
    return len(_TOKEN.findall(text))
