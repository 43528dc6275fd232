"""Kinds of routers: how a configuration is read, what it promises, and how the real router that it
configures is made and asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, get_args

from llmroute_sim.simulator import Deployment
from pytest_llmroute.promises import NotJudged, Promise

__all__ = (
    "APIS",
    "PACKAGES",
    "Api",
    "Entry",
    "MissingPackage",
    "Question",
    "Reply",
    "Router",
    "RoutingConfig",
    "present",
)

Api: TypeAlias = Literal["chat", "text", "responses", "messages", "embeddings"]
"""What a caller speaks: OpenAI's chats, text completions or responses, Anthropic's messages, or
embeddings."""

APIS: tuple[Api, ...] = get_args(Api)

PACKAGES: Mapping[str, str] = {"litellm": "litellm"}
"""The package that a kind of router is made of."""


class MissingPackage(Exception):
    """The router of a configuration is not installed, or lacks a way in; says how to install it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A way in: which API, blocking or on asyncio, streamed or not."""

    api: Api = "chat"
    sync: bool = False
    stream: bool = False

    def __str__(self) -> str:
        how = "sync" if self.sync else "async"
        return f"{self.api}-{how}-stream" if self.stream else f"{self.api}-{how}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a router: a group (the model name that callers use), a text, and options of
    the request (``temperature``, ``max_tokens``, ``system``...). ``past`` is what a conversation has
    behind it, pairs of a role and a text; ``leave_after`` is after how many tokens of a stream the
    client leaves."""

    entry: Entry
    group: str
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)
    past: tuple[tuple[str, str], ...] = ()
    leave_after: int | None = None


@dataclass(slots=True)
class Reply:
    """What the caller has got so far. A router fills it as it goes, so that what came before an
    exception is not lost. ``on_token`` is called when the first piece arrives; ``left`` says that
    the client went away before the end. ``tokens_in`` and ``tokens_out`` are the usage that the answer
    states, ``model`` the name that it shows, ``cost`` what the router says it cost (USD)."""

    on_token: Callable[[], None] = lambda: None
    text: str = ""
    finish: str | None = None
    cost: Decimal | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str | None = None
    vectors: list[list[float]] = field(default_factory=list)
    left: bool = False

    def add(self, piece: str) -> None:
        """Take a piece of the answer's text."""
        if piece and not self.text:
            self.on_token()
        self.text += piece


class Router(Protocol):
    """The running thing."""

    def ask(self, question: Question, reply: Reply) -> None:
        """Ask, blocking; raise what the router raises."""
        ...

    async def aask(self, question: Question, reply: Reply) -> None:
        """Ask on asyncio; raise what the router raises."""
        ...


class RoutingConfig(Protocol):
    """A configuration under test."""

    kind: ClassVar[str]

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def promises(self) -> tuple[Promise, ...]:
        """What it promises, in the order of the file; policy included, told by its because."""
        ...

    @property
    def not_judged(self) -> tuple[NotJudged, ...]:
        """The keys that yield no promise, each with the reason."""
        ...

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """The hosts that it names, to be simulated."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that it reads, each with a throw-away value."""
        ...

    @property
    def keys(self) -> frozenset[str]:
        """The fingerprints of the throw-away keys in it, which nobody's exception may show."""
        ...

    def entries(self, group: str) -> tuple[Entry, ...]:
        """The ways in that it serves for a group."""
        ...

    def load(self) -> None:
        """Import what the router is made of, which may take seconds. Raises :class:`MissingPackage`."""
        ...

    def open(self) -> AbstractAsyncContextManager[Router]:
        """Make the router, and undo afterwards all that it left in the process. Entered inside a
        running event loop, whether it will be asked blocking or not, since some routers start tasks
        of their own. Raises :class:`MissingPackage`."""
        ...


def present(package: str) -> bool:
    """Whether a package is installed here."""
    return find_spec(package) is not None


def readers() -> Iterator[Callable[[Path], RoutingConfig | None]]:
    """Functions that read a file if it is of their kind, else return None."""
    from pytest_llmroute.routers import litellm, own

    yield own.read
    yield litellm.read
