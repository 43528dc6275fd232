"""On asyncio one attempt at Anthropic reaches the provider twice when the connection is reset.

``num_retries`` is 0, so the page promises one attempt and no other retry loop below the router's.
"""

from __future__ import annotations

import asyncio

from provider import RESET, Provider, Request, concluded, deployment


def reset(request: Request):
    yield RESET


def main() -> None:
    import litellm

    counts = {}
    ask = [{"role": "user", "content": "Hello."}]
    for retries in (0, 2):
        for way in ("completion", "acompletion"):
            with Provider(reset) as provider:
                router = litellm.Router(
                    model_list=[deployment("claude", "anthropic/claude-sonnet-4-6", provider)],
                    num_retries=retries,
                    disable_cooldowns=True,
                )
                try:
                    if way == "completion":
                        router.completion("claude", ask)
                    else:
                        asyncio.run(router.acompletion("claude", ask))
                except Exception as error:
                    said = type(error).__name__
                counts[retries, way] = len(provider.requests)
                print(f"num_retries {retries}, {way:12} {said}, {len(provider.requests)} requests")
    concluded(
        still=counts[0, "completion"] == 1
        and counts[0, "acompletion"] == 2
        and counts[2, "acompletion"] == 2 * counts[2, "completion"]
    )


if __name__ == "__main__":
    main()
