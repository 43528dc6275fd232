"""The input of a request to OpenAI's Responses API: messages, calls of tools and what came of them,
earlier thoughts.

Items: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input;
wordings as reported in public issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroute_sim.dialects import Unreadable
from llmroute_sim.dialects.bodies import canonical
from llmroute_sim.dialects.openai_fields import absent, invalid, listed, mistyped, unsupported
from llmroute_sim.dialects.signatures import signed
from llmroute_sim.prompt import Refusal

__all__ = ("Input",)

_ROLES = ("assistant", "system", "developer", "user")
_PARTS = (
    "input_text", "input_image", "output_text", "refusal", "input_file", "input_audio",
    "computer_screenshot", "summary_text", "reasoning_text",
)  # fmt: skip
_OF_THE_MODEL = ("output_text", "refusal")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS = ("function_call_output", "custom_tool_call_output")
_HOSTED = (
    "file_search_call", "computer_call", "computer_call_output", "web_search_call",
    "tool_search_call", "tool_search_output", "additional_tools", "configuration_update",
    "compaction", "image_generation_call", "code_interpreter_call", "local_shell_call",
    "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call",
    "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response",
    "mcp_call", "compaction_trigger", "program", "program_output",
)  # fmt: skip
"""Items of tools that OpenAI runs itself: read as the JSON that they are."""


class Input:
    """Reads items in their order: their ``texts``, how many ``messages`` they count for, how many
    ``parts`` are not text, and whether the last word is the user's. Items that answer calls of an
    earlier response are right without the call if it ``goes_on`` from one."""

    def __init__(self, given: Any, goes_on: bool) -> None:
        self.texts: list[str] = []
        self.messages = self.parts = 0
        self.asks = False
        self._goes_on = goes_on
        self._called: list[str] = []
        if type(given) is str:
            self.texts.append(given)
            self.messages, self.asks = 1, True
            return
        if type(given) is not list:
            raise mistyped("input", "one of a string or array of input items", given)
        for number, item in enumerate(given):
            self._item(item, f"input[{number}]")
        if self._called:
            raise invalid(f"No tool output found for function call {self._called[0]}.", "input")

    def _item(self, item: Any, where: str) -> None:
        if type(item) is not dict:
            raise mistyped(where, "an input item", item)
        kind = item.get("type", "message")
        if type(kind) is not str:
            kind = ""
        self.messages += 1
        if kind == "message":
            self._message(item, where)
            return
        self.asks = False
        if kind in _CALLS:
            self._call(item, where)
        elif kind in _RESULTS:
            self._result(item, kind, where)
        elif kind == "reasoning":
            self._thoughts(item, where)
        elif kind == "item_reference":
            raise _lost(_required(item, "id", where))
        elif kind in _HOSTED:
            self.texts.append(canonical(item))
        else:
            known = ("message", *_CALLS, *_RESULTS, "reasoning", "item_reference", *_HOSTED)
            raise unsupported(kind, listed(list(known)), where)

    def _message(self, item: Mapping[str, Any], where: str) -> None:
        role = item.get("role")
        if type(role) is not str or role not in _ROLES:
            shown = role if type(role) is str else ""
            raise unsupported(shown, listed(list(_ROLES)), where)
        if item.get("content") is None:
            raise absent(f"{where}.content")
        self.asks = role == "user"
        self._content(item["content"], f"{where}.content", role == "assistant")

    def _content(self, content: Any, where: str, of_the_model: bool = False) -> None:
        """Read a string or parts."""
        if type(content) is str:
            self.texts.append(content)
            return
        if type(content) is not list:
            raise mistyped(where, "one of a string or array of objects", content)
        for number, part in enumerate(content):
            if type(part) is not dict:
                raise mistyped(f"{where}[{number}]", "an object", part)
            kind = part.get("type")
            if kind is None:
                raise absent(f"{where}[{number}].type")
            if type(kind) is not str or kind not in _PARTS:
                shown = kind if type(kind) is str else ""
                raise unsupported(shown, listed(list(_PARTS)), f"{where}[{number}].type")
            if of_the_model and kind not in _OF_THE_MODEL:
                raise unsupported(kind, listed(list(_OF_THE_MODEL)), f"{where}[{number}]")
            text = part.get("refusal" if kind == "refusal" else "text")
            if type(text) is str:
                self.texts.append(text)
            elif kind.endswith("text") or kind == "refusal":
                raise absent(f"{where}[{number}].{'refusal' if kind == 'refusal' else 'text'}")
            else:
                self.parts += 1

    def _call(self, item: Mapping[str, Any], where: str) -> None:
        self._called.append(_required(item, "call_id", where))
        self.texts.append(_required(item, "name", where))
        self.texts.append(_required(item, _CALLS[item["type"]], where))

    def _result(self, item: Mapping[str, Any], kind: str, where: str) -> None:
        """What a tool gave. The call that asked for it stands before it, or in what this goes on
        from."""
        answered = _required(item, "call_id", where)
        if answered in self._called:
            self._called.remove(answered)
        elif not self._goes_on:
            what = kind.replace("_", " ")
            raise invalid(f"No tool call found for {what} with call_id {answered}.", "input")
        if item.get("output") is None:
            raise absent(f"{where}.output")
        self._content(item["output"], f"{where}.output")

    def _thoughts(self, item: Mapping[str, Any], where: str) -> None:
        """What the model thought in an earlier turn: the summary is for people, and what is sealed was
        sealed here."""
        summary = item.get("summary")
        if type(summary) is not list:
            raise absent(f"{where}.summary")
        self._content(summary, f"{where}.summary")
        sealed = item.get("encrypted_content")
        if sealed is None:
            return
        if type(sealed) is not str:
            raise mistyped(f"{where}.encrypted_content", "a string", sealed)
        if not signed("", sealed):
            raise invalid(
                f"The encrypted content {sealed[:4]}...{sealed[-4:]} could not be verified.",
                None,
                "invalid_encrypted_content",
            )


def _required(item: Mapping[str, Any], name: str, where: str) -> str:
    value = item.get(name)
    if value is None:
        raise absent(f"{where}.{name}")
    if type(value) is not str:
        raise mistyped(f"{where}.{name}", "a string", value)
    return str(value)


def _lost(identity: str) -> Unreadable:
    """Items are not kept by themselves."""
    facts = {"message": f"Item with id '{identity}' not found.", "param": "input"}
    return Unreadable(Refusal("invalid_request", status=404, facts=facts))
