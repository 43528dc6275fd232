"""Which options of a request an API has no place for, so that nobody asks with them there.

Scenarios name options as chats do. A way in translates a name that its API calls otherwise; what
stands here it cannot say at all. Fields: https://platform.openai.com/docs/api-reference,
https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ("sayable",)

_CALLS = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")
_THOUGHT = ("reasoning_effort", "reasoning", "thinking", "verbosity")
_SAMPLED = ("n", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs")  # fmt: skip
_RICH = ("modalities", "audio", "prediction", "web_search_options")
_VECTOR = ("dimensions", "encoding_format")

_LACKS: Mapping[str, frozenset[str]] = {
    "chat": frozenset(_VECTOR),
    "text": frozenset((*_VECTOR, *_CALLS, *_THOUGHT, *_RICH, "response_format", "top_logprobs")),
    "responses": frozenset(
        (*_VECTOR, *_SAMPLED, *_RICH, "stream_options", "stop", "functions", "function_call", "thinking", "top_k")
    ),
    "messages": frozenset(
        (*_VECTOR, *_SAMPLED, *_RICH, "stream_options", "functions", "function_call", "verbosity")
    ),
    "embeddings": frozenset(
        (*_CALLS, *_THOUGHT, *_SAMPLED, *_RICH, "response_format", "stop", "system", "temperature",
         "top_p", "top_k", "max_tokens", "max_completion_tokens")
    ),
}  # fmt: skip


def sayable(api: str, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    """A copy of the options that a request through an API can carry, streamed or not: some routers
    write into what they are given."""
    lacks = _LACKS.get(api, frozenset()) | (frozenset() if stream else {"stream_options"})
    said = {name: deepcopy(value) for name, value in options.items() if name not in lacks}
    if api == "messages" and said.get("response_format", {}).get("type") == "json_object":
        del said["response_format"]  # JSON of any form cannot be asked for
    return said
