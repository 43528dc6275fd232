"""A call is refused for lack of room while another deployment of its group is idle.

https://docs.litellm.ai/docs/routing#max-parallel-requests-async refuses what is over a deployment's cap with
a 429 that retries treat as any other, so that another deployment serves the call. Two deployments take one
call each. One is held open; then calls come one after the other, with two retries. The one that is full does
not leave rotation, so that each retry may pick it again: about one call in eight finds it three times.
"""

from __future__ import annotations

import asyncio
import threading

from provider import Provider, Request, answer, completion, concluded, deployment

CALLS = 60


def main() -> None:
    import litellm

    begun = threading.Event()

    def slow(request: Request):
        if request.body["messages"][0]["content"] == "Long.":
            begun.set()
            yield 60
        yield from answer(200, completion("Well."))

    async def refused() -> int:
        with Provider(slow) as first, Provider(slow) as second:
            router = litellm.Router(
                model_list=[
                    deployment("group", "openai/gpt-4o", one, max_parallel_requests=1)
                    for one in (first, second)
                ],
                num_retries=2,
            )
            held = asyncio.create_task(
                router.acompletion("group", [{"role": "user", "content": "Long."}])
            )
            await asyncio.to_thread(begun.wait)
            count = 0
            for _ in range(CALLS):
                try:
                    await router.acompletion("group", [{"role": "user", "content": "Short."}])
                except litellm.RateLimitError:
                    count += 1
            held.cancel()
            return count

    count = asyncio.run(refused())
    print(f"{count} of {CALLS} calls refused, one deployment idle all the time")
    concluded(still=count > 0)


if __name__ == "__main__":
    main()
