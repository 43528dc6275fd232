"""How tokens are counted: one deterministic count, used for usage, quotas, prices and windows.

A token is a run of letters or digits of at most eight characters, or one other visible character. An
image, a sound or a file counts for a fixed number, whatever its size.
Providers' own tokenizers give other numbers for the same text, so nothing that depends on a limit
may come closer to it than a fifth.
"""

from __future__ import annotations

import re

__all__ = ("PER_MESSAGE", "PER_PART", "count")

PER_MESSAGE = 4
"""What each message adds beside its text: its role and its delimiters."""

PER_PART = 85
"""What each image, sound or file counts for: as many as OpenAI says an image in low detail has
(https://platform.openai.com/docs/guides/images-vision)."""

_TOKEN = re.compile(r"\w{1,8}|[^\w\s]")

_WORD, _SPACE, _OTHER = b"w", b" ", b"!"
_KINDS = b"".join(
    _WORD if re.match(r"\w", sign) else _SPACE if re.match(r"\s", sign) else _OTHER
    for sign in map(chr, range(128))
).ljust(256)
"""What each character of ASCII is, as a table for ``bytes.translate``."""


def count(text: str) -> int:
    """The number of tokens in a text."""
    if not text.isascii():
        return len(_TOKEN.findall(text))
    # The same count, several times as fast: in runs of letters and digits each first one begins a
    # token, and so does every eighth after it.
    kinds = _SPACE + text.encode().translate(_KINDS)
    runs = kinds.replace(_OTHER, _SPACE)
    starts = _SPACE + _WORD
    longer = runs.replace(starts, _SPACE).count(_WORD * 8) if _WORD * 9 in runs else 0
    return kinds.count(_OTHER) + runs.count(starts) + longer
