"""How OpenAI's chat completions look: whole, and in chunks.

Shapes: https://platform.openai.com/docs/api-reference/chat/object and .../chat-streaming.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import TypeAlias

from llmroute_sim.dialects.bodies import encoded, pieces, quoted
from llmroute_sim.dialects.openai_bodies import DONE, backend, likelihoods, usage
from llmroute_sim.prompt import Answer, Choice, Finish, Prompt, ToolCall
from llmroute_sim.wire import Data

__all__ = ("chunks", "completion")

Said: TypeAlias = Answer | Choice

_TIER = '"service_tier":"default"'
FINISH: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tools": "tool_calls",
    "sequence": "stop",
    "refusal": "stop",
    "filter": "content_filter",
    "pause": "stop",
    "window": "length",
}


def completion(prompt: Prompt, answer: Answer) -> str:
    """The JSON of a whole answer."""
    choices = _choice(prompt, 0, answer)
    for number, other in enumerate(answer.others, 1):
        choices += "," + _choice(prompt, number, other)
    return (
        f'{{"id":"chatcmpl-{answer.id}","object":"chat.completion","created":{answer.created},'
        f'"model":{quoted(answer.model)},"choices":[{choices}],'
        f'"usage":{usage(answer.usage)},{_TIER},{backend(answer.model)}}}'
    )


def chunks(prompt: Prompt, answer: Answer) -> Iterator[Data]:
    """The chunks of a streamed answer. Several choices come a token of each in turn."""
    start = (
        f'data: {{"id":"chatcmpl-{answer.id}","object":"chat.completion.chunk",'
        f'"created":{answer.created},"model":{quoted(answer.model)},{_TIER},{backend(answer.model)},'
        '"choices":['
    )
    # Who asked for the usage is told in every chunk that it is still to come.
    end = ',"usage":null}\n\n' if prompt.wants_usage else "}\n\n"
    ending = [DONE]
    if prompt.wants_usage:
        ending = [Data(encoded(f'{start}],"usage":{usage(answer.usage)}}}\n\n'), "usage"), DONE]
    if not answer.others:
        return chain(_deltas(prompt, 0, answer, start, end), ending)
    said: tuple[Said, ...] = (answer, *answer.others)
    return chain(
        _in_turn(_deltas(prompt, place, each, start, end) for place, each in enumerate(said)),
        ending,
    )


def _choice(prompt: Prompt, number: int, said: Said) -> str:
    calls = _called(prompt, said.calls) if said.calls else ""
    refusal = quoted(said.refusal) if said.refusal else "null"
    likely = "null"
    if prompt.logprobs is not None:
        likely = likelihoods(said.words, said.words, prompt.logprobs)
    finish = _finish(prompt) if said.finish == "tools" else FINISH[said.finish]
    return (
        f'{{"index":{number},"message":{{"role":"assistant",'
        f'"content":{_content("".join(said.words), said)}{calls},"refusal":{refusal},'
        f'"annotations":[]}},"logprobs":{likely},"finish_reason":"{finish}"}}'
    )


def _deltas(prompt: Prompt, number: int, said: Said, start: str, end: str) -> Iterator[Data]:
    delta = f'{start}{{"index":{number},"delta":{{'
    going = '},"logprobs":null,"finish_reason":null}]' + end
    opening = f'"role":"assistant","content":{_content("", said)},"refusal":null'
    yield Data(encoded(delta + opening + going), "open")
    content = delta + '"content":'
    if prompt.logprobs is None:
        for word in said.words:
            yield Data(encoded(f"{content}{quoted(word)}{going}"), "token")
    else:
        for word in said.words:
            likely = likelihoods((word,), said.words, prompt.logprobs)
            rest = f'}},"logprobs":{likely},"finish_reason":null}}]{end}'
            yield Data(encoded(f"{content}{quoted(word)}{rest}"), "token")
    if said.refusal:
        for piece in pieces(said.refusal):
            yield Data(encoded(f'{delta}"refusal":{quoted(piece)}{going}'), "token")
    for place, call in enumerate(said.calls):
        named, given, close = _call_in_pieces(prompt, place, call)
        yield Data(encoded(f"{delta}{named}{going}"), "open")
        for piece in call.arguments:
            yield Data(encoded(f"{delta}{given}{quoted(piece)}{close}{going}"), "token")
    finish = _finish(prompt) if said.finish == "tools" else FINISH[said.finish]
    done = f'}},"logprobs":null,"finish_reason":"{finish}"}}]'
    yield Data(encoded(delta + done + end), "finish")


def _finish(prompt: Prompt) -> str:
    """Why an answer ends that calls tools. A call on which the request insisted by name is nothing to stop for: the
    answer says ``stop`` (https://cookbook.openai.com, "How to use functions with chat models")."""
    if prompt.must_call not in (None, "*"):
        return "stop"
    return "function_call" if prompt.as_function else "tool_calls"


def _content(words: str, said: Said) -> str:
    """Text as JSON; where a tool is called or the model refuses there is none, which is not an empty
    one."""
    return "null" if (said.calls or said.refusal) and not said.words else quoted(words)


def _called(prompt: Prompt, calls: Iterable[ToolCall]) -> str:
    if prompt.as_function:
        first = next(iter(calls))
        given = quoted("".join(first.arguments))
        return f',"function_call":{{"name":{quoted(first.name)},"arguments":{given}}}'
    listed = ",".join(map(_call, calls))
    return f',"tool_calls":[{listed}]'


def _call(call: ToolCall) -> str:
    kind, argument = ("custom", "input") if call.free else ("function", "arguments")
    return (
        f'{{"id":"call_{call.id}","type":"{kind}","{kind}":{{"name":{quoted(call.name)},'
        f'"{argument}":{quoted("".join(call.arguments))}}}}}'
    )


def _call_in_pieces(prompt: Prompt, place: int, call: ToolCall) -> tuple[str, str, str]:
    """What names a call in a stream, and what stands around each piece of its arguments."""
    if prompt.as_function:
        named = f'"function_call":{{"name":{quoted(call.name)},"arguments":""}}'
        return named, '"function_call":{"arguments":', "}"
    kind, argument = ("custom", "input") if call.free else ("function", "arguments")
    called = f'"tool_calls":[{{"index":{place},'
    named = (
        f'{called}"id":"call_{call.id}","type":"{kind}",'
        f'"{kind}":{{"name":{quoted(call.name)},"{argument}":""}}}}]'
    )
    return named, f'{called}"{kind}":{{"{argument}":', "}}]"


def _in_turn(streams: Iterable[Iterator[Data]]) -> Iterator[Data]:
    for data in chain.from_iterable(zip_longest(*streams)):
        if data is not None:
            yield data
