"""The signature of a model's thoughts, which proves later that they were its own.

A client sends thoughts back with their signature, and the provider refuses those that were changed
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks).
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from hashlib import blake2b

__all__ = ("signature", "signed")

_SALT = 16


def signature(identity: str, thought: str) -> str:
    """The signature of what was thought for the answer of an id."""
    salt = blake2b(identity.encode("utf-8", "backslashreplace"), digest_size=_SALT).digest()
    return b64encode(salt + _seal(salt, thought)).decode()


def signed(thought: str, signature: str) -> bool:
    """Whether a signature is one for exactly this thought."""
    try:
        raw = b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw[_SALT:] == _seal(raw[:_SALT], thought)


def _seal(salt: bytes, thought: str) -> bytes:
    text = thought.encode("utf-8", "backslashreplace")
    return blake2b(salt + text, digest_size=64, person=b"llmroute thought").digest()
