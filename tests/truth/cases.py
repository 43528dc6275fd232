"""The faults of the product as cells of the matrix, on an answer whose tokens can be counted.

Each goes through the real dialect and the real fault; only the words are given, so that every client
can be asked how many of them it got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from llmroute_sim import faults
from llmroute_sim.dialects import Dialect, find
from llmroute_sim.faults import Fault, Scene
from llmroute_sim.prompt import Answer, Operation, Prompt, Refusal, Usage
from llmroute_sim.prose import Author
from llmroute_sim.wire import Abort, Address, Data, Event, Exchange, Head, Request

from .scripts import TOKEN, TOKENS

MODELS = {"openai": "gpt-4o", "openai-responses": "gpt-4o", "anthropic": "claude-sonnet-4"}
OPERATIONS: dict[str, Operation] = {
    "openai": "chat",
    "openai-responses": "responses",
    "anthropic": "messages",
}
HOSTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "groq": "api.groq.com",
    "mistral": "api.mistral.ai",
    "deepseek": "api.deepseek.com",
    "together": "api.together.ai",
}
WALL = 1_800_000_000.0

CASES: dict[str, Fault] = {
    "refused": faults.Refused(),
    "unreachable": faults.Unreachable(),
    "name not found": faults.NameNotFound(),
    "tls, expired": faults.TLSFailure("expired"),
    "tls, wrong name": faults.TLSFailure("wrong-name"),
    "tls, unknown issuer": faults.TLSFailure("unknown-issuer"),
    "tls, alert": faults.TLSFailure("alert"),
    "tls, stall": faults.TLSFailure("stall"),
    "outage, 500": faults.Outage(500),
    "outage, 502": faults.Outage(502),
    "outage, 503": faults.Outage(503),
    "outage, 504": faults.Outage(504),
    "outage, 529": faults.Outage(529),
    "error page, 502": faults.ErrorPage(502),
    "error page, 530": faults.ErrorPage(530),
    "error page, 524 as text": faults.ErrorPage(524, "text"),
    "request timeout": faults.RequestTimeout(),
    "conflict": faults.Conflict(),
    "rate limit": faults.RateLimit(),
    "rate limit, 2 s": faults.RateLimit(2),
    "rate limit, 2500 ms": faults.RateLimit(2.5, "milliseconds"),
    "rate limit, a date": faults.RateLimit(90, "date"),
    "rate limit, no number": faults.RateLimit("soon"),
    "quota spent": faults.QuotaSpent(),
    "too large": faults.TooLarge(),
    "headers too large": faults.HeadersTooLarge(),
    "context length exceeded": faults.ContextLengthExceeded(),
    "invalid request": faults.InvalidRequest(),
    "unprocessable": faults.Unprocessable(),
    "moderated": faults.Moderated(),
    "unauthorized": faults.Unauthorized(),
    "account suspended": faults.AccountSuspended(),
    "forbidden, region": faults.Forbidden(),
    "forbidden, model": faults.Forbidden("model"),
    "model gone": faults.ModelGone(),
    "empty answer": faults.EmptyAnswer(),
    "empty answer, length": faults.EmptyAnswer("length"),
    "refused by model": faults.RefusedByModel(),
    "cut short": faults.CutShort(2),
    "other model": faults.OtherModel(),
    "cumulative chunks": faults.CumulativeChunks(),
    "silence": faults.Silence(),
    "latency spike": faults.LatencySpike(20),
    "slow first token": faults.SlowFirstToken(20),
    "filler": faults.Filler(60, 10),
    "drip": faults.Drip(7),
    "stall": faults.Stall(2),
    "cut": faults.Cut(2),
    "reset": faults.Reset(2),
    "reset, before the head": faults.Reset(-1),
    "missing terminal": faults.MissingTerminal(2),
    "error in stream": faults.ErrorInStream(2),
    "error in body": faults.ErrorInBody(),
    "malformed event": faults.MalformedEvent(2),
    "malformed chunk": faults.MalformedChunk(2),
    "wrong length, more": faults.WrongLength(40),
    "wrong length, less": faults.WrongLength(-20),
    "duplicated chunk": faults.DuplicatedChunk(2),
    "reordered chunks": faults.ReorderedChunks(2),
    "missing usage": faults.MissingUsage(),
    "missing finish": faults.MissingFinish(),
    "surprising finish": faults.SurprisingFinish(),
    "surprising finish, unknown": faults.SurprisingFinish("eos"),
    "wrong content type, html": faults.WrongContentType(),
    "wrong content type, label": faults.WrongContentType("label"),
    "wrong content type, swapped": faults.WrongContentType("swapped"),
    "damaged compression, announced": faults.DamagedCompression(),
    "damaged compression, unannounced": faults.DamagedCompression("unannounced"),
    "damaged compression, cut": faults.DamagedCompression("cut"),
    "damaged compression, unasked": faults.DamagedCompression("unasked"),
    "damaged compression, zstd": faults.DamagedCompression("zstd"),
    "split oddly": faults.SplitOddly(),
}
"""Every fault that needs no tools, by a name that tells its variants apart."""

OVER_TLS = tuple(name for name in CASES if name.startswith("tls"))
"""Performed by TCP alone: in memory no TLS is spoken."""

IN_MEMORY = ("unreachable",)
"""Performed in memory alone: the machine's own network loses no packets on request."""


SPEAK_OPENAI = ("groq", "mistral", "deepseek", "together")
"""Providers that speak OpenAI's format and say no in words of their own."""


@dataclass(frozen=True, slots=True)
class Played:
    """A fault on the answer that a client of a dialect gets, streamed or not."""

    fault: Fault | None
    dialect: str
    stream: bool
    errors: str | None = None

    def events(self) -> Iterator[Event]:
        """What is performed when the request has come."""
        speaks, model = find(self.dialect, self.errors), MODELS[self.dialect]
        prompt = Prompt(OPERATIONS[self.dialect], model, ("hi",), 5, "d", self.stream)
        words = (TOKEN, *(f" {TOKEN}{number}" for number in range(2, TOKENS + 1)))
        answer = Answer("1", int(WALL), model, words, "stop", Usage(5, TOKENS))
        headers = speaks.headers("ab" * 16, None)
        match self.fault:
            case faults.AdmitFault():
                refusal = self.fault.admit(prompt, None)
                assert refusal is not None
                provider = self.errors or self.dialect.removesuffix("-responses")
                known = {"model": model, "host": HOSTS[provider]}
                refusal = replace(refusal, facts={**refusal.facts, **known}, at=WALL)
                return speaks.refuse(refusal, "ab" * 16, headers)
            case faults.AnswerFault():
                answer = self.fault.speak(answer, prompt, Author("truth"))
            case faults.StreamFault():
                turned = replace(prompt, stream=not self.stream)
                otherwise = partial(speaks.answer, turned, answer, headers)
                _, first = islice(speaks.answer(prompt, answer, headers), 2)
                return self.fault.bend(
                    speaks.answer(prompt, answer, headers), _scene(speaks, first, otherwise)
                )
        return speaks.answer(prompt, answer, headers)


def _scene(speaks: Dialect, first: Event, otherwise: Callable[[], Iterator[Event]]) -> Scene:
    def refuse(refusal: Refusal, instead: Event) -> Data:
        return speaks.refuse_midway(refusal, "ab" * 16, first, instead)

    def error(refusal: Refusal, instead: Data) -> bytes:
        return speaks.error(refusal, "ab" * 16, instead)

    return Scene(speaks, refuse, error, otherwise, lambda flaw=None: None)


def own_words(name: str, provider: str) -> bool:
    """Whether a provider that speaks OpenAI's format shows a fault in another way than OpenAI."""
    fault = CASES[name]
    if not isinstance(fault, faults.AdmitFault):
        return False

    def said(errors: str) -> tuple[object, ...]:
        head, data = Played(fault, "openai", False, errors).events()
        assert isinstance(head, Head)
        assert isinstance(data, Data)
        return head.status, head.headers, data.body.replace(HOSTS[errors].encode(), b"")

    return said(provider) != said("openai")


OTHERS = tuple(f"{one}: {name}" for name in CASES for one in SPEAK_OPENAI if own_words(name, one))
"""Faults as those show them, written ``provider: fault``."""


class Case:
    """A door behind which one fault meets everybody, at every step."""

    def __init__(self, dialect: str, case: str, stream: bool) -> None:
        provider, _, name = case.rpartition(": ")
        self._played = Played(CASES[name], dialect, stream, provider or None)
        self.strays: list[Address] = []

    def knows(self, host: str) -> bool:
        return True

    def stray(self, address: Address, call: str | None) -> None:
        self.strays.append(address)

    def refuses(self, address: Address) -> bool:
        return isinstance(self._played.fault, faults.Refused)

    def resolve(self, address: Address, call: str | None) -> Exchange:
        return self._dial("name")

    def connect(self, address: Address, call: str | None) -> Exchange:
        return self._dial("connection")

    def handshake(self, address: Address, call: str | None) -> Exchange:
        return self._dial("handshake")

    def _dial(self, step: str) -> Exchange:
        fault = self._played.fault
        if isinstance(fault, faults.ConnectFault) and fault.step == step:
            yield from fault.connect()

    def open(self, request: Request) -> Exchange:
        for event in self._played.events():
            yield event
            if isinstance(event, Abort):
                return

    def keeps(self, address: Address) -> bool:
        return not isinstance(self._played.fault, faults.ConnectFault)
