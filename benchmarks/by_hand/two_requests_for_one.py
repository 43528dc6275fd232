"""On asyncio one attempt is two requests when the connection is reset, at each of these but OpenAI.

``num_retries`` is 0, so https://docs.litellm.ai/docs/routing#retries promises one attempt, and no other
retry loop below the router's.
"""

from __future__ import annotations

import asyncio

from provider import RESET, Provider, Request, concluded, deployment


def reset(request: Request):
    yield RESET


MODELS = (
    "openai/gpt-4o",
    "anthropic/claude-sonnet-4-6",
    "groq/llama-3.1-8b-instant",
    "mistral/mistral-small-latest",
    "hosted_vllm/llama-3",
)


def main() -> None:
    import litellm

    counts = {}
    ask = [{"role": "user", "content": "Hello."}]
    for model in MODELS:
        for retries, way in ((0, "completion"), (0, "acompletion"), (2, "acompletion")):
            with Provider(reset) as provider:
                one = deployment("group", model, provider)
                if not model.startswith(("openai/", "anthropic/")):
                    one["litellm_params"]["api_base"] = provider.url + "/v1"
                router = litellm.Router(
                    model_list=[one], num_retries=retries, disable_cooldowns=True
                )
                try:
                    if way == "completion":
                        router.completion("group", ask)
                    else:
                        asyncio.run(router.acompletion("group", ask))
                except Exception as error:
                    said = type(error).__name__
                found = counts[model, retries, way] = len(provider.requests)
                print(f"{model:28} num_retries {retries}, {way:12} {said}, {found} requests")
    twice = [model for model in MODELS if counts[model, 0, "acompletion"] == 2]
    concluded(
        still=twice == list(MODELS[1:])
        and all(counts[model, 0, "completion"] == 1 for model in MODELS)
        and all(counts[model, 2, "acompletion"] == 6 for model in twice)
    )


if __name__ == "__main__":
    main()
