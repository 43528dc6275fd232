"""``cooldown_time`` and ``allowed_fails`` under ``litellm_settings`` change nothing.

https://docs.litellm.ai/docs/proxy/reliability#fallbacks--retries--timeouts--cooldowns sets both there. The
proxy gives what is there to the module, key by key; the router does not look for the one, and takes the
other for what holds unless told. One of two deployments answers 500 to everything and has nearly all of
the weight: with one allowed failure it would be asked twice, and then not again for a minute.
"""

from __future__ import annotations

import contextlib
import time

from provider import Provider, Request, concluded, deployment, down, well

SETTINGS = {"allowed_fails": 1, "cooldown_time": 60}
SECONDS = 12


def main() -> None:
    import litellm

    def asked(**settings: int) -> list[float]:
        """When the broken deployment was asked, in seconds since it first was."""
        into = time.time() % 60
        if into > 60 - SECONDS:
            time.sleep(61 - into)  # failures are counted by the minute of the clock
        moments: list[float] = []

        def noted(request: Request):
            moments.append(time.time())
            return down(request)

        with Provider(noted) as broken, Provider(well) as sound:
            router = litellm.Router(
                model_list=[
                    deployment("group", "openai/gpt-4o", broken, weight=1_000_000),
                    deployment("group", "openai/gpt-4o", sound, weight=1),
                ],
                num_retries=0,
                **settings,
            )
            end = time.time() + SECONDS
            while time.time() < end:
                with contextlib.suppress(litellm.InternalServerError):
                    router.completion("group", [{"role": "user", "content": "Hello."}])
                time.sleep(0.2)  # a failure is counted a moment after the caller is told
        return [moment - moments[0] for moment in moments]

    routers = asked(**SETTINGS)
    for key, value in SETTINGS.items():
        setattr(litellm, key, value)
    modules = asked()
    for name, moments in (("router_settings", routers), ("litellm_settings", modules)):
        told = ", ".join(f"{moment:.1f}" for moment in moments)
        print(f"{name:16} {len(moments):2} times, after {told} s")
    concluded(still=len(routers) == 2 and len(modules) > 2 and modules[-1] > 5)


if __name__ == "__main__":
    main()
