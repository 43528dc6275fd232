from __future__ import annotations

import asyncio
import socket
import ssl
import sys

import httpx
import pytest

from llmroute_sim import faults
from llmroute_sim.carriers import tcp
from llmroute_sim.clock import RealClock
from llmroute_sim.incidents import Incident, Place
from llmroute_sim.simulator import NoForm, Simulator
from llmroute_sim.wire import Abort, Address
from meeting import StillClock, outcome, taken, waits
from pytest_llmroute import world

HOST = "api.openai.com"
ADDRESS = Address(HOST)
PATH = "/v1/chat/completions"
HEADERS = {"authorization": "Bearer k"}
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def causes(error: BaseException | None) -> list[type[BaseException]]:
    found = []
    while error is not None:
        found.append(type(error))
        error = error.__cause__ or error.__context__
    return found


def post(**options: object) -> int:
    url = f"https://{HOST}{PATH}"
    return httpx.post(url, json=BODY, headers=HEADERS, **options).status_code  # type: ignore[arg-type]


async def post_async() -> int:
    async with httpx.AsyncClient() as client:
        url = f"https://{HOST}{PATH}"
        return (await client.post(url, json=BODY, headers=HEADERS)).status_code


async def post_aiohttp() -> int:
    aiohttp = pytest.importorskip("aiohttp")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"https://{HOST}{PATH}", json=BODY, headers=HEADERS) as answer,
    ):
        return int(answer.status)


def post_requests() -> int:
    requests = pytest.importorskip("requests")
    return int(requests.post(f"https://{HOST}{PATH}", json=BODY, headers=HEADERS).status_code)


CLIENTS = {
    "httpx": post,
    "httpx async": lambda: asyncio.run(post_async()),
    "aiohttp": lambda: asyncio.run(post_aiohttp()),
    "requests": post_requests,
}


# -- names


@pytest.mark.parametrize("client", CLIENTS)
def test_a_name_without_an_address_is_the_resolvers_own_error(client):
    with world() as here:
        live = here.inject(faults.NameNotFound(), at="openai")
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own class
            CLIENTS[client]()
        assert socket.gaierror in causes(caught.value)
        live.heal()
        assert CLIENTS[client]() == 200
        assert here.path == ["openai:no-name", "openai:200"]


@pytest.mark.parametrize(
    "ask", [lambda: socket.getaddrinfo(HOST, 443), lambda: socket.gethostbyname(HOST)]
)
def test_who_asks_for_the_address_alone_is_told_there_is_none(ask):
    with world() as here:
        here.inject(faults.NameNotFound(), at="openai", first=1)
        with pytest.raises(socket.gaierror) as caught:
            ask()
        assert caught.value.errno == socket.EAI_NONAME
        assert ask()


def test_a_resolver_takes_its_time_whatever_the_timeout():
    with world() as here:
        here.inject(faults.NameNotFound(12), at="openai")
        with pytest.raises(httpx.ConnectError):
            post(timeout=5)
        assert here.clock.now() == 12


def test_in_a_loop_a_slow_resolver_is_a_connect_timeout():
    async def ask() -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            await client.post(f"https://{HOST}{PATH}", json=BODY, headers=HEADERS)

    with world() as here:
        here.inject(faults.NameNotFound(12), at="openai")
        with pytest.raises(httpx.ConnectTimeout):
            asyncio.run(ask())
        assert here.clock.now() == 5


def test_a_lost_name_is_one_attempt_that_never_saw_the_request():
    with world() as here:
        here.inject(faults.NameNotFound(), at="openai", first=1)
        with pytest.raises(httpx.ConnectError):
            post()
        assert post() == 200
        lost, _ = here.history.attempts
        assert (lost.model, lost.key, lost.status) == (None, None, None)
        assert lost.faults == ("name-not-found at openai",)


def test_other_names_are_found():
    with world() as here:
        here.inject(faults.NameNotFound(), at="anthropic")
        assert post() == 200


def test_behind_a_base_url_no_name_is_looked_up_and_nobody_pretends_to():
    simulator = Simulator(RealClock())
    tcp.serve(simulator, listeners=[ADDRESS])
    with pytest.raises(NoForm, match=r"name-not-found at openai.*looks up no name"):
        simulator.inject(Incident(faults.NameNotFound(), (Place("openai"),)))


# -- TLS


@pytest.mark.parametrize("reason", ["expired", "wrong-name", "unknown-issuer", "alert"])
def test_a_handshake_that_fails_is_known_by_its_reason(reason):
    simulator = Simulator(StillClock())
    simulator.inject(Incident(faults.TLSFailure(reason)))
    assert list(simulator.connect(ADDRESS, None)) == []
    assert list(simulator.handshake(ADDRESS, None)) == [Abort(f"tls-{reason}")]
    assert outcome(simulator) == f"tls-{reason}"


def test_a_handshake_may_never_end():
    simulator = Simulator(StillClock())
    simulator.inject(Incident(faults.TLSFailure("stall")))
    assert waits(taken(simulator.handshake(ADDRESS, None))) == float("inf")
    assert outcome(simulator) == "silence"


def test_in_memory_no_tls_fails_and_nobody_pretends_to():
    with (
        world() as here,
        pytest.raises(NoForm, match="tls-failure at openai cannot be performed here: in memory"),
    ):
        here.inject(faults.TLSFailure("expired"), at="openai")


def test_a_world_does_not_open_with_a_fault_that_it_cannot_perform():
    simulator = Simulator(StillClock())
    simulator.inject(Incident(faults.TLSFailure()))
    with pytest.raises(NoForm, match="no TLS is spoken here"):
        tcp.serve(simulator, listeners=[ADDRESS])


def test_without_trustme_tls_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(tcp.NoTLS, match="pip install trustme"):
        tcp.serve(Simulator(RealClock()), listeners=[ADDRESS], tls=True)


@pytest.fixture
def over_tls(tmp_path):
    """A client of a provider that speaks TLS, the simulator behind it, and the authority's file."""
    pytest.importorskip("trustme")
    simulator = Simulator(RealClock())
    with tcp.serve(simulator, listeners=[ADDRESS], tls=True) as server:
        file = tmp_path / "authority.pem"
        file.write_text(server.authority)
        context = ssl.create_default_context(cafile=str(file))
        with httpx.Client(base_url=server.url(ADDRESS), verify=context, timeout=20) as client:
            yield client, simulator


def test_a_client_that_trusts_the_authority_is_served(over_tls):
    client, simulator = over_tls
    answer = client.post(PATH, json=BODY, headers=HEADERS)
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    assert client.post(PATH, json=BODY, headers=HEADERS).status_code == 200
    assert simulator.history.path == ["openai:200", "openai:200"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("expired", "certificate has expired"),
        ("wrong-name", "mismatch"),
        ("unknown-issuer", "unable to get local issuer certificate"),
        ("alert", "ALERT_HANDSHAKE_FAILURE"),
    ],
)
def test_a_client_meets_its_real_error_and_the_next_time_none(over_tls, reason, said):
    client, simulator = over_tls
    live = simulator.inject(Incident(faults.TLSFailure(reason)))
    with pytest.raises(httpx.ConnectError, match=said) as caught:
        client.post(PATH, json=BODY, headers=HEADERS)
    assert any(issubclass(kind, ssl.SSLError) for kind in causes(caught.value))
    live.heal()
    assert client.post(PATH, json=BODY, headers=HEADERS).status_code == 200
    assert simulator.history.path == [f"openai:tls-{reason}", "openai:200"]


def test_a_handshake_that_stalls_is_a_connect_timeout(over_tls):
    client, simulator = over_tls
    simulator.inject(Incident(faults.TLSFailure("stall")))
    with pytest.raises(httpx.ConnectTimeout):
        client.post(PATH, json=BODY, headers=HEADERS, timeout=0.2)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [(faults.Cut(), httpx.RemoteProtocolError), (faults.WrongLength(), httpx.RemoteProtocolError)],
)
def test_an_answer_breaks_off_under_tls_as_well(over_tls, fault, raised):
    client, simulator = over_tls
    simulator.inject(Incident(fault))
    with pytest.raises(raised):
        client.post(PATH, json=BODY, headers=HEADERS)
