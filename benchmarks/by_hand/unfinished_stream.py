"""A stream without an end is told to the caller as finished.

The provider says three words and ends the stream as proper HTTP: no ``finish_reason`` and no
``[DONE]`` (OpenAI, https://platform.openai.com/docs/api-reference/chat-streaming), no ``message_delta`` and
no ``message_stop`` (Anthropic, https://docs.anthropic.com/en/docs/build-with-claude/streaming). Both
formats say that an answer without them is not over. Mistral ends with an error event in its own form.
"""

from __future__ import annotations

import asyncio
import json

from provider import Provider, Request, aheard, begun, chunk, concluded, deployment, heard, stream

OVERLOADED = {
    "object": "error", "message": "Service tier capacity exceeded for this model.",
    "type": "service_tier_capacity_exceeded", "param": None, "code": "3505",
}  # fmt: skip
ERROR = b"data: " + json.dumps(OVERLOADED).encode() + b"\n\n"


def unfinished(request: Request):
    if request.path.endswith("/messages"):
        return stream(*begun("One ", "two ", "three "))
    last = (ERROR,) if request.body["model"].startswith("mistral") else ()
    return stream(chunk("One "), chunk("two "), chunk("three "), *last)


def main() -> None:
    with Provider(unfinished) as provider:
        import litellm

        mistral = deployment("mistral", "mistral/mistral-small-latest", provider)
        mistral["litellm_params"]["api_base"] = provider.url + "/v1"
        router = litellm.Router(
            model_list=[
                mistral,
                deployment("gpt", "openai/gpt-4o", provider),
                deployment("claude", "anthropic/claude-sonnet-4-6", provider),
            ],
            num_retries=0,
        )
        ask = [{"role": "user", "content": "Count."}]
        seen = []
        for group in ("gpt", "claude", "mistral"):
            seen.append(heard(router.completion(group, ask, stream=True)))
            print(f"{group:7} completion   {seen[-1]}")

        async def on_asyncio(group: str) -> str:
            return await aheard(await router.acompletion(group, ask, stream=True))

        for group in ("gpt", "claude", "mistral"):
            seen.append(asyncio.run(on_asyncio(group)))
            print(f"{group:7} acompletion  {seen[-1]}")
    concluded(still=all("finish_reason 'stop'" in one for one in seen))


if __name__ == "__main__":
    main()
