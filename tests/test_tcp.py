from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Callable, Iterator

import pytest

from llmroute_sim.carriers.tcp import PortError, serve
from llmroute_sim.clock import RealClock
from llmroute_sim.faults import Refused
from llmroute_sim.incidents import Incident, Place
from llmroute_sim.simulator import Simulator
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

OPENAI = Address("api.openai.com")
CLAUDE = Address("api.anthropic.com")
ASK = b"POST /openai/v1/chat?a=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"


class World:
    def __init__(self, events: list[Event] | None = None) -> None:
        self.events: list[Event] = events or [Head(200, (), Framing.LENGTH, 2), Data(b"hi")]
        self.before: list[Wait | Abort] = []
        self.on_change: list[Callable[[], None]] = []
        self.asked: list[Request] = []
        self.dialled: list[tuple[Address, str | None]] = []
        self.strays: list[Address] = []
        self.left = 0

    def knows(self, host: str) -> bool:
        return host.startswith("api.")

    def stray(self, address: Address, call: str | None) -> None:
        self.strays.append(address)

    def keeps(self, address: Address) -> bool:
        return not self.before

    def connect(self, address: Address, call: str | None) -> Exchange:
        self.dialled.append((address, call))
        yield from self.before

    def open(self, request: Request) -> Exchange:
        self.asked.append(request)
        return self._play()

    def _play(self) -> Exchange:
        try:
            yield from self.events
        except GeneratorExit:
            self.left += 1
            raise


class Foretold(World):
    def refuses(self, address: Address) -> bool:
        return Abort("refused") in self.before

    def now(self, *before: Wait | Abort) -> None:
        self.before = list(before)
        for callback in self.on_change:
            callback()


def dial(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def ask_once(url: str) -> bytes:
    with dial(url) as sock:
        return exchange(sock)


def is_over(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def exchange(sock: socket.socket, ask: bytes = ASK, until: bytes = b"hi") -> bytes:
    sock.sendall(ask)
    got = b""
    while not got.endswith(until) and (more := sock.recv(65536)):
        got += more
    return got


@pytest.fixture
def world() -> World:
    return World()


# -- where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.0.2.1", "::", "example.org"])
def test_only_loopback_is_bound(world: World, host: str) -> None:
    with pytest.raises(ValueError, match="is not loopback"):
        serve(world, host=host, paths={"openai": OPENAI})


def test_a_taken_port_is_named(world: World) -> None:
    with serve(world, paths={"openai": OPENAI}) as first:
        with pytest.raises(
            PortError, match=f"port {first.port} of 127.0.0.1: it is already in use"
        ):
            serve(world, port=first.port, paths={"openai": OPENAI}).__enter__()
        assert ask_once(first.url("openai")).endswith(b"hi")


def test_a_port_is_free_again_afterwards(world: World) -> None:
    with serve(world, paths={"openai": OPENAI}) as first:
        port = first.port
        ask_once(first.url("openai"))
    with serve(world, port=port, paths={"openai": OPENAI}) as second:
        assert ask_once(second.url("openai")).endswith(b"hi")


def test_nobody_is_left_open_who_came_while_it_was_closing(world: World) -> None:
    for _ in range(30):
        with serve(world, listeners=[OPENAI]) as server:
            late = dial(server.url(OPENAI))
        with late:
            assert is_over(late)
    gc.collect()  # an open socket would be found here, and warned of


def test_a_host_that_is_not_simulated_cannot_be_served(world: World) -> None:
    with pytest.raises(ValueError, match=r"example\.org cannot be served"):
        serve(world, listeners=[Address("example.org")])


# -- whom a request is for


def test_a_path_is_an_address_and_is_taken_off(world: World) -> None:
    with serve(world, paths={"openai": OPENAI, "anthropic": CLAUDE}) as server:
        assert (
            server.url("openai") == server.url(OPENAI) == f"http://127.0.0.1:{server.port}/openai"
        )
        with dial(server.url("openai")) as sock:
            exchange(sock)
            exchange(sock, ASK.replace(b"/openai/", b"/anthropic/"))
            exchange(sock, ASK.replace(b"/openai/v1/chat", b"/openai"))
    assert [(r.address, r.target) for r in world.asked] == [
        (OPENAI, "/v1/chat?a=1"),
        (CLAUDE, "/v1/chat?a=1"),
        (OPENAI, "/?a=1"),
    ]


def test_a_listener_is_an_address_and_has_no_prefix(world: World) -> None:
    with (
        serve(world, paths={"openai": OPENAI}, listeners=[CLAUDE]) as server,
        dial(server.url(CLAUDE)) as sock,
    ):
        exchange(sock)
    assert [(r.address, r.target) for r in world.asked] == [(CLAUDE, "/openai/v1/chat?a=1")]


def test_an_unknown_path_is_refused_by_name_and_recorded(world: World) -> None:
    with serve(world, paths={"openai": OPENAI}) as server, dial(server.url("openai")) as sock:
        got = exchange(sock, ASK.replace(b"/openai/", b"/opnai/"), b"}}")
    assert got.startswith(b"HTTP/1.1 404 ")
    message = json.loads(got.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert message == "no simulated provider at /opnai; there are /openai; did you mean /openai?"
    assert world.strays == [Address("opnai", 0)]
    assert not world.asked


def test_a_connection_is_dialled_once_and_belongs_to_the_call_of_its_first_request(
    world: World,
) -> None:
    marked = ASK.replace(b"\r\n\r\n", b"\r\nx-llmroute-call: c3\r\n\r\n")
    with serve(world, paths={"openai": OPENAI}) as server, dial(server.url("openai")) as sock:
        exchange(sock, marked)
        exchange(sock)
    assert world.dialled == [(OPENAI, "c3")]
    assert [request.call for request in world.asked] == ["c3", None]


# -- refusing


def test_a_listener_refuses_while_its_address_does_and_only_then() -> None:
    world = Foretold()
    with serve(world, listeners=[OPENAI, CLAUDE]) as server:
        idle = dial(server.url(OPENAI))
        exchange(idle)
        url = server.url(OPENAI)
        world.now(Abort("refused"))
        with pytest.raises(ConnectionRefusedError):
            dial(url)
        assert idle.recv(1) == b"", "an idle connection is ended, so that the next request dials"
        idle.close()
        world.now()
        assert server.url(OPENAI) == url
        with dial(url) as sock:
            assert exchange(sock).endswith(b"hi")


def test_a_listener_can_begin_by_refusing() -> None:
    world = Foretold()
    world.before = [Abort("refused")]
    with serve(world, listeners=[OPENAI]) as server, pytest.raises(ConnectionRefusedError):
        dial(server.url(OPENAI))


@pytest.mark.parametrize("where", [{"paths": {"openai": OPENAI}}, {"listeners": [OPENAI]}])
def test_what_was_accepted_is_reset_in_place_of_refused(
    world: World, where: dict[str, object]
) -> None:
    world.before = [Abort("refused")]
    with (
        serve(world, **where) as server,  # type: ignore[arg-type]  # either way of addressing
        dial(server.url(OPENAI)) as sock,
        pytest.raises(ConnectionResetError),
    ):
        exchange(sock)
    assert world.dialled
    assert not world.asked


# -- ends


def play(events: list[Event], **options: float) -> Iterator[bytes]:
    with serve(World(events), paths={"openai": OPENAI}, **options) as server:  # type: ignore[arg-type]  # floats
        sock = dial(server.url("openai"))
        with sock:
            sock.sendall(ASK)
            while data := sock.recv(65536):
                yield data


def test_a_reset_comes_after_all_that_was_written() -> None:
    body = b"x" * 300_000
    played = play([Head(200, (), Framing.CLOSE), Data(body), Abort("reset")])
    got = b""
    while not got.endswith(body):
        got += next(played)
    with pytest.raises(ConnectionResetError):
        next(played)


def test_an_end_is_no_reset_though_the_client_is_still_sending() -> None:
    world = World([Abort("end")])
    with serve(world, paths={"openai": OPENAI}) as server, dial(server.url("openai")) as sock:
        sock.sendall(ASK)
        assert sock.recv(1) == b""
        for _ in range(20):
            sock.sendall(b"more of it" * 1000)
        assert sock.recv(1) == b""


def test_one_turn_is_one_write_unless_segments_are_kept_apart() -> None:
    events: list[Event] = [Head(200, (), Framing.CHUNKED)]
    events += [Data(b"abc", "token")] * 4
    events += [Abort("end")]
    assert len(list(play(events))) == 1
    assert list(play(events, segment_gap=0.005))[1:] == [b"3\r\nabc\r\n"] * 4


def test_waits_are_scaled() -> None:
    got = b"".join(play([Wait(3600.0), Data(b"at last", raw=True)], time_scale=1e-6))
    assert got == b"at last"


def test_silence_lasts_as_long_as_the_client_stays() -> None:
    world = World([Wait(FOREVER)])
    with serve(world, paths={"openai": OPENAI}) as server:
        sock = dial(server.url("openai"))
        sock.sendall(ASK)
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.close()
        while not world.left:
            server.refresh()
    assert world.left == 1


# -- errors, and the running loop


def test_an_error_of_the_world_comes_out_where_the_server_was_opened() -> None:
    class Broken(World):
        def open(self, request: Request) -> Exchange:
            raise LookupError("no such world")

    def be_reset() -> None:
        with (
            serve(Broken(), paths={"openai": OPENAI}) as server,
            dial(server.url("openai")) as sock,
            pytest.raises(ConnectionResetError),
        ):
            exchange(sock)

    with pytest.raises(LookupError, match="no such world"):
        be_reset()


def test_it_runs_on_a_loop_that_is_running(world: World) -> None:
    async def ask() -> bytes:
        async with serve(world, paths={"openai": OPENAI}) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(ASK)
            got = await reader.readuntil(b"hi")
            writer.close()
            await writer.wait_closed()
            return got

    assert asyncio.run(ask()).startswith(b"HTTP/1.1 200 OK\r\n")


# -- with the simulator behind it

CHAT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()
CHAT_ASK = (
    b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\n"
    b"X-LLMroute-Call: c1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(CHAT), CHAT)
)


def test_the_simulator_answers_and_the_marker_ties_the_attempt() -> None:
    simulator = Simulator(RealClock())
    with (
        serve(simulator, paths={"openai": OPENAI}) as server,
        dial(server.url("openai")) as sock,
    ):
        got = exchange(sock, CHAT_ASK, until=b"nothing ends like this")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    (attempt,) = simulator.history.attempts
    assert (attempt.call, attempt.step, attempt.complete) == ("c1", "openai:200", True)


def test_the_simulator_hears_of_a_path_that_leads_nowhere() -> None:
    simulator = Simulator(RealClock())
    with (
        serve(simulator, paths={"openai": OPENAI}) as server,
        dial(server.url("openai")) as sock,
    ):
        got = exchange(sock, ASK.replace(b"/openai/", b"/opnai/"), b"}}")
    assert got.startswith(b"HTTP/1.1 404 ")
    assert [stray.host for stray in simulator.history.strays] == ["opnai"]


def test_an_incident_of_the_simulator_closes_the_port_until_it_is_healed() -> None:
    simulator = Simulator(RealClock())
    with serve(simulator, listeners=[OPENAI]) as server:
        url = server.url(OPENAI)
        incident = simulator.inject(Incident(Refused(), (Place("openai"),)))
        with pytest.raises(ConnectionRefusedError):
            dial(url)
        incident.heal()
        dial(url).close()
