"""How Anthropic's messages look: whole, and as the events that build one.

Shapes: https://platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming and
.../build-with-claude/extended-thinking.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmroute_sim.dialects.bodies import encoded, quoted
from llmroute_sim.dialects.signatures import signature
from llmroute_sim.prompt import Answer, Finish, Prompt, ToolCall
from llmroute_sim.wire import Data

__all__ = ("events", "message")

FINISH: dict[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tools": "tool_use",
    "sequence": "stop_sequence",
    "refusal": "refusal",
    "filter": "refusal",
    "pause": "pause_turn",
    "window": "model_context_window_exceeded",
}
_PING = Data(b'event: ping\ndata: {"type":"ping"}\n\n', "open")
_STOP = Data(b'event: message_stop\ndata: {"type":"message_stop"}\n\n', "terminal")


def message(prompt: Prompt, answer: Answer) -> str:
    """The JSON of a whole answer."""
    blocks = []
    if answer.thinking:
        thought = "" if prompt.thinking == "hidden" else "".join(answer.thinking)
        blocks.append(_thinking(thought, signature(answer.id, thought)))
    if answer.words:
        blocks.append(f'{{"type":"text","text":{quoted("".join(answer.words))}}}')
    for call in answer.calls:
        # The arguments are JSON already, whatever pieces they come in.
        blocks.append(_tool_use(call, "".join(call.arguments) or "{}"))
    return f"{_opening(answer, ','.join(blocks))}{_stop(answer)},{_usage(answer, answer.usage.output)}}}"


def events(prompt: Prompt, answer: Answer) -> Iterator[Data]:
    """The events of a streamed answer."""
    # One token of output has been counted when a message starts.
    begun = '"stop_reason":null,"stop_sequence":null,"stop_details":null'
    yield _event("message_start", f'"message":{_opening(answer, "")}{begun},{_usage(answer, 1)}}}')
    index = 0
    if answer.thinking:
        yield from _thoughts(prompt, answer)
        index = 1
    if answer.words:
        block = f'"index":{index},"content_block":{{"type":"text","text":""}}'
        yield _event("content_block_start", block)
        if index == 0:
            yield _PING
        delta = f'{_delta(index)}"text_delta","text":'
        for word in answer.words:
            yield Data(encoded(f"{delta}{quoted(word)}}}}}\n\n"), "token")
        yield _event("content_block_stop", f'"index":{index}')
        index += 1
    for number, call in enumerate(answer.calls, index):
        block = f'"index":{number},"content_block":{_tool_use(call, "{}")}'
        yield _event("content_block_start", block)
        if number == 0:
            yield _PING
        delta = f'{_delta(number)}"input_json_delta","partial_json":'
        for piece in call.arguments:
            yield Data(encoded(f"{delta}{quoted(piece)}}}}}\n\n"), "token")
        yield _event("content_block_stop", f'"index":{number}')
    ended = encoded(
        f'event: message_delta\ndata: {{"type":"message_delta","delta":{{{_stop(answer)}}},'
        f"{_usage(answer, answer.usage.output)}}}\n\n"
    )
    yield Data(ended, "finish")
    yield _STOP


def _thoughts(prompt: Prompt, answer: Answer) -> Iterator[Data]:
    """The block of what the model thought; where that is not shown, its signature alone."""
    yield _event("content_block_start", f'"index":0,"content_block":{_thinking("", "")}')
    yield _PING
    thought = ""
    if prompt.thinking != "hidden":
        thought = "".join(answer.thinking)
        delta = f'{_delta(0)}"thinking_delta","thinking":'
        for word in answer.thinking:
            yield Data(encoded(f"{delta}{quoted(word)}}}}}\n\n"), "token")
    signed = signature(answer.id, thought)
    yield Data(encoded(f'{_delta(0)}"signature_delta","signature":"{signed}"}}}}\n\n'), "open")
    yield _event("content_block_stop", '"index":0')


def _event(name: str, fields: str) -> Data:
    """An event that carries neither a token nor the finish: structure, all called ``open``."""
    return Data(encoded(f'event: {name}\ndata: {{"type":"{name}",{fields}}}\n\n'), "open")


def _delta(index: int) -> str:
    """How every delta of a block begins, up to its type."""
    return (
        'event: content_block_delta\ndata: {"type":"content_block_delta",'
        f'"index":{index},"delta":{{"type":'
    )


def _opening(answer: Answer, blocks: str) -> str:
    return (
        f'{{"model":{quoted(answer.model)},"id":"msg_{answer.id}","type":"message",'
        f'"role":"assistant","content":[{blocks}],'
    )


def _stop(answer: Answer) -> str:
    """Why a message ends; a refusal explains itself as far as it is explained."""
    reason = FINISH[answer.finish]
    sequence = "null" if answer.sequence is None else quoted(answer.sequence)
    details = "null"
    if reason == "refusal":
        said = quoted(answer.refusal) if answer.refusal else "null"
        details = f'{{"type":"refusal","category":null,"explanation":{said}}}'
    return f'"stop_reason":"{reason}","stop_sequence":{sequence},"stop_details":{details}'


def _thinking(thought: str, signed: str) -> str:
    return f'{{"type":"thinking","thinking":{quoted(thought)},"signature":"{signed}"}}'


def _tool_use(call: ToolCall, given: str) -> str:
    return (
        f'{{"type":"tool_use","id":"toolu_{call.id}","name":{quoted(call.name)},"input":{given}}}'
    )


def _usage(answer: Answer, output: int) -> str:
    """What an answer is charged for. Nothing is ever cached: a prefix must have more than a thousand
    tokens for that."""
    thought = ""
    if answer.usage.thought:
        thought = (
            f',"output_tokens_details":{{"thinking_tokens":{min(output, answer.usage.thought)}}}'
        )
    return (
        f'"usage":{{"input_tokens":{answer.usage.input},"cache_creation_input_tokens":0,'
        '"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,'
        f'"ephemeral_1h_input_tokens":0}},"output_tokens":{output}{thought},"service_tier":"standard"}}'
    )
