"""How OpenAI's text completions look, the older API without messages: whole, and in pieces of the
same shape.

Shapes: https://platform.openai.com/docs/api-reference/completions/object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TypeAlias

from llmroute_sim.dialects.bodies import encoded, quoted
from llmroute_sim.dialects.openai_bodies import DONE, backend, likely, usage
from llmroute_sim.prompt import Answer, Choice, Finish, Prompt
from llmroute_sim.wire import Data

__all__ = ("pieces", "text")

Said: TypeAlias = Answer | Choice

FINISH: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tools": "stop",
    "sequence": "stop",
    "refusal": "stop",
    "filter": "content_filter",
    "pause": "stop",
    "window": "length",
}


def text(prompt: Prompt, answer: Answer) -> str:
    """The JSON of a whole answer."""
    choices = ",".join(_choice(prompt, place, each) for place, each in enumerate(_all(answer)))
    return f'{_opening(answer)}[{choices}],"usage":{usage(answer.usage)}}}'


def pieces(prompt: Prompt, answer: Answer) -> Iterator[Data]:
    """The pieces of a streamed answer, one choice after the other."""
    start = f"data: {_opening(answer)}["
    end = '],"usage":null}\n\n' if prompt.wants_usage else "]}\n\n"
    for place, said in enumerate(_all(answer)):
        for word in said.words:
            likelihoods = _likelihoods(prompt, (word,), said.words)
            yield Data(encoded(f"{start}{_shape(place, word, likelihoods, 'null')}{end}"), "token")
        finish = f'"{FINISH[said.finish]}"'
        yield Data(encoded(f"{start}{_shape(place, '', 'null', finish)}{end}"), "finish")
    if prompt.wants_usage:
        yield Data(encoded(f'{start}],"usage":{usage(answer.usage)}}}\n\n'), "usage")
    yield DONE


def _all(answer: Answer) -> tuple[Said, ...]:
    return (answer, *answer.others)


def _opening(answer: Answer) -> str:
    return (
        f'{{"id":"cmpl-{answer.id}","object":"text_completion","created":{answer.created},'
        f'"model":{quoted(answer.model)},{backend(answer.model)},"choices":'
    )


def _choice(prompt: Prompt, place: int, said: Said) -> str:
    likelihoods = _likelihoods(prompt, said.words, said.words)
    return _shape(place, "".join(said.words), likelihoods, f'"{FINISH[said.finish]}"')


def _shape(place: int, words: str, likelihoods: str, finish: str) -> str:
    return (
        f'{{"text":{quoted(words)},"index":{place},"logprobs":{likelihoods},'
        f'"finish_reason":{finish}}}'
    )


def _likelihoods(prompt: Prompt, words: Sequence[str], said: Sequence[str]) -> str:
    """The log probabilities of words: in this API lists side by side."""
    if prompt.logprobs is None:
        return "null"
    offsets = list(accumulate(map(len, words), initial=0))[:-1]
    tops = []
    for word in words:
        others = [other for other in dict.fromkeys(said) if other != word]
        top = enumerate([word, *others][: prompt.logprobs])
        tops.append(",".join(f"{quoted(each)}:{likely(each, place)}" for place, each in top))
    return (
        f'{{"tokens":[{",".join(map(quoted, words))}],'
        f'"token_logprobs":[{",".join(str(likely(word)) for word in words)}],'
        f'"top_logprobs":[{",".join(f"{{{top}}}" for top in tops)}],'
        f'"text_offset":{offsets}}}'
    )
