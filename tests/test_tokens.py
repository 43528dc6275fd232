from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from llmroute_sim.tokens import count


@given(st.text() | st.text(st.characters(max_codepoint=127)) | st.text("ab_9 \n.-", max_size=60))
@example("a" * 8)
@example("a" * 9 + "!" + "b" * 17)
def test_a_token_is_eight_letters_or_digits_at_most_or_one_other_sign(text: str) -> None:
    assert count(text) == len(re.findall(r"\w{1,8}|[^\w\s]", text))
