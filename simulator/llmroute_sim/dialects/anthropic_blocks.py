"""The messages of a request to Anthropic: what the model reads in their blocks, and how blocks must
follow each other.

Fields: https://platform.claude.com/docs/en/api/messages; rules:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use and
.../build-with-claude/extended-thinking; wordings as reported in public issues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmroute_sim.dialects.anthropic_fields import NO_OBJECT, invalid, required
from llmroute_sim.dialects.bodies import canonical
from llmroute_sim.dialects.signatures import signed

__all__ = ("Reading", "check_thoughts")


class Reading:
    """Reads messages in their order: their ``texts``, how many ``parts`` are not text, and whether
    the last message brings the result of a tool."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parts = 0
        self.answers_tool = False
        self._called: list[str] = []
        self._caller = 0

    def message(self, message: Any, number: int, messages: int) -> None:
        """Read the message of a number among so many."""
        where = f"messages.{number}"
        if type(message) is not dict:
            raise invalid(f"{where}: {NO_OBJECT}")
        role = required(message, "role", str, "string", f"{where}.")
        if role == "system":
            raise invalid(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` '
                'parameter, not "system" as an input message role.'
            )
        if role not in ("user", "assistant"):
            raise invalid(f"{where}.role: Input should be 'user' or 'assistant'")
        if "content" not in message:
            raise invalid(f"{where}.content: Field required")
        content = message["content"]
        last = role == "assistant" and number == messages - 1
        if not content and content is not None and not last:
            raise invalid(
                f"{where}: all messages must have non-empty content except for the optional final "
                "assistant message"
            )
        if role == "assistant":
            self.settle()
            self._caller = number
        self.answers_tool = False
        self.content(content, f"{where}.content")

    def settle(self) -> None:
        """Raises :class:`Unreadable` if a tool was called and nothing came of it."""
        if self._called:
            raise invalid(
                f"messages.{self._caller}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {', '.join(self._called)}. Each `tool_use` block must have a "
                "corresponding `tool_result` block in the next message."
            )

    def content(self, content: Any, where: str) -> None:
        """Read a string or blocks."""
        if type(content) is str:
            self.texts.append(content)
            return
        if type(content) is not list:
            raise invalid(f"{where}: Input should be a valid string or list")
        for number, block in enumerate(content):
            place = f"{where}.{number}"
            if type(block) is not dict:
                raise invalid(f"{place}: {NO_OBJECT}")
            self._block(block, place)

    def _block(self, block: Mapping[str, Any], place: str) -> None:
        match block.get("type"):
            case "text":
                text = required(block, "text", str, "string", f"{place}.text.")
                if not text:
                    raise invalid("messages: text content blocks must be non-empty")
                self.texts.append(text)
            case "tool_use":
                self._called.append(required(block, "id", str, "string", f"{place}.tool_use."))
                self.texts.append(required(block, "name", str, "string", f"{place}.tool_use."))
                self.texts.append(canonical(block.get("input", {})))
            case "tool_result":
                self._result(block, place)
            case "thinking":
                self._thought(block, place)
            case "document" if (text := _text_of(block.get("source"))) is not None:
                self.texts.append(text)
            case "image" | "document":
                self.parts += 1
            case str():
                pass
            case _:
                raise invalid(f"{place}.type: Field required")

    def _result(self, block: Mapping[str, Any], place: str) -> None:
        """What a tool gave, which may be nothing."""
        answered = required(block, "tool_use_id", str, "string", f"{place}.tool_result.")
        if answered not in self._called:
            raise invalid(
                f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {answered}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous "
                "message."
            )
        self._called.remove(answered)
        self.answers_tool = True
        content = block.get("content")
        if type(content) is str:
            self.texts.append(content)
        elif type(content) is list:
            for inner in content:
                if type(inner) is dict and type(text := inner.get("text")) is str:
                    self.texts.append(text)
                elif type(inner) is dict and inner.get("type") in ("image", "document"):
                    self.parts += 1
        elif content is not None:
            raise invalid(f"{place}.tool_result.content: Input should be a valid string or list")

    def _thought(self, block: Mapping[str, Any], place: str) -> None:
        """What the model thought in an earlier turn, exactly as it did."""
        thought = required(block, "thinking", str, "string", f"{place}.thinking.")
        proof = required(block, "signature", str, "string", f"{place}.thinking.")
        if not signed(thought, proof):
            raise invalid(f"{place}: Invalid `signature` in `thinking` block")
        self.texts.append(thought)


def check_thoughts(messages: Sequence[Mapping[str, Any]], answers_tool: bool) -> None:
    """Raises :class:`Unreadable` unless the turn that goes on begins with the thoughts that it was
    begun with, as one that thinks must."""
    number = len(messages) - 1 - answers_tool
    if number < 0 or messages[number].get("role") != "assistant":
        return
    content = messages[number]["content"]
    first = content[0] if type(content) is list and content else {"type": "text"}
    kind = first.get("type")
    if kind not in ("thinking", "redacted_thinking"):
        raise invalid(
            f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but "
            f"found `{kind}`. When `thinking` is enabled, a final `assistant` message must start "
            "with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` "
            "blocks). We recommend you include thinking blocks from previous turns. To avoid this "
            "requirement, disable `thinking`. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
        )


def _text_of(source: Any) -> str | None:
    if type(source) is dict and source.get("type") == "text" and type(source.get("data")) is str:
        return str(source["data"])
    return None
