"""Texts that a regular expression matches, with a coined word wherever one fits.

The libraries that do this draw from global chance or from the order of sets, which differs from run
to run; so the parse tree of :mod:`re` is walked here.
"""

from __future__ import annotations

import re
import string
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from llmroute_sim.prose import COINED, Author

__all__ = ("matching",)

_SIGNS = string.ascii_lowercase + string.digits + string.ascii_uppercase + " -_.:/,;@#+*=!?'\"()"
_LETTERS = string.ascii_lowercase
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def matching(pattern: str, author: Author, least: int, most: float) -> str | None:
    """A text of ``least`` to ``most`` characters in which the pattern is found. None where none was
    found, as for one that looks ahead, or that is no expression of Python's."""
    try:
        found = re.compile(pattern).search
        if least <= COINED <= most and found(coined := author.coin()):
            return coined
        tree = parser.parse(pattern)
        # Longer and longer, for those whose repetitions say how long a text is.
        for more in (0, 1, least, *range(2, 9)):
            text = _Writer(author, more).sequence(tree)
            text += _LETTERS[0] * (least - len(text))
            for said in (f"{text} {author.coin()}", text):
                if least <= len(said) <= most and found(said):
                    return said
    except (re.error, OverflowError, RecursionError):
        pass
    return None


class _Writer:
    """Writes what a tree asks for: ``more`` repetitions than needed where more are allowed."""

    def __init__(self, author: Author, more: int) -> None:
        self._author = author
        self._more = more
        self._groups: dict[int, str] = {}

    def sequence(self, tree: Any) -> str:
        """The texts of a sequence, one after the other."""
        return "".join(self._node(kind, value) for kind, value in tree)

    def _node(self, kind: Any, value: Any) -> str:
        if kind is op.LITERAL:
            return chr(value)
        if kind in (op.IN, op.ANY, op.NOT_LITERAL):
            signs = [sign for sign in _SIGNS if _allows(kind, value, sign)]
            return signs[self._author.draw(1)[0] % len(signs)] if signs else ""
        if kind is op.BRANCH:
            return self.sequence(value[1][0])
        if kind is op.SUBPATTERN:
            group, _, _, inner = value
            text = self.sequence(inner)
            if group is not None:
                self._groups[group] = text
            return text
        if kind in _REPEATS:
            return self._repeated(*value)
        if kind is op.GROUPREF:
            return self._groups.get(value, "")
        if kind is op.ATOMIC_GROUP:
            return self.sequence(value)
        # Places and what is looked at from them take no room.
        return ""

    def _repeated(self, least: int, most: Any, inner: Any) -> str:
        kind, value = inner[0]
        if (
            least <= COINED <= int(most)
            and len(inner) == 1
            and kind in (op.IN, op.ANY, op.NOT_LITERAL)
            and all(_allows(kind, value, letter) for letter in _LETTERS)
        ):
            return self._author.coin()
        return "".join(self.sequence(inner) for _ in range(min(least + self._more, int(most))))


def _allows(kind: Any, value: Any, sign: str) -> bool:
    """Whether a class of characters has one."""
    if kind is op.ANY:
        return True
    if kind is op.NOT_LITERAL:
        return bool(ord(sign) != value)
    inside = any(_has(entry, member, sign) for entry, member in value)
    return inside != (value[0][0] is op.NEGATE)


def _has(entry: Any, member: Any, sign: str) -> bool:
    if entry is op.LITERAL:
        return bool(ord(sign) == member)
    if entry is op.RANGE:
        return bool(member[0] <= ord(sign) <= member[1])
    if entry is op.CATEGORY:
        return re.match(_CATEGORIES[member], sign) is not None
    return False
