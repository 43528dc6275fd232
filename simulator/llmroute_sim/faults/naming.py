"""Faults by the names that scenario files use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from llmroute_sim.faults import admit, answer, broken, connect, framing, late, words
from llmroute_sim.faults.stages import Fault
from llmroute_sim.names import Unknown, kebab

__all__ = ("FAULTS", "make")

FAULTS: Mapping[str, type[Fault]] = {
    kebab(kind.__name__): kind
    for kind in (
        connect.Refused,
        connect.Unreachable,
        connect.NameNotFound,
        connect.TLSFailure,
        admit.Outage,
        admit.ErrorPage,
        admit.RequestTimeout,
        admit.Conflict,
        admit.RateLimit,
        admit.QuotaSpent,
        admit.TooLarge,
        admit.HeadersTooLarge,
        admit.ContextLengthExceeded,
        admit.InvalidRequest,
        admit.Unprocessable,
        admit.Moderated,
        admit.Unauthorized,
        admit.AccountSuspended,
        admit.Forbidden,
        admit.ModelGone,
        answer.EmptyAnswer,
        answer.RefusedByModel,
        answer.SchemaViolated,
        answer.TruncatedArguments,
        answer.CutShort,
        answer.OtherModel,
        answer.CumulativeChunks,
        late.Silence,
        late.LatencySpike,
        late.SlowFirstToken,
        late.Filler,
        late.Drip,
        late.Stall,
        broken.Cut,
        broken.Reset,
        broken.MissingTerminal,
        broken.ErrorInStream,
        broken.ErrorInBody,
        broken.MalformedEvent,
        broken.MalformedChunk,
        broken.WrongLength,
        words.DuplicatedChunk,
        words.ReorderedChunks,
        words.MissingUsage,
        words.MissingFinish,
        words.SurprisingFinish,
        framing.WrongContentType,
        framing.DamagedCompression,
        framing.SplitOddly,
    )
}
"""Every fault by the name that scenario files use."""


def make(entry: Mapping[str, Any]) -> Fault:
    """The fault that a table of a scenario file describes.

    Raises ``Unknown`` for a name or key that does not exist, ``ValueError`` for a wrong value.
    """
    settings = {key.replace("-", "_"): value for key, value in entry.items()}
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ValueError("a fault needs a name")
    kind = FAULTS.get(name)
    if kind is None:
        raise Unknown("fault", name, FAULTS)
    known = [field.name for field in fields(kind)]
    for key in settings:
        if key not in known:
            allowed = [field.replace("_", "-") for field in known]
            raise Unknown(f"key of the fault {name}", key.replace("_", "-"), allowed)
    return kind(**settings)
