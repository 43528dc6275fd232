"""Parts that several of OpenAI's answers have in common: usage, the backend, likelihoods.

Shapes: https://platform.openai.com/docs/api-reference/chat/object.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from llmroute_sim.dialects.bodies import quoted
from llmroute_sim.prompt import Usage
from llmroute_sim.wire import Data

__all__ = ("DONE", "backend", "likelihoods", "likely", "tops", "usage")

DONE = Data(b"data: [DONE]\n\n", "terminal")
"""The end of every stream."""


def usage(spent: Usage) -> str:
    """What an answer is charged for."""
    return (
        f'{{"prompt_tokens":{spent.input},"completion_tokens":{spent.output},'
        f'"total_tokens":{spent.input + spent.output},'
        '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
        f'"completion_tokens_details":{{"reasoning_tokens":{spent.thought},"audio_tokens":0,'
        '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
    )


@lru_cache(maxsize=64)
def backend(model: str) -> str:
    """What tells which backend answered: the same one for a model, for ever."""
    fingerprint = blake2b(model.encode("utf-8", "backslashreplace"), digest_size=5).hexdigest()
    return f'"system_fingerprint":"fp_{fingerprint}"'


def likelihoods(words: Sequence[str], said: Sequence[str], alternatives: int) -> str:
    """The log probabilities of the words of a message."""
    return f'{{"content":{tops(words, said, alternatives)},"refusal":null}}'


def tops(words: Sequence[str], said: Sequence[str], alternatives: int) -> str:
    """A list of words with their log probabilities, each beside so many alternatives: itself first,
    then what else is ``said`` in the answer."""
    listed = []
    for word in words:
        others = [other for other in dict.fromkeys(said) if other != word]
        top = [word, *others][:alternatives]
        told = ",".join(f"{{{_likelihood(each, place)}}}" for place, each in enumerate(top))
        listed.append(f'{{{_likelihood(word, 0)},"top_logprobs":[{told}]}}')
    return f"[{','.join(listed)}]"


def likely(word: str, place: int = 0) -> float:
    """A log probability: high for the word that was chosen, falling with its place among the
    alternatives."""
    chance = blake2b(word.encode("utf-8", "backslashreplace"), digest_size=2).digest()
    return -round(int.from_bytes(chance) / 2**17 + 2 * place, 6)


def _likelihood(word: str, place: int) -> str:
    raw = list(word.encode("utf-8", "backslashreplace"))
    shown = ",".join(map(str, raw))
    return f'"token":{quoted(word)},"logprob":{likely(word, place)},"bytes":[{shown}]'
