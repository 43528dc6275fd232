"""Faults: one thing that goes wrong, in no provider's terms.

A fault acts at one of four stages, as one pure method: before the connection stands
(:class:`ConnectFault`), before anything is charged (:class:`AdmitFault`), in what the model says
(:class:`AnswerFault`), or on the events of an answer (:class:`StreamFault`). It names what fails; how
that looks is the dialect's business. Each is a small frozen value, faults compose, and a scenario
file names one by its kebab-case name with its fields as keys.
"""

from __future__ import annotations

from llmroute_sim.faults.admit import (
    AccountSuspended,
    Conflict,
    ContextLengthExceeded,
    ErrorPage,
    Forbidden,
    HeadersTooLarge,
    InvalidRequest,
    ModelGone,
    Moderated,
    Outage,
    QuotaSpent,
    RateLimit,
    RequestTimeout,
    TooLarge,
    Unauthorized,
    Unprocessable,
)
from llmroute_sim.faults.answer import (
    CumulativeChunks,
    CutShort,
    EmptyAnswer,
    OtherModel,
    RefusedByModel,
    SchemaViolated,
    TruncatedArguments,
)
from llmroute_sim.faults.broken import (
    Cut,
    ErrorInBody,
    ErrorInStream,
    MalformedChunk,
    MalformedEvent,
    MissingTerminal,
    Reset,
    WrongLength,
)
from llmroute_sim.faults.connect import NameNotFound, Refused, TLSFailure, Unreachable
from llmroute_sim.faults.framing import DamagedCompression, SplitOddly, WrongContentType
from llmroute_sim.faults.late import Drip, Filler, LatencySpike, Silence, SlowFirstToken, Stall
from llmroute_sim.faults.naming import FAULTS, make
from llmroute_sim.faults.stages import (
    AdmitFault,
    AnswerFault,
    ConnectFault,
    Fault,
    Form,
    Scene,
    StreamFault,
)
from llmroute_sim.faults.words import (
    DuplicatedChunk,
    MissingFinish,
    MissingUsage,
    ReorderedChunks,
    SurprisingFinish,
)

__all__ = (
    "FAULTS",
    "AccountSuspended",
    "AdmitFault",
    "AnswerFault",
    "Conflict",
    "ConnectFault",
    "ContextLengthExceeded",
    "CumulativeChunks",
    "Cut",
    "CutShort",
    "DamagedCompression",
    "Drip",
    "DuplicatedChunk",
    "EmptyAnswer",
    "ErrorInBody",
    "ErrorInStream",
    "ErrorPage",
    "Fault",
    "Filler",
    "Forbidden",
    "Form",
    "HeadersTooLarge",
    "InvalidRequest",
    "LatencySpike",
    "MalformedChunk",
    "MalformedEvent",
    "MissingFinish",
    "MissingTerminal",
    "MissingUsage",
    "ModelGone",
    "Moderated",
    "NameNotFound",
    "OtherModel",
    "Outage",
    "QuotaSpent",
    "RateLimit",
    "Refused",
    "RefusedByModel",
    "ReorderedChunks",
    "RequestTimeout",
    "Reset",
    "Scene",
    "SchemaViolated",
    "Silence",
    "SlowFirstToken",
    "SplitOddly",
    "Stall",
    "StreamFault",
    "SurprisingFinish",
    "TLSFailure",
    "TooLarge",
    "TruncatedArguments",
    "Unauthorized",
    "Unprocessable",
    "Unreachable",
    "WrongContentType",
    "WrongLength",
    "make",
)
