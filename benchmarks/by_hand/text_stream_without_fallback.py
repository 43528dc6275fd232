"""A streamed text completion of a self-hosted model is neither tried again nor falls back.

The deployment answers 500. Whole answers and chats go to the spare; the streamed text completion is
given up after one attempt, before a word was said. By
https://docs.litellm.ai/docs/proxy/reliability#explanation a call that failed goes to the fallbacks.
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


MODELS = ("hosted_vllm/mistral-small", "openai/llama-3.1-8b-instruct")


def main() -> None:
    import litellm

    async def asked(model: str, way: str, *, streamed: bool) -> str:
        with Provider(down) as broken, Provider(well) as sound:
            main = deployment("words", model, broken)
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
    for model in MODELS:
        for way, streamed in (
            ("acompletion", True),
            ("atext_completion", False),
            ("atext_completion", True),
        ):
            how = "stream" if streamed else "whole"
            seen[model, way, how] = asyncio.run(asked(model, way, streamed=streamed))
            print(f"{model:28} {way:16} {how:6} {seen[model, way, how]}")
    concluded(
        still=all(
            seen[model, "acompletion", "stream"].startswith("answered, 2 attempts")
            and seen[model, "atext_completion", "whole"].startswith("answered, 2 attempts")
            and seen[model, "atext_completion", "stream"].endswith("1 attempts, 0 at the spare")
            for model in MODELS
        )
    )


if __name__ == "__main__":
    main()
