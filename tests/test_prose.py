from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.prose import Author, mark_of, vector

SEEDS = st.tuples(st.integers(0, 9), st.sampled_from(["c1", "c2", "c33"]), st.integers(1, 9))


@given(SEEDS, st.integers(1, 40))
def test_an_answer_begins_and_ends_with_a_coined_word(seed, length):
    author = Author(*seed)
    words = author.write(length)
    assert len(words) == length
    assert words[0] == author.marks[0]
    assert words[-1].strip() == author.marks[-1]
    assert len(author.marks) >= length / 4


@given(SEEDS, SEEDS)
def test_two_attempts_share_no_coined_word_and_one_says_the_same_again(one, other):
    first, second = Author(*one), Author(*other)
    first.write(20)
    second.write(20)
    assert (first.marks == second.marks) == (one == other)
    if one != other:
        assert not set(first.marks) & set(second.marks)


@given(SEEDS, st.integers(4, 64))
def test_an_embedding_carries_its_mark_through_single_precision(seed, dimensions):
    author = Author(*seed)
    numbers = vector("some text", author.mark(), dimensions)
    packed = struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *numbers))
    assert mark_of(packed) == author.marks[-1]


def test_the_same_text_points_the_same_way_whoever_embeds_it():
    one = vector("text", Author(1).mark(), 64)
    two = vector("text", Author(2).mark(), 64)
    other = vector("other", Author(1).mark(), 64)
    assert one != two
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 0.005
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 0.1
