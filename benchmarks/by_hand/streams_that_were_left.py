"""To ``least-busy`` a stream that its caller left is a call for ever.

https://docs.litellm.ai/docs/proxy/load_balancing#routing-strategies sends a call where the fewest are in
flight. One call is held open. Then streams are opened one after the other, each left and closed after its
first word: the other deployment is idle whenever the next comes.
"""

from __future__ import annotations

import asyncio
import threading

from provider import (
    DONE,
    Provider,
    Request,
    answer,
    chunk,
    completion,
    concluded,
    deployment,
    stream,
)

STREAMS = 6


def main() -> None:
    import litellm

    ask = [{"role": "user", "content": "Hello."}]

    begun = threading.Event()

    def served(request: Request):
        if not request.body.get("stream"):
            begun.set()
            yield 60
            yield from answer(200, completion("Well."))
        yield from stream(chunk("One "), end=False)
        if request.body["messages"][0]["content"] == "Long.":
            yield 60
        for last in (chunk(None, "stop"), DONE):
            yield f"{len(last):x}\r\n".encode() + last + b"\r\n"
        yield b"0\r\n\r\n"

    async def at_the_busy(*, leave: bool) -> int:
        """How many streams began at the deployment that has a call in flight."""
        with Provider(served) as first, Provider(served) as second:
            router = litellm.Router(
                model_list=[deployment("group", "openai/gpt-4o", one) for one in (first, second)],
                num_retries=0,
                routing_strategy="least-busy",
            )
            held = asyncio.create_task(router.acompletion("group", ask))
            await asyncio.to_thread(begun.wait)
            begun.clear()
            busy = first if first.requests else second
            said = [{"role": "user", "content": "Long." if leave else "Short."}]
            for _ in range(STREAMS):
                found = await router.acompletion("group", said, stream=True)
                async for _ in found:
                    if leave:
                        break
                await found.aclose()
                await asyncio.sleep(0.5)
            held.cancel()
            return len(busy.requests) - 1

    counts = [asyncio.run(at_the_busy(leave=leave)) for leave in (False, True)]
    for how, count in zip(("heard to their end", "left"), counts, strict=True):
        print(f"streams that were {how:18} {count} of {STREAMS} began where a call was in flight")
    concluded(still=counts[0] == 0 and counts[1] > 0)


if __name__ == "__main__":
    main()
