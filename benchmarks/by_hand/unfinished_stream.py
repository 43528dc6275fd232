"""A stream without an end is told to the caller as finished.

The provider says three words and ends the stream as proper HTTP: no ``finish_reason`` and no
``[DONE]`` (OpenAI), no ``message_delta`` and no ``message_stop`` (Anthropic). Both formats say that an
answer without them is not over.
"""

from __future__ import annotations

import asyncio

from provider import Provider, Request, aheard, begun, chunk, concluded, deployment, heard, stream


def unfinished(request: Request):
    if request.path.endswith("/messages"):
        return stream(*begun("One ", "two ", "three "))
    return stream(chunk("One "), chunk("two "), chunk("three "))


def main() -> None:
    with Provider(unfinished) as provider:
        import litellm

        router = litellm.Router(
            model_list=[
                deployment("gpt", "openai/gpt-4o", provider),
                deployment("claude", "anthropic/claude-sonnet-4-6", provider),
            ],
            num_retries=0,
        )
        ask = [{"role": "user", "content": "Count."}]
        seen = []
        for group in ("gpt", "claude"):
            seen.append(heard(router.completion(group, ask, stream=True)))
            print(f"{group:7} completion   {seen[-1]}")

        async def on_asyncio(group: str) -> str:
            return await aheard(await router.acompletion(group, ask, stream=True))

        for group in ("gpt", "claude"):
            seen.append(asyncio.run(on_asyncio(group)))
            print(f"{group:7} acompletion  {seen[-1]}")
    concluded(still=all("finish_reason 'stop'" in one for one in seen))


if __name__ == "__main__":
    main()
