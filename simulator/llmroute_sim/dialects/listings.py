"""Requests for a provider's list of models, which have no body: what they want is in the target."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote

from llmroute_sim.dialects.bodies import digest
from llmroute_sim.prompt import Operation, Page, Prompt

__all__ = ("listing", "one_of")

_LIST, _ONE = "/models", "/models/"


def listing(path: str) -> Literal["models", "model"] | None:
    """Whether a path asks for all models or for one, wherever the API is mounted."""
    if path.endswith(_LIST):
        return "models"
    return "model" if path.partition(_ONE)[2] else None


def one_of(operation: Operation, path: str, page: Page | None = None) -> Prompt:
    """What is asked for: the model that a path ends with, which may have slashes in its name, or a
    page of all."""
    name = unquote(path.partition(_ONE)[2]) if operation == "model" else ""
    shown = (
        {} if page is None else {"limit": page.limit, "after": page.after, "before": page.before}
    )
    return Prompt(
        operation, name, (), 0, digest(operation, {"model": name, **shown}, ()), page=page
    )
