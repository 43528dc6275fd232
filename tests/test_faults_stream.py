from __future__ import annotations

import json
import zlib

import pytest

from llmroute_sim import faults
from llmroute_sim.faults import Scene
from llmroute_sim.incidents import Incident
from llmroute_sim.wire import Abort, Data, Framing, Head, Wait
from meeting import body, header, met, outcome, parts, request, status, taken, tokens, waits, world

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])


def plain(**asked):
    """The same answer, undisturbed."""
    provider = str(asked.pop("provider", "openai"))
    return taken(world().open(request(provider, **asked)))


def segments(events, part):
    return [event.body for event in events if isinstance(event, Data) and event.part == part]


def head(events):
    return next(event for event in events if isinstance(event, Head))


# -- filler


def test_filler_comes_in_time_for_every_read_and_before_the_first_token():
    events, simulator = met(faults.Filler(seconds=12, every=5), stream=True)
    assert isinstance(events[0], Head)
    said = [event for event in events if not isinstance(event, Data) or event.part == "filler"]
    assert said[1:] == [
        Wait(5), Data(b": keep-alive\n\n", "filler"), Wait(5), Data(b": keep-alive\n\n", "filler"),
        Wait(2),
    ]  # fmt: skip
    assert "token" not in parts(events[: events.index(Wait(2))])
    (attempt,) = simulator.history.attempts
    assert (attempt.outcome, attempt.complete) == ("200", True)


def test_anthropics_filler_is_a_ping():
    events, _ = met(faults.Filler(9, 3), stream=True, provider="anthropic")
    assert segments(events, "filler") == [b'event: ping\ndata: {"type":"ping"}\n\n'] * 2


@PROVIDERS
def test_before_json_blank_lines_are_the_filler_and_counted(provider):
    events, simulator = met(faults.Filler(20, 5), provider=provider)
    assert waits(events) == 20
    assert head(events).length == len(body(events))
    assert body(events).startswith(b"\n\n\n{")
    assert json.loads(body(events)) == json.loads(body(plain(provider=provider)))
    assert outcome(simulator) == "200"


@BOTH
def test_filler_loses_nothing(stream):
    events, _ = met(faults.Filler(20, 5), stream=stream)
    said = b"".join(e.body for e in events if isinstance(e, Data) and e.part != "filler")
    assert said == body(plain(stream=stream))


def test_who_is_turned_away_hears_no_filler():
    simulator = world(Incident(faults.Outage(500)), Incident(faults.Filler()))
    assert waits(taken(simulator.open(request()))) == 0


# -- order


@PROVIDERS
def test_one_token_comes_twice(provider):
    events, simulator = met(faults.DuplicatedChunk(2), stream=True, provider=provider)
    meant = segments(plain(stream=True, provider=provider), "token")
    assert segments(events, "token") == [*meant[:3], meant[2], *meant[3:]]
    assert outcome(simulator) == "200-degraded"
    assert simulator.history.attempts[0].complete


@PROVIDERS
def test_two_tokens_change_places(provider):
    events, simulator = met(faults.ReorderedChunks(2), stream=True, provider=provider)
    meant = segments(plain(stream=True, provider=provider), "token")
    assert segments(events, "token") == [*meant[:2], meant[3], meant[2], *meant[4:]]
    assert parts(events) == parts(plain(stream=True, provider=provider))
    assert outcome(simulator) == "200-degraded"


def test_the_last_token_has_nobody_to_change_places_with():
    meant = segments(plain(stream=True), "token")
    events, simulator = met(faults.ReorderedChunks(len(meant) - 1), stream=True)
    assert segments(events, "token") == meant
    assert simulator.history.attempts[0].faults == ()


def test_tokens_change_places_also_when_each_takes_its_time():
    simulator = world(Incident(faults.Drip(1)), Incident(faults.ReorderedChunks(2)))
    events = taken(simulator.open(request(stream=True)))
    meant = segments(plain(stream=True), "token")
    assert segments(events, "token")[:4] == [meant[0], meant[1], meant[3], meant[2]]
    assert waits(events) == len(parts(events))


# -- what an answer says of itself


@PROVIDERS
def test_an_answer_does_not_say_what_it_used_and_it_is_charged(provider):
    events, simulator = met(faults.MissingUsage(), provider=provider)
    said, meant = json.loads(body(events)), json.loads(body(plain(provider=provider)))
    assert "usage" not in said
    assert {**said, "usage": meant["usage"]} == meant
    assert head(events).length == len(body(events))
    (attempt,) = simulator.history.attempts
    assert attempt.spent > 0
    assert attempt.outcome == "200-degraded"


def test_a_stream_of_openai_leaves_out_the_chunk_of_the_usage():
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    events, _ = met(faults.MissingUsage(), **asked)
    calm = plain(**asked)
    assert segments(calm, "usage")
    assert [e for e in calm if not (isinstance(e, Data) and e.part == "usage")] == events


def test_a_stream_that_tells_no_usage_has_none_to_miss():
    events, simulator = met(faults.MissingUsage(), stream=True)
    assert events == plain(stream=True)
    assert simulator.history.attempts[0].faults == ()


def test_a_stream_of_anthropic_tells_no_usage_at_its_start_nor_at_its_end():
    events, _ = met(faults.MissingUsage(), stream=True, provider="anthropic")
    assert body(plain(stream=True, provider="anthropic")).count(b'"usage"') == 2
    assert b"usage" not in body(events)
    assert parts(events) == parts(plain(stream=True, provider="anthropic"))


@BOTH
@pytest.mark.parametrize(
    ("provider", "key"), [("openai", '"finish_reason":'), ("anthropic", '"stop_reason":')]
)
def test_a_finish_reason_is_null_and_nothing_else_is_touched(provider, key, stream):
    events, simulator = met(faults.MissingFinish(), provider=provider, stream=stream)
    meant = body(plain(provider=provider, stream=stream)).decode()
    word = "stop" if provider == "openai" else "end_turn"
    assert f'{key}"{word}"' in meant
    assert body(events).decode() == meant.replace(f'{key}"{word}"', f"{key}null")
    assert outcome(simulator) == "200-degraded"


@BOTH
@pytest.mark.parametrize(
    ("provider", "reason", "word"),
    [
        ("openai", "filter", "content_filter"),
        ("openai", "length", "length"),
        ("openai", "eos", "eos"),
        ("anthropic", "filter", "refusal"),
        ("anthropic", "length", "max_tokens"),
        ("anthropic", "eos", "eos"),
    ],
)
def test_a_finish_reason_is_another(provider, reason, word, stream):
    events, simulator = met(faults.SurprisingFinish(reason), provider=provider, stream=stream)
    assert f'_reason":"{word}"' in body(events).decode()
    assert '_reason":"stop"' not in body(events).decode()
    if not stream:
        assert head(events).length == len(body(events))
    assert outcome(simulator) == "200-degraded"


def test_a_finish_reason_that_is_what_it_was_is_no_surprise():
    events, simulator = met(faults.SurprisingFinish("stop"), stream=True)
    assert events == plain(stream=True)
    assert simulator.history.attempts[0].faults == ()


# -- errors in a body that began with 200


@PROVIDERS
def test_an_answer_with_status_200_is_an_error(provider):
    events, simulator = met(faults.ErrorInBody("rate_limit_requests"), provider=provider)
    (attempt,) = simulator.history.attempts
    assert status(events) == 200
    assert head(events).length == len(body(events))
    assert json.loads(body(events))["error"]["message"]
    assert (attempt.outcome, attempt.error) == ("200-error", "rate_limit_requests")
    assert not attempt.complete


def test_an_error_in_a_stream_is_of_the_kind_that_it_says():
    _, simulator = met(faults.ErrorInStream(2, "moderation"), stream=True)
    assert simulator.history.attempts[0].error == "moderation"


def test_a_stream_has_no_body_to_hold_an_error():
    events, simulator = met(faults.ErrorInBody(), stream=True)
    assert events == plain(stream=True)
    assert simulator.history.attempts[0].faults == ()


@PROVIDERS
def test_one_event_is_malformed_and_the_rest_comes(provider):
    events, simulator = met(faults.MalformedEvent(2), stream=True, provider=provider)
    calm = plain(stream=True, provider=provider)
    meant = segments(calm, "token")
    assert segments(events, "token") == [*meant[:2], *meant[3:]]
    (broken,) = segments(events, "piece")
    line = broken.decode().split("data: ")[1]
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(line)
    assert segments(events, "terminal") == segments(calm, "terminal")
    (attempt,) = simulator.history.attempts
    assert (attempt.outcome, attempt.complete) == ("200-damaged", False)


# -- packing


def unzipped(data):
    """What a client makes of gzip, whether or not its end has come."""
    reader = zlib.decompressobj(wbits=31)
    return reader.decompress(data), reader.eof


@BOTH
def test_gzip_is_announced_and_the_body_plain(stream):
    events, simulator = met(faults.DamagedCompression(), stream=stream)
    assert header(events, "content-encoding") == "gzip"
    assert body(events) == body(plain(stream=stream))
    assert outcome(simulator) == "200-damaged"


@BOTH
@pytest.mark.parametrize(
    ("how", "announced", "ends", "told"),
    [
        ("unannounced", None, True, "200-damaged"),
        ("cut", "gzip", False, "200-degraded"),
        ("unasked", "gzip", True, "200-degraded"),
    ],
)
def test_gzip_goes_wrong_in_its_way(how, announced, ends, told, stream):
    events, simulator = met(faults.DamagedCompression(how), stream=stream)
    assert header(events, "content-encoding") == announced
    assert head(events).framing is Framing.CHUNKED
    assert unzipped(body(events)) == (body(plain(stream=stream)), ends)
    assert outcome(simulator) == told


def test_each_compressed_segment_can_be_read_when_it_comes():
    events, _ = met(faults.DamagedCompression("unasked"), stream=True)
    reader = zlib.decompressobj(wbits=31)
    read = [reader.decompress(event.body) for event in events if isinstance(event, Data)]
    assert read == [e.body for e in plain(stream=True) if isinstance(e, Data)] + [b""]


@BOTH
def test_zstd_is_a_frame_that_only_its_readers_can_read(stream):
    events, simulator = met(faults.DamagedCompression("zstd"), stream=stream)
    assert header(events, "content-encoding") == "zstd"
    said = body(events)
    assert said.startswith(b"\x28\xb5\x2f\xfd")
    place, read, last = 6, b"", False
    while not last:
        block = int.from_bytes(said[place : place + 3], "little")
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        assert kind == 0
        read += said[place + 3 : place + 3 + size]
        place += 3 + size
    assert place == len(said)
    assert read == body(plain(stream=stream))
    assert outcome(simulator) == "200-degraded"


@BOTH
def test_a_page_comes_with_200_in_place_of_the_answer(stream):
    events, simulator = met(faults.WrongContentType(), stream=stream)
    assert status(events) == 200
    assert header(events, "content-type").startswith("text/html")
    assert body(events).startswith(b"<!DOCTYPE html>")
    assert head(events).length == len(body(events))
    assert outcome(simulator) == "200-damaged"


@BOTH
def test_the_right_answer_has_a_wrong_label(stream):
    events, simulator = met(faults.WrongContentType("label"), stream=stream)
    assert header(events, "content-type") == "text/plain; charset=utf-8"
    assert body(events) == body(plain(stream=stream))
    assert outcome(simulator) == "200-degraded"


@BOTH
@PROVIDERS
def test_json_comes_for_a_stream_and_a_stream_for_json(provider, stream):
    events, simulator = met(faults.WrongContentType("swapped"), provider=provider, stream=stream)
    kind = "application/json" if stream else "text/event-stream"
    assert header(events, "content-type").startswith(kind)
    (attempt,) = simulator.history.attempts
    assert attempt.stream is stream
    assert all(mark in body(events).decode() for mark in attempt.marks)
    assert attempt.outcome == "200-degraded"


@BOTH
def test_a_wrong_type_is_for_answers_and_not_for_errors(stream):
    simulator = world(Incident(faults.Outage(500)), Incident(faults.WrongContentType("label")))
    assert header(taken(simulator.open(request(stream=stream))), "content-type") == (
        "application/json"
    )


# -- lawful and nasty


@BOTH
@pytest.mark.parametrize("size", [1, 7, 100])
def test_an_answer_in_odd_segments_is_the_same_answer(size, stream):
    events, simulator = met(faults.SplitOddly(size, crlf=False), stream=stream)
    calm = plain(stream=stream)
    assert body(events) == body(calm)
    assert max(len(event.body) for event in events if isinstance(event, Data)) <= size
    assert [part for part in parts(events) if part != "piece"] == parts(calm)
    assert outcome(simulator) == "200"


def test_the_lines_of_a_stream_may_end_by_two_characters():
    events, _ = met(faults.SplitOddly(5), stream=True)
    assert body(events) == body(plain(stream=True)).replace(b"\n", b"\r\n")


def test_a_character_is_split():
    said = "naïve ☃".encode()
    scene = Scene(None, None, None, None, lambda flaw=None: None)
    bent = list(faults.SplitOddly(1).bend(iter([Data(said, "token")]), scene))
    assert [event.body for event in bent] == [said[i : i + 1] for i in range(len(said))]
    with pytest.raises(UnicodeDecodeError):
        bent[2].body.decode()


# -- together


def test_who_hangs_up_on_a_damaged_answer_met_the_damage():
    simulator = world(Incident(faults.MalformedEvent(1)))
    exchange = simulator.open(request(stream=True))
    for event in exchange:
        if isinstance(event, Data) and event.part == "piece":
            break
    next(exchange)
    exchange.close()
    assert outcome(simulator) == "200-damaged"


def test_who_hangs_up_before_the_damage_never_met_it():
    simulator = world(Incident(faults.MalformedEvent(3)))
    exchange = simulator.open(request(stream=True))
    assert [next(exchange) for _ in range(3)]
    exchange.close()
    assert outcome(simulator) == "200-left"


def test_a_degraded_answer_that_breaks_off_broke_off():
    simulator = world(Incident(faults.DuplicatedChunk(1)), Incident(faults.Cut(4)))
    events = taken(simulator.open(request(stream=True)))
    assert events[-1] == Abort("end")
    assert tokens(events) == 4
    assert outcome(simulator) == "200-cut"
