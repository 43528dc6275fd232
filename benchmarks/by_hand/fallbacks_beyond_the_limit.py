"""``max_fallbacks: 1`` asks everybody whom the list of fallbacks names.

https://docs.litellm.ai/docs/proxy/config_settings#router_settings---reference calls it the maximum number of
fallbacks to try before the call is given up. Everybody answers 500, and the list names four.
"""

from __future__ import annotations

import asyncio

from provider import Provider, Request, answer, concluded, deployment

SPARES = ("first", "second", "third", "fourth")


def down(request: Request):
    return answer(500, {"error": {"message": "Internal error", "type": "server_error"}})


def main() -> None:
    import litellm

    ask = [{"role": "user", "content": "Hello."}]
    seen = []
    for most in (0, 1, 2):
        for way in ("completion", "acompletion"):
            with Provider(down) as provider:
                router = litellm.Router(
                    model_list=[
                        deployment(name, f"openai/{name}", provider) for name in ("main", *SPARES)
                    ],
                    num_retries=0,
                    fallbacks=[{"main": list(SPARES)}],
                    max_fallbacks=most,
                )
                try:
                    if way == "completion":
                        router.completion("main", ask)
                    else:
                        asyncio.run(router.acompletion("main", ask))
                except litellm.InternalServerError:
                    asked = [request.body["model"] for request in provider.requests[1:]]
                print(f"max_fallbacks {most}, {way:12} {len(asked)} fallbacks: {', '.join(asked)}")
                seen.append((most, len(asked)))
    concluded(still=seen == [(0, 0)] * 2 + [(1, 4)] * 2 + [(2, 4)] * 2)


if __name__ == "__main__":
    main()
