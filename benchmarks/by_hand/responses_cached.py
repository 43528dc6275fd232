"""An answer of the Responses API is taken from a cache that was told to keep chats only.

``supported_call_types`` names chats, and https://docs.litellm.ai/docs/proxy/caching_controls caches what it
names only. Responses of Anthropic's are made of chats inside, and those are
found in the cache: the second request of the caller reaches nobody.
"""

from __future__ import annotations

import asyncio

from provider import Provider, Request, answer, concluded, deployment


def message(request: Request):
    said = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "Well."}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 2},
    }  # fmt: skip
    return answer(200, said)


def main() -> None:
    import litellm
    from litellm.caching.caching import Cache

    kept = ["completion", "acompletion"]
    litellm.cache = Cache(type="local", ttl=600, supported_call_types=kept)
    with Provider(message) as provider:
        router = litellm.Router(
            model_list=[deployment("answers", "anthropic/claude-haiku-4-5", provider)],
            num_retries=0,
            cache_responses=True,
        )

        async def twice() -> None:
            for _ in range(2):
                await router.aresponses(model="answers", input="Hello.")
                await asyncio.sleep(1)

        asyncio.run(twice())
        print(f"aresponses, twice the same: {len(provider.requests)} requests")
        concluded(still=len(provider.requests) == 1)


if __name__ == "__main__":
    main()
