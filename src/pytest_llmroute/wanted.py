"""What a request says beside its words: what is wanted besides them, and what it tells the router.

Reads the arguments of the SDKs' methods, of LiteLLM's, and of functions that take the same names.
Fields: https://platform.openai.com/docs/api-reference, https://platform.claude.com/docs/en/api/messages,
https://docs.litellm.ai/docs/completion/input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmroute_sim.history import fingerprint

__all__ = ("features", "routing")

_SWITCHES = ("disable_fallbacks", "num_retries", "max_retries", "timeout", "request_timeout",
             "stream_timeout", "ttft_timeout", "stream_idle_timeout", "priority", "caching")  # fmt: skip
"""Options of a request that are a number or a truth."""

_ELSEWHERE = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
"""Options that name other models to ask."""

_METADATA = ("metadata", "litellm_metadata")
"""Tables in which tags and sessions may stand."""


def features(request: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wanted besides words, as :attr:`~llmroute_sim.history.Attempt.features` names it, in
    alphabetical order."""
    given = {**_table(request.get("extra_body")), **request}
    forms = [
        given.get("response_format"),
        _table(given.get("text")).get("format"),
        given.get("text_format"),
        given.get("output_format"),
        _table(given.get("output_config")).get("format"),
    ]
    wanted = {
        "json": any(_table(form).get("type") == "json_object" for form in forms),
        # A class stands for the schema of its fields.
        "schema": any(_table(f).get("type") == "json_schema" or isinstance(f, type) for f in forms),
        "thinking": _thinks(given),
        "tools": _calls(given),
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def routing(request: Mapping[str, Any]) -> dict[str, Any]:
    """The options that tell a router what to do, as JSON could hold them; nothing that is sent on to
    a model, and no text but names: of models, groups and tags."""
    given = {**_table(request.get("extra_body")), **request}
    found: dict[str, Any] = {}
    for name in _SWITCHES:
        if (value := _plain(given.get(name))) is not None:
            found[name] = value
    for name in _ELSEWHERE:
        if (names := _names(given.get(name))) is not None:
            found[name] = names
    if cache := {str(key): _plain(value) for key, value in _table(given.get("cache")).items()}:
        found["cache"] = cache
    for place in (*(_table(given.get(name)) for name in _METADATA), given):
        if isinstance(tags := place.get("tags"), list | tuple):
            found["tags"] = [str(tag) for tag in tags]
        if isinstance(session := place.get("session_id"), str):
            # Tells two sessions apart, and says nothing of whose they are.
            found["session"] = fingerprint(session)
    return found


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _thinks(given: Mapping[str, Any]) -> bool:
    kind = _table(given.get("thinking")).get("type", "disabled")
    reasoning = _table(given.get("reasoning"))
    efforts = (given.get("reasoning_effort"), reasoning.get("effort"))
    return kind != "disabled" or any(effort not in (None, "none") for effort in efforts)


def _calls(given: Mapping[str, Any]) -> bool:
    """Whether there are tools, and one may be called."""
    choice = given.get("tool_choice", given.get("function_call"))
    forbidden = choice == "none" or _table(choice).get("type") == "none"
    return bool(given.get("tools") or given.get("functions")) and not forbidden


def _plain(value: object) -> bool | int | float | str | None:
    """A switch, a number, or a name; how long a client waits that has several patiences."""
    if isinstance(value, bool | int | float | str):
        return value
    patience = getattr(value, "read", None)
    return patience if isinstance(patience, int | float) else None


def _names(value: object) -> Any:
    """The models that a list of fallbacks names, in its form, without what they would be sent."""
    match value:
        case str():
            return value
        case {"model": str(name)}:
            return name
        case Mapping():
            return {str(key): _names(inner) for key, inner in value.items()}
        case Iterable() if not isinstance(value, bytes):
            return [_names(inner) for inner in value]
        case _:
            return None
