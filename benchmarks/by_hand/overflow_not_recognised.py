"""A prompt that is too long for Groq, Mistral or OpenAI's Responses does not go to the group for long prompts.

Each says so in its own words (below, as their API gives them); https://docs.litellm.ai/docs/exception_mapping
says that LiteLLM knows every provider's, and
https://docs.litellm.ai/docs/proxy/reliability#context-window-exceeded-fallback hands such a call to
``context_window_fallbacks``.
"""

from __future__ import annotations

import asyncio

from provider import Provider, Request, answer, completion, concluded, deployment

WORDS = {
    "openai/gpt-4o": {
        "error": {
            "message": "This model's maximum context length is 128000 tokens. However, your "
            "messages resulted in 140000 tokens. Please reduce the length of the messages.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    },
    "groq/llama-3.1-8b-instant": {
        "error": {
            "message": "Please reduce the length of the messages or completion.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    },
    "mistral/mistral-small-latest": {
        "object": "error",
        "message": "Prompt contains 140000 tokens and 0 draft tokens, too large for model with "
        "131072 maximum context length",
        "type": "invalid_request_invalid_args",
        "param": None,
        "code": "3051",
    },
}

RESPONSES = {
    "error": {
        "message": "Your input exceeds the context window of this model. Please adjust your input and "
        "try again.",
        "type": "invalid_request_error",
        "param": "input",
        "code": "context_length_exceeded",
    }
}


def main() -> None:
    import litellm

    ask = [{"role": "user", "content": "Read all this."}]
    seen = {}
    for model, words in WORDS.items():

        def refuse(request: Request, words: dict = words):
            if request.body["model"] == "gpt-4.1":
                return answer(200, completion("Read.", "gpt-4.1"))
            return answer(400, RESPONSES if request.path.endswith("/responses") else words)

        with Provider(refuse) as provider:
            short = deployment("short", model, provider)
            short["litellm_params"]["api_base"] = provider.url + "/v1"
            router = litellm.Router(
                model_list=[short, deployment("long", "openai/gpt-4.1", provider)],
                context_window_fallbacks=[{"short": ["long"]}],
                num_retries=0,
            )
            said = []
            ways = ("completion", "acompletion")
            for way in (*ways, "aresponses") if model.startswith("openai/") else ways:
                try:
                    if way == "completion":
                        found = router.completion("short", ask)
                    elif way == "aresponses":
                        found = asyncio.run(
                            router.aresponses(model="short", input="Read all this.")
                        )
                    else:
                        found = asyncio.run(router.acompletion("short", ask))
                    said.append(f"answered by {found.model}")
                except Exception as error:
                    said.append(type(error).__name__)
                print(f"{model:29} {way:12} {said[-1]}")
            seen[model] = said
    concluded(
        still=seen["openai/gpt-4o"] == ["answered by gpt-4.1"] * 2 + ["BadRequestError"]
        and all(one == ["BadRequestError"] * 2 for one in list(seen.values())[1:])
    )


if __name__ == "__main__":
    main()
