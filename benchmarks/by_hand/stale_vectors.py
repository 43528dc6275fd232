"""On asyncio vectors from the cache are older than the request allows.

The request says ``s-maxage``: entries of at most so many seconds
(https://docs.litellm.ai/docs/proxy/caching_controls#dynamic-cache-controls). Blocking, an older entry is
not taken; on asyncio it is.
"""

from __future__ import annotations

import asyncio
import time

from provider import Provider, Request, answer, concluded, deployment

OLDEST = 5


def vectors(request: Request):
    said = {
        "object": "list", "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }  # fmt: skip
    return answer(200, said)


def main() -> None:
    import litellm
    from litellm.caching.caching import Cache

    litellm.cache = Cache(type="local", ttl=600)
    control = {"s-maxage": OLDEST}
    counts = {}
    with Provider(vectors) as provider:
        router = litellm.Router(
            model_list=[deployment("vectors", "openai/text-embedding-3-small", provider)],
            num_retries=0,
            cache_responses=True,
        )

        router.embedding("vectors", input=["Blocking."], cache=control)
        time.sleep(OLDEST + 2)
        router.embedding("vectors", input=["Blocking."], cache=control)
        counts["embedding"] = len(provider.requests)

        async def twice() -> None:
            await router.aembedding("vectors", input=["On asyncio."], cache=control)
            await asyncio.sleep(OLDEST + 2)
            await router.aembedding("vectors", input=["On asyncio."], cache=control)

        asyncio.run(twice())
        counts["aembedding"] = len(provider.requests) - counts["embedding"]
    for way, count in counts.items():
        print(f"{way:10} asked {count} times for vectors that may be {OLDEST} s old")
    concluded(still=counts == {"embedding": 2, "aembedding": 1})


if __name__ == "__main__":
    main()
