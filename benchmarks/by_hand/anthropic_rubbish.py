"""What is no answer ends an Anthropic stream as if the model had said its last word.

Three things in place of a stream's rest, or of all of it: an event that is not JSON, a web page with
status 200 (a proxy that apologises), and a body that is compressed without saying so. None of them is
a ``message_stop``, which ends a message
(https://docs.anthropic.com/en/docs/build-with-claude/streaming).
"""

from __future__ import annotations

import asyncio
import gzip

from provider import (
    Provider,
    Request,
    aheard,
    answer,
    begun,
    concluded,
    deployment,
    event,
    heard,
    stream,
)

END = (
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}),
    event("message_stop"),
)


def malformed(request: Request):
    torn = b'event: content_block_delta\ndata: {"type":"content_block_delta","ind\n\n'
    return stream(*begun("One ", "two "), torn, *END)


def page(request: Request):
    return answer(200, b"<html><body>We are sorry.</body></html>", content_type="text/html")


def compressed(request: Request):
    return stream(gzip.compress(b"".join((*begun("One ", "two "), *END))))


def main() -> None:
    import litellm

    ask = [{"role": "user", "content": "Count."}]
    seen = []
    for rubbish in (malformed, page, compressed):
        with Provider(rubbish) as provider:
            router = litellm.Router(
                model_list=[deployment("claude", "anthropic/claude-sonnet-4-6", provider)],
                num_retries=0,
                disable_cooldowns=True,
            )

            async def on_asyncio(router: litellm.Router = router) -> str:
                try:
                    return await aheard(await router.acompletion("claude", ask, stream=True))
                except Exception as error:
                    return type(error).__name__

            try:
                blocking = heard(router.completion("claude", ask, stream=True))
            except Exception as error:
                blocking = type(error).__name__
            both = (blocking, asyncio.run(on_asyncio()))
            for way, one in zip(("completion", "acompletion"), both, strict=True):
                seen.append(one)
                print(f"{rubbish.__name__:11} {way:12} {one}")
    concluded(still=all("finish_reason 'stop'" in one for one in seen))


if __name__ == "__main__":
    main()
