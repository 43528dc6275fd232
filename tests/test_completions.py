from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import formats
from llmroute_sim.dialects import find
from llmroute_sim.prompt import Operation, Prompt
from llmroute_sim.prose import Author
from llmroute_sim.speech import say
from llmroute_sim.tokens import count
from llmroute_sim.wire import Data

openai = pytest.importorskip("openai")

USER: Any = [{"role": "user", "content": "hello"}]
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": USER}
TEXT: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time"}


def client() -> Any:
    return openai.OpenAI(api_key="sk-test", max_retries=0)


def operation(asked: dict[str, Any]) -> Operation:
    return "chat" if "messages" in asked else "completions"


def read(asked: dict[str, Any]) -> Prompt:
    return formats.read("openai", operation(asked), asked)


def refused(asked: dict[str, Any]) -> Any:
    return formats.refused("openai", operation(asked), asked)


def texts(asked: dict[str, Any], seed: int = 0) -> dict[int, str]:
    """What each choice says, streamed or not."""
    prompt = read(asked)
    events = find("openai").answer(prompt, say(prompt, Author(seed), 0, None), ())
    bodies = [event.body.decode() for event in events if isinstance(event, Data)]
    told = [json.loads(b.removeprefix("data: ")) for b in bodies if "[DONE]" not in b]
    said: dict[int, str] = {}
    for choice in (choice for each in told for choice in each["choices"]):
        message = choice.get("message") or choice.get("delta") or choice
        words = message.get("content") or message.get("text") or ""
        said[choice["index"]] = said.get(choice["index"], "") + words
    return said


# -- several answers


@given(
    st.sampled_from([CHAT, TEXT, {**TEXT, "prompt": ["a", "b"]}]),
    st.integers(1, 4),
    st.lists(st.sampled_from(["e", "th", "\n", " a"]), max_size=2),
    st.integers(1, 30),
    st.integers(0, 50),
)
def test_a_stream_says_what_the_whole_answer_says(
    asked: dict[str, Any], n: int, stop: list[str], limit: int, seed: int
) -> None:
    asked = {**asked, "n": n, "stop": stop, "max_tokens": limit}
    whole = texts(asked, seed)
    assert texts({**asked, "stream": True}, seed) == whole
    prompts = asked.get("prompt")
    assert len(whole) == n * (len(prompts) if isinstance(prompts, list) else 1)


def test_the_sdk_reads_as_many_choices_as_were_asked_for(llmroute: Any) -> None:
    got = client().chat.completions.create(**CHAT, n=3)
    said = [choice.message.content for choice in got.choices]
    assert [choice.index for choice in got.choices] == [0, 1, 2]
    assert len(set(said)) == 3
    assert got.usage.completion_tokens == sum(len(text.split()) for text in said)
    last = llmroute.history.attempts[-1]
    assert last.tokens_out == got.usage.completion_tokens
    assert llmroute.history.marks_in(" ".join(said)) == last.marks


def test_streamed_choices_come_in_turns_and_each_has_its_end(llmroute: Any) -> None:
    options: Any = {"n": 2, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, usage = client().chat.completions.create(**CHAT, **options)
    order = [chunk.choices[0].index for chunk in chunks]
    assert order[:6] == [0, 1, 0, 1, 0, 1]
    ends = [(c.choices[0].index, c.choices[0].finish_reason) for c in chunks]
    assert sorted(end for end in ends if end[1]) == [(0, "stop"), (1, "stop")]
    words = [chunk for chunk in chunks if chunk.choices[0].delta.content]
    assert usage.usage.completion_tokens == len(words)


# -- where an answer ends


def test_an_answer_ends_before_the_text_at_which_it_must_stop() -> None:
    whole = texts(CHAT)[0]
    second = whole.split()[1]
    stopped = texts({**CHAT, "stop": [second, "nowhere"]})[0]
    assert stopped == whole[: whole.index(second)]


@pytest.mark.parametrize("stop", [None, "", [], [""], "\n", ["nowhere"]])
def test_a_stop_that_never_comes_changes_nothing(stop: Any) -> None:
    assert texts({**CHAT, "stop": stop}) == texts(CHAT)


def test_the_first_stop_wins_and_what_comes_after_it_is_claimed_by_nobody() -> None:
    author = Author(0)
    answer = say(read({**CHAT, "stop": ["o", "a", "i", "e"]}), author, 0, None)
    text = "".join(answer.words)
    assert not set(text) & set("aeio")
    assert author.marks == []
    assert answer.finish == "sequence"
    assert answer.usage.output == len(answer.words)


# -- likelihoods


def test_likelihoods_tell_each_token_and_its_alternatives(llmroute: Any) -> None:
    got = client().chat.completions.create(**CHAT, logprobs=True, top_logprobs=2).choices[0]
    told = got.logprobs.content
    assert "".join(each.token for each in told) == got.message.content
    for each in told:
        assert bytes(each.bytes).decode() == each.token
        first, second = each.top_logprobs
        assert (first.token, first.logprob) == (each.token, each.logprob)
        assert second.logprob < first.logprob <= 0
    plain = client().chat.completions.create(**CHAT, logprobs=True).choices[0]
    assert plain.logprobs.content[0].top_logprobs == []


def test_streamed_likelihoods_come_with_their_tokens(llmroute: Any) -> None:
    for chunk in client().chat.completions.create(**CHAT, logprobs=True, stream=True):
        choice = chunk.choices[0]
        told = [each.token for each in choice.logprobs.content] if choice.logprobs else []
        assert "".join(told) == (choice.delta.content or "")


# -- text completions


def test_the_sdk_reads_a_text_completion(llmroute: Any) -> None:
    got = client().completions.create(**TEXT, max_tokens=50)
    assert (got.object, got.choices[0].finish_reason) == ("text_completion", "stop")
    assert got.id.startswith("cmpl-")
    assert got.usage.prompt_tokens == count(TEXT["prompt"])
    last = llmroute.history.attempts[-1]
    assert (last.operation, last.outcome) == ("completions", "200")
    assert llmroute.history.marks_in(got.choices[0].text) == last.marks


def test_the_sdk_reads_a_streamed_text_completion(llmroute: Any) -> None:
    options: Any = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 50}
    *pieces, end, usage = client().completions.create(**TEXT, **options)
    assert all(piece.choices[0].text for piece in pieces)
    assert (end.choices[0].text, end.choices[0].finish_reason) == ("", "stop")
    assert usage.usage.completion_tokens == len(pieces)


def test_a_text_completion_is_short_unless_told() -> None:
    assert max(len(text.split()) for seed in range(20) for text in texts(TEXT, seed).values()) == 16


def test_each_prompt_gets_its_answers_in_order_and_may_be_repeated() -> None:
    asked = {**TEXT, "prompt": ["First", "Second"], "n": 2, "echo": True}
    said = texts(asked)
    assert [text.split()[0] for text in said.values()] == ["First", "First", "Second", "Second"]
    prompt = read(asked)
    answer = say(prompt, Author(0), 0, None)
    assert answer.usage.output == sum(len(text.split()) for text in said.values()) - 4


def test_nothing_but_the_prompt_may_be_asked_for() -> None:
    assert texts({**TEXT, "max_tokens": 0, "echo": True}) == {0: TEXT["prompt"]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([1, 22], ("1 22",)), ([[1], [2]], ("1", "2")), (None, ("",))],
)  # fmt: skip
def test_a_prompt_is_text_or_tokens(given: Any, expected: tuple[str, ...]) -> None:
    assert read({**TEXT, "prompt": given}).texts == expected


def test_likelihoods_of_a_text_stand_side_by_side(llmroute: Any) -> None:
    got = client().completions.create(**TEXT, logprobs=2).choices[0]
    told = got.logprobs
    assert "".join(told.tokens) == got.text
    for token, offset, chance, top in zip(
        told.tokens, told.text_offset, told.token_logprobs, told.top_logprobs, strict=True
    ):
        assert got.text[offset:].startswith(token)
        assert top[token] == chance
        assert len(top) == 2


# -- what cannot be


@pytest.mark.parametrize(
    ("asked", "wording", "param"),
    [
        ({**CHAT, "n": 0}, "Expected a value >= 1, but got 0", "n"),
        ({**CHAT, "n": 129}, "Expected a value <= 128, but got 129", "n"),
        ({**CHAT, "n": 1.5}, "expected an integer, but got a decimal", "n"),
        ({**CHAT, "stop": list("abcde")}, "maximum length 4", "stop"),
        ({**CHAT, "stop": 3}, "expected one of a string or array of strings", "stop"),
        ({**CHAT, "top_logprobs": 2}, "only allowed when 'logprobs' is enabled", "top_logprobs"),
        ({**CHAT, "logprobs": True, "top_logprobs": 21}, "Expected a value <= 20", "top_logprobs"),
        ({**CHAT, "logprobs": 3}, "expected a boolean", "logprobs"),
        ({**CHAT, "parallel_tool_calls": 3, "tools": []}, "expected a boolean", "parallel_tool_calls"),
        ({**TEXT, "logprobs": 6}, "Expected a value <= 5", "logprobs"),
        ({**TEXT, "max_tokens": -1}, "Expected a value >= 0", "max_tokens"),
        ({**TEXT, "prompt": {}}, "'$.prompt' is invalid", None),
        ({**TEXT, "prompt": [1, "a"]}, "'$.prompt' is invalid", None),
        ({**TEXT, "temperature": 3}, "Expected a value <= 2", "temperature"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_in_openai_s_words(
    asked: Any, wording: str, param: str | None
) -> None:
    error = refused(asked)
    assert wording in error["message"]
    assert error["param"] == param


def test_fields_that_the_provider_does_not_have_are_refused_by_it_alone(llmroute: Any) -> None:
    asked: Any = {**CHAT, "extra_body": {"top_k": 5, "foo": 1}}
    with pytest.raises(openai.BadRequestError) as caught:
        client().chat.completions.create(**asked)
    assert caught.value.body["message"] == "Unrecognized request arguments supplied: top_k, foo"
    llmroute.serve("https://llm.corp.example/v1", models=["gpt-4o"])
    here = openai.OpenAI(api_key="k", base_url="https://llm.corp.example/v1")
    assert here.chat.completions.create(**asked).choices
    groq = openai.OpenAI(api_key="k", base_url="https://api.groq.com/openai/v1")
    assert groq.chat.completions.create(**{**asked, "model": "llama-3.3-70b-versatile"}).choices


def test_what_openai_accepts_and_forgets_changes_no_answer() -> None:
    kept = {"store": True, "metadata": {"a": "b"}, "user": "u", "service_tier": "auto", "seed": 4}
    prompt = read({**CHAT, **kept})
    assert prompt.unknown is None
    assert not prompt.special
