"""A streamed text completion of a self-hosted model is neither tried again nor falls back.

The deployment answers 500. Whole answers and chats go to the spare; the streamed text completion is
given up after one attempt, before a word was said.
"""

from __future__ import annotations

import asyncio
import json

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


def down(request: Request):
    return answer(500, {"error": {"message": "Internal error", "type": "server_error"}})


def well(request: Request):
    if not request.body.get("stream"):
        return answer(200, completion("Well."))
    if request.path.endswith("/chat/completions"):
        return stream(chunk("Well."), chunk(None, "stop"), DONE)
    said = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "spare"}
    last = {**said, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    first = {**said, "choices": [{"index": 0, "text": "Well.", "finish_reason": None}]}
    lines = (b"data: " + json.dumps(one).encode() + b"\n\n" for one in (first, last))
    return stream(*lines, DONE)


def main() -> None:
    import litellm

    async def asked(way: str, *, streamed: bool) -> str:
        with Provider(down) as broken, Provider(well) as sound:
            main = deployment("words", "hosted_vllm/mistral-small", broken)
            main["litellm_params"]["api_base"] = broken.url + "/v1"
            router = litellm.Router(
                model_list=[main, deployment("spare", "openai/gpt-4o", sound)],
                num_retries=1,
                fallbacks=[{"words": ["spare"]}],
                disable_cooldowns=True,
            )
            try:
                if way == "acompletion":
                    ask = [{"role": "user", "content": "Hello."}]
                    found = await router.acompletion("words", ask, stream=streamed)
                else:
                    found = await router.atext_completion("words", "Hello.", stream=streamed)
                if streamed:
                    async for _ in found:
                        pass
                said = "answered"
            except Exception as error:
                said = type(error).__name__
            return f"{said}, {len(broken.requests)} attempts, {len(sound.requests)} at the spare"

    seen = {}
    for way in ("acompletion", "atext_completion"):
        for streamed in (False, True):
            seen[way, streamed] = asyncio.run(asked(way, streamed=streamed))
            print(f"{way:16} {'stream' if streamed else 'whole ':6} {seen[way, streamed]}")
    concluded(
        still=seen["acompletion", True].startswith("answered, 2 attempts")
        and seen["atext_completion", True].endswith("1 attempts, 0 at the spare")
    )


if __name__ == "__main__":
    main()
