"""Faults of the answer stage: a model that answers, and not well."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from llmroute_sim.faults.stages import AnswerFault
from llmroute_sim.prompt import Answer, Choice, Prompt
from llmroute_sim.prose import Author

__all__ = (
    "CumulativeChunks",
    "CutShort",
    "EmptyAnswer",
    "OtherModel",
    "RefusedByModel",
    "SchemaViolated",
    "TruncatedArguments",
)


@dataclass(frozen=True, slots=True)
class EmptyAnswer(AnswerFault):
    """An answer without a word and without a tool call: the model was done at once (``stop``), or had
    used its tokens up before (``length``), which are charged then. Seen:
    https://github.com/google-gemini/deprecated-generative-ai-python/issues/744."""

    finish: Literal["stop", "length"] = "stop"

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        if not _talks(answer):
            return answer
        empty = _each(answer, lambda choice: Choice((), self.finish))
        spent = answer.usage.output if self.finish == "length" else 0
        return replace(empty, usage=replace(answer.usage, output=spent, thought=0), thinking=())


@dataclass(frozen=True, slots=True)
class RefusedByModel(AnswerFault):
    """The model will not answer, and says so with status 200, in the place that the format has for
    it: OpenAI's ``refusal`` (https://platform.openai.com/docs/guides/structured-outputs), Anthropic's
    stop reason (https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons)."""

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        if not _talks(answer):
            return answer
        return _each(
            answer,
            lambda choice: Choice((), "refusal", refusal=f"No: {''.join(author.write(6))}."),
        )


@dataclass(frozen=True, slots=True)
class SchemaViolated(AnswerFault):
    """Where JSON was asked for, or a tool is called: JSON that its schema does not allow, or
    (``not-json``) plain words. Where neither is the case nothing happens. Models without constrained
    decoding do this; no provider promises otherwise of JSON mode."""

    how: Literal["wrong", "not-json"] = "wrong"

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        # Anthropic's whole messages carry arguments as an object, which is JSON in any case.
        as_object = prompt.operation == "messages" and not prompt.stream
        text = self.how == "not-json"

        def spoil(choice: Choice) -> Choice:
            calls = tuple(
                call
                if call.free
                else replace(
                    call, arguments=_spoilt(call.arguments, author, text and not as_object)
                )
                for call in choice.calls
            )
            words = choice.words
            if words and not calls and (prompt.json or prompt.schema is not None):
                words = _spoilt(words, author, text or prompt.schema is None)
            return replace(choice, calls=calls, words=words)

        return _each(answer, spoil)


@dataclass(frozen=True, slots=True)
class CutShort(AnswerFault):
    """The model stops after ``after`` words and says that it had used its tokens up, though it had
    not. By analogy: no public report was found."""

    after: int = 3

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        def cut(choice: Choice) -> Choice:
            if choice.calls or len(choice.words) <= self.after:
                return choice
            return replace(choice, words=choice.words[: self.after], finish="length")

        short = _each(answer, cut)
        unsaid = sum(
            len(before.words) - len(after.words)
            for before, after in zip(_choices(answer), _choices(short), strict=True)
        )
        left = max(0, answer.usage.output - unsaid)
        return replace(short, usage=replace(answer.usage, output=left))


@dataclass(frozen=True, slots=True)
class OtherModel(AnswerFault):
    """The answer names another model than was asked for: ``model``, or a smaller sibling's made-up
    name. Aliases that moved and redirected previews show this."""

    model: str | None = None

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        return replace(answer, model=self.model or f"{prompt.model}-lite")


@dataclass(frozen=True, slots=True)
class TruncatedArguments(AnswerFault):
    """The arguments of a tool call end in the middle of their JSON, while the finish reason says that
    the tool is to be called (https://github.com/vllm-project/vllm/issues/53269). Whole messages of
    Anthropic's carry arguments as an object, which has no middle: nothing happens to them."""

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        if prompt.operation == "messages" and not prompt.stream:
            return answer

        def cut(choice: Choice) -> Choice:
            calls = tuple(
                replace(call, arguments=_pieces("".join(call.arguments)[:-1], keep=1))
                for call in choice.calls
            )
            return replace(choice, calls=calls)

        return _each(answer, cut)


@dataclass(frozen=True, slots=True)
class CumulativeChunks(AnswerFault):
    """Every piece of a stream repeats all that was said before it
    (https://github.com/tashfeenahmed/freellmapi/issues/1007)."""

    def speak(self, answer: Answer, prompt: Prompt, author: Author) -> Answer:
        if not prompt.stream:
            return answer
        return _each(answer, lambda choice: replace(choice, words=tuple(accumulate(choice.words))))


def _talks(answer: Answer) -> bool:
    """Whether it has anything to say in words or calls: not vectors, not a list."""
    return bool(answer.words or answer.calls or answer.refusal)


def _choices(answer: Answer) -> tuple[Choice, ...]:
    first = Choice(answer.words, answer.finish, answer.calls, answer.refusal, answer.sequence)
    return (first, *answer.others)


def _each(answer: Answer, change: Callable[[Choice], Choice]) -> Answer:
    """The answer with each of its choices changed."""
    first, *others = map(change, _choices(answer))
    return replace(
        answer,
        words=first.words,
        finish=first.finish,
        calls=first.calls,
        refusal=first.refusal,
        sequence=first.sequence,
        others=tuple(others),
    )


def _spoilt(pieces: tuple[str, ...], author: Author, as_text: bool) -> tuple[str, ...]:
    """In place of JSON that was asked for: no JSON, or an object whose values are of other types and
    one too many. Either has a word to know it by."""
    coined = author.coin()
    if as_text:
        return _pieces(f"Well, {coined} I think")
    try:
        asked = json.loads("".join(pieces))
    except ValueError:
        asked = None
    found = asked if isinstance(asked, dict) else {}
    wrong = {name: 0 if isinstance(value, str) else coined for name, value in found.items()}
    return _pieces(json.dumps({**wrong, "unasked": coined}))


def _pieces(text: str, keep: int = 2) -> tuple[str, ...]:
    """A text in the two pieces in which a stream sends it, or the first so many of them."""
    half = len(text) // 2
    return (text[:half], text[half:])[:keep]
