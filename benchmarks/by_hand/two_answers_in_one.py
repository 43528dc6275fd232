"""A Responses stream that breaks off goes on as another one, whose last event knows half of the words.

Three words come, then the connection ends without the last chunk. A chat stream ends with an exception. A
Responses stream that is made of a chat inside goes on with the spare: it begins a second time, and what
https://platform.openai.com/docs/api-reference/responses-streaming calls the completed response has only
what the spare said.
"""

from __future__ import annotations

import asyncio

from provider import DONE, Provider, Request, aheard, begun, chunk, concluded, deployment, stream

WORDS = ("One ", "two ", "three ")


def cut(request: Request):
    if request.path.endswith("/messages"):
        return stream(*begun(*WORDS), end=False)
    return stream(*map(chunk, WORDS), end=False)


def well(request: Request):
    return stream(chunk("Well."), chunk(None, "stop"), DONE)


def main() -> None:
    import litellm

    async def asked(model: str) -> tuple[str, int, str, str]:
        with Provider(cut) as broken, Provider(well) as sound:
            first = deployment("words", model, broken)
            if not model.startswith("anthropic/"):
                first["litellm_params"]["api_base"] = broken.url + "/v1"
            spare = deployment("spare", "mistral/mistral-small-latest", sound)
            spare["litellm_params"]["api_base"] = sound.url + "/v1"
            router = litellm.Router(
                model_list=[first, spare], num_retries=0, fallbacks=[{"words": ["spare"]}]
            )
            ask = [{"role": "user", "content": "Count."}]
            chat = await aheard(await router.acompletion("words", ask, stream=True))

            begins, said, last = 0, "", ""
            events = await router.aresponses(model="words", input="Count.", stream=True)
            async for event in events:
                if event.type == "response.created":
                    begins += 1
                elif event.type == "response.output_text.delta":
                    said += event.delta
                elif event.type == "response.completed":
                    [item] = event.response.output
                    [part] = item.content
                    last = part.text
            return chat, begins, said, last

    seen = []
    for model in ("mistral/mistral-small-latest", "anthropic/claude-sonnet-4-6"):
        chat, begins, said, last = asyncio.run(asked(model))
        seen.append((begins, said, last))
        print(f"{model:28} chat       {chat}")
        print(f"{'':28} responses  begins {begins} times, {said!r}, completed as {last!r}")
    concluded(still=seen == [(2, "One two three Well.", "Well.")] * 2)


if __name__ == "__main__":
    main()
