from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.calling import inside_call
from llmroute_sim.carriers import reading
from llmroute_sim.carriers.http1 import Connection
from llmroute_sim.wire import (
    FOREVER,
    Abort,
    Address,
    Data,
    Event,
    Exchange,
    Framing,
    Head,
    Request,
    Wait,
)

pytestmark = pytest.mark.once

OPENAI = Address("api.openai.com")
ASK = b"POST /v1/chat HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 2\r\n\r\n{}"
GET = b"GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n"


@dataclass
class Alarm:
    at: float
    then: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Tape:
    """A line that only writes down what it was asked."""

    segments: list[bytes] = field(default_factory=list)
    over: str | None = None
    alarms: list[Alarm] = field(default_factory=list)

    def send(self, segment: bytes) -> None:
        assert self.over is None
        self.segments.append(segment)

    def end(self) -> None:
        assert self.over is None
        self.over = "end"

    def reset(self) -> None:
        assert self.over is None
        self.over = "reset"

    def later(self, seconds: float, then: Callable[[], None]) -> Alarm:
        self.alarms.append(Alarm(seconds, then))
        return self.alarms[-1]

    @property
    def text(self) -> bytes:
        return b"".join(self.segments)


@dataclass
class World:
    """A door that answers every request with the same events."""

    events: list[Event]
    kept: bool = True
    asked: list[Request] = field(default_factory=list)
    taken: int = 0
    closed: int = 0

    def knows(self, host: str) -> bool:
        return True

    def stray(self, address: Address, call: str | None) -> None:
        raise AssertionError(address)

    def connect(self, address: Address, call: str | None) -> Exchange:
        yield from ()

    def keeps(self, address: Address) -> bool:
        return self.kept

    def open(self, request: Request) -> Exchange:
        self.asked.append(request)
        return self._play()

    def _play(self) -> Exchange:
        try:
            for event in self.events:
                self.taken += 1
                yield event
        finally:
            self.closed += 1


def begin(*events: Event) -> tuple[Connection, World, Tape]:
    world, tape = World(list(events)), Tape()
    return Connection(world, OPENAI, tape), world, tape


def ok(body: bytes) -> list[Event]:
    return [Head(200, (("x-request-id", "1"),), Framing.LENGTH, len(body)), Data(body)]


STREAM: list[Event] = [
    Head(200, (("content-type", "text/event-stream"),), Framing.CHUNKED),
    Data(b"one", "token"),
    Data(b"two", "token"),
]


# -- requests


@given(st.lists(st.integers(0, len(ASK)), max_size=5))
def test_a_request_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    connection, world, tape = begin(*ok(b"hi"))
    edges = [0, *sorted(cuts), len(ASK)]
    for start, stop in itertools.pairwise(edges):
        connection.feed(ASK[start:stop])
    (request,) = world.asked
    assert (request.method, request.target, request.body) == ("POST", "/v1/chat", b"{}")
    assert request.headers == (("host", "api.openai.com"), ("content-length", "2"))
    assert request.address == OPENAI
    assert tape.text.endswith(b"\r\n\r\nhi")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("size", [99, 100, 101, 1000])
def test_a_body_beyond_what_is_kept_is_read_to_its_end_and_only_counted(
    monkeypatch: pytest.MonkeyPatch, size: int, chunked: bool
) -> None:
    monkeypatch.setattr(reading, "KEPT", 100)
    connection, world, tape = begin(*ok(b"hi"))
    head = b"POST / HTTP/1.1\r\nHost: a\r\n"
    if chunked:
        pieces = [b"1\r\nx\r\n"] * size + [b"0\r\n\r\n"]
        connection.feed(head + b"Transfer-Encoding: chunked\r\n\r\n")
    else:
        pieces = [b"x"] * size
        connection.feed(head + b"Content-Length: %d\r\n\r\n" % size)
    for piece in pieces:
        assert not tape.segments
        connection.feed(piece)
    connection.feed(ASK)
    (request, after) = world.asked
    kept = size if size <= 100 else 0
    assert (len(request.body), request.lost, request.size) == (kept, size - kept, size)
    assert (after.body, after.lost) == (b"{}", 0)


def test_memory_does_not_grow_with_what_a_client_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "KEPT", 1 << 20)
    connection, _, _ = begin(*ok(b"hi"))
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    connection.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    tracemalloc.start()
    try:
        for _ in range(200):
            connection.feed(piece)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 << 20


@given(st.lists(st.integers(0, 2 * len(ASK)), max_size=3), st.sampled_from([b"{}", b"[]"]))
def test_a_head_that_was_seen_before_means_the_same_again(cuts: list[int], body: bytes) -> None:
    connection, world, tape = begin(*ok(b"hi"))
    connection.feed(ASK)
    again = ASK[:-2] + body + ASK
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(again)]):
        connection.feed(again[start:stop])
    first, second, third = world.asked
    assert first == third
    assert (first.headers, first.target) == (second.headers, second.target)
    assert (first.body, second.body) == (b"{}", body)
    assert tape.over is None


def test_the_end_of_a_head_is_not_remembered_as_a_head() -> None:
    connection, world, tape = begin(*ok(b"hi"))
    cut = ASK.index(b"Content-Length")
    connection.feed(ASK[:cut])
    connection.feed(ASK[cut:])
    assert len(world.asked) == 1
    connection.feed(ASK[cut:])
    assert len(world.asked) == 1
    assert tape.over == "end"


def test_an_empty_line_between_requests_is_no_request() -> None:
    connection, world, tape = begin(Wait(5.0), *ok(b"hi"))
    connection.feed(GET + GET)
    for _ in range(2):
        connection.feed(b"\r\n")
    for alarm in tape.alarms:
        alarm.then()
    assert len(world.asked) == 2


def test_the_last_request_stays_the_last_when_its_head_was_seen_before() -> None:
    closing = ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for _ in range(2):
        connection, world, tape = begin(*ok(b"hi"))
        connection.feed(closing)
        connection.feed(ASK)
        assert tape.over == "end"
        assert len(world.asked) == 1


def test_trailers_are_not_headers_and_chunks_are_joined() -> None:
    connection, world, _ = begin(*ok(b""))
    connection.feed(
        b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Checksum: 9\r\n\r\n"
    )
    (request,) = world.asked
    assert request.body == b"abcde"
    assert request.headers == (("transfer-encoding", "chunked"),)


def test_a_client_that_waits_to_be_told_is_told_to_continue() -> None:
    connection, world, tape = begin(*ok(b"hi"))
    head, body = ASK[:-2].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), ASK[-2:]
    connection.feed(head)
    assert tape.segments == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert not world.asked
    connection.feed(body)
    assert tape.segments[1].startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_offer_to_upgrade_is_ignored_and_the_connection_goes_on() -> None:
    connection, world, _ = begin(*ok(b"hi"))
    offer = ASK.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    connection.feed(offer + GET)
    assert [request.method for request in world.asked] == ["POST", "GET"]
    assert world.asked[0].body == b"{}"


def test_a_tunnel_is_one_request_and_then_the_end() -> None:
    connection, world, tape = begin(*ok(b"hi"))
    connection.feed(b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: h\r\n\r\n\x16\x03")
    assert [request.target for request in world.asked] == ["api.openai.com:443"]
    assert tape.over == "end"


def test_what_is_not_http_is_told_so_and_ended() -> None:
    connection, world, tape = begin(*ok(b"hi"))
    connection.feed(b"\x16\x03\x01\x02\x00")
    assert tape.text.startswith(b"HTTP/1.1 400 ")
    assert tape.over == "end"
    assert not world.asked


def test_a_request_belongs_to_the_call_of_its_context() -> None:
    connection, world, _ = begin(*ok(b"hi"))
    marked = ASK.replace(b"\r\n\r\n", b"\r\nX-LLMroute-Call: c7\r\n\r\n")
    with inside_call("c1"):
        connection.feed(marked)
    connection.feed(marked)
    connection.feed(ASK)
    assert [request.call for request in world.asked] == ["c1", "c7", None]
    assert world.asked[1].header("x-llmroute-call") == "c7"


# -- answers


def test_a_whole_body_travels_with_its_head() -> None:
    connection, _, tape = begin(*ok(b"hi"))
    connection.feed(ASK)
    assert tape.segments == [
        b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\nhi",
    ]
    assert tape.over is None


def test_a_stream_is_one_segment_for_its_head_and_one_for_each_chunk() -> None:
    connection, _, tape = begin(*STREAM)
    connection.feed(ASK)
    assert tape.segments[0].endswith(b"transfer-encoding: chunked\r\n\r\n")
    assert tape.segments[1:] == [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"]


def test_an_empty_chunk_does_not_end_the_body() -> None:
    connection, _, tape = begin(STREAM[0], Data(b"", "token"), *STREAM[1:])
    connection.feed(ASK)
    assert tape.text.count(b"0\r\n\r\n") == 1
    assert tape.text.endswith(b"two\r\n0\r\n\r\n")


@given(
    st.sampled_from(Framing),
    st.lists(st.binary(max_size=9), max_size=5),
    st.integers(1, 3),
    st.sampled_from([200, 429, 500, 529, 599]),
)
def test_a_client_parses_what_was_meant(
    framing: Framing, pieces: list[bytes], requests: int, status: int
) -> None:
    whole = b"".join(pieces)
    head = Head(status, (("a", "b"),), framing, len(whole))
    connection, _, tape = begin(head, *(Data(piece, "token") for piece in pieces))
    client = h11.Connection(h11.CLIENT)
    for number in range(requests):
        request = h11.Request(method="GET", target="/", headers=[("host", "h")])
        sent = client.send(request)
        assert sent is not None
        client.send(h11.EndOfMessage())
        connection.feed(sent)
        client.receive_data(tape.text)
        tape.segments.clear()
        if tape.over == "end":
            client.receive_data(b"")
        assert client_reads(client) == (status, whole)
        if framing is Framing.CLOSE:
            assert tape.over == "end"
            break
        assert tape.over is None, number
        client.start_next_cycle()


def client_reads(client: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, b""
    while True:
        match client.next_event():
            case h11.Response(status_code=status):
                pass
            case h11.Data(data=data):
                body += bytes(data)
            case h11.EndOfMessage():
                return status, body
            case other:
                raise AssertionError(other)


@given(st.integers(0, 3), st.sampled_from(["end", "reset"]))
def test_a_cut_never_invents_bytes(kept: int, how: str) -> None:
    whole, _, uncut = begin(*STREAM)
    whole.feed(ASK)
    connection, _, tape = begin(*STREAM[:kept], Abort("end" if how == "end" else "reset"))
    connection.feed(ASK)
    assert tape.segments == uncut.segments[:kept]
    assert tape.over == how


def test_a_length_that_lies_ends_the_connection() -> None:
    for lie in (-1, 1):
        connection, _, tape = begin(Head(200, (), Framing.LENGTH, 2 + lie), Data(b"hi"))
        connection.feed(ASK)
        assert f"content-length: {2 + lie}\r\n".encode() in tape.text
        assert tape.text.endswith(b"hi")
        assert tape.over == "end"


def test_raw_bytes_bypass_the_framing_even_in_place_of_a_head() -> None:
    connection, _, tape = begin(Data(b"garbage", raw=True))
    connection.feed(ASK)
    assert tape.segments == [b"garbage"]
    assert tape.over == "end"

    connection, _, tape = begin(*STREAM[:2], Data(b"ZZ\r\n", "token", raw=True))
    connection.feed(ASK)
    assert tape.segments[2] == b"ZZ\r\n"


def test_raw_bytes_after_a_stream_get_no_chunk_of_its_framing() -> None:
    connection, world, tape = begin(*STREAM)
    connection.feed(ASK)
    tape.segments.clear()
    world.events = [Data(b"garbage", raw=True)]
    connection.feed(ASK)
    assert tape.segments == [b"garbage"]


def test_the_answer_to_head_has_the_length_and_no_body() -> None:
    connection, world, tape = begin(*ok(b"hi"))
    connection.feed(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"content-length: 2\r\n" in tape.text
    assert tape.text.endswith(b"\r\n\r\n")
    assert world.closed == 1


# -- keeping the connection


@pytest.mark.parametrize(
    "ask",
    [ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), ASK.replace(b"/1.1", b"/1.0")],
    ids=["close", "HTTP/1.0"],
)
def test_a_client_that_wants_no_more_gets_no_more(ask: bytes) -> None:
    connection, world, tape = begin(*ok(b"hi"))
    connection.feed(ask + GET)
    assert b"connection: close\r\n" in tape.text
    assert tape.over == "end"
    assert len(world.asked) == 1


def test_a_connection_is_not_kept_while_its_host_does_not_keep() -> None:
    connection, world, tape = begin(*ok(b"hi"))
    world.kept = False
    connection.feed(ASK)
    assert b"connection: close\r\n" in tape.text
    assert tape.over == "end"


def test_pipelined_requests_are_answered_one_after_the_other() -> None:
    connection, world, tape = begin(Wait(5.0), *ok(b"hi"))
    connection.feed(ASK + GET)
    connection.feed(GET)
    assert not tape.segments
    assert len(world.asked) == 1, "a request is opened when its turn has come"
    for number in range(3):
        tape.alarms[number].then()
        assert tape.text.count(b"HTTP/1.1 200 OK") == number + 1
    assert [request.method for request in world.asked] == ["POST", "GET", "GET"]
    assert connection.idle


def test_a_thousand_pipelined_requests_are_no_deeper_than_one() -> None:
    connection, world, _ = begin(*ok(b"hi"))
    connection.feed(GET * 3000)
    assert len(world.asked) == 3000


# -- time, and ends


def test_nothing_is_decided_before_its_moment() -> None:
    connection, world, tape = begin(STREAM[0], Wait(7.5), *STREAM[1:])
    connection.feed(ASK)
    assert world.taken == 2
    assert len(tape.segments) == 1, "the head is out before the wait"
    (alarm,) = tape.alarms
    assert alarm.at == 7.5
    alarm.then()
    assert world.taken == 4
    assert tape.text.endswith(b"0\r\n\r\n")


def test_silence_for_ever_sets_no_alarm() -> None:
    connection, _, tape = begin(Wait(FOREVER))
    connection.feed(ASK)
    connection.feed(GET)
    assert not tape.alarms
    assert not tape.segments
    assert not connection.idle


def test_a_client_that_leaves_leaves_the_rest_undecided() -> None:
    connection, world, tape = begin(STREAM[0], Wait(7.5), *STREAM[1:])
    connection.feed(ASK + GET)
    connection.left()
    assert world.closed == 1
    assert world.taken == 2
    assert tape.alarms[0].cancelled
    connection.feed(GET)
    assert len(world.asked) == 1


def test_a_client_may_leave_while_a_segment_is_given_to_it() -> None:
    connection, world, tape = begin(*STREAM)

    def leave(segment: bytes) -> None:
        tape.segments.append(segment)
        connection.left()

    tape.send = leave  # type: ignore[method-assign]  # a client with quick feet
    connection.feed(ASK)
    assert len(tape.segments) == 1
    assert tape.over is None
    assert world.closed == 1


def test_a_refusal_after_the_connection_stands_is_a_reset() -> None:
    connection, _, tape = begin(Abort("refused"))
    connection.feed(ASK)
    assert tape.over == "reset"


def test_an_error_of_the_door_is_loud_and_resets_the_line() -> None:
    class Broken(World):
        def open(self, request: Request) -> Exchange:
            raise LookupError("no such world")

    class Breaking(World):
        def _play(self) -> Iterator[Event]:  # type: ignore[override]  # a generator all the same
            yield STREAM[0]
            raise LookupError("no such world")

    for world in (Broken([]), Breaking([])):
        tape = Tape()
        connection = Connection(world, OPENAI, tape)
        with pytest.raises(LookupError):
            connection.feed(ASK)
        assert tape.over == "reset"
        assert connection.idle
