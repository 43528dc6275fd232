"""A whole answer that comes in drops is waited for far longer than ``timeout``.

The provider sends its head at once, and then a space every fifth of a second before the JSON, as providers
do that keep a connection open. ``timeout`` is four seconds, the drops go on for twelve.
https://docs.litellm.ai/docs/proxy/timeout#custom-timeouts--stream-timeouts-per-model means the entire
length of the call by it.
"""

from __future__ import annotations

import asyncio
import json
import time

from provider import Provider, Request, completion, concluded, deployment

DROPS = 60
EVERY = 0.2
TIMEOUT = 4


def dripping(request: Request):
    if request.path.endswith("/messages"):
        said = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
            "content": [{"type": "text", "text": "Well."}], "stop_reason": "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 2},
        }  # fmt: skip
    else:
        said = completion("Well.")
    body = json.dumps(said).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body) + DROPS}"
    )
    yield f"{head}\r\nconnection: close\r\n\r\n".encode()
    for _ in range(DROPS):
        yield b" "
        yield EVERY
    yield body


def main() -> None:
    import litellm

    ask = [{"role": "user", "content": "Hello."}]
    took, said_of = {}, {}
    for model in ("openai/gpt-4o", "anthropic/claude-sonnet-4-6"):
        for way in ("completion", "acompletion"):
            with Provider(dripping) as provider:
                router = litellm.Router(
                    model_list=[deployment("group", model, provider, timeout=TIMEOUT)],
                    num_retries=0,
                    disable_cooldowns=True,
                )
                try:
                    if way == "completion":
                        router.completion("group", ask)
                    else:
                        asyncio.run(router.acompletion("group", ask))
                    said_of[model, way] = "answered"
                except Exception as error:
                    said_of[model, way] = type(error).__name__
                # From the request on: what is loaded before the first one is no wait.
                took[model, way] = time.monotonic() - provider.requests[0].at
                print(f"{model:28} {way:12} {said_of[model, way]} after {took[model, way]:.1f} s")
    waited = [one for one, seconds in took.items() if said_of[one] == "answered" and seconds > 11]
    concluded(still=len(waited) == 4)


if __name__ == "__main__":
    main()
