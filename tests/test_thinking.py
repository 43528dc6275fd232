from __future__ import annotations

import json
from typing import Any

import pytest

import formats
from llmroute_sim.dialects import find
from llmroute_sim.dialects.signatures import signature, signed
from llmroute_sim.prompt import Answer, Prompt, Usage
from llmroute_sim.wire import Data

anthropic = pytest.importorskip("anthropic")

USER = [{"role": "user", "content": "Think, then answer"}]
ASK: dict[str, Any] = {"model": "claude-opus-4-5", "max_tokens": 4000, "messages": USER}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]


def client() -> Any:
    return anthropic.Anthropic(api_key="sk-test", max_retries=0)


def read(asked: dict[str, Any]) -> Prompt:
    return formats.read("anthropic", "messages", {**ASK, **asked})


def refused(asked: dict[str, Any]) -> str:
    return str(formats.refused("anthropic", "messages", {**ASK, **asked})["message"])


# -- the SDK


def test_the_sdk_reads_what_was_thought_before_the_answer(llmroute: Any) -> None:
    got = client().messages.create(**ASK, thinking=ENABLED)
    thought, text = got.content
    assert (thought.type, text.type) == ("thinking", "text")
    assert signed(thought.thinking, thought.signature)
    spent = len(thought.thinking.split())
    assert got.usage.output_tokens == spent + len(text.text.split())
    assert got.usage.output_tokens_details.thinking_tokens == spent
    last = llmroute.history.attempts[-1]
    assert last.tokens_out == got.usage.output_tokens


def test_the_sdk_builds_the_same_message_from_a_stream(llmroute: Any) -> None:
    with client().messages.stream(**ASK, thinking=ENABLED) as stream:
        events = list(stream)
        built = stream.get_final_message()
    thought, text = built.content
    assert "".join(e.thinking for e in events if e.type == "thinking") == thought.thinking
    assert [e.signature for e in events if e.type == "signature"] == [thought.signature]
    assert signed(thought.thinking, thought.signature)
    assert text.text
    assert built.usage.output_tokens == len((thought.thinking + " " + text.text).split())


def test_thoughts_are_not_the_answer_s_words(llmroute: Any) -> None:
    got = client().messages.create(**ASK, thinking=ENABLED)
    marks = llmroute.history.attempts[-1].marks
    assert marks
    assert not set(got.content[0].thinking.split()) & set(marks)
    assert set(got.content[1].text.split()) >= set(marks)


def test_thoughts_that_are_not_shown_leave_their_signature(llmroute: Any) -> None:
    hidden = {"type": "adaptive", "display": "omitted"}
    whole = client().messages.create(**ASK, thinking=hidden)
    with client().messages.stream(**ASK, thinking=hidden) as stream:
        built = stream.get_final_message()
    for message in (whole, built):
        thought, text = message.content
        assert (thought.type, thought.thinking) == ("thinking", "")
        assert signed("", thought.signature)
        assert message.usage.output_tokens > len(text.text.split())


def test_a_model_that_may_choose_does_not_think_with_little_room(llmroute: Any) -> None:
    small = {**ASK, "max_tokens": 20}
    assert len(client().messages.create(**small, thinking={"type": "adaptive"}).content) == 1
    assert len(client().messages.create(**ASK, thinking={"type": "adaptive"}).content) == 2
    assert len(client().messages.create(**ASK, thinking={"type": "disabled"}).content) == 1


def test_a_turn_with_tools_goes_on_with_the_thoughts_that_it_began_with(llmroute: Any) -> None:
    asked = {**ASK, "thinking": ENABLED, "tools": TOOLS}
    first = client().messages.create(**asked)
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "sunny"}
    given = {"role": "user", "content": [result]}
    blocks = [block.to_dict() for block in first.content]
    kept = [*USER, {"role": "assistant", "content": blocks}, given]
    assert client().messages.create(**{**asked, "messages": kept}).stop_reason == "end_turn"
    for spoilt, wording in (
        (blocks[1:], "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
        (
            [{**blocks[0], "thinking": "Other"}, blocks[1]],
            "Invalid `signature` in `thinking` block",
        ),
        ([{**blocks[0], "signature": ""}, blocks[1]], "Invalid `signature` in `thinking` block"),
    ):
        lost = [*USER, {"role": "assistant", "content": spoilt}, given]
        with pytest.raises(anthropic.BadRequestError, match=wording):
            client().messages.create(**{**asked, "messages": lost})


# -- what is asked


@pytest.mark.parametrize(
    ("thinking", "understood"),
    [
        (ENABLED, "shown"),
        ({**ENABLED, "display": "summarized"}, "shown"),
        ({**ENABLED, "display": "omitted"}, "hidden"),
        ({"type": "adaptive"}, "shown"),
        ({"type": "disabled"}, None),
        ({"type": "between_tools"}, None),
    ],
)
def test_the_form_of_thinking_is_understood(thinking: Any, understood: str | None) -> None:
    assert read({"thinking": thinking}).thinking == understood


def test_between_tools_a_model_thinks_after_a_result() -> None:
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {}}]}  # fmt: skip
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}
    messages = [*USER, called, result]
    assert read({"messages": messages, "thinking": {"type": "between_tools"}}).thinking == "shown"


@pytest.mark.parametrize(
    ("asked", "wording"),
    [
        ({"thinking": True}, "thinking: Input should be a valid dictionary"),
        ({"thinking": {}}, "thinking: Unable to extract tag"),
        ({"thinking": {"type": "deep"}}, "thinking: Input tag 'deep' found using 'type'"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, "`max_tokens` must be greater than `thinking.budget_tokens`."),
        ({"thinking": {**ENABLED, "display": "all"}}, "thinking.enabled.display: Input should be"),
        ({"thinking": ENABLED, "temperature": 0.5}, "`temperature` may only be set to 1 when thinking is enabled."),
        ({"thinking": ENABLED, "top_k": 5}, "`top_k` must be unset when thinking is enabled."),
        ({"thinking": ENABLED, "tools": TOOLS, "tool_choice": {"type": "any"}}, "Thinking may not be enabled when tool_choice forces tool use."),
        ({"thinking": ENABLED, "messages": [*USER, {"role": "assistant", "content": "So"}]}, "messages.1.content.0.type: Expected `thinking`"),
        ({"messages": [*USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}]}, "messages.1.content.0.thinking.signature: Field required"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_thinking_is_refused_in_anthropic_s_words(
    asked: Any, wording: str
) -> None:
    assert refused(asked).startswith(wording)


# -- in the other format, and by itself


def test_openai_s_format_tells_thoughts_as_reasoning_tokens_only() -> None:
    thoughtful = Answer(
        "7f", 1, "m", ("Yes",), "stop", Usage(9, 4, 3), thinking=("So", " it", " is")
    )
    prompt = Prompt("chat", "m", (), 1, "")
    _, data = find("openai").answer(prompt, thoughtful, ())
    assert isinstance(data, Data)
    told = json.loads(data.body)
    assert told["choices"][0]["message"]["content"] == "Yes"
    assert told["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3


def test_a_signature_is_one_for_its_thought_alone() -> None:
    assert signed("a thought", signature("7f", "a thought"))
    assert not signed("another", signature("7f", "a thought"))
    assert signature("7f", "a thought") != signature("8a", "a thought")
    for nonsense in ("", "?", "abcd", signature("7f", "a thought")[:-4]):
        assert not signed("a thought", nonsense)
