"""How Anthropic lists its models, page by page.

Shapes: https://platform.claude.com/docs/en/api/models-list.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from llmroute_sim.dialects.anthropic_fields import invalid
from llmroute_sim.dialects.bodies import quoted
from llmroute_sim.prompt import Page
from llmroute_sim.providers import Model

__all__ = ("one", "page", "paged")

_USUAL, _MOST = 20, 1000


def page(target: str) -> Page:
    """Which page a request wants. Raises :class:`~llmroute_sim.dialects.Unreadable`."""
    asked = {name: values[-1] for name, values in parse_qs(target.partition("?")[2]).items()}
    limit = asked.get("limit", str(_USUAL))
    if not limit.isdecimal():
        raise invalid(
            "limit: Input should be a valid integer, unable to parse string as an integer"
        )
    if not 1 <= int(limit) <= _MOST:
        bound = "greater than or equal to 1" if int(limit) < 1 else f"less than or equal to {_MOST}"
        raise invalid(f"limit: Input should be {bound}")
    return Page(int(limit), asked.get("after_id"), asked.get("before_id"))


def paged(models: Sequence[Model], page: Page | None) -> str:
    """A page of models, and whether there are more beyond it."""
    page = page or Page(_USUAL)
    names = [model.name for model in models]
    start, end = 0, len(models)
    if page.after in names:
        start = names.index(page.after) + 1
    if page.before in names:
        end = names.index(page.before)
        shown = models[max(start, end - page.limit) : end]
        more = end - page.limit > start
    else:
        shown = models[start : start + page.limit]
        more = start + page.limit < end
    first, last = ("null", "null") if not shown else (quoted(shown[0].name), quoted(shown[-1].name))
    return (
        f'{{"data":[{",".join(map(one, shown))}],"has_more":{"true" if more else "false"},'
        f'"first_id":{first},"last_id":{last}}}'
    )


def one(model: Model) -> str:
    """A model as it is listed. When it was made is not known, for which the epoch stands."""
    window = "null" if model.window is None else str(model.window)
    return (
        f'{{"type":"model","id":{quoted(model.name)},"display_name":{quoted(model.name)},'
        f'"created_at":"1970-01-01T00:00:00Z","lifecycle":"active","max_input_tokens":{window},'
        '"max_tokens":null}'
    )
