"""Every fault that answers, in the forms that it has, by what it does."""

from __future__ import annotations

from llmroute_sim import faults

TIMING = [
    faults.Silence(), faults.LatencySpike(3), faults.SlowFirstToken(3), faults.Filler(6, 2),
    faults.Filler(0), faults.Drip(1), faults.Stall(2), faults.Stall(2, 5.0),
]  # fmt: skip
CUTTING = [
    faults.Cut(2), faults.Reset(2), faults.Reset(-1), faults.MissingTerminal(2),
    faults.ErrorInStream(2), faults.ErrorInBody(), faults.MalformedEvent(2), faults.MalformedChunk(2),
    faults.WrongLength(9), faults.WrongLength(-9),
]  # fmt: skip
BENDING = [
    faults.DuplicatedChunk(2), faults.ReorderedChunks(2), faults.MissingUsage(),
    faults.MissingFinish(), faults.SurprisingFinish("length"), faults.SurprisingFinish("eos"),
    faults.WrongContentType("html"), faults.WrongContentType("label"),
    faults.WrongContentType("swapped"), faults.DamagedCompression("announced"),
    faults.DamagedCompression("unannounced"), faults.DamagedCompression("cut"),
    faults.DamagedCompression("unasked"), faults.DamagedCompression("zstd"), faults.SplitOddly(3),
    faults.SplitOddly(50, crlf=False),
]  # fmt: skip
SPEAKING = [
    faults.EmptyAnswer(), faults.EmptyAnswer("length"), faults.RefusedByModel(),
    faults.SchemaViolated(), faults.SchemaViolated("not-json"), faults.TruncatedArguments(),
    faults.CutShort(3), faults.OtherModel(), faults.CumulativeChunks(),
]  # fmt: skip
REFUSING = [
    faults.Outage(500), faults.Outage(504), faults.ErrorPage(502), faults.ErrorPage(530, "text"),
    faults.RequestTimeout(), faults.Conflict(), faults.RateLimit(), faults.RateLimit(-3, "date"),
    faults.RateLimit("soon"), faults.QuotaSpent(), faults.TooLarge(), faults.HeadersTooLarge(),
    faults.ContextLengthExceeded(), faults.InvalidRequest(), faults.Unprocessable(),
    faults.Moderated(), faults.Unauthorized(), faults.AccountSuspended(), faults.Forbidden(),
    faults.Forbidden("model"), faults.ModelGone(),
]  # fmt: skip
ALL = [*TIMING, *CUTTING, *BENDING, *SPEAKING, *REFUSING]
