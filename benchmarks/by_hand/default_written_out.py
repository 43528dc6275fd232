"""``allowed_fails: 3`` lets a deployment fail five times, as three is also what holds without it.

https://docs.litellm.ai/docs/routing#cooldowns cools a deployment whose failures in a minute are more than
``allowed_fails``. One of two deployments answers 500 to everything and has nearly all of the weight, so
that it is asked until it is left out: 1 + ``allowed_fails`` times.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from provider import Provider, concluded, deployment, down, well

CALLS = 12


def main() -> None:
    import litellm

    ask = [{"role": "user", "content": "Hello."}]

    def failures(allowed: int, way: str) -> int:
        into = time.time() % 60
        if into > 50:
            time.sleep(61 - into)  # failures are counted by the minute of the clock
        with Provider(down) as broken, Provider(well) as sound:
            router = litellm.Router(
                model_list=[
                    deployment("group", "openai/gpt-4o", broken, weight=1_000_000),
                    deployment("group", "openai/gpt-4o", sound, weight=1),
                ],
                num_retries=0,
                allowed_fails=allowed,
                cooldown_time=60,
            )

            async def on_asyncio() -> None:
                for _ in range(CALLS):
                    with contextlib.suppress(litellm.InternalServerError):
                        await router.acompletion("group", ask)
                    await asyncio.sleep(0.2)

            if way == "acompletion":
                asyncio.run(on_asyncio())
                return len(broken.requests)
            for _ in range(CALLS):
                with contextlib.suppress(litellm.InternalServerError):
                    router.completion("group", ask)
                time.sleep(0.2)
            return len(broken.requests)

    seen = {}
    for allowed in (1, 2, 3, 4):
        for way in ("completion", "acompletion"):
            seen[allowed, way] = failures(allowed, way)
            print(f"allowed_fails {allowed}, {way:12} failed {seen[allowed, way]} times")
    expected = {1: 2, 2: 3, 3: 5, 4: 5}
    concluded(still=all(count == expected[allowed] for (allowed, _), count in seen.items()))


if __name__ == "__main__":
    main()
