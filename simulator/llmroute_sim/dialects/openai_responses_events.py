"""How OpenAI's responses look: whole, and as the numbered events that build one.

Shapes: https://platform.openai.com/docs/api-reference/responses/object and
.../responses-streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from llmroute_sim.dialects.bodies import encoded, pieces, quoted
from llmroute_sim.dialects.openai_bodies import tops
from llmroute_sim.dialects.openai_responses_fields import UNASKED
from llmroute_sim.dialects.signatures import signature
from llmroute_sim.prompt import Answer, Finish, Prompt, ToolCall, Usage
from llmroute_sim.wire import Data, Part

__all__ = ("FINISH", "events", "response")

Numbered = Callable[[str, str], Data]
"""Writes the next event of a type, with these fields of its own."""

FINISH: dict[Finish, tuple[str, str | None]] = {
    "stop": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "tools": ("completed", None),
    "sequence": ("completed", None),
    "refusal": ("completed", None),
    "filter": ("incomplete", "content_filter"),
    "pause": ("completed", None),
    "window": ("incomplete", "max_output_tokens"),
}
"""The status of an answer, and why it is incomplete."""


def response(prompt: Prompt, answer: Answer) -> str:
    """The JSON of a whole answer."""
    status, why = FINISH[answer.finish]
    items = [_message(prompt, answer, status)] if _speaks(answer) else []
    items += (_call(call, "".join(call.arguments), "completed") for call in answer.calls)
    if answer.thinking:
        items.insert(0, _reasoning(prompt, answer, [_thought(prompt, answer)]))
    return _object(prompt, answer, status, why, ",".join(items))


def events(prompt: Prompt, answer: Answer) -> Iterator[Data]:
    """The events of a streamed answer."""
    numbers = count()

    def event(kind: str, fields: str, part: Part = "open") -> Data:
        start = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{next(numbers)},'
        return Data(encoded(f"{start}{fields}}}\n\n"), part)

    def token(kind: str, fields: str) -> Data:
        return event(kind, fields, "token")

    begun = f'"response":{_object(prompt, answer, "in_progress", None, "")}'
    yield event("response.created", begun)
    yield event("response.in_progress", begun)
    place = 0
    if answer.thinking:
        yield from _thinking(prompt, answer, event, token)
        place = 1
    if _speaks(answer):
        yield from _speaking(prompt, answer, place, event, token)
        place += 1
    for number, call in enumerate(answer.calls, place):
        yield from _calling(call, number, event, token)
    status = FINISH[answer.finish][0]
    yield event(f"response.{status}", f'"response":{response(prompt, answer)}', "terminal")


# -- the whole


def _object(prompt: Prompt, answer: Answer, status: str, why: str | None, items: str) -> str:
    """A response that has come so far. What was used is told when it is over."""
    ended = status != "in_progress"
    completed = answer.created if status == "completed" else "null"
    details = "null" if why is None else f'{{"reason":"{why}"}}'
    used = _usage(answer.usage) if ended else "null"
    return (
        f'{{"id":"resp_{answer.id}","object":"response","created_at":{answer.created},'
        f'"status":"{status}","background":false,"completed_at":{completed},"error":null,'
        f'"incomplete_details":{details},"model":{quoted(answer.model)},"output":[{items}],'
        f'"service_tier":"{"default" if ended else "auto"}","usage":{used},'
        f"{prompt.repeated or UNASKED}}}"
    )


def _usage(spent: Usage) -> str:
    return (
        f'{{"input_tokens":{spent.input},'
        '"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},'
        f'"output_tokens":{spent.output},'
        f'"output_tokens_details":{{"reasoning_tokens":{spent.thought}}},'
        f'"total_tokens":{spent.input + spent.output}}}'
    )


# -- what the model says


def _speaks(answer: Answer) -> bool:
    """Whether there is a message among the items: also an empty one, where there is nothing else."""
    return bool(answer.words or answer.refusal or not answer.calls)


def _message(prompt: Prompt, answer: Answer, status: str) -> str:
    parts = []
    if answer.words or not answer.refusal:
        parts.append(_text(prompt, answer, "".join(answer.words)))
    if answer.refusal:
        parts.append(_refusal(answer.refusal))
    return _item_of(answer, status, ",".join(parts))


def _item_of(answer: Answer, status: str, parts: str) -> str:
    return (
        f'{{"id":"msg_{answer.id}","type":"message","status":"{status}","content":[{parts}],'
        '"role":"assistant"}'
    )


def _text(prompt: Prompt, answer: Answer, said: str) -> str:
    likely = _likely(prompt, answer, answer.words if said else ())
    return f'{{"type":"output_text","annotations":[],{likely},"text":{quoted(said)}}}'


def _likely(prompt: Prompt, answer: Answer, words: tuple[str, ...]) -> str:
    listed = "[]" if prompt.logprobs is None else tops(words, answer.words, prompt.logprobs)
    return f'"logprobs":{listed}'


def _refusal(said: str) -> str:
    return f'{{"type":"refusal","refusal":{quoted(said)}}}'


def _speaking(
    prompt: Prompt, answer: Answer, place: int, event: Numbered, token: Numbered
) -> Iterator[Data]:
    """A message: each of its parts is opened, said, told again, and closed."""
    item = f'"output_index":{place},"item":'
    yield event("response.output_item.added", item + _item_of(answer, "in_progress", ""))
    at = f'"item_id":"msg_{answer.id}","output_index":{place},"content_index":'
    part = 0
    if answer.words or not answer.refusal:
        said = "".join(answer.words)
        here = f"{at}{part}"
        empty = f'{here},"part":{_text(prompt, answer, "")}'
        yield event("response.content_part.added", empty)
        for word in answer.words:
            likely = _likely(prompt, answer, (word,))
            yield token("response.output_text.delta", f'{here},"delta":{quoted(word)},{likely}')
        likely = _likely(prompt, answer, answer.words)
        yield event("response.output_text.done", f'{here},"text":{quoted(said)},{likely}')
        whole = f'{here},"part":{_text(prompt, answer, said)}'
        yield event("response.content_part.done", whole)
        part = 1
    if answer.refusal:
        here = f"{at}{part}"
        yield event("response.content_part.added", f'{here},"part":{_refusal("")}')
        for piece in pieces(answer.refusal):
            yield token("response.refusal.delta", f'{here},"delta":{quoted(piece)}')
        yield event("response.refusal.done", f'{here},"refusal":{quoted(answer.refusal)}')
        yield event("response.content_part.done", f'{here},"part":{_refusal(answer.refusal)}')
    status = FINISH[answer.finish][0]
    yield event("response.output_item.done", item + _message(prompt, answer, status))


# -- what it calls


def _call(call: ToolCall, given: str, status: str) -> str:
    named = f'"status":"{status}","call_id":"call_{call.id}","name":{quoted(call.name)}'
    if call.free:
        return f'{{"id":"ctc_{call.id}","type":"custom_tool_call",{named},"input":{quoted(given)}}}'
    return f'{{"id":"fc_{call.id}","type":"function_call",{named},"arguments":{quoted(given)}}}'


def _calling(call: ToolCall, place: int, event: Numbered, token: Numbered) -> Iterator[Data]:
    prefix, kind, argument = (
        ("ctc", "custom_tool_call_input", "input")
        if call.free
        else ("fc", "function_call_arguments", "arguments")
    )
    item = f'"output_index":{place},"item":'
    here = f'"item_id":"{prefix}_{call.id}","output_index":{place}'
    given = "".join(call.arguments)
    yield event("response.output_item.added", item + _call(call, "", "in_progress"))
    for piece in call.arguments:
        yield token(f"response.{kind}.delta", f'{here},"delta":{quoted(piece)}')
    yield event(f"response.{kind}.done", f'{here},"{argument}":{quoted(given)}')
    yield event("response.output_item.done", item + _call(call, given, "completed"))


# -- what it thinks


def _thought(prompt: Prompt, answer: Answer) -> str:
    return "" if prompt.thinking == "hidden" else "".join(answer.thinking)


def _reasoning(prompt: Prompt, answer: Answer, thoughts: list[str]) -> str:
    """The item of what was thought: in a summary where that is shown, sealed where it is wanted."""
    summary = ",".join(_summary(thought) for thought in thoughts if thought)
    sealed = ""
    if prompt.sealed:
        sealed = f',"encrypted_content":"{signature(answer.id, "")}"'
    return f'{{"id":"rs_{answer.id}","type":"reasoning","summary":[{summary}]{sealed}}}'


def _summary(thought: str) -> str:
    return f'{{"type":"summary_text","text":{quoted(thought)}}}'


def _thinking(prompt: Prompt, answer: Answer, event: Numbered, token: Numbered) -> Iterator[Data]:
    item = '"output_index":0,"item":'
    yield event("response.output_item.added", item + _reasoning(prompt, answer, []))
    thought = _thought(prompt, answer)
    if thought:
        here = f'"item_id":"rs_{answer.id}","output_index":0,"summary_index":0'
        kind = "response.reasoning_summary"
        yield event(f"{kind}_part.added", f'{here},"part":{_summary("")}')
        for word in answer.thinking:
            yield token(f"{kind}_text.delta", f'{here},"delta":{quoted(word)}')
        yield event(f"{kind}_text.done", f'{here},"text":{quoted(thought)}')
        yield event(f"{kind}_part.done", f'{here},"part":{_summary(thought)}')
    yield event("response.output_item.done", item + _reasoning(prompt, answer, [thought]))
