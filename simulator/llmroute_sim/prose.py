"""What simulated models say: words nobody else says, so that an answer tells where it came from.

Every answer begins and ends with a coined word and carries one at every fourth place between. A
coined word is drawn from the seed of its attempt, so it is the same in every run and different in
every attempt; a truncated answer misses its last one, a spliced answer has those of two attempts.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import product
from random import Random

__all__ = ("COINED", "Author", "mark_of", "seeded", "vector")

_SYLLABLES = tuple("".join(pair) for pair in product("bdfgklmnprstvz", "aeiou"))
_PAIRS = tuple(one + two for one, two in product(_SYLLABLES, repeat=2))[: 1 << 12]
_TWELVE, _NINE = (1 << 12) - 1, (1 << 9) - 1
_EVERY = 4
_IDENTITY = "%04x" * 6
_LETTERS = re.compile(r"[a-z]+")

COINED = 12
"""Letters of a coined word."""

_SIXTEENS = struct.Struct("<32H")


@functools.cache
def _vocabulary() -> tuple[str, ...]:
    """Five hundred and twelve ordinary words, each with a space before it, one for nine bits."""
    from faker.providers.lorem.en_US import Provider

    words = (word for word in Provider.word_list if word.isascii() and word.isalpha())
    return tuple(f" {word}" for word in sorted(words)[: 1 << 9])


def seeded(*parts: object) -> Random:
    """A source of chance that depends on these parts and on nothing else."""
    text = "\x1f".join(map(str, parts)).encode()
    return Random(int.from_bytes(blake2b(text, digest_size=8).digest()))


class Author:
    """Writes one attempt's answer, the same for the same seed."""

    __slots__ = ("_block", "_drawn", "_numbers", "_seed", "marks")

    def __init__(self, *seed: object) -> None:
        self._seed = "\x1f".join(map(str, seed)).encode()
        self._block = self._drawn = 0
        self._numbers: list[int] = []
        self.marks: list[str] = []
        """The coined words so far."""

    def draw(self, count: int) -> list[int]:
        """So many numbers of sixteen bits."""
        numbers, start = self._numbers, self._drawn
        end = self._drawn = start + count
        while len(numbers) < end:
            salt = self._block.to_bytes(2)
            numbers += _SIXTEENS.unpack(blake2b(self._seed, salt=salt).digest())
            self._block += 1
        return numbers[start:end]

    def coin(self) -> str:
        """A word of six syllables that no text contains by accident."""
        mark = spell(self.draw(3))
        self.marks.append(mark)
        return mark

    def mark(self) -> tuple[int, ...]:
        """Four numbers of twelve bits, for answers that cannot carry words."""
        numbers = tuple(number & _TWELVE for number in self.draw(4))
        self.marks.append(spell(numbers))
        return numbers

    def identity(self) -> str:
        """Twenty-four hexadecimal digits."""
        return _IDENTITY % tuple(self.draw(6))

    def ramble(self, length: int) -> tuple[str, ...]:
        """So many ordinary words, each with the space before it and none coined."""
        words = _vocabulary()
        return tuple(words[number & _NINE] for number in self.draw(length))

    def keep(self, text: str) -> None:
        """Forget the coined words that were not said after all."""
        said = set(_LETTERS.findall(text))
        self.marks[:] = [mark for mark in self.marks if mark in said]

    def write(self, length: int) -> tuple[str, ...]:
        """So many words, each with the space before it."""
        if not length:
            return ()
        words, pairs, marks = _vocabulary(), _PAIRS, self.marks
        places = _coined(length)
        numbers = self.draw(length + 3 * len(places))
        said = [words[number & _NINE] for number in numbers[:length]]
        coins = iter(numbers[length:])
        for place, one, two, three in zip(places, coins, coins, coins, strict=True):
            mark = pairs[one & _TWELVE] + pairs[two & _TWELVE] + pairs[three & _TWELVE]
            marks.append(mark)
            said[place] = " " + mark
        said[0] = marks[-len(places)]
        return tuple(said)


@functools.cache
def _coined(length: int) -> tuple[int, ...]:
    """Where the coined words of so many stand."""
    return (*range(0, length - 1, _EVERY), length - 1)


def spell(numbers: Iterable[int]) -> str:
    """Numbers as a word, twelve bits of each to two syllables."""
    return "".join([_PAIRS[number & _TWELVE] for number in numbers])


_COARSE = tuple((byte - 128) / 2**8 for byte in range(256))
"""The numbers of an embedding, before they carry anything."""


def vector(text: str, mark: Sequence[int], dimensions: int) -> tuple[float, ...]:
    """An embedding of a text: the same text gives the same direction, and the last twelve bits of
    the first four numbers carry the mark. Every number is exact in single precision."""
    chance = seeded("embedding", text)
    coarse = chance.getrandbits(8 * dimensions).to_bytes(dimensions)
    numbers = [*map(_COARSE.__getitem__, coarse)]
    for place, fine in enumerate(mark[:dimensions]):
        numbers[place] += fine / 2**20
    return tuple(numbers)


def mark_of(numbers: Sequence[float]) -> str:
    """The coined word that an embedding carries."""
    return spell(round(number * 2**20) & 0xFFF for number in numbers[:4])
