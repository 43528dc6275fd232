"""What simulated models say: words nobody else says, so that an answer tells where it came from.

Every answer begins and ends with a coined word and carries one at every fourth place between. A
coined word is drawn from the seed of its attempt, so it is the same in every run and different in
every attempt; a truncated answer misses its last one, a spliced answer has those of two attempts.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from itertools import product
from random import Random

__all__ = ("Author", "mark_of", "seeded", "vector")

_SYLLABLES = tuple("".join(pair) for pair in product("bdfgklmnprstvz", "aeiou"))
_PAIRS = tuple(one + two for one, two in product(_SYLLABLES, repeat=2))[: 1 << 12]
_EVERY = 4


@functools.cache
def _vocabulary() -> tuple[str, ...]:
    """Five hundred and twelve ordinary words, each with a space before it."""
    from faker.providers.lorem.en_US import Provider

    words = (word for word in Provider.word_list if word.isascii() and word.isalpha())
    return tuple(f" {word}" for word in sorted(words)[: 1 << 9])


def seeded(*parts: object) -> Random:
    """A source of chance that depends on these parts and on nothing else."""
    text = "\x1f".join(map(str, parts)).encode()
    return Random(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()))


class Author:
    """Writes one attempt's answer, the same for the same seed."""

    __slots__ = ("_bits", "_block", "_left", "_seed", "marks")

    def __init__(self, *seed: object) -> None:
        self._seed = "\x1f".join(map(str, seed)).encode()
        self._block = 0
        self._bits = 0
        self._left = 0
        self.marks: list[str] = []
        """The coined words so far."""

    def bits(self, count: int) -> int:
        """A number of so many bits."""
        if self._left < count:
            block = hashlib.blake2b(
                self._seed, digest_size=64, salt=self._block.to_bytes(2)
            ).digest()
            self._bits = int.from_bytes(block)
            self._left = 512
            self._block += 1
        self._left -= count
        drawn = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return drawn

    def coin(self) -> str:
        """A word of six syllables that no text contains by accident."""
        mark = spell(self.bits(36), 3)
        self.marks.append(mark)
        return mark

    def mark(self) -> int:
        """A number of 48 bits, for answers that cannot carry words."""
        number = self.bits(48)
        self.marks.append(spell(number, 4))
        return number

    def write(self, length: int) -> tuple[str, ...]:
        """So many words, each with the space before it."""
        words = _vocabulary()
        last = length - 1
        return tuple(
            (" " + self.coin() if place else self.coin())
            if place % _EVERY == 0 or place == last
            else words[self.bits(9)]
            for place in range(length)
        )


def spell(number: int, pairs: int) -> str:
    """A number as a word, twelve bits to two syllables."""
    return "".join(_PAIRS[(number >> (12 * place)) & 0xFFF] for place in range(pairs))


def vector(text: str, mark: int, dimensions: int) -> tuple[float, ...]:
    """An embedding of a text: the same text gives the same direction, and the last twelve bits of
    the first four numbers carry the mark. Every number is exact in single precision."""
    chance = seeded("embedding", text)
    coarse = chance.getrandbits(8 * dimensions).to_bytes(dimensions)
    fine = [(mark >> (12 * place)) & 0xFFF for place in range(min(4, dimensions))]
    fine += [0] * (dimensions - len(fine))
    return tuple((c - 128) / 2**8 + f / 2**20 for c, f in zip(coarse, fine, strict=True))


def mark_of(numbers: Sequence[float]) -> str:
    """The coined word that an embedding carries."""
    mark = 0
    for place, number in enumerate(numbers[:4]):
        mark |= (round(number * 2**20) & 0xFFF) << (12 * place)
    return spell(mark, 4)
