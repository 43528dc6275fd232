"""``Router.text_completion`` asks nobody.

https://docs.litellm.ai/docs/routing#available-endpoints lists it among the methods of a router, beside
``atext_completion``, which does as it says. Provider and file are in order.
"""

from __future__ import annotations

import asyncio

from provider import Provider, Request, answer, concluded, deployment


def words(request: Request):
    said = {
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-3.5-turbo-instruct",
        "choices": [{"index": 0, "text": "Well.", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
    }  # fmt: skip
    return answer(200, said)


def main() -> None:
    import litellm

    seen = []
    for model in ("openai/gpt-3.5-turbo-instruct", "hosted_vllm/llama-3"):
        with Provider(words) as provider:
            one = deployment("words", model, provider)
            one["litellm_params"]["api_base"] = provider.url + "/v1"
            router = litellm.Router(model_list=[one], num_retries=0)
            for way in ("text_completion", "atext_completion"):
                try:
                    if way == "text_completion":
                        found = router.text_completion("words", "Hello.")
                    else:
                        found = asyncio.run(router.atext_completion("words", "Hello."))
                    said = repr(found.choices[0].text)
                except Exception as error:
                    said = type(error).__name__
                seen.append((said, len(provider.requests)))
                print(f"{model:30} {way:17} {said}, {len(provider.requests)} requests so far")
    concluded(still=seen == [("BadRequestError", 0), ("'Well.'", 1)] * 2)


if __name__ == "__main__":
    main()
