"""Earlier turns of a conversation: the answers that a provider keeps."""

from __future__ import annotations

from dataclasses import replace

from llmroute_sim.deployments import Deployment
from llmroute_sim.prompt import Answer, Prompt, Refusal

__all__ = ("Turns",)


class Turns:
    """The answers that providers keep, so that a conversation can go on from one: of each, how many
    tokens it and all before it have. A deployment knows what was said with the same key."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str | None], dict[str, int]] = {}

    def resumed(
        self, prompt: Prompt, found: Deployment, key: str | None
    ) -> tuple[Prompt, Refusal | None]:
        """A prompt with what it goes on from, and what a provider says that does not know that."""
        if prompt.earlier is None:
            return prompt, None
        before = self._kept.get((found.place, key), {}).get(prompt.earlier.id)
        if before is None:
            return prompt, prompt.earlier.lost
        return replace(prompt, tokens=prompt.tokens + before), None

    def keep(self, prompt: Prompt, answer: Answer, found: Deployment, key: str | None) -> None:
        """Remember an answer that is to be remembered, if the provider does that at all."""
        if prompt.kept and found.provider.keeps:
            kept = self._kept.setdefault((found.place, key), {})
            kept[answer.id] = prompt.tokens + answer.usage.output
